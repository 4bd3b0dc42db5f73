//! Streams of what arrives, in buffers of a pool: each way that kernels have of it, buffers held, dropped, and too few.

use super::{SETUPS, next, ring_using, settle, try_next, turn, turn_often};
use crate::uring::{Fd, Features, RecvBuf, RecvPool, RecvStream, Ring, Setup};
use proptest::prelude::*;
use rustix::io::Errno;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;

/// As Linux 6.0, 5.19 and before.
const WAYS: [Features; 3] = [
    Features::all(),
    Features::all().without(Features::RECV_MULTISHOT),
    Features::all().without(Features::RECV_MULTISHOT).without(Features::BUFFER_RINGS),
];

fn pair() -> (Fd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Fd::from(OwnedFd::from(ours)), theirs)
}

/// Ready, with bytes.
fn bytes(item: Poll<Option<std::io::Result<RecvBuf>>>) -> Option<RecvBuf> {
    match item {
        Poll::Ready(item) => Some(item.expect("the peer has not closed").unwrap()),
        Poll::Pending => None,
    }
}

/// Fails unless all buffers of the pool can be had at once.
fn assert_whole(ring: &Rc<Ring>, pool: &RecvPool) {
    let (fd, mut peer) = pair();
    let mut stream = ring.recv_stream(&fd, pool);
    let mut held = Vec::new();
    for _ in 0..pool.count() {
        peer.write_all(&vec![1; pool.size()]).unwrap();
        held.push(next(ring, &mut stream).unwrap().unwrap());
    }
    assert_eq!(held.len(), pool.count());
}

#[test]
fn what_arrives_is_received_in_order_until_the_peer_closes() {
    for (setup, features) in SETUPS.into_iter().flat_map(|setup| WAYS.map(|way| (setup, way))) {
        let ring = ring_using(setup, features);
        let pool = ring.recv_pool(4, 16).unwrap();
        let (fd, mut peer) = pair();
        let mut stream = ring.recv_stream(&fd, &pool);
        for round in 0..50_u8 {
            peer.write_all(&[round; 3]).unwrap();
            assert_eq!(next(&ring, &mut stream).unwrap().unwrap()[..], [round; 3]);
        }
        peer.write_all(&(0..100).collect::<Vec<u8>>()).unwrap();
        drop(peer);
        let mut all = Vec::new();
        while let Some(received) = next(&ring, &mut stream) {
            let received = received.unwrap();
            assert!(received.len() <= 16);
            all.extend_from_slice(&received);
        }
        assert_eq!(all, (0..100).collect::<Vec<u8>>(), "{setup:?}, {features:?}");
        assert!(next(&ring, &mut stream).is_none());
        assert_whole(&ring, &pool);
    }
}

#[test]
fn one_entry_serves_many_messages_where_the_kernel_can() {
    let ring = ring_using(Setup::Deferred, Features::all());
    let pool = ring.recv_pool(8, 64).unwrap();
    let (fd, mut peer) = pair();
    ring.register(&fd);
    let mut stream = ring.recv_stream(&fd, &pool);
    for _ in 0..100 {
        peer.write_all(b"ping").unwrap();
        assert_eq!(next(&ring, &mut stream).unwrap().unwrap()[..], *b"ping");
    }
    let counters = ring.counters();
    assert_eq!((counters.submitted, counters.completed, counters.continued), (1, 100, 100));
}

/// The line for buffers: who came first is served first, and nobody asks the kernel meanwhile.
#[test]
fn streams_wait_for_buffers_in_order_and_in_peace() {
    for (setup, features) in SETUPS.into_iter().flat_map(|setup| WAYS.map(|way| (setup, way))) {
        let ring = ring_using(setup, features);
        let pool = ring.recv_pool(1, 16).unwrap();
        let mut pairs: Vec<_> = (0..4).map(|_| pair()).collect();
        let mut streams: Vec<RecvStream> = pairs.iter().map(|(fd, _)| ring.recv_stream(fd, &pool)).collect();
        let mut held = None;
        for (index, stream) in streams.iter_mut().enumerate() {
            pairs[index].1.write_all(&[index as u8]).unwrap();
            for _ in 0..10 {
                if let Some(received) = bytes(try_next(stream)) {
                    assert_eq!((index, &received[..]), (0, &[0][..]));
                    held = Some(received);
                    break;
                }
                turn(&ring);
            }
        }
        assert!(held.is_some());
        let before = ring.counters();
        for _ in 0..100 {
            assert!(streams[1..].iter_mut().all(|stream| try_next(stream).is_pending()));
            turn(&ring);
        }
        assert_eq!(ring.counters(), before, "{setup:?}, {features:?}: they wait quietly");
        // The second in line gives up; the others are served in turn.
        drop(streams.remove(2));
        for expected in [1, 3_u8] {
            drop(held.take());
            while held.is_none() {
                turn(&ring);
                held = streams[1..].iter_mut().find_map(|stream| bytes(try_next(stream)));
            }
            assert_eq!(held.as_deref(), Some(&[expected][..]), "{setup:?}, {features:?}");
        }
        drop((held, streams));
        settle(&ring);
        assert_whole(&ring, &pool);
    }
}

