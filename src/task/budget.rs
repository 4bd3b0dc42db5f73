//! The local budget: how many ready results one poll may take before it gives the core back.
//!
//! A task whose channel, timer or device is always ready would otherwise never return to the run loop. Each leaf future of this
//! crate spends one unit; when the poll's units are gone it wakes itself and says pending, and runs again next turn.

use std::{
    cell::Cell,
    task::{Context, Poll},
};

/// Units per poll. Large enough that the extra turn is lost in the noise (below 1 % at 10 ns a unit), small enough that a
/// greedy task holds the core for microseconds.
pub(crate) const PER_POLL: u32 = 128;

/// Outside of our tasks nobody counts: another executor has its own ways.
const UNLIMITED: u32 = u32::MAX;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(UNLIMITED) };
}

/// A new poll begins.
#[inline]
pub(crate) fn refill() {
    LEFT.set(PER_POLL);
}

/// The batch of polls is over.
#[inline]
pub(crate) fn lift() {
    LEFT.set(UNLIMITED);
}

/// Spends one unit, or wakes the task and answers pending when there is none left.
#[inline]
pub(crate) fn proceed(cx: &mut Context<'_>) -> Poll<()> {
    let left = LEFT.get();
    if left == 0 {
        return exhausted(cx);
    }
    LEFT.set(left - 1);
    Poll::Ready(())
}

#[cold]
fn exhausted(cx: &mut Context<'_>) -> Poll<()> {
    // For whoever polls on within this poll, a `select` over several: it gets through, and this future's turn comes.
    refill();
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_poll_that_has_spent_its_budget_comes_back_later() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        refill();
        for _ in 0..PER_POLL {
            assert!(proceed(&mut cx).is_ready());
        }
        assert!(proceed(&mut cx).is_pending());
        assert_eq!(count.0.load(Relaxed), 1, "and wakes itself");
        lift();
        for _ in 0..10 * PER_POLL {
            assert!(proceed(&mut cx).is_ready());
        }
    }
}
