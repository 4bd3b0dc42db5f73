//! Each edge of the slot's life, and each thing that must never happen to it.

use super::{Id, Inflight, Orphan, Parcel, Payload, Polled};
use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;

/// Counts what happened to it.
#[derive(Clone, Default)]
struct Canary(Rc<[Cell<u32>; 2]>);

impl Canary {
    fn dropped(&self) -> u32 {
        self.0[0].get()
    }
    fn abandoned(&self) -> u32 {
        self.0[1].get()
    }
}

struct Small(Canary);
struct Large(Canary, [u64; 9]);

impl Drop for Small {
    fn drop(&mut self) {
        let count = &self.0.0[0];
        count.set(count.get() + 1);
    }
}
impl Drop for Large {
    fn drop(&mut self) {
        let count = &self.0.0[0];
        count.set(count.get() + 1);
    }
}
impl Payload<u32> for Small {
    fn abandon(self, answer: u32) {
        self.0.0[1].set(answer);
    }
}
impl Payload<u32> for Large {
    fn abandon(self, answer: u32) {
        self.0.0[1].set(answer);
    }
}

type Ops = Inflight<Parcel<u32>, u32>;

fn ops() -> (Ops, Canary) {
    (Inflight::with_capacity(4), Canary::default())
}

#[test]
fn an_answer_wakes_and_brings_the_resource_back() {
    let (mut ops, canary) = ops();
    let waker = Waker::noop().clone();
    let id = ops.start(|| Parcel::new(Small(canary.clone())), waker.clone(), false);
    assert!(matches!(ops.poll(id, &waker), Polled::Pending));
    assert!(ops.complete(id, 7).is_some());
    let Polled::Ready(parcel, 7) = ops.poll(id, Waker::noop()) else { panic!("not ready") };
    assert_eq!(canary.dropped(), 0);
    drop(parcel.take::<Small>());
    assert_eq!((canary.dropped(), canary.abandoned(), ops.len()), (1, 0, 0));
}

#[test]
fn an_orphan_keeps_its_resource_until_the_answer() {
    let (mut ops, canary) = ops();
    let id = ops.start(|| Parcel::new(Small(canary.clone())), Waker::noop().clone(), false);
    assert!(matches!(ops.orphan(id), Orphan::InFlight(_)));
    assert_eq!((canary.dropped(), ops.unanswered().collect::<Vec<_>>()), (0, vec![id]));
    assert!(ops.complete(id, 9).is_none(), "nobody awaits an orphan");
    ops.take_orphaned(id).abandon(9);
    assert_eq!((canary.dropped(), canary.abandoned(), ops.len()), (1, 9, 0));
}

#[test]
fn a_queued_operation_gives_its_resource_back_at_once() {
    let (mut ops, canary) = ops();
    let id = ops.queue(Parcel::new(Small(canary.clone())), Waker::noop().clone(), false);
    assert!(matches!(ops.orphan(id), Orphan::Unsubmitted(..)));
    assert_eq!((canary.dropped(), ops.len()), (1, 0));
    assert!(!ops.submit(id), "the device must not be given what was dropped");
    let successor = ops.queue(Parcel::new(Small(canary.clone())), Waker::noop().clone(), false);
    assert!(!ops.submit(id), "nor its slot's next tenant in its name");
    assert!(ops.submit(successor));
}

#[test]
fn an_answer_nobody_fetched_is_handed_out_on_drop() {
    let (mut ops, canary) = ops();
    let id = ops.start(|| Parcel::new(Small(canary.clone())), Waker::noop().clone(), false);
    assert!(ops.complete(id, 3).is_some());
    assert!(matches!(ops.orphan(id), Orphan::Answered(_, 3)));
    assert_eq!((canary.dropped(), ops.len()), (1, 0));
}

#[test]
#[should_panic(expected = "stale completion: Id { key: 0, generation: 0 }, the slot's generation is Some(2)")]
fn a_stale_completion_asserts_with_its_values() {
    let (mut ops, canary) = ops();
    let first = ops.start(|| Parcel::new(Small(canary.clone())), Waker::noop().clone(), false);
    let _ = ops.complete(first, 0);
    let _ = ops.poll(first, Waker::noop());
    let _second = ops.start(|| Parcel::new(Small(canary)), Waker::noop().clone(), false);
    let _ = ops.complete(first, 0);
}

#[test]
#[should_panic(expected = "stale completion: Id { key: 77, generation: 5 }, the slot's generation is None")]
fn a_completion_of_nothing_asserts() {
    let (mut ops, _) = ops();
    let _ = ops.complete(Id::from_bits(5 << 32 | 77), 0);
}

#[test]
#[should_panic(expected = "repeated completion")]
fn a_repeated_completion_asserts() {
    let (mut ops, canary) = ops();
    let id = ops.start(|| Parcel::new(Small(canary)), Waker::noop().clone(), false);
    let _ = ops.complete(id, 0);
    let _ = ops.complete(id, 0);
}

#[test]
fn a_large_value_is_boxed_and_comes_back_whole() {
    let canary = Canary::default();
    let parcel = Parcel::<u32>::new(Large(canary.clone(), [5; 9]));
    let large = parcel.take::<Large>();
    assert_eq!((large.1, canary.dropped()), ([5; 9], 0));
    Parcel::new(large).abandon(2);
    assert_eq!((canary.dropped(), canary.abandoned()), (1, 2));
    drop(Parcel::<u32>::new(Large(canary.clone(), [0; 9])));
    assert_eq!(canary.dropped(), 2);
}

#[test]
#[should_panic(expected = "the slot holds no")]
fn a_parcel_is_not_taken_as_another_type() {
    Parcel::<u32>::new(Small(Canary::default())).take::<Large>();
}

#[test]
fn an_identifier_survives_the_device() {
    let id = Id { key: 0xdead_beef, generation: 0x1234_5678 };
    assert_eq!(Id::from_bits(id.to_bits()), id);
}
