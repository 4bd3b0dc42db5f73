//! How long I/Os are held back: [`Delays`] by kind of I/O, each a [`Latency`], and what a spec says of them.

use std::time::Duration;

use crate::bdev::Op;
use crate::bdev::modules::spec::{Args, Fault, time};

/// Which I/Os take how much longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delays {
    /// Reads and comparisons.
    pub reads: Latency,
    /// What [changes](Op::is_change) the device.
    pub changes: Latency,
    /// All else, such as a flush.
    pub others: Latency,
}

impl Delays {
    /// No delay at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The same for reads and changes, and none for all else.
    #[must_use]
    pub fn of(latency: Latency) -> Self {
        Self { reads: latency, changes: latency, others: Latency::default() }
    }

    /// The same with other delays of reads.
    #[must_use]
    pub fn with_reads(self, reads: Latency) -> Self {
        Self { reads, ..self }
    }

    /// The same with other delays of changes.
    #[must_use]
    pub fn with_changes(self, changes: Latency) -> Self {
        Self { changes, ..self }
    }

    /// The same with other delays of all else.
    #[must_use]
    pub fn with_others(self, others: Latency) -> Self {
        Self { others, ..self }
    }

    pub(super) fn of_op(&self, op: Op) -> &Latency {
        match op {
            Op::Read | Op::Compare => &self.reads,
            op if op.is_change() => &self.changes,
            _ => &self.others,
        }
    }
}

/// How long one I/O takes: a time, and other times for the slowest of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    usual: Duration,
    /// How many of `WHOLE` are faster than this, and the time of the others, in order. Unused ones share zero at the front.
    tails: [(u32, Duration); TAILS],
}

/// As many percentiles as a spec has names for.
const TAILS: usize = 6;
/// What an I/O draws its place from.
pub(super) const WHOLE: u32 = 1_000_000;

impl Latency {
    /// `usual` for every I/O.
    #[must_use]
    pub fn fixed(usual: Duration) -> Self {
        Self { usual, ..Self::default() }
    }

    /// The same with `latency` for those I/Os that are slower than `percentile` percent of them: with 99.0, for one in a hundred.
    ///
    /// # Panics
    /// If it is not between 0 and 100, or the seventh.
    #[must_use]
    pub fn with_percentile(mut self, percentile: f64, latency: Duration) -> Self {
        let share = share_of(percentile);
        assert!(share > 0 && share < WHOLE, "{percentile} percent are not between 0 and 100");
        let place = self.tails.iter().position(|(known, _)| *known == share);
        // Unused ones are in front.
        let place = place.unwrap_or(0);
        assert!([0, share].contains(&self.tails[place].0), "a latency has at most {TAILS} percentiles");
        self.tails[place] = (share, latency);
        self.tails.sort_by_key(|(share, _)| *share);
        self
    }

    /// The time of an I/O that drew `place` of `WHOLE`.
    #[inline]
    pub(super) fn at(&self, place: u32) -> Duration {
        let slower = self.tails.iter().rev().find(|(share, _)| *share != 0 && *share <= place);
        slower.map_or(self.usual, |(_, latency)| *latency)
    }
}

/// How many of `WHOLE` are faster.
fn share_of(percentile: f64) -> u32 {
    (percentile * f64::from(WHOLE) / 100.0).round() as u32
}

/// Percentiles by the name that a spec calls them.
const PERCENTILES: [(&str, f64); TAILS] =
    [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9), ("p9999", 99.99)];

/// `avg=100us,p99=1ms`, with `read_`, `write_` or `other_` before it for those alone, or just a time.
pub(super) fn parse(args: &mut Args<'_>) -> Result<Delays, Fault> {
    let mut all = Latency::default();
    if let Some(usual) = args.bare() {
        all.usual = usual.duration()?;
    }
    read(args, "", &mut all)?;
    let mut delays = Delays::of(all);
    read(args, "read_", &mut delays.reads)?;
    read(args, "write_", &mut delays.changes)?;
    read(args, "other_", &mut delays.others)?;
    Ok(delays)
}

/// What stands behind keys that begin with `prefix`.
fn read(args: &mut Args<'_>, prefix: &str, latency: &mut Latency) -> Result<(), Fault> {
    if let Some(usual) = args.get(&format!("{prefix}avg")) {
        latency.usual = usual.duration()?;
    }
    for (name, percentile) in PERCENTILES {
        if let Some(value) = args.get(&format!("{prefix}{name}")) {
            *latency = latency.with_percentile(percentile, value.duration()?);
        }
    }
    Ok(())
}

/// The way back: what stands between the kind and its parenthesis. None if there is a percentile that has no name.
pub(super) fn spec(delays: &Delays) -> Option<String> {
    let Delays { reads, changes, others } = delays;
    let mut text = String::new();
    for (prefix, latency) in [("read_", reads), ("write_", changes), ("other_", others)] {
        let mut add = |key: &str, value| {
            text.push(if text.is_empty() { ':' } else { ',' });
            text += &format!("{prefix}{key}={}", time(value));
        };
        if !latency.usual.is_zero() {
            add("avg", latency.usual);
        }
        for (share, value) in latency.tails.iter().filter(|(share, _)| *share != 0) {
            let is_it = |(_, percentile): &&(&str, f64)| share_of(*percentile) == *share;
            add(PERCENTILES.iter().find(is_it)?.0, *value);
        }
    }
    Some(text)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn percentiles_are_in_any_order_and_the_last_word_counts() {
        let a = Latency::fixed(US).with_percentile(99.9, 9 * US).with_percentile(50.0, 5 * US);
        let b = Latency::fixed(US).with_percentile(50.0, 4 * US).with_percentile(99.9, 9 * US);
        assert_eq!(a, b.with_percentile(50.0, 5 * US));
        for (place, us) in [(0, 1), (499_999, 1), (500_000, 5), (998_999, 5), (999_000, 9), (999_999, 9)] {
            assert_eq!(a.at(place), us * US, "{place}");
        }
    }
}
