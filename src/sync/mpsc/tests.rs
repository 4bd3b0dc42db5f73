//! Tests of both cross-core channels against a `VecDeque`, on one thread and on several.

use super::*;
use crate::sync::{
    SendError, TryRecvError, TrySendError,
    testing::{Count, Drops, poll},
};
use crate::sys::blocking::block_on;
use futures::{SinkExt, StreamExt, stream};
use proptest::prelude::*;
use std::{cell::Cell, collections::VecDeque, pin::pin, task::Poll, thread};

static_assertions::assert_impl_all!(Sender<Cell<u8>>: Send, Sync, Clone, Unpin);
static_assertions::assert_impl_all!(Receiver<Cell<u8>>: Send, Unpin);
static_assertions::assert_impl_all!(UnboundedSender<Cell<u8>>: Send, Sync, Clone, Unpin);
static_assertions::assert_impl_all!(UnboundedReceiver<Cell<u8>>: Send, Unpin);
static_assertions::assert_impl_all!(Sending<'static, Cell<u8>>: Send, Unpin);
static_assertions::assert_not_impl_any!(Sender<*const u8>: Send, Sync);
static_assertions::assert_not_impl_any!(UnboundedReceiver<*const u8>: Send, Sync);

#[test]
fn waiting_senders_get_room_in_order_and_nobody_overtakes() {
    let (tx, mut rx) = channel(1);
    let (first, second) = (Count::new(), Count::new());
    tx.try_send(0).unwrap();
    let (mut a, mut b) = (tx.send(1), tx.send(2));
    assert!(first.poll(&mut a).is_pending());
    assert!(second.poll(&mut b).is_pending());
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "the room is the first waiter's");
    assert!(second.poll(&mut b).is_pending());
    assert_eq!(first.poll(&mut a), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(second.poll(&mut b), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    tx.try_send(3).unwrap();
}

#[test]
fn a_dropped_send_whose_turn_had_come_passes_it_on() {
    let (tx, mut rx) = channel(1);
    let count = Count::new();
    tx.try_send(0).unwrap();
    let (mut a, mut b) = (tx.send(1), tx.send(2));
    assert!(poll(&mut a).is_pending());
    assert!(count.poll(&mut b).is_pending());
    assert_eq!(rx.try_recv(), Ok(0));
    drop(a);
    assert_eq!(count.wakes(), 1);
    assert_eq!(count.poll(&mut b), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn a_batch_admits_as_many_as_it_made_room_for() {
    let (tx, mut rx) = channel(2);
    let counts: Vec<_> = (0..3).map(|_| Count::new()).collect();
    tx.try_send(0).unwrap();
    tx.try_send(1).unwrap();
    let mut sends: Vec<_> = (2..5).map(|i| tx.send(i)).collect();
    for (count, send) in counts.iter().zip(&mut sends) {
        assert!(count.poll(send).is_pending());
    }
    let mut out = Vec::new();
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 8))), Poll::Ready(2));
    assert_eq!(counts.iter().map(Count::wakes).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(poll(&mut sends[1]), Poll::Ready(Ok(())), "whose turn it is may send in any order");
    assert_eq!(poll(&mut sends[0]), Poll::Ready(Ok(())));
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 1))), Poll::Ready(1));
    assert_eq!(poll(&mut sends[2]), Poll::Ready(Ok(())));
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 8))), Poll::Ready(2));
    assert_eq!(out, [0, 1, 3, 2, 4]);
}

#[test]
fn dropped_receiver_fails_waiting_senders_and_drops_what_is_queued() {
    let (drops, count) = (Drops::new(), Count::new());
    let (tx, rx) = channel(1);
    assert!(tx.try_send(drops.value()).is_ok());
    let (mut a, mut b) = (tx.send(drops.value()), tx.send(drops.value()));
    assert!(count.poll(&mut a).is_pending());
    assert!(count.poll(&mut b).is_pending());
    drop(rx);
    assert_eq!((drops.count(), count.wakes()), (1, 2));
    let Poll::Ready(Err(SendError(value))) = count.poll(&mut a) else { panic!("closed") };
    assert_eq!(drops.count(), 1, "the value came back");
    drop(value);
    drop(b);
    assert_eq!(drops.count(), 3);
    assert!(tx.is_closed());
    assert!(matches!(tx.try_send(drops.value()), Err(TrySendError::Closed(_))));
    assert!(matches!(poll(&mut tx.send(drops.value())), Poll::Ready(Err(_))));
    assert_eq!(drops.count(), 5);
}

