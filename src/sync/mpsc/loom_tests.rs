//! Models of both channels: two producers, the receiver's wait, the line of a full channel, and the receiver going away.

use super::{channel, unbounded};
use loom::{alloc::Track, future::block_on, thread};

/// The receiver's thread is the second producer. Fails with the stamp's store in `Array::fill` relaxed: the reader's
/// access to the value then races.
#[test]
fn loom_two_producers_reach_a_waiting_receiver() {
    loom::model(|| {
        let (tx, mut rx) = channel(2);
        let other = tx.clone();
        let producer = thread::spawn(move || assert!(other.try_send(Track::new(1)).is_ok()));
        assert!(tx.try_send(Track::new(2)).is_ok());
        let sum = block_on(async {
            let (x, y) = (rx.recv().await.unwrap(), rx.recv().await.unwrap());
            x.into_inner() + y.into_inner()
        });
        assert_eq!(sum, 3);
        producer.join().unwrap();
    });
}

/// A batch claims its positions at once, between those of another producer. Fails with the stamp's store in `Array::fill` relaxed (the
/// reads race) or its load in `is_empty_at`.
#[test]
fn loom_a_batch_and_a_message_arrive_whole() {
    loom::model(|| {
        let (tx, mut rx) = channel(3);
        let other = tx.clone();
        let producer = thread::spawn(move || {
            let mut values = vec![Track::new(1), Track::new(2)];
            while !values.is_empty() {
                assert!(other.try_send_many(&mut values).is_ok());
            }
        });
        assert!(tx.try_send(Track::new(3)).is_ok());
        drop(tx);
        let mut sum = 0;
        while let Some(message) = block_on(rx.recv()) {
            sum += message.into_inner();
        }
        assert_eq!(sum, 6);
        producer.join().unwrap();
    });
}

/// Fails (deadlock) without either of the two fences, in `ArrayReader::popped` or in `Line::join`, and
/// (a race) with the stamp's store in `pop` relaxed.
#[test]
fn loom_a_sender_in_line_is_admitted_when_there_is_room() {
    loom::model(|| {
        let (tx, mut rx) = channel(1);
        let sender = thread::spawn(move || {
            block_on(async {
                tx.send(Track::new(1)).await.unwrap();
                tx.send(Track::new(2)).await.unwrap();
            });
        });
        block_on(async {
            assert_eq!(rx.recv().await.unwrap().into_inner(), 1);
            assert_eq!(rx.recv().await.unwrap().into_inner(), 2);
            assert!(rx.recv().await.is_none());
        });
        sender.join().unwrap();
    });
}

/// One place, a sender in line and one that only tries: whoever is told that its message is sent, it arrives. Fails with the store in
/// `Array::fill` relaxed.
#[test]
fn loom_a_sender_that_only_tries_takes_no_turn_of_those_in_line() {
    loom::model(|| {
        let (tx, mut rx) = channel(1);
        let other = tx.clone();
        let sender = thread::spawn(move || {
            block_on(other.send(1)).unwrap();
            drop(other);
        });
        let tried = i32::from(tx.try_send(2).is_ok()) * 2;
        drop(tx);
        let mut sum = 0;
        while let Some(i) = block_on(rx.recv()) {
            sum += i;
        }
        assert_eq!(sum, 1 + tried);
        sender.join().unwrap();
    });
}

/// Values are dropped exactly once and the sender in line is told. Fails with the store in `Array::fill` relaxed.
#[test]
fn loom_dropped_receiver_against_sends() {
    loom::model(|| {
        let (tx, mut rx) = channel(1);
        let sender = thread::spawn(move || {
            block_on(async {
                if tx.send(Track::new(1)).await.is_ok() {
                    drop(tx.send(Track::new(2)).await);
                }
            });
        });
        drop(rx.try_recv());
        drop(rx);
        sender.join().unwrap();
    });
}

/// Blocks have one slot in models, so each message links the next block. Fails with the store to `full` in
/// `Blocks::write` relaxed.
#[test]
fn loom_two_producers_cross_from_block_to_block() {
    loom::model(|| {
        let (tx, mut rx) = unbounded();
        let other = tx.clone();
        let producer = thread::spawn(move || assert!(other.send(Track::new(1)).is_ok()));
        assert!(tx.send(Track::new(2)).is_ok());
        drop(tx);
        let mut sum = 0;
        while let Some(message) = block_on(rx.recv()) {
            sum += message.into_inner();
        }
        assert_eq!(sum, 3);
        producer.join().unwrap();
    });
}

/// Values are dropped exactly once. Fails with the stores in `Blocks::write` and to the next block relaxed.
#[test]
fn loom_dropped_unbounded_receiver_against_sends() {
    loom::model(|| {
        let (tx, mut rx) = unbounded();
        let sender = thread::spawn(move || {
            if tx.send(Track::new(1)).is_ok() {
                drop(tx.send(Track::new(2)));
            }
        });
        drop(rx.try_recv());
        drop(rx);
        sender.join().unwrap();
    });
}
