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

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(PER_POLL) };
}

/// A new poll begins.
#[inline]
pub(crate) fn refill() {
    LEFT.set(PER_POLL);
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
    // Outside of our tasks nobody else refills: a foreign executor polls again after this wake and starts afresh.
    refill();
    cx.waker().wake_by_ref();
    Poll::Pending
}
