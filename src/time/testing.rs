//! A core to step by hand, for the tests of this room: timers on a virtual clock and a waker that counts.

use super::{Clock, Timers, VirtualClock};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// Timers, the hand of their clock, and a waker to poll with.
pub(super) struct Step {
    pub(super) timers: Timers,
    pub(super) waker: Waker,
    hand: VirtualClock,
    count: Arc<Count>,
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Step {
    pub(super) fn new() -> Self {
        let (clock, hand) = Clock::manual();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        Self { timers: Timers::new(clock), waker: count.clone().into(), hand, count }
    }

    /// Lets `duration` pass and turns once.
    pub(super) fn pass(&self, duration: Duration) {
        self.hand.advance(duration);
        self.timers.fire(self.timers.now_us());
    }

    /// Lets `duration` pass without a turn, as when a task is busy for that long.
    pub(super) fn stall(&self, duration: Duration) {
        self.hand.advance(duration);
    }

    /// How often the waker was woken.
    pub(super) fn wakes(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}

/// Polls once with `waker`.
pub(super) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}
