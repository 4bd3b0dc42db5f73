//! Waiting again and again, a period apart.
//!
//! Stands on `sleep`, and decides what becomes of ticks that were missed.

use super::{Instant, sleep::Sleep, timers::Timers};
use crate::reactor::context::with_timers;
use futures::Stream;
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Ticks at once and then every `period`.
///
/// # Panics
/// If `period` is zero; with `NotOnReactor` outside of a reactor.
///
/// ```no_run
/// # async fn flush() {}
/// # async fn f() {
/// let mut beat = reactor::time::interval(std::time::Duration::from_millis(10));
/// loop {
///     beat.tick().await;
///     flush().await;
/// }
/// # }
/// ```
#[inline]
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    with_timers("time::interval", |timers| Interval::starting(timers, timers.now(), period))
}

/// Ticks at `start` and then every `period`. A start that has passed counts as a missed tick, see
/// [`MissedTicks`].
///
/// # Panics
/// If `period` is zero; with `NotOnReactor` outside of a reactor.
#[inline]
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    with_timers("time::interval_at", |timers| Interval::starting(timers, start, period))
}

/// What becomes of ticks whose time passed while nobody waited: a tick is missed if the one after it is
/// already due when it is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTicks {
    /// They follow one after the other without waiting, until the plan is caught up with: as many ticks as
    /// periods.
    #[default]
    Burst,
    /// The next tick comes one period after the late one was given out, and the plan is shifted by as much.
    Delay,
    /// They are left out; the next tick comes at the next planned time that lies ahead.
    Skip,
}

/// What [`interval`] and [`interval_at`] return. Also a [`Stream`] of its ticks, which never ends.
#[derive(Debug)]
#[must_use = "an interval ticks only while it is awaited"]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed: MissedTicks,
}

impl Interval {
    #[track_caller]
    pub(super) fn starting(home: &Timers, start: Instant, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of an interval must not be zero");
        Self { sleep: Sleep::until(home, start), period, missed: MissedTicks::default() }
    }

    /// Decides what becomes of missed ticks from now on; [`MissedTicks::Burst`] to begin with.
    pub fn on_missed(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Waits for the next tick and returns the moment that it was planned for.
    ///
    /// Dropping the future loses no tick.
    #[inline]
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|context| self.poll_tick(context)).await
    }

    /// As [`Interval::tick`], for futures written by hand.
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(context));
        let planned = self.sleep.deadline();
        let now = self.sleep.now();
        self.sleep.reset_at(now, self.after(planned, now));
        Poll::Ready(planned)
    }

    /// Waits a whole period, from now on, before the next tick.
    pub fn reset(&mut self) {
        let now = self.sleep.now();
        self.sleep.reset_at(now, now + self.period);
    }

    /// The time from one tick to the next.
    #[inline]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// The tick that follows the one planned for `planned` and given out `now`.
    #[inline]
    fn after(&self, planned: Instant, now: Instant) -> Instant {
        let next = planned + self.period;
        if now < next {
            return next;
        }
        match self.missed {
            MissedTicks::Burst => next,
            MissedTicks::Delay => now + self.period,
            MissedTicks::Skip => {
                let beyond = (now - planned).as_nanos() % self.period.as_nanos();
                // The remainder is less than `now - planned`, which came from a `u64` of nanoseconds.
                now - Duration::from_nanos(beyond as u64) + self.period
            }
        }
    }
}

impl Stream for Interval {
    type Item = Instant;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(context).map(Some)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::testing::Step;
    use futures::StreamExt;

    const MS: Duration = Duration::from_millis(1);

    impl Step {
        fn interval(&self, missed: MissedTicks) -> Interval {
            Interval::starting(&self.timers, self.timers.now(), 10 * MS).on_missed(missed)
        }

