//! How often durations of about one length occurred: buckets whose width grows with what they hold, as SPDK's.
//!
//! [`Recorder`] counts on one core and may be looked at from any thread; [`Histogram`] is what such a look finds.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets that each power of two is divided into, as powers of two: durations are told apart by 1/128 of their length.
const SHIFT: u32 = 7;
/// Durations of 2^40 ns, some 18 minutes, and longer share the last bucket.
const BITS: u32 = 40;
const BUCKETS: usize = ((BITS - SHIFT + 1) as usize) << SHIFT;

/// Durations by length, told apart by less than 1 % from 1 ns to 18 minutes.
///
/// From [`Descriptor::histograms`](crate::bdev::Descriptor::histograms), or filled by hand. The shape is that of SPDK's
/// `spdk_histogram_data`.
///
/// ```
/// use reactor::metrics::Histogram;
/// use std::time::Duration;
///
/// let mut latencies = Histogram::default();
/// for us in 1..=100 {
///     latencies.record(Duration::from_micros(us));
/// }
/// assert_eq!(latencies.count(), 100);
/// assert!(latencies.quantile(0.99).as_nanos().abs_diff(99_000) < 1_000);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Empty, or one count per bucket.
    counts: Vec<u64>,
}

/// The bucket for `ns`.
#[inline]
const fn bucket_of(ns: u64) -> usize {
    let last = (1 << BITS) - 1;
    let ns = if ns > last { last } else { ns };
    let bits = u64::BITS - ns.leading_zeros();
    let range = bits.saturating_sub(SHIFT);
    let place = ns >> range.saturating_sub(1) & ((1 << SHIFT) - 1);
    (range as usize) << SHIFT | place as usize
}

/// The shortest duration in `bucket`, in ns.
const fn start_of(bucket: usize) -> u64 {
    let (range, place) = (bucket as u64 >> SHIFT, bucket as u64 & ((1 << SHIFT) - 1));
    match range {
        0 => place,
        range => (1 << SHIFT | place) << (range - 1),
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        self.counts.resize(BUCKETS, 0);
        self.counts[bucket_of(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))] += 1;
    }

    /// Adds what `other` has counted.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(BUCKETS, 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The length that a share `q` of the durations, from 0 to 1, did not exceed: 0.5 for the median, 0.99 for the 99th percentile.
    /// The upper end of its bucket; zero if nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = ((self.count() as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        for (range, count) in self.buckets() {
            below += count;
            if below >= rank {
                return range.end - Duration::from_nanos(1);
            }
        }
        Duration::ZERO
    }

    /// The buckets that hold anything, shortest durations first, each with how many.
    pub fn buckets(&self) -> impl Iterator<Item = (Range<Duration>, u64)> + '_ {
        let at = |bucket| Duration::from_nanos(start_of(bucket));
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(move |(bucket, count)| (at(bucket)..at(bucket + 1), *count))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.quantile(1.0))
            .finish()
    }
}

/// Counts on one core, for all to see.
pub(crate) struct Recorder(Box<[AtomicU64]>);

impl Default for Recorder {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Recorder {
    /// Counts a duration of `ns`. Called by one thread at a time.
    #[inline]
    pub(crate) fn record(&self, ns: u64) {
        // Relaxed, and no read-modify-write: one thread writes, and what others read guards no memory.
        let count = &self.0[bucket_of(ns)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Forgets all. Called by the thread that records.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Adds what was counted to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Histogram) {
        sum.counts.resize(BUCKETS, 0);
        sum.counts.iter_mut().zip(&self.0).for_each(|(sum, count)| *sum += count.load(Ordering::Relaxed));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Buckets follow each other without a gap, and none is wider than 1/128 of what it holds.
    #[test]
    fn buckets_cover_all_durations_in_order() {
        for bucket in 0..BUCKETS {
            let (start, end) = (start_of(bucket), start_of(bucket + 1));
            assert_eq!((bucket_of(start), bucket_of(end - 1)), (bucket, bucket), "{start}..{end}");
            assert!((end - start) << SHIFT <= start.max(1 << SHIFT), "{start}..{end}");
        }
        assert_eq!((bucket_of(u64::MAX), start_of(BUCKETS)), (BUCKETS - 1, 1 << BITS));
    }

    #[test]
    fn nothing_counted_has_no_quantiles() {
        let empty = Histogram::default();
        assert_eq!((empty.count(), empty.quantile(0.5), empty.buckets().count()), (0, Duration::ZERO, 0));
    }

    proptest! {
        /// Against a sorted list.
        #[test]
        fn quantiles_are_those_of_the_durations(mut all in prop::collection::vec(0..1_u64 << 39, 1..200), q in 0.0..=1.0_f64) {
            let (recorder, mut by_hand, mut found) = (Recorder::default(), Histogram::default(), Histogram::default());
            for ns in &all {
                recorder.record(*ns);
                by_hand.record(Duration::from_nanos(*ns));
            }
            recorder.add_to(&mut found);
            prop_assert_eq!(&found, &by_hand);
            all.sort_unstable();
            let exact = all[((all.len() as f64 * q).ceil() as usize).max(1) - 1];
            let said = found.quantile(q).as_nanos() as u64;
            prop_assert!(said >= exact && said - exact <= exact >> SHIFT, "{said} for {exact}");
            prop_assert_eq!(found.count(), all.len() as u64);
            found.add(&by_hand);
            prop_assert_eq!(found.count(), 2 * all.len() as u64);
        }
    }
}
