//! Tests of the cross-core oneshot on one thread and on two.

use super::{Receiver, Sender, channel};
use crate::sync::{
    Closed, TryRecvError,
    testing::{Count, Drops, poll},
};
use std::{cell::Cell, pin::pin, task::Poll};

static_assertions::assert_impl_all!(Sender<Cell<u8>>: Send, Sync, Unpin);
static_assertions::assert_impl_all!(Receiver<Cell<u8>>: Send, Unpin);
static_assertions::assert_not_impl_any!(Sender<*const u8>: Send);
static_assertions::assert_not_impl_any!(Receiver<*const u8>: Send);
static_assertions::assert_eq_size!(Option<Receiver<u64>>, usize);

#[test]
fn the_value_arrives_and_wakes_once() {
    let (drops, count) = (Drops::new(), Count::new());
    let (tx, mut rx) = channel();
    assert!(matches!(rx.try_recv(), Err(TryRecvError::Empty)));
    assert!(count.poll(&mut rx).is_pending());
    assert!(count.poll(&mut rx).is_pending());
    assert!(tx.send(drops.value()).is_ok());
    assert_eq!((count.wakes(), count.wakers()), (1, 0));
    let Poll::Ready(Ok(value)) = count.poll(&mut rx) else { panic!("sent") };
    assert!(matches!(count.poll(&mut rx), Poll::Ready(Err(Closed))), "there is only one");
    drop(rx);
    assert_eq!(drops.count(), 0);
    drop(value);
    assert_eq!(drops.count(), 1);
}

#[test]
fn the_last_waker_is_the_one_woken() {
    let (first, second) = (Count::new(), Count::new());
    let (tx, mut rx) = channel();
    assert!(first.poll(&mut rx).is_pending());
    assert!(second.poll(&mut rx).is_pending());
    assert_eq!(first.wakers(), 0);
    tx.send(1).unwrap();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

#[test]
fn dropped_sender_closes_the_receiver() {
    let count = Count::new();
    let (tx, mut rx) = channel::<u8>();
    assert!(count.poll(&mut rx).is_pending());
    drop(tx);
    assert_eq!(count.wakes(), 1);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(poll(&mut rx), Poll::Ready(Err(Closed)));
}

#[test]
fn dropped_receiver_gives_the_value_back_and_tells_a_waiting_sender() {
    let count = Count::new();
    let (mut tx, rx) = channel();
    assert!(count.poll(&mut pin!(tx.closed())).is_pending());
    assert!(count.poll(&mut pin!(tx.closed())).is_pending());
    drop(rx);
    assert_eq!(count.wakes(), 1);
    assert!(tx.is_closed());
    assert!(poll(&mut pin!(tx.closed())).is_ready());
    assert_eq!(tx.send(7), Err(7));
}

#[test]
fn a_value_never_received_is_dropped_once_with_the_receiver() {
    let drops = Drops::new();
    let (tx, rx) = channel();
    assert!(tx.send(drops.value()).is_ok());
    drop(rx);
    assert_eq!(drops.count(), 1);
}

#[test]
fn close_keeps_a_value_that_was_sent_and_refuses_one_that_was_not() {
    let (tx, mut rx) = channel();
    tx.send(1).unwrap();
    rx.close();
    assert_eq!(rx.try_recv(), Ok(1));

    let (tx, mut rx) = channel();
    rx.close();
    rx.close();
    assert_eq!(poll(&mut rx), Poll::Ready(Err(Closed)));
    assert_eq!(tx.send(2), Err(2));
}

#[test]
fn wakers_left_behind_are_dropped_with_the_channel() {
    let count = Count::new();
    let (mut tx, mut rx) = channel::<u8>();
    assert!(count.poll(&mut rx).is_pending());
    assert!(count.poll(&mut pin!(tx.closed())).is_pending());
    drop(rx);
    drop(tx);
    assert_eq!(count.wakers(), 0);
}

#[test]
fn a_foreign_thread_blocks_for_the_value() {
    for i in 0..1_000 {
        let (tx, rx) = channel();
        let thread = std::thread::spawn(move || rx.blocking_recv());
        tx.send(i).unwrap();
        assert_eq!(thread.join().unwrap(), Ok(i));
    }
}