        /// The planned times, in ms, of all ticks that are there without waiting.
        fn ticks(&self, interval: &mut Interval) -> Vec<u64> {
            let mut context = Context::from_waker(&self.waker);
            let zero = Instant::from_ns(0);
            std::iter::from_fn(|| match interval.poll_tick(&mut context) {
                Poll::Ready(planned) => Some((planned - zero).as_millis() as u64),
                Poll::Pending => None,
            })
            .collect()
        }
    }

    #[test]
    fn ticks_at_once_and_then_by_the_plan() {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            let core = Step::new();
            let mut interval = core.interval(missed);
            assert_eq!(core.ticks(&mut interval), [0]);
            // Late, yet not so late as to miss a tick: the plan stands.
            for (late_ms, planned) in [(10, 10), (19, 20), (1, 30)] {
                core.pass(late_ms * MS);
                assert_eq!(core.ticks(&mut interval), [planned], "{missed:?}");
            }
            assert_eq!(core.wakes(), 3);
        }
    }

    #[test]
    fn missed_ticks_follow_their_rule() {
        for (missed, caught_up, then) in [
            (MissedTicks::Burst, vec![10, 20, 30], vec![40]),
            (MissedTicks::Delay, vec![10], vec![45]),
            (MissedTicks::Skip, vec![10], vec![40]),
        ] {
            let core = Step::new();
            let mut interval = core.interval(missed);
            assert_eq!(core.ticks(&mut interval), [0]);
            core.pass(35 * MS);
            assert_eq!(core.ticks(&mut interval), caught_up, "{missed:?}");
            core.pass(10 * MS);
            assert_eq!(core.ticks(&mut interval), then, "{missed:?}");
        }
    }

    /// What is planned for this very moment counts as missed and is not given out twice.
    #[test]
    fn skip_on_the_very_tick_looks_ahead() {
        let core = Step::new();
        let mut interval = core.interval(MissedTicks::Skip);
        assert_eq!(core.ticks(&mut interval), [0]);
        core.pass(20 * MS);
        assert_eq!(core.ticks(&mut interval), [10]);
        core.pass(10 * MS);
        assert_eq!(core.ticks(&mut interval), [30]);
    }

    #[test]
    fn interval_at_waits_for_its_start() {
        let core = Step::new();
        let mut interval = Interval::starting(&core.timers, core.timers.now() + 3 * MS, 10 * MS);
        assert!(core.ticks(&mut interval).is_empty());
        core.pass(3 * MS);
        assert_eq!(core.ticks(&mut interval), [3]);
    }

    #[test]
    fn reset_waits_a_whole_period() {
        let core = Step::new();
        let mut interval = core.interval(MissedTicks::Burst);
        assert_eq!(core.ticks(&mut interval), [0]);
        core.pass(7 * MS);
        interval.reset();
        core.pass(9 * MS);
        assert!(core.ticks(&mut interval).is_empty());
        core.pass(MS);
        assert_eq!(core.ticks(&mut interval), [17]);
    }

    #[test]
    fn dropped_tick_is_not_lost() {
        let core = Step::new();
        let mut interval = core.interval(MissedTicks::Burst);
        assert_eq!(core.ticks(&mut interval), [0]);
        {
            let mut tick = std::pin::pin!(interval.tick());
            assert!(tick.as_mut().poll(&mut Context::from_waker(&core.waker)).is_pending());
        }
        core.pass(10 * MS);
        assert_eq!(core.ticks(&mut interval), [10]);
    }

    /// What was missed while the core could not turn follows without a turn in between.
    #[test]
    fn is_a_stream() {
        let core = Step::new();
        let mut interval = core.interval(MissedTicks::Burst);
        core.stall(25 * MS);
        let mut next = || interval.poll_next_unpin(&mut Context::from_waker(&core.waker));
        assert_eq!((0..3).filter(|_| matches!(next(), Poll::Ready(Some(_)))).count(), 3);
        assert!(next().is_pending());
    }

    #[test]
    #[should_panic(expected = "must not be zero")]
    fn zero_period_is_refused() {
        let _ = Interval::starting(&Step::new().timers, Instant::from_ns(0), Duration::ZERO);
    }
}
