//! One waker on one core: the waiting side leaves it, the other side wakes it, nobody pays for an atomic.
//!
//! [`waker_slot`](crate::sys::waker_slot) is the same between cores. The waker stays in the cell after a wake, so a task that
//! waits here again and again clones it once.

use std::{cell::Cell, task::Waker};

/// A waker that the waiting side registers and the other side wakes once per wait.
#[derive(Default)]
pub(super) struct WakerCell {
    waiting: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl WakerCell {
    /// Says that the task behind `waker` waits now.
    #[inline]
    pub(super) fn register(&self, waker: &Waker) {
        self.waiting.set(true);
        match self.waker.take() {
            Some(known) if known.will_wake(waker) => self.waker.set(Some(known)),
            other => {
                self.waker.set(Some(waker.clone()));
                // Dropped last: dropping a waker may run foreign code that comes back here.
                drop(other);
            }
        }
    }

    /// Wakes the task if it waits.
    #[inline]
    pub(super) fn wake(&self) {
        if self.waiting.replace(false) {
            self.wake_waiting();
        }
    }

    #[inline]
    fn wake_waiting(&self) {
        // Taken out while it is woken: the cell stays usable should the wake run foreign code.
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            let newer = self.waker.take();
            self.waker.set(Some(newer.unwrap_or(waker)));
        }
    }

    /// Forgets the waker, so that a handle left elsewhere does not keep the task's memory.
    pub(super) fn clear(&self) {
        self.waiting.set(false);
        drop(self.waker.take());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::WakerCell;
    use crate::sync::testing::Count;

    #[test]
    fn each_wait_is_woken_once() {
        let (cell, count) = (WakerCell::default(), Count::new());
        let waker = count.waker();
        cell.wake();
        for round in 1..=3 {
            cell.register(&waker);
            cell.wake();
            cell.wake();
            assert_eq!(count.wakes(), round);
        }
        cell.clear();
        drop(waker);
        assert_eq!(count.wakers(), 0);
    }
}
