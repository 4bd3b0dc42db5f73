//! Tests of the ring against a `VecDeque`, on one thread and on two.

use super::{Consumer, Producer, channel};
use crate::sync::{
    Closed, SendError, TryRecvError, TrySendError,
    testing::{Count, Drops, poll},
};
use crate::sys::blocking::block_on;
use futures::{SinkExt, StreamExt, stream};
use proptest::prelude::*;
use std::{collections::VecDeque, pin::pin, task::Poll, thread};

static_assertions::assert_impl_all!(Producer<std::cell::Cell<u8>>: Send, Unpin);
static_assertions::assert_impl_all!(Consumer<std::cell::Cell<u8>>: Send, Unpin);
static_assertions::assert_not_impl_any!(Producer<u8>: Sync, Clone);
static_assertions::assert_not_impl_any!(Consumer<u8>: Sync, Clone);
static_assertions::assert_not_impl_any!(Producer<*const u8>: Send);
static_assertions::assert_not_impl_any!(Consumer<*const u8>: Send);

#[test]
fn a_producer_without_room_waits_until_something_is_received() {
    let (mut tx, mut rx) = channel(1);
    let count = Count::new();
    tx.try_send(1).unwrap();
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    let mut send = tx.send(2);
    assert!(count.poll(&mut send).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(count.wakes(), 1);
    assert_eq!(count.poll(&mut send), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn a_consumer_is_woken_once_per_wait() {
    let (mut tx, mut rx) = channel(4);
    let count = Count::new();
    assert!(count.poll(&mut rx.next()).is_pending());
    assert!(count.poll(&mut rx.next()).is_pending());
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!(count.wakes(), 1);
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(Some(1)));
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(Some(2)));
}

/// Polls until `future` waits to be woken instead of looking again by itself.
fn poll_until_it_waits<F: std::future::Future + Unpin>(count: &Count, future: &mut F) {
    let mut wakes = usize::MAX;
    while wakes != count.wakes() {
        wakes = count.wakes();
        assert!(count.poll(future).is_pending());
    }
}

#[test]
fn a_consumer_that_is_ahead_in_a_stream_looks_again_by_itself_and_then_waits() {
    let (mut tx, mut rx) = channel(64);
    let count = Count::new();
    assert_eq!(tx.try_send_many(&mut (0..64)), Ok(64));
    for i in 0..64 {
        assert_eq!(count.poll(&mut rx.next()), Poll::Ready(Some(i)));
    }
    assert!(count.poll(&mut rx.next()).is_pending());
    assert_eq!(count.wakes(), 1, "it goes on without being woken by a message");
    poll_until_it_waits(&count, &mut rx.next());
    let wakes = count.wakes();
    tx.try_send(64).unwrap();
    assert_eq!(count.wakes(), wakes + 1);
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(Some(64)));
}

#[test]
fn a_producer_that_is_ahead_in_a_stream_looks_again_by_itself_and_then_waits() {
    let (mut tx, mut rx) = channel(64);
    let count = Count::new();
    for i in 0..64 {
        assert_eq!(count.poll(&mut tx.send(i)), Poll::Ready(Ok(())));
    }
    let mut send = tx.send(64);
    assert!(count.poll(&mut send).is_pending());
    assert_eq!(count.wakes(), 1, "it goes on without being woken by a receive");
    poll_until_it_waits(&count, &mut send);
    let wakes = count.wakes();
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!(count.wakes(), wakes + 1);
    assert_eq!(count.poll(&mut send), Poll::Ready(Ok(())));
}

#[test]
fn fed_values_are_seen_when_flushed_and_when_the_producer_is_dropped() {
    let (mut tx, mut rx) = channel(4);
    assert!(poll(&mut tx.feed(1)).is_ready());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert!(poll(&mut SinkExt::<i32>::flush(&mut tx)).is_ready());
    assert_eq!(rx.try_recv(), Ok(1));
    assert!(poll(&mut tx.feed(2)).is_ready());
    drop(tx);
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(poll(&mut rx.next()), Poll::Ready(None));
}

