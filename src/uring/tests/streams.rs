//! Streams of connections, readiness and ticks: with multishot and without, taken, left lying, dropped and forgotten.

use super::{SETUPS, block_on, next, pipe, ring_using, settle, try_next, turn, turn_often};
use crate::inflight;
use crate::reactor::driver::Driver;
use crate::uring::{Config, Fd, Features, Ring, Setup};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

const MULTISHOT: Features = Features::all();
/// As on a kernel before 5.13.
const SINGLE: Features = Features::all()
    .without(Features::ACCEPT_MULTISHOT)
    .without(Features::POLL_MULTISHOT)
    .without(Features::TIMEOUT_MULTISHOT);

fn rings() -> impl Iterator<Item = (Rc<Ring>, bool)> {
    SETUPS
        .into_iter()
        .flat_map(|setup| [(ring_using(setup, MULTISHOT), true), (ring_using(setup, SINGLE), false)])
}

/// A listening socket, and how to connect to it.
fn listener() -> (Fd, impl Fn() -> UnixStream) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // A connection waits in the backlog until it is accepted.
    (Fd::from(OwnedFd::from(listener)), move || {
        let _dir = &dir;
        UnixStream::connect(&path).unwrap()
    })
}

/// Whether the other side has been closed.
fn is_closed(mut client: &UnixStream) -> bool {
    client.set_nonblocking(true).unwrap();
    // Reset, if it waited in the backlog of a listener that went.
    match client.read(&mut [0; 8]) {
        Ok(0) => true,
        result => result.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
    }
}

fn untaken(ring: &Ring) -> usize {
    ring.queues().untaken()
}

#[test]
fn connections_are_accepted_in_order_by_one_entry_or_by_one_each() {
    for (ring, is_multishot) in rings() {
        let (listener, connect) = listener();
        let mut accepts = ring.accept_stream(&listener);
        for at in 0..10_u8 {
            let mut clients: Vec<_> = (0..5).map(|_| connect()).collect();
            for (index, client) in clients.iter_mut().enumerate() {
                std::io::Write::write_all(client, &[at, index as u8]).unwrap();
            }
            for index in 0..5 {
                let mut server = UnixStream::from(next(&ring, &mut accepts).unwrap().unwrap());
                let mut bytes = [0; 2];
                server.read_exact(&mut bytes).unwrap();
                assert_eq!(bytes, [at, index]);
            }
        }
        let counters = ring.counters();
        let submitted = if is_multishot { 1 } else { 50 };
        assert_eq!((counters.submitted, counters.completed), (submitted, 50), "{is_multishot}");
        assert_eq!(counters.continued, if is_multishot { 50 } else { 0 });
        drop(accepts);
        settle(&ring);
        let counters = ring.counters();
        assert_eq!(counters.submitted, counters.completed - counters.continued, "all answered");
    }
}

/// Connections that were accepted, and the stream dropped before it was polled again.
#[test]
fn connections_that_nobody_took_are_closed_with_the_stream() {
    for (ring, is_multishot) in rings() {
        for reaped in [false, true] {
            let (listener, connect) = listener();
            let mut accepts = ring.accept_stream(&listener);
            assert!(try_next(&mut accepts).is_pending());
            turn(&ring);
            let clients: Vec<_> = (0..5).map(|_| connect()).collect();
            if reaped {
                let wanted = if is_multishot { 5 } else { 1 };
                while untaken(&ring) < wanted {
                    turn(&ring);
                }
            }
            drop(accepts);
            settle(&ring);
            drop(listener);
            assert!(clients.iter().all(is_closed), "{is_multishot}, {reaped}");
            assert_eq!(untaken(&ring), 0);
        }
    }
}

#[test]
fn connections_that_nobody_took_are_closed_when_the_ring_ends() {
    for forgotten in [false, true] {
        for (ring, is_multishot) in rings() {
            let (listener, connect) = listener();
            let mut accepts = ring.accept_stream(&listener);
            assert!(try_next(&mut accepts).is_pending());
            let client = connect();
            if is_multishot {
                while untaken(&ring) < 1 {
                    turn(&ring);
                }
            }
            let mut kept = None;
            if forgotten {
                std::mem::forget(accepts);
            } else {
                kept = Some(accepts);
            }
            ring.cancel_all();
            settle(&ring);
            if is_multishot {
                assert!(is_closed(&client), "{forgotten}");
            }
            if let Some(mut accepts) = kept {
                let mut last = next(&ring, &mut accepts);
                if let Some(Ok(_)) = last {
                    // Without multishot this is the answer that came before the end. There is nobody to ask for another.
                    assert!(!is_multishot);
                    last = next(&ring, &mut accepts);
                }
                let error = last.unwrap().unwrap_err();
                let errno = is_multishot.then_some(Errno::CANCELED.raw_os_error());
                assert_eq!(error.raw_os_error(), errno, "{error}");
                assert!(next(&ring, &mut accepts).is_none());
            }
        }
    }
}

