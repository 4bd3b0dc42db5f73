//! Waiting for a moment.
//!
//! A [`Sleep`] is three words and a key into the wheel of the core that it was made on. `interval` and
//! `timeout` hold one.

use super::{Instant, timers::Timers, wheel::Key};
use crate::{reactor::context::with_timers, task::budget};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Waits until `duration` has passed since this call.
///
/// Never ends early. It ends in the first turn that finds the deadline behind, so late by at most what one
/// turn takes and, on a core that sleeps, by what the kernel takes to wake it. Zero is ready at the first
/// poll, without giving other tasks a turn, until one poll of the task has had 128 such results. A duration too long to represent, some 584 years, never ends.
///
/// Dropping the future takes its timer out of the wheel at once. Allocates nothing unless more timers are
/// armed on this core than ever before.
///
/// # Panics
/// With `NotOnReactor` outside of a reactor.
///
/// ```no_run
/// # async fn f() {
/// use reactor::time::sleep;
/// sleep(std::time::Duration::from_micros(50)).await;
/// # }
/// ```
#[inline]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    with_timers("time::sleep", |timers| Sleep::after(timers, duration))
}

/// Waits until `deadline`, an instant of this core's clock; ready at the first poll if it has passed.
///
/// As [`sleep`] in all else.
///
/// # Panics
/// With `NotOnReactor` outside of a reactor.
#[inline]
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    with_timers("time::sleep_until", |timers| Sleep::until(timers, deadline))
}

/// What [`sleep`] and [`sleep_until`] return.
///
/// Belongs to the core that it was made on: that core's clock and turn end it, whoever polls it.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    home: Timers,
    deadline: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Not in the wheel yet: not polled since it was made or reset.
    Idle,
    /// In the wheel, unless it has fired since.
    Armed(Key),
    /// The deadline has passed.
    Elapsed,
}

impl Sleep {
    #[inline]
    pub(super) fn after(home: &Timers, duration: Duration) -> Self {
        let now = home.now();
        Self::new(home.clone(), now + duration, now)
    }

    #[inline]
    pub(super) fn until(home: &Timers, deadline: Instant) -> Self {
        Self::new(home.clone(), deadline, home.now())
    }

    #[inline]
    fn new(home: Timers, deadline: Instant, now: Instant) -> Self {
        Self { home, deadline, state: State::seen_from(now, deadline) }
    }

    /// The moment waited for.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the deadline has passed by the clock, which may be before the waiting task has been woken.
    #[inline]
    pub fn is_elapsed(&self) -> bool {
        matches!(self.state, State::Elapsed) || self.deadline <= self.home.now()
    }

    /// Waits for `deadline` instead, whether or not the former one has passed.
    ///
    /// Must be polled again to be woken: a task that is waiting is not woken for the new deadline by this
    /// alone.
    #[inline]
    pub fn reset(&mut self, deadline: Instant) {
        let now = self.home.now();
        self.reset_at(now, deadline);
    }

    /// As `reset` where the clock was just read.
    #[inline]
    pub(super) fn reset_at(&mut self, now: Instant, deadline: Instant) {
        self.disarm();
        self.deadline = deadline;
        self.state = State::seen_from(now, deadline);
    }

    /// The clock that it waits by.
    #[inline]
    pub(super) fn now(&self) -> Instant {
        self.home.now()
    }

    #[inline]
    fn disarm(&mut self) {
        if let State::Armed(key) = self.state {
            self.home.disarm(key);
        }
    }
}

impl State {
    #[inline]
    fn seen_from(now: Instant, deadline: Instant) -> Self {
        if deadline <= now { Self::Elapsed } else { Self::Idle }
    }
}

impl Future for Sleep {
    type Output = ();

