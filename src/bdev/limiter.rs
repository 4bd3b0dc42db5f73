//! The limits of a device as all cores share them: one word per limit, which says when the next I/O may go.
//!
//! Who wants to go reserves the time that his I/O takes at the limited rate, from where the last reservation ends, and waits for its
//! beginning: the generic cell rate algorithm (ATM Forum TM 4.1, §4.4.2), with a turn for each who asks. So two cores never have
//! the same time, and none waits for longer than the others have reserved before it. A reservation that is longer than what was
//! saved up only moves those after it.

use super::Limits;
use crate::sys::sync::atomic::{AtomicU64, Ordering};

/// A time on the cores' clock, or a length of it: nanoseconds with six binary places, so that the cost of one I/O at
/// hundreds of millions a second is right to 1 %. It lasts for nine years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) u64);

const PLACES: u32 = 6;

impl Time {
    pub(super) const fn of_ns(ns: u64) -> Self {
        Self(ns.saturating_mul(1 << PLACES))
    }

    /// Rounded up.
    pub(super) const fn ns(self) -> u64 {
        self.0.div_ceil(1 << PLACES)
    }

    pub(super) const fn plus(self, length: Self) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    pub(super) const fn minus(self, length: Self) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

/// Which way the data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// What I/Os use of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) direction: Direction,
    pub(super) ios: u64,
    pub(super) bytes: u64,
}

/// The limits of one device.
pub(super) struct Limiter {
    limits: Limits,
    /// In the order of [`Limits::each`].
    buckets: [Bucket; 6],
}

/// One limit.
struct Bucket {
    /// In a second; zero if there is no limit.
    rate: u64,
    /// Where the last reservation ends, as a [`Time`].
    next: AtomicU64,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        let bucket =
            |(_, rate): (_, Option<u64>)| Bucket { rate: rate.unwrap_or(0), next: AtomicU64::new(0) };
        Self { limits, buckets: limits.each().map(bucket) }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The limits that `using` counts for, with the amounts.
    fn meant(&self, using: Use) -> impl Iterator<Item = (&Bucket, u64)> {
        let way = match using.direction {
            Direction::Read => 1,
            Direction::Write => 2,
        };
        let [ios, bytes] = [using.ios, using.bytes];
        let all = [(0, ios), (way, ios), (3, bytes), (3 + way, bytes)];
        all.into_iter().map(|(at, amount)| (&self.buckets[at], amount)).filter(|(bucket, _)| bucket.rate > 0)
    }

    /// Reserves what `using` says, from `floor` on at the earliest. Returns when it begins.
    pub(super) fn reserve(&self, using: Use, floor: Time) -> Time {
        let starts = self.meant(using).map(|(bucket, amount)| bucket.reserve(bucket.cost(amount), floor));
        starts.max().unwrap_or(floor)
    }

    /// Gives back what was reserved and not used.
    pub(super) fn give_back(&self, using: Use) {
        self.meant(using).for_each(|(bucket, amount)| bucket.give_back(bucket.cost(amount)));
    }

    /// How long `using` takes at the limited rates: the longest that one of them says.
    pub(super) fn cost(&self, using: Use) -> Time {
        self.meant(using).map(|(bucket, amount)| bucket.cost(amount)).max().unwrap_or(Time(0))
    }
}

impl Bucket {
    fn cost(&self, amount: u64) -> Time {
        let second = u128::from(Time::of_ns(1_000_000_000).0);
        let rate = u128::from(self.rate);
        let cost = (u128::from(amount) * second + rate / 2) / rate;
        Time(u64::try_from(cost).unwrap_or(u64::MAX))
    }

    fn reserve(&self, cost: Time, floor: Time) -> Time {
        let begin = |next| Time(next).max(floor);
        // Relaxed: what matters is that each change of the word is one step. It guards no memory.
        let reserve = |next| Some(begin(next).plus(cost).0);
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve) {
            Ok(next) | Err(next) => begin(next),
        }
    }

    fn give_back(&self, cost: Time) {
        let give = |next| Some(Time(next).minus(cost).0);
        let _ = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }
}

