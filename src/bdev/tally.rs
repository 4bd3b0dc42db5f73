//! What one channel counts: written on its own core, for all to see.
//!
//! The counters are atomics so that a device's can be added up from any thread, and are loaded and stored like plain words: one core
//! writes. What must not be forgotten by that core while another resets is never written by the other: a reset of the counters
//! is a base that looks subtract, one of the times a wish that the owner grants with the next I/O.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::stats::{KINDS, kind_of};
use super::{Histograms, IoStats, Latencies, LatencyTotals, Op, ResetStats};
use crate::metrics::Recorder;

const OPS: usize = Op::ALL.len();

/// The counters of one channel. Alone in its cache lines: what one core writes for every I/O, no other reads for its own.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Tally {
    begun: AtomicU64,
    /// By operation, failed ones included.
    completed: [AtomicU64; OPS],
    /// By operation, of those that succeeded.
    bytes: [AtomicU64; OPS],
    errors: AtomicU64,
    dropped: AtomicU64,
    /// What was counted before the last reset.
    base: Mutex<Option<Box<Counts>>>,
    times: OnceLock<Box<Times>>,
}

/// Adds to what only the calling thread writes.
#[inline(always)]
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    // Relaxed: the numbers guard no memory.
    counter.load(Ordering::Relaxed)
}

impl Tally {
    /// An I/O was accepted. Returns its serial: no two of a channel have the same.
    #[inline(always)]
    pub(super) fn begin(&self) -> u64 {
        bump(&self.begun, 1);
        self.begun.load(Ordering::Relaxed)
    }

    /// An accepted I/O over `bytes` has completed.
    #[inline(always)]
    pub(super) fn complete(&self, op: Op, bytes: u64, is_ok: bool) {
        bump(&self.completed[op as usize], 1);
        if is_ok {
            bump(&self.bytes[op as usize], bytes);
        } else {
            self.fail();
        }
    }

    #[cold]
    fn fail(&self) {
        bump(&self.errors, 1);
    }

    /// The caller of an accepted I/O has gone.
    pub(super) fn give_up(&self) {
        bump(&self.dropped, 1);
    }

    /// An I/O took `ns`.
    pub(super) fn took(&self, op: Op, ns: u64, is_listed: bool) {
        self.times.get_or_init(Box::default).record(kind_of(op), ns, is_listed);
    }

    pub(super) fn in_flight(&self) -> u64 {
        // What has ended first: it had begun.
        let ended = self.completed.iter().map(get).sum::<u64>() + get(&self.dropped);
        get(&self.begun).saturating_sub(ended)
    }

    fn base(&self) -> MutexGuard<'_, Option<Box<Counts>>> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything but the histograms.
    pub(super) fn stats(&self) -> IoStats {
        let mut stats = self.counts().stats();
        stats.in_flight = self.in_flight();
        if let Some(times) = self.times.get() {
            times.add_to(&mut stats.latency);
        }
        stats
    }

    fn counts(&self) -> Counts {
        let base = self.base();
        let all = self.all_counts();
        base.as_ref().map_or(all, |base| all.since(base))
    }

    fn all_counts(&self) -> Counts {
        Counts {
            completed: self.completed.each_ref().map(get),
            bytes: self.bytes.each_ref().map(get),
            errors: get(&self.errors),
            dropped: get(&self.dropped),
        }
    }

    pub(super) fn add_histograms(&self, sum: &mut Histograms) {
        if let Some(times) = self.times.get() {
            times.add_histograms(sum);
        }
    }

    /// Forgets, from any thread.
    pub(super) fn reset(&self, what: ResetStats) {
        if what == ResetStats::All {
            let mut base = self.base();
            *base = Some(Box::new(self.all_counts()));
        }
        if let Some(times) = self.times.get() {
            times.reset(what);
        }
    }
}

/// The counters of a [`Tally`] at one time.
#[derive(Clone, Copy)]
struct Counts {
    completed: [u64; OPS],
    bytes: [u64; OPS],
    errors: u64,
    dropped: u64,
}

impl Counts {
    fn since(&self, base: &Self) -> Self {
        let minus = |a: &[u64; OPS], b: &[u64; OPS]| std::array::from_fn(|op| a[op].saturating_sub(b[op]));
        Self {
            completed: minus(&self.completed, &base.completed),
            bytes: minus(&self.bytes, &base.bytes),
            errors: self.errors.saturating_sub(base.errors),
            dropped: self.dropped.saturating_sub(base.dropped),
        }
    }