/// A hundred more than a line holds, while the consumer does something else.
#[test]
fn a_slow_consumer_holds_a_line_and_no_more_and_misses_nothing() {
    for (ring, is_multishot) in rings() {
        let (listener, connect) = listener();
        let mut accepts = ring.accept_stream(&listener);
        assert!(try_next(&mut accepts).is_pending());
        let mut clients = Vec::new();
        for batch in 0..12_u8 {
            for index in 0..10_u8 {
                let mut client = connect();
                std::io::Write::write_all(&mut client, &[batch * 10 + index]).unwrap();
                clients.push(client);
            }
            turn_often(&ring, 4);
        }
        let most = if is_multishot { inflight::LINE_MAX as usize + 20 } else { 1 };
        assert!((1..=most).contains(&untaken(&ring)), "{} answers wait", untaken(&ring));
        for expected in 0..120 {
            let mut server = UnixStream::from(next(&ring, &mut accepts).unwrap().unwrap());
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [expected]);
        }
        drop(accepts);
        settle(&ring);
    }
}

/// With room for four answers and many at once, the kernel keeps what does not fit or ends the operation: either way none is lost.
#[test]
fn a_full_completion_queue_loses_no_connection() {
    for setup in SETUPS {
        let ring = Ring::new(&Config { setup, entries: 2, completions: 4, ..Config::default() }).unwrap();
        let (listener, connect) = listener();
        let mut accepts = ring.accept_stream(&listener);
        assert!(try_next(&mut accepts).is_pending());
        ring.flush();
        let clients: Vec<_> = (0..50).map(|_| connect()).collect();
        for _ in 0..50 {
            drop(next(&ring, &mut accepts).unwrap().unwrap());
        }
        assert!(clients.iter().all(is_closed));
        drop(accepts);
        settle(&ring);
        let counters = ring.counters();
        assert_eq!(counters.submitted, counters.completed - counters.continued);
    }
}

#[test]
fn a_socket_that_does_not_listen_ends_the_stream_with_its_error() {
    for (ring, _) in rings() {
        let (socket, _peer) = UnixStream::pair().unwrap();
        let mut accepts = ring.accept_stream(&Fd::from(OwnedFd::from(socket)));
        let error = next(&ring, &mut accepts).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        assert!(next(&ring, &mut accepts).is_none());
    }
}

#[test]
fn readiness_comes_again_with_more() {
    for (ring, _) in rings() {
        let (read, write) = pipe();
        let mut readies = ring.ready_stream(&read, PollFlags::IN);
        for round in 0..5 {
            assert!(round > 0 || try_next(&mut readies).is_pending());
            turn(&ring);
            rustix::io::write(&write, b"1").unwrap();
            assert!(next(&ring, &mut readies).unwrap().unwrap().contains(PollFlags::IN));
            assert_eq!(rustix::io::read(&read, &mut [0; 8]).unwrap(), 1);
        }
        drop(readies);
        settle(&ring);
        let ready = ring.poll_fd(&read, PollFlags::IN);
        drop(write);
        assert!(block_on(&ring, ready).unwrap().contains(PollFlags::HUP));
    }
}

#[test]
fn ticks_come_once_per_period_and_not_before() {
    for (ring, is_multishot) in rings() {
        let start = Instant::now();
        let mut ticks = ring.tick_stream(Duration::from_millis(2));
        for tick in 1..=5 {
            next(&ring, &mut ticks).unwrap().unwrap();
            assert!(start.elapsed() >= Duration::from_millis(2 * tick), "tick {tick}");
        }
        assert_eq!(ring.counters().submitted, if is_multishot { 1 } else { 5 });
        drop(ticks);
        settle(&ring);
        let mut never = ring.tick_stream(Duration::ZERO);
        let error = next(&ring, &mut never).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        assert!(next(&ring, &mut never).is_none());
    }
}

/// Ticks that nobody takes are asked for no more, and come again when the consumer does.
#[test]
fn a_forgetful_consumer_of_ticks_holds_a_line_of_them() {
    let ring = ring_using(Setup::Deferred, MULTISHOT);
    let mut ticks = ring.tick_stream(Duration::from_micros(50));
    assert!(try_next(&mut ticks).is_pending());
    while ring.in_flight() > 0 {
        turn(&ring);
    }
    assert_eq!(untaken(&ring), inflight::LINE_MAX as usize);
    for _ in 0..2 * inflight::LINE_MAX {
        next(&ring, &mut ticks).unwrap().unwrap();
    }
    drop(ticks);
    settle(&ring);
}

/// Streams dropped before and after each step leave nothing behind, with a submission queue that makes some of them wait.
#[test]
fn a_stream_may_be_dropped_at_every_step() {
    for (ring, _) in rings() {
        for steps in 0..4 {
            let (listener, connect) = listener();
            let mut streams: Vec<_> = (0..20).map(|_| ring.accept_stream(&listener)).collect();
            let clients: Vec<_> = (0..20).map(|_| connect()).collect();
            if steps > 0 {
                assert!(streams.iter_mut().all(|stream| try_next(stream).is_pending()));
            }
            if steps > 1 {
                ring.flush();
            }
            if steps > 2 {
                turn(&ring);
                let taken = streams.iter_mut().map(try_next);
                taken.for_each(|item| assert!(!matches!(item, Poll::Ready(None | Some(Err(_))))));
            }
            drop(streams);
            settle(&ring);
            drop(listener);
            assert!(clients.iter().all(is_closed), "{steps} steps");
            assert_eq!(untaken(&ring), 0);
        }
    }
}
