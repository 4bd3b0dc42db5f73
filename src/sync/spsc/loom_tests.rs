//! Models of the ring: publishing against waiting on both sides, and both sides going away.

use super::channel;
use loom::{alloc::Track, future::block_on, thread};

/// Fails with the exchange in `Index::publish` or the look at the tail relaxed: the reader's access to the slot then races with the
/// write; and (a deadlock) if `publish_flagged` wakes nobody.
#[test]
fn loom_consumer_waits_for_two_messages_through_one_slot() {
    loom::model(|| {
        let (mut tx, mut rx) = channel(1);
        let producer = thread::spawn(move || {
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
        producer.join().unwrap();
    });
}

/// Fails with the exchange in `Index::publish` or the look at the tail relaxed.
#[test]
fn loom_batches_arrive_whole_and_in_order() {
    loom::model(|| {
        let (mut tx, mut rx) = channel(2);
        let producer = thread::spawn(move || {
            assert_eq!(tx.try_send_many(&mut (0..2).map(Track::new)).unwrap(), 2);
        });
        let mut out = Vec::new();
        block_on(async { while rx.recv_many(&mut out, 2).await > 0 {} });
        assert!(out.into_iter().map(Track::into_inner).eq(0..2));
        producer.join().unwrap();
    });
}

/// Every value is dropped exactly once, whoever has it last. Fails (a leak) if a publish ignores `CLOSED`, and (a race) with
/// the looks at head or tail relaxed.
#[test]
fn loom_dropped_consumer_against_sends() {
    loom::model(|| {
        let (mut tx, mut rx) = channel(1);
        let producer = thread::spawn(move || {
            block_on(async {
                let first = tx.send(Track::new(1)).await;
                if first.is_ok() {
                    drop(tx.send(Track::new(2)).await);
                }
            });
        });
        drop(rx.try_recv());
        drop(rx);
        producer.join().unwrap();
    });
}