    fn stats(&self) -> IoStats {
        let named = [Op::Read, Op::Write, Op::Flush, Op::Unmap, Op::WriteZeroes, Op::Copy];
        let others = Op::ALL.into_iter().filter(|op| !named.contains(op));
        let count = |op: Op| self.completed[op as usize];
        let bytes = |op: Op| self.bytes[op as usize];
        IoStats {
            reads: count(Op::Read),
            read_bytes: bytes(Op::Read),
            writes: count(Op::Write),
            written_bytes: bytes(Op::Write),
            flushes: count(Op::Flush),
            unmaps: count(Op::Unmap),
            unmapped_bytes: bytes(Op::Unmap),
            zeroings: count(Op::WriteZeroes),
            zeroed_bytes: bytes(Op::WriteZeroes),
            copies: count(Op::Copy),
            copied_bytes: bytes(Op::Copy),
            others: others.map(count).sum(),
            errors: self.errors,
            dropped: self.dropped,
            in_flight: 0,
            latency: Latencies::default(),
        }
    }
}

impl IoStats {
    /// Adds what another channel counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.read_bytes += other.read_bytes;
        self.writes += other.writes;
        self.written_bytes += other.written_bytes;
        self.flushes += other.flushes;
        self.unmaps += other.unmaps;
        self.unmapped_bytes += other.unmapped_bytes;
        self.zeroings += other.zeroings;
        self.zeroed_bytes += other.zeroed_bytes;
        self.copies += other.copies;
        self.copied_bytes += other.copied_bytes;
        self.others += other.others;
        self.errors += other.errors;
        self.dropped += other.dropped;
        self.in_flight += other.in_flight;
        self.latency.each_mut().into_iter().zip(other.latency.each()).for_each(|(sum, one)| sum.add(one));
    }
}

/// How long I/O took.
#[derive(Default)]
struct Times {
    /// Counts the resets that were asked for, those of everything in the upper half, those of the extremes in the lower.
    wanted: AtomicU64,
    /// The resets that were made. Until it is what is wanted, the rest is of no worth.
    made: AtomicU64,
    kinds: [OfKind; KINDS],
}

/// A reset of everything, in `wanted`.
const ALL: u64 = 1 << 32;

/// Of one kind.
struct OfKind {
    count: AtomicU64,
    total: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    histogram: OnceLock<Recorder>,
}

/// The shortest of no times.
const NONE: u64 = u64::MAX;

impl Default for OfKind {
    fn default() -> Self {
        Self {
            count: AtomicU64::default(),
            total: AtomicU64::default(),
            min: AtomicU64::new(NONE),
            max: AtomicU64::default(),
            histogram: OnceLock::new(),
        }
    }
}

impl Times {
    fn record(&self, kind: usize, ns: u64, is_listed: bool) {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted != self.made.load(Ordering::Relaxed) {
            self.forget(wanted);
        }
        let times = &self.kinds[kind];
        bump(&times.count, 1);
        bump(&times.total, ns);
        if ns < get(&times.min) {
            times.min.store(ns, Ordering::Relaxed);
        }
        if ns > get(&times.max) {
            times.max.store(ns, Ordering::Relaxed);
        }
        if is_listed {
            times.histogram.get_or_init(Recorder::default).record(ns);
        }
    }

    #[cold]
    fn forget(&self, wanted: u64) {
        let is_all = wanted / ALL != self.made.load(Ordering::Relaxed) / ALL;
        for times in &self.kinds {
            times.min.store(NONE, Ordering::Relaxed);
            times.max.store(0, Ordering::Relaxed);
            if is_all {
                times.count.store(0, Ordering::Relaxed);
                times.total.store(0, Ordering::Relaxed);
                if let Some(histogram) = times.histogram.get() {
                    histogram.clear();
                }
            }
        }
        // Release: who sees it by the Acquire in `holds` sees the zeroes.
        self.made.store(wanted, Ordering::Release);
    }

    /// Whether the sums hold, and whether the extremes do.
    fn holds(&self) -> (bool, bool) {
        let made = self.made.load(Ordering::Acquire);
        let wanted = get(&self.wanted);
        (made / ALL == wanted / ALL, made == wanted)
    }

    fn add_to(&self, sum: &mut Latencies) {
        let (is_summed, is_measured) = self.holds();
        for (sum, times) in sum.each_mut().into_iter().zip(&self.kinds) {
            let mut latency = LatencyTotals::default();
            if is_summed {
                latency.count = get(&times.count);
                latency.total = Duration::from_nanos(get(&times.total));
            }
            let min = get(&times.min);
            if is_measured && min != NONE {
                latency.min = Duration::from_nanos(min);
                latency.max = Duration::from_nanos(get(&times.max));
            }
            sum.add(&latency);
        }
    }

    fn add_histograms(&self, sum: &mut Histograms) {
        if self.holds().0 {
            for (sum, times) in sum.each_mut().into_iter().zip(&self.kinds) {
                times.histogram.get().into_iter().for_each(|histogram| histogram.add_to(sum));
            }
        }
    }

    fn reset(&self, what: ResetStats) {
        let by = match what {
            ResetStats::All => ALL,
            ResetStats::Extremes => 1,
        };
        self.wanted.fetch_add(by, Ordering::Relaxed);
    }
}
