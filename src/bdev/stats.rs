//! What is known of the I/O of a channel or a device: [`IoStats`], and how long it took.
//!
//! Kept in `tally` by each channel, added up over a device in `accounts`.

use std::time::Duration;

use super::Op;
use crate::metrics::Histogram;

/// Counters of one channel, from [`Channel::stats`](super::Channel::stats), or of all channels that a device has and has had, from
/// [`Descriptor::stats`](super::Descriptor::stats).
///
/// An I/O counts where its caller asked for it, once: what the layer splits or does by other operations is one. What is counted is
/// I/O since the last [reset](super::Descriptor::reset_stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoStats {
    /// Reads completed, failed ones included.
    pub reads: u64,
    /// Bytes of the reads that succeeded.
    pub read_bytes: u64,
    /// Writes completed, failed ones included.
    pub writes: u64,
    /// Bytes of the writes that succeeded.
    pub written_bytes: u64,
    /// Flushes completed, failed ones included.
    pub flushes: u64,
    /// Unmaps completed, failed ones included.
    pub unmaps: u64,
    /// Bytes of the unmaps that succeeded.
    pub unmapped_bytes: u64,
    /// Write-zeroes completed, failed ones included.
    pub zeroings: u64,
    /// Bytes of the write-zeroes that succeeded.
    pub zeroed_bytes: u64,
    /// Copies completed, failed ones included.
    pub copies: u64,
    /// Bytes of the copies that succeeded.
    pub copied_bytes: u64,
    /// Operations of all other kinds completed, failed ones included.
    pub others: u64,
    /// I/Os that failed after they were accepted.
    pub errors: u64,
    /// I/Os whose caller dropped the future before they completed.
    pub dropped: u64,
    /// I/Os accepted and not completed. Looked at from another core than theirs, it may be off by what begins and ends meanwhile.
    pub in_flight: u64,
    /// How long the I/O took that completed while that was [measured](super::Descriptor::set_timing).
    pub latency: Latencies,
}

/// How long I/O took, by kind.
pub type Latencies = ByKind<LatencyTotals>;

/// How long I/O took, by kind, one by one: from [`Descriptor::histograms`](super::Descriptor::histograms).
pub type Histograms = ByKind<Histogram>;

/// One of something for each kind of operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByKind<T> {
    /// Of reads.
    pub read: T,
    /// Of writes.
    pub write: T,
    /// Of flushes.
    pub flush: T,
    /// Of unmaps and write-zeroes.
    pub unmap: T,
    /// Of all other operations.
    pub other: T,
}

/// How long some I/Os took, failed ones included: from when the device was asked, a buffer at hand, until the caller's future was
/// ready. Waiting to be let in by a [limit](super::Descriptor::set_limits) or a [quiesced](super::Descriptor::quiesce) device is part
/// of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyTotals {
    /// I/Os measured.
    pub count: u64,
    /// The sum of their times.
    pub total: Duration,
    /// The shortest; zero if there was none.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// How much is measured of the time that I/O takes: see [`Descriptor::set_timing`](super::Descriptor::set_timing).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timing {
    /// Nothing, at no cost.
    #[default]
    Off,
    /// Count, sum, shortest and longest. Each I/O reads the clock twice.
    Totals,
    /// The same, and histograms: some 35 KiB per channel and kind of operation in use, from the first I/O on.
    Histograms,
}

/// What [`Descriptor::reset_stats`](super::Descriptor::reset_stats) forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetStats {
    /// Everything.
    All,
    /// The shortest and the longest latencies.
    Extremes,
}

impl LatencyTotals {
    /// The average; zero if there was none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let ns = self.total.as_nanos().checked_div(self.count.into()).unwrap_or(0);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.total = self.total.saturating_add(other.total);
        self.max = self.max.max(other.max);
        self.min = match (self.min, other.min) {
            // None, except by a clock that stands still.
            (Duration::ZERO, min) | (min, Duration::ZERO) => min,
            (a, b) => a.min(b),
        };
    }
}

/// The kinds that times are kept of, in the order of [`ByKind`].
pub(super) const KINDS: usize = 5;

/// The kind of `op`.
#[inline]
pub(super) fn kind_of(op: Op) -> usize {
    match op {
        Op::Read => 0,
        Op::Write => 1,
        Op::Flush => 2,
        Op::Unmap | Op::WriteZeroes => 3,
        _ => 4,
    }
}

impl<T> ByKind<T> {
    pub(super) fn each_mut(&mut self) -> [&mut T; KINDS] {
        let Self { read, write, flush, unmap, other } = self;
        [read, write, flush, unmap, other]
    }

    pub(super) fn each(&self) -> [&T; KINDS] {
        let Self { read, write, flush, unmap, other } = self;
        [read, write, flush, unmap, other]
    }
}
