//! The inbox against a `VecDeque`, alone on one thread.

use super::ring::{EMPTY_POLLS_PER_LOOK, *};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

thread_local!(static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });

fn numbered(n: u32) -> impl FnOnce() + Send {
    move || LOG.with_borrow_mut(|log| log.push(n))
}

fn run_all(inbox: &Inbox, consumer: &Consumer) -> Vec<u32> {
    consumer.look_next(inbox);
    while consumer.run_next(inbox) {
        consumer.look_next(inbox);
    }
    LOG.take()
}

#[test]
fn a_full_ring_spills_and_keeps_the_order() {
    let (inbox, consumer) = Inbox::new(4);
    for n in 0..100 {
        assert_eq!(inbox.push(numbered(n), || ()).ok(), Some(None));
    }
    assert_eq!(run_all(&inbox, &consumer), (0..100).collect::<Vec<_>>());
}

#[test]
fn an_idle_owner_finds_the_spill_list_without_being_told() {
    let (inbox, consumer) = Inbox::new(2);
    for n in 0..3 {
        assert!(inbox.push(numbered(n), || ()).is_ok());
    }
    let mut taken = 0;
    for _ in 0..3 + 2 * EMPTY_POLLS_PER_LOOK {
        taken += u32::from(consumer.run_next(&inbox));
    }
    assert_eq!(taken, 3);
}

#[test]
fn exactly_one_sender_wakes_a_parked_owner() {
    let (inbox, consumer) = Inbox::new(4);
    assert!(consumer.park(&inbox));
    assert_eq!(inbox.push(numbered(0), || ()).ok(), Some(Some(())));
    assert_eq!(inbox.push(numbered(1), || ()).ok(), Some(None));
    assert_eq!(inbox.poke(), Poked::Awake);
    assert!(!consumer.park(&inbox), "there is something to take");
    assert_eq!(run_all(&inbox, &consumer), [0, 1]);
    assert!(consumer.park(&inbox));
    assert_eq!(inbox.poke(), Poked::WakeOwner);
}

/// The event may carry the last of what keeps the inbox, and with it the bell: who rings must have the bell before anybody can
/// take the event.
#[test]
fn the_bell_is_fetched_before_the_event_can_be_taken() {
    let (inbox, consumer) = Inbox::new(4);
    assert!(consumer.park(&inbox));
    let pushed = inbox.push(numbered(0), || {
        consumer.look_next(&inbox);
        assert!(consumer.pop(&inbox).is_none());
    });
    assert_eq!(pushed.ok(), Some(Some(())));
    assert_eq!(run_all(&inbox, &consumer), [0]);
}

#[test]
fn a_closed_inbox_hands_the_event_back_and_keeps_what_it_had() {
    let (inbox, consumer) = Inbox::new(2);
    for n in 0..5 {
        assert!(inbox.push(numbered(n), || ()).is_ok());
    }
    consumer.close(&inbox);
    assert!(inbox.is_closed());
    assert!(inbox.push(numbered(9), || ()).is_err());
    while let Some(event) = consumer.pop_closed(&inbox) {
        event.run();
    }
    assert_eq!(LOG.take(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_closed_inbox_drops_what_nobody_runs() {
    let witness = std::sync::Arc::new(());
    let (inbox, consumer) = Inbox::new(4);
    for _ in 0..7 {
        let held = witness.clone();
        assert!(inbox.push(move || drop(held), || ()).is_ok());
    }
    drop(consumer.pop(&inbox));
    consumer.close(&inbox);
    while let Some(event) = consumer.pop_closed(&inbox) {
        drop(event);
    }
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
}

proptest! {
    /// Against a `VecDeque`: whatever the interleaving of pushes, pops and parks, and however small the ring.
    #[test]
    fn behaves_as_a_queue(capacity in 1u32..4, ops in proptest::collection::vec(0u8..3, 0..200)) {
        let (inbox, consumer) = Inbox::new(1 << capacity);
        let model = Rc::new(RefCell::new(VecDeque::new()));
        let mut next = 0;
        for op in ops {
            match op {
                0 => {
                    prop_assert!(inbox.push(numbered(next), || ()).is_ok());
                    model.borrow_mut().push_back(next);
                    next += 1;
                }
                1 => {
                    consumer.look_next(&inbox);
                    let popped = consumer.run_next(&inbox).then(|| LOG.take()[0]);
                    prop_assert_eq!(popped, model.borrow_mut().pop_front());
                }
                _ => {
                    prop_assert_eq!(consumer.park(&inbox), model.borrow().is_empty());
                    consumer.unpark(&inbox);
                }
            }
        }
    }
}
