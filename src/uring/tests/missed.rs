//! Operations that a cancel has not found, or that it found at work: they are cancelled again, and not more often than they need.

use super::sleep::sleep_on;
use super::{SETUPS, pipe, poll_once, ring, ring_using, settle, turn};
use crate::reactor::driver::Driver;
use crate::sys::eventfd::EventFd;
use crate::uring::{Fd, Features, Ring, Setup};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use socket2::SockAddr;
use std::io::Write;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// A ring with a connect that was dropped where no cancel finds it: the kernel tries one to a full Unix socket 128 times before it lets
/// a worker wait. And what keeps the socket full.
fn ring_with_a_connect_under_way(setup: Setup) -> (Rc<Ring>, impl Sized) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let socket = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let addr = SocketAddrUnix::new(&path).unwrap();
    let (listener, first, second) = (socket(), socket(), Fd::from(socket()));
    bind(&listener, &addr).unwrap();
    listen(&listener, 0).unwrap();
    connect(&first, &addr).unwrap();
    let ring = ring(setup, 8, 8);
    let mut connecting = Box::pin(ring.connect(&second, SockAddr::unix(&path).unwrap()));
    assert!(poll_once(&mut connecting).is_pending());
    turn(&ring);
    drop(connecting);
    (ring, (listener, first, dir))
}

#[test]
fn an_operation_that_a_cancel_has_missed_is_cancelled_again() {
    for setup in SETUPS {
        let (ring, _full) = ring_with_a_connect_under_way(setup);
        let start = Instant::now();
        while ring.in_flight() > 0 {
            turn(&ring);
            if start.elapsed() > LONG {
                // Its end would wait for it.
                std::mem::forget(ring.clone());
                panic!("{setup:?}: it goes on");
            }
        }
    }
}

#[test]
fn a_ring_ends_though_it_has_to_ask_again() {
    for setup in SETUPS {
        let (ended, has_ended) = mpsc::channel();
        std::thread::spawn(move || {
            let (ring, _full) = ring_with_a_connect_under_way(setup);
            drop(ring);
            ended.send(()).unwrap();
        });
        has_ended.recv_timeout(LONG).unwrap_or_else(|_| panic!("{setup:?}: it waits for ever"));
    }
}

/// In the ring, and by its descriptor: nothing else would end the sleep. Whether the kernel has not found the operation, or has told a
/// worker that did not hear.
#[test]
fn a_core_that_sleeps_wakes_up_to_ask_again() {
    let ways = [Errno::NOENT, Errno::ALREADY].into_iter().flat_map(|errno| [(errno, true), (errno, false)]);
    for (setup, (errno, in_ring)) in
        SETUPS.into_iter().flat_map(|setup| ways.clone().map(move |way| (setup, way)))
    {
        let (ring, bell) = (ring_using(setup, Features::all()), EventFd::new().unwrap());
        let (read, _write) = pipe();
        let mut stuck = Box::pin(ring.read_at(&read, vec![0; 8], 0));
        assert!(poll_once(&mut stuck).is_pending());
        turn(&ring);
        ring.queues().miss_all(errno);
        let start = Instant::now();
        while poll_once(&mut stuck).is_pending() && start.elapsed() < LONG {
            if in_ring {
                ring.bed().unwrap().sleep(bell.as_fd(), None, Some(LONG));
            } else {
                ring.flush();
                sleep_on(&ring);
            }
            ring.poll();
        }
        assert!(start.elapsed() < LONG, "{setup:?}, {errno:?}, {in_ring}");
        settle(&ring);
        let counters = ring.counters();
        assert_eq!(counters.submitted, 2, "the read and its cancel");
        assert_eq!(counters.completed, 2);
    }
}

/// While a worker writes a file out it hears no cancel.
#[test]
fn a_worker_that_does_not_hear_is_asked_seldom() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; 32 << 20]).unwrap();
    let fd = Fd::from(file);
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        let mut sync = Box::pin(ring.sync_all(&fd));
        assert!(poll_once(&mut sync).is_pending());
        turn(&ring);
        drop(sync);
        let start = Instant::now();
        settle(&ring);
        // Doubling from 1 ms: 7 until it is 64 ms.
        let most = 3 + 7 + start.elapsed().as_millis() as u64 / 64;
        let submitted = ring.counters().submitted;
        assert!(submitted <= most, "{setup:?}: {submitted} entries in {:?}", start.elapsed());
    }
}

/// A pause that nobody needs any more keeps neither the ring nor the core.
#[test]
fn an_operation_that_ends_during_the_pause_is_left_alone() {
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        let (read, write) = pipe();
        let mut reading = Box::pin(ring.read_at(&read, vec![0; 8], 0));
        assert!(poll_once(&mut reading).is_pending());
        turn(&ring);
        ring.queues().miss_all(Errno::NOENT);
        rustix::io::write(&write, b"12345").unwrap();
        settle(&ring);
        let Poll::Ready((Ok(5), _)) = poll_once(&mut reading) else { panic!("not read") };
        let start = Instant::now();
        while !ring.queues().is_quiet() && start.elapsed() < LONG {
            turn(&ring);
        }
        settle(&ring);
        assert_eq!((ring.in_flight(), ring.counters().submitted), (0, ring.counters().completed));
    }
}
