//! Models of the oneshot: sending against polling, closing and dropping. `loom::alloc` notices a leak or a double free.

use super::channel;
use loom::{alloc::Track, future::block_on, thread};
use std::{
    future::{Future, poll_fn},
    task::Poll,
};

/// Fails with the success ordering of the exchange in `end` relaxed: the receiver's access to the value then races.
#[test]
fn loom_a_sent_value_reaches_a_receiver_that_polls_meanwhile() {
    loom::model(|| {
        let (tx, rx) = channel();
        let thread = thread::spawn(move || assert!(tx.send(Track::new(7)).is_ok()));
        assert_eq!(block_on(rx).unwrap().into_inner(), 7);
        thread.join().unwrap();
    });
}

/// The receiver polls twice, each time with a new waker, before it waits. Fails with the exchange that takes the waker back, or the one
/// that leaves it, relaxed: two then touch the waker.
#[test]
fn loom_replacing_the_waker_races_with_no_send() {
    loom::model(|| {
        let (tx, mut rx) = channel();
        let thread = thread::spawn(move || assert!(tx.send(Track::new(7)).is_ok()));
        let early = block_on(poll_fn(|_| {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            Poll::Ready(std::pin::Pin::new(&mut rx).poll(&mut cx))
        }));
        match early {
            Poll::Ready(value) => drop(value.unwrap()),
            Poll::Pending => drop(block_on(rx).unwrap()),
        }
        thread.join().unwrap();
    });
}

/// Fails with `RECEIVER_DONE` set Relaxed: the sender then frees what the receiver may still touch.
#[test]
fn loom_send_against_a_receiver_dropped_after_a_poll() {
    loom::model(|| {
        let (tx, mut rx) = channel();
        let thread = thread::spawn(move || drop(tx.send(Track::new(7))));
        block_on(poll_fn(|cx| {
            let _ = std::pin::Pin::new(&mut rx).poll(cx);
            Poll::Ready(())
        }));
        drop(rx);
        thread.join().unwrap();
    });
}

/// Fails with the exchange that leaves the receiver's waker relaxed, and with the one in `end`.
#[test]
fn loom_a_dropped_sender_wakes_the_receiver() {
    loom::model(|| {
        let (tx, rx) = channel::<Track<u8>>();
        let thread = thread::spawn(move || drop(tx));
        assert!(block_on(rx).is_err());
        thread.join().unwrap();
    });
}

/// Fails with the exchange that leaves the sender's waker relaxed, and with the one that sets `CLOSED`.
#[test]
fn loom_a_dropped_receiver_wakes_the_sender_that_waits_for_it() {
    loom::model(|| {
        let (mut tx, rx) = channel::<Track<u8>>();
        let thread = thread::spawn(move || drop(rx));
        block_on(tx.closed());
        assert!(tx.send(Track::new(1)).is_err());
        thread.join().unwrap();
    });
}
