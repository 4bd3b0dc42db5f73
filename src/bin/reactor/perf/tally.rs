//! What the tasks of one job count: I/Os, their latencies, errors. One per device and core.
//!
//! Stays on its core; [`Live`] is the part that the progress line reads from elsewhere.

use crate::report::{Job, Latency, rate, tenths};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Messages that are kept of the errors of a job. The others are counted.
const MESSAGES_MAX: usize = 8;
/// Latencies are told apart up to an hour, in three digits.
const LATENCY_NS_MAX: u64 = 3_600 * 1_000_000_000;

/// Counters that other threads may read while the job runs. Written by one core each.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Live {
    pub(super) ios: AtomicU64,
    pub(super) errors: AtomicU64,
}

/// The counters of one job.
pub(super) struct Tally {
    live: Arc<Live>,
    latencies_ns: RefCell<Histogram<u64>>,
    ios: Cell<u64>,
    sum_ns: Cell<u64>,
    errors: Cell<u64>,
    messages: RefCell<Vec<String>>,
}

/// What a job brings home.
pub(crate) struct Outcome {
    pub(super) row: Job,
    pub(super) messages: Vec<String>,
}

impl Tally {
    pub(super) fn new(live: Arc<Live>) -> Self {
        let latencies =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("bounds that a histogram takes");
        Self {
            live,
            latencies_ns: RefCell::new(latencies),
            ios: Cell::new(0),
            sum_ns: Cell::new(0),
            errors: Cell::new(0),
            messages: RefCell::default(),
        }
    }

    /// `count` I/Os have been answered, and took `ns` together, one after the other.
    #[inline]
    pub(super) fn count(&self, count: u64, ns: u64) {
        self.ios.set(self.ios.get() + count);
        self.sum_ns.set(self.sum_ns.get() + ns);
        self.latencies_ns.borrow_mut().saturating_record_n(if count == 1 { ns } else { ns / count }, count);
        // Relaxed: a number on a progress line, with one writer.
        self.live.ios.store(self.ios.get(), Ordering::Relaxed);
    }

    /// An I/O failed, or a block came back wrong.
    #[cold]
    pub(super) fn error(&self, message: String) {
        self.errors.set(self.errors.get() + 1);
        self.live.errors.store(self.errors.get(), Ordering::Relaxed);
        let mut messages = self.messages.borrow_mut();
        if messages.len() < MESSAGES_MAX {
            messages.push(message);
        }
    }

    /// The row of the table.
    pub(super) fn outcome(self, bdev: String, core: usize, io_bytes: usize, elapsed: Duration) -> Outcome {
        let latencies = self.latencies_ns.into_inner();
        let ios = self.ios.get();
        // To the nanosecond.
        let us = |ns: f64| ns.round() / 1_000.0;
        let at = |quantile| us(latencies.value_at_quantile(quantile) as f64);
        let iops = rate(ios, elapsed);
        let row = Job {
            bdev,
            core,
            iops: tenths(iops),
            mib_per_s: tenths(iops * io_bytes as f64 / f64::from(1 << 20)),
            lat_us: Latency {
                avg: if ios == 0 { 0.0 } else { us(self.sum_ns.get() as f64 / ios as f64) },
                p50: at(0.5),
                p99: at(0.99),
                p999: at(0.999),
                max: us(latencies.max() as f64),
            },
            errors: self.errors.get(),
        };
        let mut messages = self.messages.into_inner();
        let more = row.errors.saturating_sub(messages.len() as u64);
        if more > 0 {
            messages.push(format!("and {more} more like these"));
        }
        Outcome { row, messages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_follows_from_what_was_counted() {
        let tally = Tally::new(Arc::default());
        tally.count(98, 98 * 1_000);
        tally.count(1, 51_000);
        tally.count(1, 101_000);
        let row = tally.outcome("null".into(), 1, 4096, Duration::from_millis(100)).row;
        assert_eq!((row.iops, row.mib_per_s, row.errors), (1_000.0, 3.9, 0));
        let Latency { avg, p50, p99, p999, max } = row.lat_us;
        assert_eq!((avg, p50), (2.5, 1.0));
        assert!(
            (50.9..51.1).contains(&p99) && (100.9..101.1).contains(&p999) && p999 <= max,
            "{:?}",
            row.lat_us
        );
    }

    #[test]
    fn nothing_counted_is_zero_and_not_a_number() {
        let row = Tally::new(Arc::default()).outcome("null".into(), 0, 4096, Duration::ZERO).row;
        assert_eq!((row.iops, row.mib_per_s, row.lat_us.avg, row.lat_us.max), (0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn many_errors_keep_the_first_messages_and_the_count() {
        let tally = Tally::new(Arc::default());
        (0..20).for_each(|n| tally.error(format!("block {n}")));
        let outcome = tally.outcome("ram".into(), 0, 512, Duration::from_secs(1));
        assert_eq!((outcome.row.errors, outcome.messages.len()), (20, MESSAGES_MAX + 1));
        assert_eq!(outcome.messages[MESSAGES_MAX], "and 12 more like these");
    }
}
