//! A moment on a core's clock.
//!
//! What `std::time::Instant` is to the kernel's clock, for a [`Clock`](super::Clock) that may also be
//! virtual.

use super::clock::nanos;
use crate::reactor::context::with_timers;
use std::{
    ops::{Add, AddAssign, Sub, SubAssign},
    time::Duration,
};

/// A moment on the clock of a core, in nanoseconds.
///
/// Instants of all cores that follow the real clock compare with each other; those of a virtual clock compare
/// among themselves. Arithmetic stops at the ends of time instead of overflowing: a moment too far off to
/// represent, some 584 years, never comes.
///
/// ```
/// # use std::time::Duration;
/// # let (clock, hand) = reactor::time::Clock::manual();
/// let begin = clock.now();
/// hand.advance(Duration::from_millis(5));
/// assert_eq!(clock.now() - begin, Duration::from_millis(5));
/// assert_eq!(begin - clock.now(), Duration::ZERO);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    ns: u64,
}

impl Instant {
    /// The present moment by the current core's clock.
    ///
    /// # Panics
    /// With `NotOnReactor` outside of a reactor, where it is not known which clock is meant: read one with
    /// [`Clock::now`](super::Clock::now) there.
    ///
    /// ```no_run
    /// # async fn work() {}
    /// # async fn f() {
    /// let begin = reactor::time::Instant::now();
    /// work().await;
    /// println!("took {:?}", begin.elapsed());
    /// # }
    /// ```
    #[inline]
    #[track_caller]
    pub fn now() -> Self {
        with_timers("time::Instant::now", |timers| timers.now())
    }

    /// Time passed since this moment by the current core's clock; zero if it has not come yet.
    ///
    /// # Panics
    /// With `NotOnReactor` outside of a reactor.
    #[inline]
    #[track_caller]
    pub fn elapsed(&self) -> Duration {
        with_timers("time::Instant::elapsed", |timers| timers.now()).duration_since(*self)
    }

    /// Time passed from `earlier` to this moment; zero if `earlier` is later.
    #[inline]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }

    #[inline]
    pub(super) const fn from_ns(ns: u64) -> Self {
        Self { ns }
    }

    /// The first whole microsecond that is not before this moment.
    #[inline]
    pub(super) const fn us_rounded_up(self) -> u64 {
        // At the end of time the sum stops a microsecond short, 584 years from zero.
        self.ns.saturating_add(999) / 1_000
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self { ns: self.ns.saturating_add(nanos(duration)) }
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn sub(self, duration: Duration) -> Self {
        Self { ns: self.ns.saturating_sub(nanos(duration)) }
    }
}

impl Sub for Instant {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl SubAssign<Duration> for Instant {
    #[inline]
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_the_ends_of_time() {
        let mut moment = Instant::from_ns(7);
        moment += Duration::MAX;
        assert_eq!(moment, Instant::from_ns(u64::MAX));
        moment -= Duration::MAX;
        assert_eq!(moment, Instant::from_ns(0));
    }

    #[test]
    fn microseconds_are_rounded_up() {
        let us = |ns| Instant::from_ns(ns).us_rounded_up();
        assert_eq!([us(0), us(1), us(1_000), us(1_001)], [0, 1, 1, 2]);
        assert_eq!(us(u64::MAX), u64::MAX / 1_000);
    }
}
