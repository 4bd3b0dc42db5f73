//! The inbox under loom: nothing is lost, no wake-up either, and the order stands.
//!
//! Each model was seen to fail once: with the publishing store or that of `freed` Relaxed (a race on the event's cell),
//! with the pusher not clearing `PARKED` (deadlock), with `SPILLING` not kept by later senders (order).

use super::ring::*;
use crate::sys::sync::Mutex;
use loom::{sync::Arc, sync::Notify, thread};

/// Runs `senders` and collects `total` events on the owner, which parks when it finds nothing.
fn model(capacity: usize, senders: usize, each: usize) {
    loom::model(move || {
        let (inbox, consumer) = Inbox::new(capacity);
        let (inbox, bell, log) = (Arc::new(inbox), Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
        let threads: Vec<_> = (0..senders)
            .map(|sender| {
                let (inbox, bell, log) = (inbox.clone(), bell.clone(), log.clone());
                thread::spawn(move || {
                    for n in 0..each {
                        let log = log.clone();
                        let event = move || log.lock().unwrap().push((sender, n));
                        if let Some(bell) = inbox.push(event, || bell.clone()).ok().unwrap() {
                            bell.notify();
                        }
                    }
                })
            })
            .collect();
        let mut taken = 0;
        while taken < senders * each {
            consumer.look_next(&inbox);
            if let Some(event) = consumer.pop(&inbox) {
                event.run();
                taken += 1;
            } else if consumer.park(&inbox) {
                bell.wait();
                consumer.unpark(&inbox);
            } else {
                thread::yield_now();
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let log = log.lock().unwrap();
        for sender in 0..senders {
            let seen: Vec<_> = log.iter().filter(|(s, _)| *s == sender).map(|(_, n)| *n).collect();
            assert_eq!(seen, (0..each).collect::<Vec<_>>(), "order of sender {sender}");
        }
    });
}

#[test]
fn loom_inbox_two_senders_lose_nothing_and_no_wake_up() {
    model(2, 2, 1);
}

#[test]
fn loom_inbox_one_sender_through_the_spill_list_keeps_order() {
    model(2, 1, 4);
}

/// What is accepted is taken, what is refused comes back, and nothing is in between. Fails with the publishing store relaxed, or the
/// owner's look at it.
#[test]
fn loom_inbox_close_loses_nothing() {
    loom::model(|| {
        let (inbox, consumer) = Inbox::new(2);
        let inbox = Arc::new(inbox);
        let sender = {
            let inbox = inbox.clone();
            thread::spawn(move || (0..3).filter(|_| inbox.push(|| (), || ()).is_ok()).count())
        };
        consumer.close(&inbox);
        let mut taken = 0;
        while let Some(event) = consumer.pop_closed(&inbox) {
            event.run();
            taken += 1;
        }
        assert_eq!(sender.join().unwrap(), taken);
    });
}