#[test]
fn unbounded_values_are_dropped_once_wherever_they_are() {
    for (sent, received) in [(0, 0), (1, 0), (1, 1), (31, 31), (31, 0), (32, 31), (100, 40), (100, 100)] {
        let drops = Drops::new();
        let (tx, mut rx) = unbounded();
        (0..sent).for_each(|_| assert!(tx.send(drops.value()).is_ok()));
        (0..received).for_each(|_| assert!(rx.try_recv().is_ok()));
        assert_eq!(drops.count(), received);
        drop(rx);
        assert_eq!(drops.count(), sent);
        assert!(tx.send(drops.value()).is_err());
        assert_eq!(drops.count(), sent + 1);
    }
}

#[test]
fn last_sender_ends_the_stream_after_what_is_queued() {
    let count = Count::new();
    let (tx, mut rx) = unbounded();
    let other = tx.clone();
    tx.send(1).unwrap();
    drop(tx);
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(Some(1)));
    assert!(count.poll(&mut rx.next()).is_pending());
    drop(other);
    assert_eq!(count.wakes(), 1);
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(None));

    let (tx, mut rx) = channel(2);
    tx.try_send(1).unwrap();
    drop(tx);
    assert_eq!(poll(&mut rx.next()), Poll::Ready(Some(1)));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(poll(&mut rx.next()), Poll::Ready(None));
}

#[test]
fn a_receiver_is_woken_once_per_wait() {
    let count = Count::new();
    let (tx, mut rx) = channel(4);
    assert!(count.poll(&mut rx.next()).is_pending());
    assert!(count.poll(&mut rx.next()).is_pending());
    tx.try_send(1).unwrap();
    tx.try_send(2).unwrap();
    assert_eq!((count.wakes(), count.wakers()), (1, 0));
}

