//! A device's account: what its channels count, those that there are and those that have gone.
//!
//! Each channel is entered from its beginning to its end. Looking waits for no core: the tallies of all lie open.

use std::ops::Deref;
use std::sync::Arc;

use super::device::Device;
use super::tally::Tally;
use super::{Descriptor, Histograms, IoStats, ResetStats, Timing};

/// A part of `device`'s [`Life`](super::device::Life).
#[derive(Default)]
pub(super) struct Accounts {
    open: Vec<Arc<Tally>>,
    closed: IoStats,
    /// Made with the first channel that brings any.
    closed_histograms: Option<Box<Histograms>>,
}

impl Accounts {
    fn close(&mut self, tally: &Arc<Tally>) {
        self.open.retain(|open| !Arc::ptr_eq(open, tally));
        // What is forgotten in flight is in flight no more.
        self.closed.add(&IoStats { in_flight: 0, ..tally.stats() });
        let mut histograms = self.closed_histograms.take().unwrap_or_default();
        tally.add_histograms(&mut histograms);
        let is_empty = histograms.each().iter().all(|histogram| histogram.count() == 0);
        self.closed_histograms = (!is_empty).then_some(histograms);
    }

    fn stats(&self) -> IoStats {
        let mut stats = self.closed;
        self.open.iter().for_each(|tally| stats.add(&tally.stats()));
        stats
    }

    fn histograms(&self) -> Histograms {
        let mut histograms = self.closed_histograms.as_deref().cloned().unwrap_or_default();
        self.open.iter().for_each(|tally| tally.add_histograms(&mut histograms));
        histograms
    }

    /// How many I/Os are in flight.
    pub(super) fn depth(&self) -> u64 {
        self.open.iter().map(|tally| tally.in_flight()).sum()
    }

    fn reset(&mut self, what: ResetStats) {
        self.open.iter().for_each(|tally| tally.reset(what));
        match what {
            ResetStats::All => {
                self.closed = IoStats::default();
                self.closed_histograms = None;
            }
            ResetStats::Extremes => {
                for latency in self.closed.latency.each_mut() {
                    (latency.min, latency.max) = Default::default();
                }
            }
        }
    }
}

/// A channel's own tally, entered with its device.
pub(super) struct Account {
    device: Arc<Device>,
    tally: Arc<Tally>,
}

impl Account {
    pub(super) fn open(device: &Arc<Device>) -> Self {
        let tally = Arc::<Tally>::default();
        device.life().accounts.open.push(tally.clone());
        Self { device: device.clone(), tally }
    }
}

impl Deref for Account {
    type Target = Tally;
    #[inline(always)]
    fn deref(&self) -> &Tally {
        &self.tally
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.device.life().accounts.close(&self.tally);
    }
}

impl Descriptor {
    /// What the device has done for all descriptors, on all cores: SPDK's `spdk_bdev_get_device_stat`. Reads what each core counts
    /// and waits for none; may be called on any thread.
    ///
    /// ```
    /// use reactor::bdev::{self, Access, Timing};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
    /// disk.set_timing(Timing::Histograms);
    /// disk.channel()?.read(0..8).await?;
    /// let stats = disk.stats();
    /// assert_eq!((stats.reads, stats.read_bytes, stats.latency.read.count), (1, 4096, 1));
    /// assert!(stats.latency.read.mean() <= disk.histograms().read.quantile(0.5));
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn stats(&self) -> IoStats {
        self.device().life().accounts.stats()
    }

    /// How long the I/Os took that completed while [histograms](Timing::Histograms) were on, on all cores. What was counted stays
    /// when they are switched off, until it is [reset](Self::reset_stats).
    #[must_use]
    pub fn histograms(&self) -> Histograms {
        self.device().life().accounts.histograms()
    }

    /// Forgets what was counted so far for the device and each of its channels, except what is in flight.
    pub fn reset_stats(&self, what: ResetStats) {
        self.device().life().accounts.reset(what);
    }

    /// Measures from now on how long the device's I/O takes, on all cores: SPDK's `spdk_bdev_histogram_enable`, and its latencies,
    /// which are off here where the device is in memory. What a device begins with its module [says](super::Bdev::timing).
    pub fn set_timing(&self, timing: Timing) {
        self.device().set_timing(timing);
    }

    /// What is measured.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.device().timing()
    }
}