/// Two cores and one limit: see `.ci/loom.sh`.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use std::sync::Arc;

    const ONE: Use = Use { direction: Direction::Read, ios: 1, bytes: 0 };

    fn limiter() -> Arc<Limiter> {
        Arc::new(Limiter::new(Limits { iops: Some(1_000), ..Limits::NONE }))
    }

    /// Whoever comes first, they have different times, one after the other.
    #[test]
    fn loom_reservations_do_not_overlap() {
        loom::model(|| {
            let (limiter, floor) = (limiter(), Time::of_ns(5_000_000));
            let other = limiter.clone();
            let there = thread::spawn(move || [other.reserve(ONE, floor), other.reserve(ONE, floor)]);
            let here = limiter.reserve(ONE, floor);
            let [first, second] = there.join().unwrap();
            let mut starts = [here, first, second];
            starts.sort();
            assert_eq!(starts, [5, 6, 7].map(|ms| Time::of_ns(ms * 1_000_000)));
        });
    }

    /// What is given back while another reserves is there for the next, once.
    #[test]
    fn loom_what_is_given_back_is_had_once() {
        loom::model(|| {
            let (limiter, floor) = (limiter(), Time::of_ns(5_000_000));
            limiter.reserve(ONE, floor);
            let other = limiter.clone();
            let there = thread::spawn(move || other.give_back(ONE));
            limiter.reserve(ONE, floor);
            there.join().unwrap();
            // The other's and one of the two.
            assert_eq!(limiter.reserve(ONE, Time(0)), Time::of_ns(6_000_000));
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Between the beginnings of two I/Os there is the time that the first and those between take at the limited rate, and no more
        /// where each asks before the one ahead of it is through.
        #[test]
        fn each_waits_for_those_before_it(asks in prop::collection::vec((0..40_000_000_u64, 1..1_u64 << 20), 1..200)) {
            const RATE: u64 = 100_000_000;
            let limiter = Limiter::new(Limits { write_bytes: Some(RATE), ..Limits::NONE });
            let (mut now, mut end) = (1_000_000_000, 0);
            for (gap, bytes) in asks {
                now += gap;
                let begins = limiter.reserve(Use { direction: Direction::Write, ios: 1, bytes }, Time::of_ns(now));
                let expected = end.max(now);
                prop_assert!(begins.ns().abs_diff(expected) <= 200, "{begins:?} instead of {expected}");
                end = begins.ns() + bytes * 1_000_000_000 / RATE;
                // Not limited.
                let read = Use { direction: Direction::Read, ios: 1, bytes };
                prop_assert_eq!(limiter.reserve(read, Time::of_ns(now)), Time::of_ns(now));
            }
        }

        /// It begins when the strictest limit lets it, and what is given back at all of them can be had again.
        #[test]
        fn the_strictest_limit_decides(iops in 1..100_000_u64, bytes_per_s in 4_096..1_u64 << 30, bytes in 1..1_u64 << 20) {
            let limits = Limits { iops: Some(iops), read_bytes: Some(bytes_per_s), ..Limits::NONE };
            let (limiter, now) = (Limiter::new(limits), Time::of_ns(1_000_000_000));
            let using = Use { direction: Direction::Read, ios: 1, bytes };
            prop_assert_eq!(limiter.reserve(using, now), now);
            let second = limiter.reserve(using, now);
            prop_assert_eq!(second, now.plus(limiter.cost(using)));
            let exact = (1e9 / iops as f64).max(bytes as f64 * 1e9 / bytes_per_s as f64);
            prop_assert!((limiter.cost(using).ns() as f64 - exact).abs() <= 1.0);
            limiter.give_back(using);
            prop_assert_eq!(limiter.reserve(using, now), second);
        }
    }

    /// Costs are right to 1 % at the largest rates, and the longest I/O at the smallest does not wrap.
    #[test]
    fn costs_are_exact_enough_at_both_ends() {
        let cost = |limits, bytes| {
            Limiter::new(limits).cost(Use { direction: Direction::Read, ios: 1, bytes }).0 as f64 / 64.0
        };
        for iops in [999_999_999, 700_000_001, 123_456_789, 3] {
            let exact = 1e9 / iops as f64;
            let cost = cost(Limits { iops: Some(iops), ..Limits::NONE }, 0);
            assert!((cost / exact - 1.0).abs() < 0.01, "{iops}: {cost}");
        }
        assert!(cost(Limits { bytes: Some(512), ..Limits::NONE }, u64::MAX) >= (u64::MAX / 64) as f64);
    }
}