    /// Stays ready once it is, until it is reset.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let state = match self.state {
            State::Idle => self.home.arm(self.deadline, context.waker()).map(State::Armed),
            State::Armed(key) => self.home.renew(key, context.waker()).then_some(self.state),
            // A loop that lags behind its plan sleeps for nothing again and again.
            State::Elapsed => {
                ready!(budget::proceed(context));
                None
            }
        };
        self.state = state.unwrap_or(State::Elapsed);
        if state.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.disarm();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::testing::{Step, poll};

    static_assertions::assert_not_impl_any!(Sleep: Send, Sync);
    static_assertions::assert_impl_all!(Sleep: Unpin);

    const MS: Duration = Duration::from_millis(1);
    const NS: Duration = Duration::from_nanos(1);

    #[test]
    fn is_small() {
        assert!(size_of::<Sleep>() <= 32);
    }

    /// Every nanosecond offset of the clock against the wheel's microseconds.
    #[test]
    fn never_ends_early() {
        for offset in 0..2_100 {
            let core = Step::new();
            core.pass(Duration::from_nanos(offset));
            let mut sleep = Sleep::after(&core.timers, MS);
            assert!(poll(&mut sleep, &core.waker).is_pending());
            core.pass(MS - NS);
            assert!(poll(&mut sleep, &core.waker).is_pending(), "offset={offset}");
            assert_eq!(core.wakes(), 0);
            core.pass(Duration::from_micros(1));
            assert_eq!(core.wakes(), 1, "offset={offset}");
            assert!(poll(&mut sleep, &core.waker).is_ready());
        }
    }

    #[test]
    fn zero_and_the_past_are_ready_at_once() {
        let core = Step::new();
        assert!(poll(&mut Sleep::after(&core.timers, Duration::ZERO), &core.waker).is_ready());
        core.pass(MS);
        let past = core.timers.now() - NS;
        assert!(poll(&mut Sleep::until(&core.timers, past), &core.waker).is_ready());
        assert_eq!(core.timers.next_deadline_us(), None);
    }

    #[test]
    fn first_polled_after_its_deadline_needs_no_wake() {
        let core = Step::new();
        let mut sleep = Sleep::after(&core.timers, MS);
        core.pass(2 * MS);
        assert!(poll(&mut sleep, &core.waker).is_ready());
        assert_eq!(core.wakes(), 0);
    }

    #[test]
    fn stays_ready_until_reset() {
        let core = Step::new();
        let mut sleep = Sleep::after(&core.timers, MS);
        assert!(poll(&mut sleep, &core.waker).is_pending());
        assert!(!sleep.is_elapsed());
        core.pass(MS);
        for _ in 0..3 {
            assert!(poll(&mut sleep, &core.waker).is_ready() && sleep.is_elapsed());
        }
        sleep.reset(core.timers.now() + MS);
        assert!(poll(&mut sleep, &core.waker).is_pending() && !sleep.is_elapsed());
        core.pass(MS);
        assert_eq!(core.wakes(), 2);
        assert!(poll(&mut sleep, &core.waker).is_ready());
    }

    #[test]
    fn reset_forgets_the_former_deadline() {
        let core = Step::new();
        let mut sleep = Sleep::after(&core.timers, MS);
        assert!(poll(&mut sleep, &core.waker).is_pending());
        sleep.reset(core.timers.now() + 5 * MS);
        assert_eq!(sleep.deadline(), core.timers.now() + 5 * MS);
        assert!(poll(&mut sleep, &core.waker).is_pending());
        core.pass(4 * MS);
        assert_eq!((core.wakes(), core.timers.next_deadline_us()), (0, Some(5_000)));
        sleep.reset(core.timers.now());
        assert!(poll(&mut sleep, &core.waker).is_ready());
        assert_eq!(core.timers.next_deadline_us(), None);
    }

    #[test]
    fn last_waker_is_the_one_woken() {
        let (core, other) = (Step::new(), Step::new());
        let mut sleep = Sleep::after(&core.timers, MS);
        for waker in [&core.waker, &core.waker, &other.waker] {
            assert!(poll(&mut sleep, waker).is_pending());
        }
        core.pass(MS);
        assert_eq!((core.wakes(), other.wakes()), (0, 1));
    }

    #[test]
    fn dropping_takes_the_timer_out() {
        let core = Step::new();
        let mut sleep = Sleep::after(&core.timers, MS);
        assert!(poll(&mut sleep, &core.waker).is_pending());
        assert_eq!(core.timers.next_deadline_us(), Some(1_000));
        drop(sleep);
        assert_eq!(core.timers.next_deadline_us(), None);
        core.pass(MS);
        assert_eq!(core.wakes(), 0);
    }

    #[test]
    fn longest_durations_never_end() {
        let core = Step::new();
        let mut sleep = Sleep::after(&core.timers, Duration::MAX);
        assert!(poll(&mut sleep, &core.waker).is_pending());
        core.pass(Duration::from_secs(86_400 * 365 * 500));
        assert!(poll(&mut sleep, &core.waker).is_pending());
    }

    /// A sleep is the matter of the core that it was made on, and outlives it harmlessly.
    #[test]
    fn sleep_keeps_to_its_own_core() {
        let (one, two) = (Step::new(), Step::new());
        let mut sleep = Sleep::after(&one.timers, MS);
        assert!(poll(&mut sleep, &two.waker).is_pending());
        two.pass(10 * MS);
        assert!(poll(&mut sleep, &two.waker).is_pending());
        one.pass(MS);
        assert_eq!(two.wakes(), 1);
        sleep.reset(one.timers.now() + MS);
        assert!(poll(&mut sleep, &two.waker).is_pending());
        drop(one);
        drop(sleep);
    }
}
