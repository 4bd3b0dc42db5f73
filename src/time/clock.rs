//! The clock that a core lives by: the processor's counter, the kernel's monotonic clock, or a test's hand.
//!
//! The turn reads it once and lends the reading to all; [`Instant`] is its public reading. `tsc` calibrates
//! the counter.

use super::{Instant, tsc};
use crate::sys::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::{sync::OnceLock, time::Duration};

/// A monotonic clock in nanoseconds, cheap enough to read in every turn of a loop.
///
/// All clocks made by [`Clock::tsc`] in one process count from the same moment, so that their [`Instant`]s
/// compare across cores. A virtual clock ([`Clock::manual`]) counts from zero and is comparable with its own
/// clones alone.
///
/// ```
/// let clock = reactor::time::Clock::tsc();
/// let begin = clock.now_ticks();
/// let spent_ns = clock.ns_of(clock.now_ticks() - begin);
/// assert!(spent_ns < 1_000_000_000);
/// ```
#[derive(Debug, Clone)]
pub struct Clock {
    /// Nanoseconds per tick, with `tsc::SCALE_BITS` binary places.
    scale: u64,
    /// Ticks per microsecond, with as many.
    ticks_per_us: u64,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Ticks are counted from `origin`.
    Counter { origin: u64 },
    /// Ticks are nanoseconds since `origin`.
    Monotonic { origin: std::time::Instant },
    /// Ticks are nanoseconds, moved by hand.
    Virtual(Arc<AtomicU64>),
}

/// The scale of a source whose ticks are nanoseconds.
const SCALE_ONE: u64 = 1 << tsc::SCALE_BITS;

impl Clock {
    /// The process's real clock: the invariant time stamp counter, or `CLOCK_MONOTONIC` where the processor
    /// or the kernel does not vouch for the counter ([`Clock::is_tsc`] says which).
    ///
    /// The first call in a process measures the counter's rate against `CLOCK_MONOTONIC` and sleeps for 2 ms
    /// to do so; later calls only copy the result. The rate is right to a few parts in a million and is not
    /// corrected afterwards: like any free-running clock this one drifts from the time of day, by some tenths
    /// of a second a day.
    pub fn tsc() -> Self {
        match tsc::calibration() {
            Some(tsc::Calibration { origin, scale }) => Self::of(scale, Source::Counter { origin }),
            None => Self::monotonic(),
        }
    }

    /// A virtual clock, which stands still, and the hand that moves it.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (clock, hand) = reactor::time::Clock::manual();
    /// hand.advance(Duration::from_millis(3));
    /// assert_eq!(clock.now_us(), 3_000);
    /// ```
    pub fn manual() -> (Self, VirtualClock) {
        let now = Arc::new(AtomicU64::new(0));
        (Self::of(SCALE_ONE, Source::Virtual(now.clone())), VirtualClock { now })
    }

    fn monotonic() -> Self {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(std::time::Instant::now);
        Self::of(SCALE_ONE, Source::Monotonic { origin })
    }

    fn of(scale: u64, source: Source) -> Self {
        let ticks_per_us = (1_000 << (2 * tsc::SCALE_BITS)) / u128::from(scale);
        Self { scale, ticks_per_us: u64::try_from(ticks_per_us).unwrap_or(u64::MAX), source }
    }

    /// Reads the clock in its own unit: the cheapest reading there is, about 9 ns on the counter.
    ///
    /// Ticks count from the clock's origin. Readings of two cores may disagree by some nanoseconds: subtract
    /// them with `saturating_sub`. [`Clock::ns_of`] converts a reading or a difference.
    #[inline]
    pub fn now_ticks(&self) -> u64 {
        match &self.source {
            // Saturates: the counter of another core may be a little behind the one that set the origin.
            Source::Counter { origin } => tsc::ticks().saturating_sub(*origin),
            Source::Monotonic { origin } => nanos_since(origin),
            // Acquire: what the hand's owner did before `advance` is visible to whoever sees the new time.
            Source::Virtual(now) => now.load(Ordering::Acquire),
        }
    }

    /// Converts `ticks` to nanoseconds, rounded down: one multiplication and a shift.
    #[inline]
    pub fn ns_of(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.scale)) >> tsc::SCALE_BITS) as u64
    }

    /// Converts `ticks` to microseconds, rounded down.
    #[inline]
    pub fn us_of(&self, ticks: u64) -> u64 {
        self.ns_of(ticks) / 1_000
    }

    /// Converts `duration` to ticks, rounded up, so that a limit can be compared with readings as they come.
    /// This divides: call it when a limit is set, not per reading.
    pub fn ticks_of(&self, duration: Duration) -> u64 {
        let ticks = (duration.as_nanos() << tsc::SCALE_BITS).div_ceil(u128::from(self.scale));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The reading at which `us` microseconds have passed since the clock's origin, or one just before it: by a tick more for
    /// every 71 minutes. One multiplication.
    #[inline]
    pub(super) fn ticks_at_us(&self, us: u64) -> u64 {
        let ticks = (u128::from(us) * u128::from(self.ticks_per_us)) >> tsc::SCALE_BITS;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since the clock's origin; never decreases on one core.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.ns_of(self.now_ticks())
    }

    /// Microseconds since the clock's origin, rounded down; never decreases on one core.
    #[inline]
    pub fn now_us(&self) -> u64 {
        self.us_of(self.now_ticks())
    }

    /// The present moment. Unlike [`Instant::now`] this needs no reactor.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant::from_ns(self.now_ns())
    }

    /// Whether readings come straight from the processor's counter.
    pub fn is_tsc(&self) -> bool {
        matches!(self.source, Source::Counter { .. })
    }

    /// Whether the clock moves by hand. Waiting for such a clock in real time would be in vain.
    pub fn is_virtual(&self) -> bool {
        matches!(self.source, Source::Virtual(_))
    }
}