#[test]
fn close_keeps_what_is_queued() {
    let (tx, mut rx) = channel(2);
    tx.try_send(1).unwrap();
    rx.close();
    assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(poll(&mut pin!(rx.recv())), Poll::Ready(Some(1)));
    assert_eq!(poll(&mut pin!(rx.recv())), Poll::Ready(None));

    let (tx, mut rx) = unbounded();
    tx.send(1).unwrap();
    rx.close();
    assert_eq!(tx.send(2), Err(SendError(2)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_sink_keeps_one_message_and_its_place() {
    let (tx, mut rx) = channel(1);
    let (mut sink, count) = (tx.clone(), Count::new());
    assert!(poll(&mut sink.feed(1)).is_ready());
    assert!(poll(&mut sink.feed(2)).is_ready(), "kept in the sender");
    assert!(count.poll(&mut SinkExt::<i32>::flush(&mut sink)).is_pending());
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(count.wakes(), 1);
    assert!(tx.try_send(9).is_err(), "the sink's turn");
    drop(sink);
    assert!(tx.try_send(3).is_ok(), "a sink that is dropped gives its turn back");
    assert_eq!(rx.try_recv(), Ok(3));
}

#[test]
fn a_batch_is_sent_as_far_as_there_is_room_and_keeps_the_rest() {
    let (tx, mut rx) = channel(3);
    let mut values = vec![0, 1, 2, 3, 4, 5];
    assert_eq!(tx.try_send_many(&mut values), Ok(3));
    assert_eq!(tx.try_send_many(&mut values), Ok(0));
    assert_eq!(values, [3, 4, 5]);
    assert_eq!((rx.try_recv(), rx.try_recv()), (Ok(0), Ok(1)));
    while tx.try_send_many(&mut values).unwrap() > 0 {}
    assert_eq!(values, [5]);
    rx.close();
    assert_eq!(tx.try_send_many(&mut values), Err(crate::sync::Closed));
    assert_eq!(values, [5]);
    assert!(std::iter::from_fn(|| rx.try_recv().ok()).eq(2..5));
}

#[test]
fn many_threads_send_everything_each_in_its_order() {
    const EACH: usize = 5_000;
    const SENDERS: usize = 3;
    for capacity in [1, 2, 64] {
        let (tx, mut rx) = channel(capacity);
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let mut tx = tx.clone();
                thread::spawn(move || {
                    block_on(async {
                        for i in 0..EACH {
                            tx.send(Box::new((sender, i))).await.unwrap();
                        }
                        let rest = (EACH..2 * EACH).map(|i| Ok(Box::new((sender, i))));
                        tx.send_all(&mut stream::iter(rest)).await.unwrap();
                    })
                })
            })
            .collect();
        drop(tx);
        let mut next = [0; SENDERS];
        block_on(async {
            let mut batch = Vec::new();
            while rx.recv_many(&mut batch, 16).await > 0 {
                batch.drain(..).chain(rx.try_recv()).for_each(|message| {
                    let (sender, i) = *message;
                    assert_eq!(next[sender], i);
                    next[sender] += 1;
                });
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(next, [2 * EACH; SENDERS]);
    }
}

#[test]
fn many_threads_send_everything_unbounded() {
    const EACH: usize = 20_000;
    let (tx, mut rx) = unbounded();
    let threads: Vec<_> = (0..3)
        .map(|sender| {
            let tx = tx.clone();
            thread::spawn(move || (0..EACH).for_each(|i| tx.send(Box::new((sender, i))).unwrap()))
        })
        .collect();
    drop(tx);
    let mut next = [0; 3];
    block_on(async {
        while let Some(message) = rx.recv().await {
            assert_eq!(next[message.0], message.1);
            next[message.0] += 1;
        }
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(next, [EACH; 3]);
}

#[test]
fn a_receiver_that_goes_away_early_drops_everything_once() {
    let drops = Drops::new();
    for round in 0..50 {
        let (tx, mut rx) = channel(4);
        let (unbounded_tx, unbounded_rx) = unbounded();
        let sender = thread::spawn({
            let drops = drops.clone();
            move || {
                block_on(async {
                    while tx.send(drops.value()).await.is_ok() {
                        let _ = unbounded_tx.send(drops.value());
                    }
                })
            }
        });
        block_on(async {
            for _ in 0..round {
                rx.recv().await.unwrap();
            }
        });
        drop((rx, unbounded_rx));
        sender.join().unwrap();
    }
    assert_eq!(drops.alive(), 0);
}

proptest! {
    #[test]
    fn the_array_is_a_queue(capacity in 1usize..6, steps in prop::collection::vec((0u8..4, 0usize..8), 0..200)) {
        let (tx, mut rx) = channel(capacity);
        let mut oracle = VecDeque::new();
        for (i, (step, count)) in steps.into_iter().enumerate() {
            match step {
                0 => {
                    prop_assert_eq!(tx.try_send(i).is_ok(), oracle.len() < capacity);
                    oracle.extend((oracle.len() < capacity).then_some(i));
                }
                1 => prop_assert_eq!(rx.try_recv().ok(), oracle.pop_front()),
                2 => {
                    let room = capacity - oracle.len();
                    let mut values = vec![i; count];
                    let sent = tx.try_send_many(&mut values).unwrap();
                    // Halved until it fits, so perhaps less than there is room for, but never nothing.
                    prop_assert!(sent <= room && (sent > 0 || room.min(count) == 0));
                    prop_assert_eq!(values.len(), count - sent);
                    oracle.extend(vec![i; sent]);
                }
                _ => {
                    let mut out = Vec::new();
                    let got = poll(&mut pin!(rx.recv_many(&mut out, count)));
                    prop_assert_eq!(got.is_pending(), count > 0 && oracle.is_empty());
                    let expected = count.min(oracle.len());
                    prop_assert!(out.into_iter().eq(oracle.drain(..expected)));
                }
            }
        }
    }

    #[test]
    fn the_blocks_are_a_queue(steps in prop::collection::vec((any::<bool>(), 1usize..80), 0..60)) {
        let (tx, mut rx) = unbounded();
        let mut oracle = VecDeque::new();
        let mut next = 0..;
        for (send, count) in steps {
            for _ in 0..count {
                if send {
                    let value: u64 = next.next().unwrap();
                    tx.send(value).unwrap();
                    oracle.push_back(value);
                } else {
                    prop_assert_eq!(rx.try_recv().ok(), oracle.pop_front());
                }
            }
        }
    }
}