/// Whoever is called to a buffer and goes away calls the next.
#[test]
fn a_call_that_nobody_answers_goes_to_the_next() {
    for features in WAYS {
        for polled in [false, true] {
            let ring = ring_using(Setup::Deferred, features);
            let pool = ring.recv_pool(1, 16).unwrap();
            let mut pairs: Vec<_> = (0..3).map(|_| pair()).collect();
            pairs.iter_mut().for_each(|(_, peer)| peer.write_all(b"x").unwrap());
            let mut first = ring.recv_stream(&pairs[0].0, &pool);
            let held = next(&ring, &mut first).unwrap().unwrap();
            let (mut second, mut third) =
                (ring.recv_stream(&pairs[1].0, &pool), ring.recv_stream(&pairs[2].0, &pool));
            for stream in [&mut second, &mut third] {
                for _ in 0..10 {
                    assert!(try_next(stream).is_pending());
                    turn(&ring);
                }
            }
            drop(held);
            if polled {
                // It asks the kernel, and is dropped before that hears of it.
                assert!(try_next(&mut second).is_pending());
            }
            drop(second);
            assert_eq!(next(&ring, &mut third).unwrap().unwrap()[..], *b"x");
        }
    }
}

#[test]
fn what_nobody_took_goes_back_to_the_pool() {
    for (setup, features) in SETUPS.into_iter().flat_map(|setup| WAYS.map(|way| (setup, way))) {
        let ring = ring_using(setup, features);
        let pool = ring.recv_pool(8, 16).unwrap();
        for turns in 0..4 {
            let (fd, mut peer) = pair();
            let mut stream = ring.recv_stream(&fd, &pool);
            assert!(try_next(&mut stream).is_pending());
            peer.write_all(&[1; 100]).unwrap();
            turn_often(&ring, turns);
            drop(stream);
            settle(&ring);
        }
        assert_whole(&ring, &pool);
    }
}

#[test]
fn a_socket_that_would_not_block_is_waited_for() {
    for (setup, features) in SETUPS.into_iter().flat_map(|setup| WAYS.map(|way| (setup, way))) {
        let ring = ring_using(setup, features);
        let pool = ring.recv_pool(2, 16).unwrap();
        let (ours, mut peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut stream = ring.recv_stream(&Fd::from(OwnedFd::from(ours)), &pool);
        for round in 0..3 {
            for _ in 0..20 {
                assert!(try_next(&mut stream).is_pending());
                turn(&ring);
            }
            let before = ring.counters().enters;
            for _ in 0..100 {
                assert!(try_next(&mut stream).is_pending());
                turn(&ring);
            }
            assert_eq!(ring.counters().enters, before, "{setup:?}, {features:?}: no storm");
            peer.write_all(&[round]).unwrap();
            assert_eq!(next(&ring, &mut stream).unwrap().unwrap()[..], [round]);
        }
    }
}

#[test]
fn an_error_ends_the_stream_and_keeps_its_code() {
    for features in WAYS {
        let ring = ring_using(Setup::Deferred, features);
        let pool = ring.recv_pool(2, 16).unwrap();
        let file = Fd::from(tempfile::tempfile().unwrap());
        let mut stream = ring.recv_stream(&file, &pool);
        let error = next(&ring, &mut stream).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NOTSOCK.raw_os_error()));
        assert!(next(&ring, &mut stream).is_none());
        assert_whole(&ring, &pool);
    }
}

#[test]
fn a_pool_of_no_possible_size_is_refused() {
    let ring = ring_using(Setup::Deferred, Features::all());
    for (count, size) in [(0, 16), (16, 0), (32_769, 16), (1, 1 << 31)] {
        let error = ring.recv_pool(count, size).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()), "{count} of {size}");
    }
    assert_eq!(ring.recv_pool(5, 16).unwrap().count(), 8);
}

/// The pool, its streams and its buffers outlive the handle to the ring, in whatever order they go.
#[test]
fn a_ring_may_go_before_the_buffers() {
    for features in WAYS {
        let ring = ring_using(Setup::Deferred, features);
        let pool = ring.recv_pool(2, 16).unwrap();
        let (fd, mut peer) = pair();
        let mut stream = ring.recv_stream(&fd, &pool);
        peer.write_all(&[7; 40]).unwrap();
        let mut held = next(&ring, &mut stream).unwrap().unwrap();
        turn(&ring);
        drop((stream, pool));
        assert_eq!(Rc::strong_count(&ring), 1);
        drop(ring);
        held[0] = 8;
        assert_eq!(held[..2], [8, 7]);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Poll,
    Release,
    Drop,
    Turn,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Eight streams share two buffers: whatever is written, held and dropped, in the end the pool is whole.
    #[test]
    fn no_buffer_is_lost(
        setup in proptest::sample::select(&SETUPS[..]),
        features in proptest::sample::select(&WAYS[..]),
        steps in proptest::collection::vec((
            proptest::sample::select(&[Step::Write, Step::Poll, Step::Release, Step::Drop, Step::Turn][..]),
            0..8_usize,
        ), 1..200),
    ) {
        let ring = ring_using(setup, features);
        let pool = ring.recv_pool(2, 16).unwrap();
        let mut pairs: Vec<_> = (0..8).map(|_| pair()).collect();
        let mut streams: Vec<_> = pairs.iter().map(|(fd, _)| ring.recv_stream(fd, &pool)).collect();
        let mut held = Vec::new();
        for (step, at) in steps {
            match step {
                Step::Write => pairs[at].1.write_all(&[at as u8; 20]).unwrap(),
                Step::Poll => held.extend(bytes(try_next(&mut streams[at]))),
                Step::Release => drop(held.pop()),
                Step::Drop => streams[at] = ring.recv_stream(&pairs[at].0, &pool),
                Step::Turn => turn_often(&ring, 1),
            }
        }
        drop((streams, held));
        settle(&ring);
        assert_whole(&ring, &pool);
    }
}
