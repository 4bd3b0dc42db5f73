//! One waker between cores: its owner registers it, anyone takes it.
//!
//! The queues of `sync` touch a slot only after a flag in their own index word has said that the other side waits, so a message to
//! a side that is awake costs nothing here. `sync::waker_cell` is the same for one core. No waker is cloned, woken or dropped while
//! the slot is one side's: all three may be a stranger's code, which may unwind or come back here.
//!
//! ```text
//!            1 register            2 register ends
//!     IDLE ────────────▶ REGISTERING ────────────▶ IDLE
//!      │ 3 take                │ 4 take meanwhile
//!      ▼                       ▼
//!   WAKING ──▶ IDLE    REGISTERING|WAKING ──▶ IDLE    (5 the registering side wakes itself)
//!      5 take ends
//! ```

#![expect(unsafe_code, reason = "the waker lives in a cell that the state word guards")]

use crate::sys::sync::{
    UnsafeCell,
    atomic::{AtomicUsize, Ordering},
    hint,
};
use std::task::Waker;

/// Nobody touches the waker.
const IDLE: usize = 0;
/// Set by `register` while it writes the waker.
const REGISTERING: usize = 1;
/// Set by `take` while it moves the waker out, or to tell a registering side that it came meanwhile.
const WAKING: usize = 2;

/// A waker that one side registers and any side takes.
///
/// # Invariants
/// Who moved `state` out of `IDLE` has the cell to itself until it moves `state` back.
pub(crate) struct WakerSlot {
    state: AtomicUsize,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the state word hands the cell to one side at a time, and a `Waker` may be used on every thread.
unsafe impl Send for WakerSlot {}
// SAFETY: as above.
unsafe impl Sync for WakerSlot {}

impl Default for WakerSlot {
    fn default() -> Self {
        Self { state: AtomicUsize::new(IDLE), waker: UnsafeCell::new(None) }
    }
}

impl WakerSlot {
    /// Makes `waker` the one that the next [`take`](Self::take) returns.
    ///
    /// A `take` that happens meanwhile wakes `waker` here instead: the wake-up is never lost.
    pub(crate) fn register(&self, waker: &Waker) {
        let waker = waker.clone();
        // Acquire: pairs with the Release that ended the last use of the cell, in `register` or `take`.
        match self.state.compare_exchange(IDLE, REGISTERING, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {}
            // A take is under way: what it announces has happened, so look again instead of waiting for it.
            Err(_) => {
                hint::spin_loop();
                return waker.wake();
            }
        }
        // SAFETY: the exchange above gave the cell to this side.
        let replaced = self.waker.with_mut(|cell| unsafe { (*cell).replace(waker) });
        // Release: publishes the waker to the Acquire in `take`. Acquire on failure: pairs with that take's Release.
        let done = self.state.compare_exchange(REGISTERING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if done.is_err() {
            // SAFETY: `take` only left its mark; the cell is this side's until the swap below.
            let taken = self.waker.with_mut(|cell| unsafe { (*cell).take() });
            // Release: gives the cell back.
            self.state.swap(IDLE, Ordering::AcqRel);
            if let Some(waker) = taken {
                waker.wake();
            }
        }
        drop(replaced);
    }

    /// Moves the registered waker out, if there is one.
    pub(crate) fn take(&self) -> Option<Waker> {
        // Acquire: pairs with the Release in `register`. Release: what was done before is seen by a registering side.
        match self.state.fetch_or(WAKING, Ordering::AcqRel) {
            IDLE => {
                // SAFETY: the state left IDLE by this side's hand.
                let waker = self.waker.with_mut(|cell| unsafe { (*cell).take() });
                // Release: gives the cell back to the Acquire in `register`.
                self.state.fetch_and(!WAKING, Ordering::Release);
                waker
            }
            // The registering side sees the mark and wakes itself; a second take leaves it to the first.
            _ => None,
        }
    }

    /// Wakes the registered waker, if there is one.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::WakerSlot;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (count.clone(), count.into())
    }

    #[test]
    fn a_registered_waker_is_woken_once() {
        let (slot, (count, waker)) = (WakerSlot::default(), counted());
        slot.register(&waker);
        slot.wake();
        slot.wake();
        assert_eq!(count.0.load(Relaxed), 1);
    }

    #[test]
    fn registering_again_replaces_and_drops_the_first() {
        let (slot, (first, waker), (second, other)) = (WakerSlot::default(), counted(), counted());
        slot.register(&waker);
        slot.register(&other);
        assert_eq!(Arc::strong_count(&first), 2, "the one here and its waker");
        slot.wake();
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (0, 1));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::WakerSlot;
    use crate::sys::sync::{
        Arc, UnsafeCell,
        atomic::{AtomicBool, Ordering},
    };
    use std::{future::poll_fn, task::Poll};

    struct Flag {
        slot: WakerSlot,
        set: AtomicBool,
        payload: UnsafeCell<u32>,
    }

    // SAFETY: the payload is written before `set` and read after it.
    unsafe impl Sync for Flag {}
    // SAFETY: as above.
    unsafe impl Send for Flag {}

    /// Fails with the `REGISTERING → IDLE` exchange relaxed: the taker's access to the waker then races.
    #[test]
    fn loom_a_wake_during_registration_is_never_lost() {
        loom::model(|| {
            let flag = Arc::new(Flag {
                slot: WakerSlot::default(),
                set: AtomicBool::new(false),
                payload: UnsafeCell::new(0),
            });
            let other = flag.clone();
            let setter = loom::thread::spawn(move || {
                // SAFETY: nobody reads before `set`.
                other.payload.with_mut(|cell| unsafe { *cell = 7 });
                other.set.store(true, Ordering::Release);
                other.slot.wake();
            });
            loom::future::block_on(poll_fn(|cx| {
                flag.slot.register(cx.waker());
                if flag.set.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
            }));
            // SAFETY: `set` was seen.
            assert_eq!(flag.payload.with(|cell| unsafe { *cell }), 7);
            setter.join().unwrap();
        });
    }
}
