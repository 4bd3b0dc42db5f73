//! Which cores sleep, for work that any of them may do: announced before they look for such work a last time, and taken back by
//! whoever wakes them.
//!
//! ```text
//!   a core that goes to sleep          a core that has work for any
//!   announce ─ fence ─ look for work   queue work ─ fence ─ look for sleepers
//! ```
//!
//! Either the one sees the work, or the other the sleeper. A core is woken once per sleep.

use crate::sys::sync::{
    CachePadded,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

/// The cores of one runtime that sleep, or are about to.
pub(super) struct Sleepers {
    count: CachePadded<AtomicUsize>,
    is_asleep: Box<[AtomicBool]>,
}

impl Sleepers {
    pub(super) fn new(cores: usize) -> Self {
        Self {
            count: CachePadded(AtomicUsize::new(0)),
            is_asleep: (0..cores).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// `core` is about to sleep. It looks for work after this, and sleeps only if there is none.
    pub(super) fn announce(&self, core: usize) {
        self.is_asleep[core].store(true, Relaxed);
        // Relaxed: the fence orders it.
        self.count.fetch_add(1, Relaxed);
        // SeqCst: pairs with the fence in `take`.
        fence(SeqCst);
    }

    /// `core` is awake, for whatever reason.
    pub(super) fn awake(&self, core: usize) {
        self.take_if_asleep(core);
    }

    /// There is work for any core: which one is to be woken, if one sleeps.
    #[inline]
    pub(super) fn take(&self) -> Option<usize> {
        // SeqCst: pairs with the fence in `announce`.
        fence(SeqCst);
        if self.count.load(Relaxed) == 0 { None } else { self.take_any() }
    }

    #[cold]
    fn take_any(&self) -> Option<usize> {
        (0..self.is_asleep.len()).find(|&core| self.take_if_asleep(core))
    }

    fn take_if_asleep(&self, core: usize) -> bool {
        // Relaxed: it decides who wakes, and orders nothing.
        let was_asleep = self.is_asleep[core].load(Relaxed) && self.is_asleep[core].swap(false, Relaxed);
        if was_asleep {
            self.count.fetch_sub(1, Relaxed);
        }
        was_asleep
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sys::sync::Arc;

    /// One core goes to sleep while another queues work for any: the work is seen, or the sleeper is. Fails with less than `SeqCst`
    /// in either fence.
    #[test]
    fn loom_work_for_any_core_finds_a_sleeper_or_is_seen() {
        loom::model(|| {
            let shared = Arc::new((Sleepers::new(1), AtomicUsize::new(0)));
            let other = shared.clone();
            let giver = loom::thread::spawn(move || {
                other.1.store(1, Relaxed);
                other.0.take().is_some()
            });
            shared.0.announce(0);
            let has_seen_work = shared.1.load(Relaxed) == 1;
            if has_seen_work {
                shared.0.awake(0);
            }
            let is_woken = giver.join().unwrap();
            assert!(has_seen_work || is_woken, "asleep with work in the queue");
            assert_eq!(shared.0.count.load(Relaxed), 0);
        });
    }

    /// Two cores with work wake one sleeper once. Fails with a load and a store instead of the exchange in `take_if_asleep`.
    #[test]
    fn loom_sleeper_is_woken_once() {
        loom::model(|| {
            let shared = Arc::new(Sleepers::new(1));
            shared.announce(0);
            let other = shared.clone();
            let giver = loom::thread::spawn(move || usize::from(other.take().is_some()));
            let woken = usize::from(shared.take().is_some());
            assert_eq!(woken + giver.join().unwrap(), 1);
            assert_eq!(shared.count.load(Relaxed), 0);
        });
    }
}