#[test]
fn dropped_consumer_drops_what_is_there_and_gives_the_rest_back() {
    let drops = Drops::new();
    let count = Count::new();
    let (mut tx, rx) = channel(1);
    assert!(tx.try_send(drops.value()).is_ok());
    let mut send = tx.send(drops.value());
    assert!(count.poll(&mut send).is_pending());
    drop(rx);
    assert_eq!((drops.count(), count.wakes()), (1, 1));
    let Poll::Ready(Err(SendError(back))) = count.poll(&mut send) else { panic!("closed") };
    drop(send);
    assert_eq!(drops.count(), 1);
    assert!(matches!(tx.try_send(back), Err(TrySendError::Closed(_))));
    assert_eq!(drops.count(), 2);
    assert_eq!(tx.try_send_many(&mut std::iter::once(drops.value())), Err(Closed));
    assert_eq!(drops.count(), 3);
}

#[test]
fn values_fed_to_a_consumer_that_has_gone_are_dropped_once() {
    let drops = Drops::new();
    let (mut tx, rx) = channel(4);
    assert!(poll(&mut tx.feed(drops.value())).is_ready());
    assert!(poll(&mut tx.feed(drops.value())).is_ready());
    drop(rx);
    assert_eq!(drops.count(), 0);
    assert!(tx.try_send(drops.value()).is_err());
    assert_eq!(drops.count(), 3);
    drop(tx);
    assert_eq!(drops.count(), 3);
}

#[test]
fn close_keeps_what_was_published() {
    let (mut tx, mut rx) = channel(4);
    tx.try_send(1).unwrap();
    rx.close();
    assert!(tx.is_closed());
    assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn batches_fill_the_room_there_is() {
    let (mut tx, mut rx) = channel(3);
    let mut out = Vec::new();
    assert!(poll(&mut pin!(rx.recv_many(&mut out, 8))).is_pending());
    let mut values = 0..5;
    assert_eq!(tx.try_send_many(&mut values), Ok(3));
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 0))), Poll::Ready(0));
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 2))), Poll::Ready(2));
    assert_eq!(poll(&mut pin!(tx.ready())), Poll::Ready(Ok(2)));
    assert_eq!(tx.try_send_many(&mut values), Ok(2));
    drop(tx);
    while poll(&mut pin!(rx.recv_many(&mut out, 8))) != Poll::Ready(0) {}
    assert_eq!(out, [0, 1, 2, 3, 4]);
}

#[test]
fn two_threads_pass_everything_in_order() {
    const COUNT: usize = 20_000;
    for capacity in [1, 3, 64] {
        let (mut tx, mut rx) = channel(capacity);
        let sender = thread::spawn(move || {
            block_on(async {
                for i in 0..COUNT {
                    tx.send(Box::new(i)).await.unwrap();
                }
                tx.send_all(&mut stream::iter((COUNT..2 * COUNT).map(|i| Ok(Box::new(i))))).await.unwrap();
            })
        });
        block_on(async {
            for i in 0..COUNT {
                assert_eq!(rx.recv().await.as_deref(), Some(&i));
            }
            let mut out = Vec::new();
            while rx.recv_many(&mut out, 16).await > 0 {}
            assert!(out.into_iter().map(|i| *i).eq(COUNT..2 * COUNT));
        });
        sender.join().unwrap();
    }
}

proptest! {
    #[test]
    fn the_ring_is_a_queue(capacity in 1usize..6, steps in prop::collection::vec((0u8..4, 0usize..8), 0..200)) {
        let (mut tx, mut rx) = channel(capacity);
        let mut oracle = VecDeque::new();
        let mut next = 0..;
        for (step, count) in steps {
            let room = capacity - oracle.len();
            match step {
                0 => {
                    let value = next.next().unwrap();
                    prop_assert_eq!(tx.try_send(value).is_ok(), room > 0);
                    oracle.extend((room > 0).then_some(value));
                }
                1 => {
                    let values: Vec<i32> = next.by_ref().take(count).collect();
                    // The producer may know of less room than there is, but never of more, nor of none wrongly.
                    let sent = tx.try_send_many(&mut values.iter().copied()).unwrap();
                    prop_assert!(sent <= room.min(count) && (sent > 0 || room.min(count) == 0));
                    oracle.extend(&values[..sent]);
                }
                2 => prop_assert_eq!(rx.try_recv().ok(), oracle.pop_front()),
                _ => {
                    let mut out = Vec::new();
                    let got = rx.try_recv_many(&mut out, count);
                    prop_assert!(got > 0 || count == 0 || oracle.is_empty());
                    prop_assert!(out.into_iter().eq(oracle.drain(..got)));
                }
            }
        }
    }
}
