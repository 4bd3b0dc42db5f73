//! How much of a window has been delivered: counted by one core without read-modify-writes, waited for by another.
//!
//! The receiver stores a count per event, and looks for a sender that waits only at every `bell_period`-th: that look needs a fence. A
//! sender waits only with a whole window under way, which holds at least one such event that has not looked yet.

use crate::sys::sync::{
    CachePadded,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

/// One sender's count at one receiver.
pub(super) struct Window {
    /// Written by the receiver alone.
    delivered: CachePadded<AtomicU64>,
    /// Set by the sender, cleared by the receiver when it wakes it.
    is_waiting: AtomicBool,
    /// A power of two, at most half of the capacity, or 1.
    bell_period: u64,
}

impl Window {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            delivered: CachePadded(AtomicU64::new(0)),
            is_waiting: AtomicBool::new(false),
            bell_period: 1 << (capacity / 2).max(1).ilog2(),
        }
    }

    /// Events delivered so far. Who sees them counted sees what they have done.
    #[inline]
    pub(super) fn delivered(&self) -> u64 {
        // Acquire: pairs with the Release in `deliver`.
        self.delivered.load(Acquire)
    }

    /// The receiver: one more. `true` if the sender waits and is to be woken.
    #[inline]
    #[must_use]
    pub(super) fn deliver(&self) -> bool {
        // One writer: no read-modify-write.
        let delivered = self.delivered.load(Relaxed) + 1;
        // Release: see `delivered`.
        self.delivered.store(delivered, Release);
        delivered & (self.bell_period - 1) == 0 && self.take_waiting()
    }

    #[cold]
    fn take_waiting(&self) -> bool {
        // SeqCst: pairs with the fence in `announce`.
        fence(SeqCst);
        self.is_waiting.load(Relaxed) && {
            self.is_waiting.store(false, Relaxed);
            true
        }
    }

    /// The sender, whose window is full, has left its waker. It reads `delivered` once more after this, and waits only if the window is
    /// still full.
    pub(super) fn announce(&self) {
        self.is_waiting.store(true, Relaxed);
        // SeqCst: pairs with the fence in `take_waiting`. Either the sender sees what the event with the bell has counted, or that
        // event sees that the sender waits.
        fence(SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sys::sync::Arc;

    /// A sender that finds its window full, twice, is woken by an event of it. Fails with less than `SeqCst` in either fence.
    #[test]
    fn loom_full_window_is_seen_emptied_or_wakes() {
        for capacity in [1, 2, 3] {
            loom::model(move || {
                // `capacity` events are under way.
                let window = Arc::new(Window::new(capacity));
                let receiver = window.clone();
                let receiver =
                    loom::thread::spawn(move || (0..capacity).filter(|_| receiver.deliver()).count());
                window.announce();
                let has_room = window.delivered() > 0;
                let wakes = receiver.join().unwrap();
                assert!(has_room || wakes == 1, "waits for ever: capacity {capacity}");
            });
        }
    }
}