/// The hand of a virtual clock: time passes when a test says so.
///
/// Timers that become due fire in the next turn of the core that they were armed on. Clones move the same
/// clock, and one virtual clock may serve several cores; moving it does not wake a core that sleeps.
///
/// ```
/// use std::time::Duration;
/// let (clock, hand) = reactor::time::Clock::manual();
/// let deadline = clock.now() + Duration::from_secs(3_600);
/// hand.advance(Duration::from_secs(3_600));
/// assert!(clock.now() >= deadline);
/// ```
#[derive(Debug, Clone)]
pub struct VirtualClock {
    now: Arc<AtomicU64>,
}

impl VirtualClock {
    /// Lets `duration` pass. The clock stops at its last nanosecond, some 584 years from zero.
    pub fn advance(&self, duration: Duration) {
        let step = nanos(duration);
        // Release: pairs with the Acquire in `now_ticks`.
        let _ =
            self.now.fetch_update(Ordering::Release, Ordering::Relaxed, |now| Some(now.saturating_add(step)));
    }
}

/// Kept out of line, so that the common reading of a clock stays small wherever it is inlined.
#[cold]
#[inline(never)]
fn nanos_since(origin: &std::time::Instant) -> u64 {
    nanos(origin.elapsed())
}

/// `duration` in nanoseconds, or the largest number that there is.
#[inline]
pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn readings_never_decrease() {
        for clock in [Clock::tsc(), Clock::monotonic(), Clock::manual().0] {
            let mut last = clock.now_ns();
            for _ in 0..10_000 {
                let now = clock.now_ns();
                assert!(now >= last, "now={now} last={last}");
                last = now;
            }
        }
    }

    /// Two clocks of one process share their origin, whichever thread makes them.
    #[test]
    fn clocks_of_two_threads_agree() {
        let here = Clock::tsc();
        let before = here.now();
        let there = std::thread::spawn(|| Clock::tsc().now()).join().unwrap();
        assert!(before <= there && there <= here.now());
    }

    #[test]
    fn ticks_convert_both_ways_without_losing_time() {
        for scale in [SCALE_ONE, 1_590_000_001, SCALE_ONE * 41, 858_993_460] {
            let clock = Clock::of(scale, Clock::manual().0.source);
            for ns in [0, 1, 999, 1_000, 1_000_003, 86_400_000_000_000] {
                let ticks = clock.ticks_of(Duration::from_nanos(ns));
                assert!(clock.ns_of(ticks) >= ns, "scale={scale} ns={ns} ticks={ticks}");
                assert!(ticks == 0 || clock.ns_of(ticks - 1) <= ns, "scale={scale} ns={ns} ticks={ticks}");
            }
            assert_eq!(clock.ticks_of(Duration::MAX), u64::MAX);
        }
    }

    /// A turn that compares its reading with it looks at its timers no later than at that time.
    #[test]
    fn a_time_in_ticks_is_never_late_and_hardly_early() {
        for scale in [SCALE_ONE, 1_590_000_001, SCALE_ONE * 41, 858_993_460] {
            let clock = Clock::of(scale, Clock::manual().0.source);
            for us in [0, 1, 999, 1_000, 1_000_003, 86_400_000_000, 365 * 86_400_000_000] {
                let ticks = clock.ticks_at_us(us);
                let ticks_of = clock.ticks_of(Duration::from_micros(us));
                assert!(ticks <= ticks_of, "scale={scale} us={us} ticks={ticks} ticks_of={ticks_of}");
                let early = ticks_of - ticks;
                assert!(early <= 2 + (us >> 32), "scale={scale} us={us} early={early}");
            }
            assert_eq!(clock.ticks_at_us(u64::MAX), u64::MAX);
        }
    }

    #[test]
    fn virtual_clock_moves_by_hand_only() {
        let (clock, hand) = Clock::manual();
        assert!(clock.is_virtual() && !clock.is_tsc());
        assert_eq!(clock.now_ns(), 0);
        hand.clone().advance(Duration::from_nanos(1_999));
        assert_eq!((clock.now_ns(), clock.now_us()), (1_999, 1));
        hand.advance(Duration::MAX);
        assert_eq!(clock.clone().now_ns(), u64::MAX);
    }
}
