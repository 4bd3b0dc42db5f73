//! Each edge of a stream's slot, and an oracle for the order of answers.

use super::{Answered, Id, LINE_MAX, Next, Streams};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

type Ops = Streams<Rc<()>, u32>;

fn started() -> (Ops, Id, Rc<()>) {
    let (mut ops, resource) = (Ops::new(), Rc::new(()));
    let id = ops.start(resource.clone(), Waker::noop().clone());
    (ops, id, resource)
}

fn next(ops: &mut Ops, id: Id) -> Option<u32> {
    match ops.poll(id, Waker::noop()) {
        Next::Answer(answer) | Next::Last { answer, .. } => Some(answer),
        Next::Pending | Next::Stale => None,
    }
}

#[test]
fn an_answer_wakes_once_and_leaves_the_operation_in_flight() {
    let (mut ops, id, resource) = started();
    assert!(matches!(ops.answer(id, 1, false), Answered::Kept(Some(_))));
    assert!(matches!(ops.answer(id, 2, false), Answered::Kept(None)), "woken already");
    assert_eq!((next(&mut ops, id), next(&mut ops, id)), (Some(1), Some(2)));
    assert!(matches!(ops.poll(id, Waker::noop()), Next::Stale), "the waker is used up");
    let waker = Waker::noop().clone();
    assert!(matches!(ops.renew(id, waker.clone()), Ok(None)));
    assert!(matches!(ops.poll(id, &waker), Next::Pending));
    assert_eq!(
        (ops.unanswered().map(|(id, _)| id).collect::<Vec<_>>(), Rc::strong_count(&resource)),
        (vec![id], 2)
    );
}

#[test]
fn the_last_answer_comes_after_those_in_line_and_frees_the_slot() {
    let (mut ops, id, resource) = started();
    let _ = ops.answer(id, 1, false);
    let _ = ops.answer(id, 2, true);
    assert!(ops.unanswered().next().is_none());
    assert!(matches!(ops.poll(id, Waker::noop()), Next::Answer(1)));
    assert!(matches!(ops.poll(id, Waker::noop()), Next::Last { answer: 2, was_paused: false }));
    assert_eq!((ops.len(), Rc::strong_count(&resource)), ((0, 0), 1));
}

#[test]
fn an_answer_while_the_waker_is_cloned_is_not_slept_through() {
    let (mut ops, id, _resource) = started();
    let _ = ops.answer(id, 1, false);
    assert!(ops.renew(id, Waker::noop().clone()).is_err());
}

#[test]
fn a_full_line_asks_for_a_cancel_and_says_so_at_the_end() {
    let (mut ops, id, _resource) = started();
    for answer in 0..3 * LINE_MAX {
        let is_full = matches!(ops.answer(id, answer, false), Answered::Full(_));
        assert_eq!(is_full, answer + 1 == LINE_MAX, "after {answer}");
    }
    let _ = ops.answer(id, u32::MAX, true);
    assert!((0..3 * LINE_MAX).all(|answer| next(&mut ops, id) == Some(answer)));
    assert!(matches!(ops.poll(id, Waker::noop()), Next::Last { was_paused: true, .. }));
}

#[test]
fn a_stream_is_in_flight_until_its_last_answer_and_its_successor_is_another() {
    let (mut ops, resource) = (Ops::new(), Rc::new(()));
    let id = ops.queue(resource.clone(), Waker::noop().clone());
    assert!(ops.in_flight(id).is_none() && ops.submit(id) && ops.in_flight(id).is_some());
    let _ = ops.orphan(id);
    let _ = ops.answer(id, 1, false);
    assert!(ops.in_flight(id).is_some() && ops.in_flight(id.marked(true)).is_none());
    let _ = ops.answer(id, 2, true);
    let successor = ops.start(resource, Waker::noop().clone());
    assert!(ops.in_flight(id).is_none() && ops.in_flight(successor).is_some());
    let _ = ops.answer(successor, 3, true);
    assert!(ops.in_flight(successor).is_none());
}

#[test]
fn an_orphan_hands_out_its_line_and_abandons_the_rest() {
    let (mut ops, id, resource) = started();
    let _ = ops.answer(id, 1, false);
    let _ = ops.answer(id, 2, false);
    let (is_in_flight, mut line, _) = ops.orphan(id);
    assert!(is_in_flight);
    assert_eq!((ops.take(&mut line), ops.take(&mut line), ops.take(&mut line)), (Some(1), Some(2), None));
    assert!(matches!(ops.answer(id, 3, false), Answered::Abandoned(_)));
    assert_eq!((ops.len(), Rc::strong_count(&resource)), ((1, 0), 2), "kept until the last answer");
    assert!(matches!(ops.answer(id, 4, true), Answered::Abandoned(_)));
    assert_eq!((ops.len(), Rc::strong_count(&resource)), ((0, 0), 1));
}

#[test]
fn an_ended_queue_abandons_what_is_in_line_and_what_comes_but_tells_of_the_end() {
    let (mut ops, id, _resource) = started();
    let _ = ops.answer(id, 1, false);
    let mut untaken = ops.end_all();
    assert_eq!(untaken.len(), 1);
    assert_eq!(ops.take(&mut untaken[0].1), Some(1));
    assert!(matches!(ops.answer(id, 2, false), Answered::Abandoned(_)));
    assert!(matches!(ops.answer(id, 3, true), Answered::Kept(_)));
    assert!(matches!(ops.poll(id, Waker::noop()), Next::Last { answer: 3, was_paused: false }));
}

#[test]
fn a_queued_stream_that_is_dropped_is_never_submitted() {
    let (mut ops, resource) = (Ops::new(), Rc::new(()));
    let id = ops.queue(resource.clone(), Waker::noop().clone());
    assert!(!ops.orphan(id).0);
    assert!(!ops.submit(id));
    let successor = ops.queue(resource, Waker::noop().clone());
    assert!(!ops.submit(id) && ops.submit(successor));
}

#[test]
#[should_panic(expected = "stale answer: Id { key: 0, generation: 0 }, the slot is None")]
fn an_answer_after_the_last_asserts() {
    let (mut ops, id, _resource) = started();
    let _ = ops.answer(id, 1, true);
    let _ = next(&mut ops, id);
    let _ = ops.answer(id, 2, false);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines share their nodes, and each still gives its answers in order; nothing is left at the end.
    #[test]
    fn lines_are_queues(steps in proptest::collection::vec((0..4_usize, any::<bool>()), 0..400)) {
        let (mut ops, resource) = (Ops::new(), Rc::new(()));
        let ids: Vec<_> = (0..4).map(|_| ops.start(resource.clone(), Waker::noop().clone())).collect();
        let mut oracles = vec![VecDeque::new(); 4];
        for (at, (stream, is_answer)) in steps.into_iter().enumerate() {
            if is_answer {
                let _ = ops.answer(ids[stream], at as u32, false);
                oracles[stream].push_back(at as u32);
            } else {
                prop_assert_eq!(next(&mut ops, ids[stream]), oracles[stream].pop_front());
            }
        }
        for (id, oracle) in ids.into_iter().zip(oracles) {
            let _ = ops.answer(id, 7, true);
            for expected in oracle.into_iter().chain([7]) {
                prop_assert_eq!(next(&mut ops, id), Some(expected));
            }
        }
        prop_assert_eq!((ops.len(), Rc::strong_count(&resource)), ((0, 0), 1));
    }
}
