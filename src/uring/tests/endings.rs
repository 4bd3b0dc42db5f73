//! Streams dropped while the kernel answers them: each ends, however fast the answers come.

use super::{SETUPS, next, ring_using, settle, try_next, turn};
use crate::inflight::LINE_MAX;
use crate::reactor::driver::Driver;
use crate::uring::stream::Source;
use crate::uring::{Answers, Fd, Features, Ring};
use rustix::event::PollFlags;
use rustix::net::RecvFlags;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

/// Turns until the kernel has answered everything, in no more answers than that.
fn assert_ends(ring: &Rc<Ring>, answers_max: u32) {
    let before = ring.counters().continued;
    while ring.in_flight() > 0 {
        turn(ring);
        let answers = ring.counters().continued - before;
        if answers > u64::from(answers_max) {
            // Its end would wait for the answers.
            std::mem::forget(ring.clone());
            panic!("it goes on: {answers} answers");
        }
    }
}

/// Timeouts of such periods go off between any two system calls, so that every cancel misses them.
#[test]
fn ticks_end_when_dropped_however_short_their_period() {
    for setup in SETUPS {
        let ring = ring_using(setup, Features::all());
        for micros in (1..=40).cycle().take(400) {
            let mut ticks = ring.tick_stream(Duration::from_micros(micros));
            next(&ring, &mut ticks).unwrap().unwrap();
            drop(ticks);
            assert_ends(&ring, LINE_MAX);
        }
    }
}

/// The first cancel meets a timeout that has gone off and misses it; the next one does not.
#[test]
fn a_cancel_that_has_missed_is_repeated() {
    for setup in SETUPS {
        for all in [false, true] {
            let ring = ring_using(setup, Features::all());
            let mut ticks = ring.tick_stream(Duration::from_millis(2));
            assert!(try_next(&mut ticks).is_pending());
            ring.flush();
            // True when it has gone off: the kernel wants to be asked for the answer, or has given it.
            while !ring.arm() {
                std::hint::spin_loop();
            }
            if all {
                ring.cancel_all();
                assert_ends(&ring, LINE_MAX / 2);
            }
            drop(ticks);
            assert_ends(&ring, LINE_MAX / 2);
        }
    }
}

/// Takes an item of each stream and drops it with others on their way.
fn drop_often<T: Source>(ring: &Rc<Ring>, mut stream: impl FnMut() -> Answers<T>) {
    for _ in 0..20 {
        let mut stream = stream();
        assert!(next(ring, &mut stream).is_some());
        drop(stream);
        // The kernel accepts for as long as it finds connections, and reads the cancel afterwards: thousands have been seen.
        assert_ends(ring, 1_000_000);
    }
    settle(ring);
}

fn rings() -> impl Iterator<Item = Rc<Ring>> {
    SETUPS.into_iter().map(|setup| ring_using(setup, Features::all()))
}

#[test]
fn accepts_end_when_dropped_in_a_storm_of_connections() {
    for ring in rings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = Fd::from(OwnedFd::from(UnixListener::bind(&path).unwrap()));
        let storm = std::thread::spawn(move || while UnixStream::connect(&path).is_ok() {});
        drop_often(&ring, || ring.accept_stream(&listener));
        drop(listener);
        storm.join().unwrap();
    }
}

/// A socket to which another thread writes for as long as it is open.
fn storm() -> (Fd, std::thread::JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || while theirs.write_all(&[1; 8]).is_ok() {});
    (Fd::from(OwnedFd::from(ours)), thread)
}

#[test]
fn receives_end_when_dropped_in_a_storm_of_messages() {
    for ring in rings() {
        let (socket, storm) = storm();
        let pool = ring.recv_pool(64, 16).unwrap();
        drop_often(&ring, || ring.recv_stream(&socket, &pool));
        drop(socket);
        storm.join().unwrap();
    }
}

#[test]
fn readiness_ends_when_dropped_in_a_storm_of_messages() {
    for ring in rings() {
        let (socket, storm) = storm();
        drop_often(&ring, || {
            // Room for more, so that the storm goes on.
            let _ = rustix::net::recv(&socket, &mut [0; 4096][..], RecvFlags::DONTWAIT);
            ring.ready_stream(&socket, PollFlags::IN)
        });
        drop(socket);
        storm.join().unwrap();
    }
}
