//! The wheel held against a sorted map, and its promises one by one.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the wheel must do, done plainly: entries by deadline, then by order of insertion.
#[derive(Default)]
struct Model {
    now: u64,
    inserted: u64,
    entries: BTreeMap<(u64, u64), Key>,
}

#[derive(Debug, Clone)]
enum Step {
    InsertAfter(u64),
    InsertBefore(u64),
    InsertAt(u64),
    /// Cancels one of all the keys ever given out, stale ones included.
    Cancel(prop::sample::Index),
    Advance(u64),
    AdvanceToNextDeadline,
    GoBack(u64),
}

/// Distances of every order of magnitude.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4u64,
        0..200u64,
        0..10_000u64,
        0..5_000_000u64,
        (0..64u32, any::<u64>()).prop_map(|(n, x)| x >> n)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => distance().prop_map(Step::InsertAfter),
        1 => distance().prop_map(Step::InsertBefore),
        1 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()].prop_map(Step::InsertAt),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        3 => distance().prop_map(Step::Advance),
        3 => Just(Step::AdvanceToNextDeadline),
        1 => distance().prop_map(Step::GoBack),
    ]
}

fn insert(wheel: &mut Wheel<u64>, model: &mut Model, deadline: u64) -> Key {
    let number = model.inserted;
    model.inserted += 1;
    let key = wheel.insert(deadline, number);
    assert!(model.entries.insert((deadline.max(model.now), number), key).is_none());
    key
}

fn cancel(wheel: &mut Wheel<u64>, model: &mut Model, key: Key) {
    let found = model.entries.iter().find(|(_, k)| **k == key).map(|(at, _)| *at);
    if let Some(at) = found {
        model.entries.remove(&at);
    }
    let number = found.map(|(_, number)| number);
    assert_eq!(wheel.get_mut(key).copied(), number);
    assert_eq!(wheel.cancel(key), number);
    assert_eq!(wheel.get_mut(key), None);
}

fn advance(wheel: &mut Wheel<u64>, model: &mut Model, now: u64) -> usize {
    model.now = model.now.max(now);
    let mut expired = 0;
    while let Some(number) = wheel.expire_one(now) {
        let ((deadline, first), _) = model.entries.pop_first().expect("nothing was armed");
        assert_eq!(number, first, "out of order");
        assert!(deadline <= model.now, "early: deadline={deadline} now={}", model.now);
        expired += 1;
    }
    if let Some(((deadline, _), _)) = model.entries.first_key_value() {
        // A time that went back fires nothing that was armed since for the present.
        assert!(*deadline > now, "late: deadline={deadline} now={now}");
    }
    expired
}

fn check(wheel: &Wheel<u64>, model: &Model) {
    match (wheel.next_deadline(), model.entries.first_key_value()) {
        (None, None) => {}
        (Some(next), Some(((deadline, _), _))) => assert!(next <= *deadline && next >= model.now),
        (next, first) => panic!("wheel={next:?} model={first:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_a_sorted_map_would(steps in prop::collection::vec(step(), 1..120)) {
        let (mut wheel, mut model, mut keys) = (Wheel::new(), Model::default(), Vec::new());
        for step in steps {
            let now = model.now;
            match step {
                Step::InsertAfter(d) => keys.push(insert(&mut wheel, &mut model, now.saturating_add(d))),
                Step::InsertBefore(d) => keys.push(insert(&mut wheel, &mut model, now.saturating_sub(d))),
                Step::InsertAt(deadline) => keys.push(insert(&mut wheel, &mut model, deadline)),
                Step::Cancel(which) if !keys.is_empty() => cancel(&mut wheel, &mut model, *which.get(&keys)),
                Step::Cancel(_) => {}
                Step::Advance(d) => {
                    advance(&mut wheel, &mut model, now.saturating_add(d));
                }
                Step::GoBack(d) => {
                    advance(&mut wheel, &mut model, now.saturating_sub(d));
                }
                Step::AdvanceToNextDeadline => {
                    // A core that sleeps until it is told to is woken in vain at most once.
                    let mut wakes = 0;
                    while let Some(next) = wheel.next_deadline() {
                        wakes += 1;
                        if advance(&mut wheel, &mut model, next) > 0 {
                            break;
                        }
                        prop_assert!(wakes < 2);
                    }
                }
            }
            check(&wheel, &model);
        }
        advance(&mut wheel, &mut model, u64::MAX);
        prop_assert!(model.entries.is_empty());
        prop_assert_eq!(wheel.next_deadline(), None);
    }
}

#[test]
fn lone_deadline_is_known_exactly_at_every_distance() {
    for now in [0, 63, 64, 1_000_003, 1 << 40] {
        for bit in 0..64 {
            let deadline = now + ((1u64 << bit) - 1).min(u64::MAX - now);
            let mut wheel = Wheel::new();
            assert_eq!(wheel.expire_one(now), None);
            wheel.insert(deadline, ());
            assert_eq!(wheel.next_deadline(), Some(deadline));
            if deadline > now {
                assert_eq!(wheel.expire_one(deadline - 1), None);
            }
            assert_eq!(wheel.expire_one(deadline), Some(()), "now={now} bit={bit}");
        }
    }
}

#[test]
fn entries_of_one_microsecond_come_in_order_of_insertion() {
    let mut wheel = Wheel::new();
    for step in 0..10 {
        wheel.expire_one(step * 1_000);
        wheel.insert(9_500, step);
    }
    let expired: Vec<_> = std::iter::from_fn(|| wheel.expire_one(10_000)).collect();
    assert_eq!(expired, (0..10).collect::<Vec<_>>());
}

#[test]
fn entry_in_the_past_is_due_at_once() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.expire_one(5_000), None);
    wheel.insert(17, ());
    assert_eq!(wheel.next_deadline(), Some(5_000));
    assert_eq!(wheel.expire_one(5_000), Some(()));
}

#[test]
fn stale_key_cannot_touch_the_entry_that_took_its_place() {
    let mut wheel = Wheel::new();
    let old = wheel.insert(10, "old");
    assert_eq!(wheel.cancel(old), Some("old"));
    let new = wheel.insert(10, "new");
    assert_eq!((old.index(), wheel.cancel(old), wheel.get_mut(old)), (new.index(), None, None));
    assert_eq!(wheel.expire_one(10), Some("new"));
    assert_eq!(wheel.cancel(new), None);
}

/// Arming and cancelling for ever neither grows the slab nor leaves anything behind.
#[test]
fn vacant_entries_are_used_again() {
    let mut wheel = Wheel::new();
    for round in 0..10_000u64 {
        let keys =
            [wheel.insert(round * 7 + 30_000, 1), wheel.insert(round * 7 + 3, 2), wheel.insert(round, 3)];
        assert_eq!(wheel.expire_one(round), Some(3));
        assert_eq!(keys.map(|key| wheel.cancel(key)), [Some(1), Some(2), None]);
    }
    assert_eq!((wheel.entries.len(), wheel.levels, wheel.next_deadline()), (3, 0, None));
}
