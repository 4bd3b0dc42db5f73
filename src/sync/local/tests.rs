//! Tests of the local channels: order, room, wakes, and values dropped exactly once.

use super::{channel, oneshot, unbounded};
use crate::sync::{
    Closed, SendError, TryRecvError, TrySendError,
    testing::{Count, Drops, poll},
};
use futures::{Sink, SinkExt, StreamExt};
use proptest::prelude::*;
use std::{collections::VecDeque, pin::Pin, pin::pin, task::Context, task::Poll, task::Waker};

static_assertions::assert_not_impl_any!(super::Sender<u8>: Send, Sync);
static_assertions::assert_not_impl_any!(super::UnboundedSender<u8>: Send, Sync);
static_assertions::assert_not_impl_any!(super::Receiver<u8>: Send, Sync);
static_assertions::assert_not_impl_any!(oneshot::Receiver<u8>: Send, Sync);

#[test]
fn waiting_senders_get_room_in_order_and_nobody_overtakes() {
    let (tx, mut rx) = channel(1);
    tx.try_send(0).unwrap();
    let (mut a, mut b) = (tx.send(1), tx.send(2));
    assert!(poll(&mut a).is_pending());
    assert!(poll(&mut b).is_pending());
    assert_eq!(rx.try_recv(), Ok(0));
    assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "the room is the first waiter's");
    assert!(poll(&mut b).is_pending());
    assert_eq!(poll(&mut a), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(poll(&mut b), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(2));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_dropped_send_that_had_room_passes_it_on() {
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
fn dropped_receiver_fails_waiting_senders_and_drops_what_is_queued() {
    let drops = Drops::new();
    let (tx, rx) = channel(1);
    let count = Count::new();
    tx.try_send(drops.value()).unwrap();
    let mut waiting = tx.send(drops.value());
    assert!(count.poll(&mut waiting).is_pending());
    drop(rx);
    assert_eq!((drops.count(), count.wakes()), (1, 1));
    let Poll::Ready(Err(SendError(value))) = count.poll(&mut waiting) else { panic!("closed") };
    assert_eq!(drops.count(), 1, "the value came back");
    drop(value);
    assert!(tx.is_closed());
    assert!(matches!(tx.try_send(drops.value()), Err(TrySendError::Closed(_))));
    assert_eq!(drops.count(), 3);
}

#[test]
fn last_sender_ends_the_stream_after_what_is_queued() {
    let (tx, mut rx) = unbounded();
    let count = Count::new();
    let other = tx.clone();
    tx.send(1).unwrap();
    drop(tx);
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(Some(1)));
    assert!(count.poll(&mut rx.next()).is_pending());
    drop(other);
    assert_eq!(count.wakes(), 1);
    assert_eq!(count.poll(&mut rx.next()), Poll::Ready(None));
}

#[test]
fn a_receiver_that_does_not_wait_is_not_woken() {
    let (tx, mut rx) = unbounded();
    let count = Count::new();
    assert!(count.poll(&mut rx.next()).is_pending());
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert_eq!(count.wakes(), 1);
    drop(rx);
    assert_eq!(count.wakers(), 0, "a receiver that is gone keeps no waker alive");
}

#[test]
fn close_keeps_what_is_queued() {
    let (tx, mut rx) = channel(2);
    tx.try_send(1).unwrap();
    rx.close();
    assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(poll(&mut pin!(rx.recv())), Poll::Ready(None));
}

#[test]
fn recv_many_takes_up_to_max_and_frees_their_room() {
    let (tx, mut rx) = channel(4);
    let mut out = Vec::new();
    assert!(poll(&mut pin!(rx.recv_many(&mut out, 8))).is_pending());
    (0..4).for_each(|i| tx.try_send(i).unwrap());
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 0))), Poll::Ready(0));
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 3))), Poll::Ready(3));
    (4..7).for_each(|i| tx.try_send(i).unwrap());
    assert!(tx.try_send(7).is_err());
    drop(tx);
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 8))), Poll::Ready(4));
    assert_eq!(poll(&mut pin!(rx.recv_many(&mut out, 8))), Poll::Ready(0));
    assert_eq!(out, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_sink_that_is_dropped_gives_its_reserved_room_back() {
    let (tx, mut rx) = channel(1);
    let mut sink = tx.clone();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sink).poll_ready(&mut cx).is_ready());
    assert!(tx.try_send(1).is_err(), "reserved");
    drop(sink);
    tx.try_send(1).unwrap();
    assert_eq!(rx.try_recv(), Ok(1));
    let mut sink = tx.clone();
    assert_eq!(poll(&mut SinkExt::send(&mut sink, 2)), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn oneshot_delivers_wakes_once_and_drops_once() {
    let (drops, count) = (Drops::new(), Count::new());
    let (tx, mut rx) = oneshot::channel();
    assert!(count.poll(&mut rx).is_pending());
    assert!(tx.send(drops.value()).is_ok());
    assert_eq!(count.wakes(), 1);
    let Poll::Ready(Ok(value)) = count.poll(&mut rx) else { panic!("sent") };
    drop(rx);
    assert_eq!(drops.count(), 0);
    drop(value);
    assert_eq!(drops.count(), 1);
}

#[test]
fn oneshot_sides_learn_that_the_other_is_gone() {
    let (tx, mut rx) = oneshot::channel::<u8>();
    drop(tx);
    assert_eq!(poll(&mut rx), Poll::Ready(Err(Closed)));

    let (mut tx, rx) = oneshot::channel::<u8>();
    let count = Count::new();
    assert!(count.poll(&mut pin!(tx.closed())).is_pending());
    drop(rx);
    assert_eq!(count.wakes(), 1);
    assert!(poll(&mut pin!(tx.closed())).is_ready());
    assert_eq!(tx.send(1), Err(1));
}

#[test]
fn oneshot_value_sent_before_close_is_received_and_one_never_received_is_dropped() {
    let (tx, mut rx) = oneshot::channel();
    tx.send(1).unwrap();
    rx.close();
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));

    let drops = Drops::new();
    let (tx, rx) = oneshot::channel();
    assert!(tx.send(drops.value()).is_ok());
    drop(rx);
    assert_eq!(drops.count(), 1);
}

proptest! {
    #[test]
    fn a_bounded_channel_is_a_queue(capacity in 1usize..5, sends in prop::collection::vec(any::<bool>(), 0..100)) {
        let (tx, mut rx) = channel(capacity);
        let mut oracle = VecDeque::new();
        for (i, send) in sends.into_iter().enumerate() {
            if send {
                prop_assert_eq!(tx.try_send(i).is_ok(), oracle.len() < capacity);
                if oracle.len() < capacity {
                    oracle.push_back(i);
                }
            } else {
                prop_assert_eq!(rx.try_recv().ok(), oracle.pop_front());
            }
        }
    }
}
