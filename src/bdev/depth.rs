//! How many I/Os a device has in flight, looked at every so often: [`QueueDepth`].
//!
//! A task on the core that asked for it looks; no I/O pays.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::device::Device;
use super::{Descriptor, Error, Result};
use crate::NotOnReactor;
use crate::reactor::{context, spawn_local};
use crate::time::{Instant, sleep_until};

/// What was found since sampling began, from [`Descriptor::queue_depth`]. What waits to be let in is not in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct QueueDepth {
    /// The time from one sample to the next.
    pub period: Duration,
    /// How many samples were taken.
    pub samples: u64,
    /// I/Os in flight at the last one.
    pub current: u64,
    /// The most at any.
    pub max: u64,
    /// The mean of all.
    pub mean: f64,
    /// The time of the samples that found any: SPDK's `io_time`.
    pub busy: Duration,
    /// The same, times the I/Os found: SPDK's `weighted_io_time`. Over [`busy`](Self::busy) it is the mean depth of a busy device.
    pub weighted: Duration,
}

/// Samples a device, as long as the device has it.
#[derive(Default)]
pub(super) struct Sampler {
    found: Mutex<Found>,
}

#[derive(Default, Clone, Copy)]
struct Found {
    depth: QueueDepth,
    sum: u64,
}

/// No shorter: a look asks every channel.
const PERIOD_LEAST: Duration = Duration::from_micros(10);

impl Descriptor {
    /// Samples every `period` how many I/Os the device has in flight, on all cores, from now on, or not any more: SPDK's
    /// `spdk_bdev_set_qd_sampling_period`. It begins anew, whatever was found before.
    ///
    /// The calling core does it for as long as the device is there; when that core ends, the samples do.
    ///
    /// ```
    /// use reactor::bdev::{self, Access};
    /// use std::time::Duration;
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
    /// disk.sample_queue_depth(Some(Duration::from_millis(1)))?;
    /// reactor::time::sleep(Duration::from_millis(3)).await;
    /// let depth = disk.queue_depth().expect("it is sampled");
    /// assert_eq!((depth.current, depth.busy), (0, Duration::ZERO));
    /// disk.sample_queue_depth(None)?;
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::BadPeriod`] below 10 µs; [`Error::NotOnReactor`] with a period, on a thread that is turning none.
    pub fn sample_queue_depth(&self, period: Option<Duration>) -> Result<()> {
        let Some(period) = period else {
            self.device().set_sampler(None);
            return Ok(());
        };
        if period < PERIOD_LEAST {
            return Err(Error::BadPeriod { given: period, least: PERIOD_LEAST });
        }
        let begin = context::try_with(|core| core.timers.now());
        let begin = begin.ok_or(NotOnReactor { what: "bdev::Descriptor::sample_queue_depth" })?;
        let sampler = Arc::<Sampler>::default();
        sampler.update(|found| found.depth.period = period);
        let task = sample(Arc::downgrade(&sampler), Arc::downgrade(self.device()), begin, period);
        self.device().set_sampler(Some(sampler));
        spawn_local(task).detach();
        Ok(())
    }

    /// What was found; none if the depth is not sampled.
    #[must_use]
    pub fn queue_depth(&self) -> Option<QueueDepth> {
        self.device().sampler().map(|sampler| sampler.update(|found| found.depth))
    }
}

impl Sampler {
    fn update<R>(&self, f: impl FnOnce(&mut Found) -> R) -> R {
        f(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Found {
    /// Takes note of `current` I/Os in flight, for the time since the sample before.
    fn sample(&mut self, current: u64, elapsed: Duration) {
        self.sum += current;
        let depth = &mut self.depth;
        depth.samples += 1;
        depth.current = current;
        depth.max = depth.max.max(current);
        depth.mean = self.sum as f64 / depth.samples as f64;
        if current > 0 {
            depth.busy += elapsed;
            depth.weighted += elapsed.saturating_mul(u32::try_from(current).unwrap_or(u32::MAX));
        }
    }
}

/// Takes samples until the device has another sampler, or is gone. Neither is kept while this sleeps.
async fn sample(sampler: Weak<Sampler>, device: Weak<Device>, begin: Instant, period: Duration) {
    let (mut last, mut next) = (begin, begin + period);
    loop {
        sleep_until(next).await;
        let (Some(sampler), Some(device)) = (sampler.upgrade(), device.upgrade()) else { return };
        let (now, current) = (Instant::now(), device.life().accounts.depth());
        sampler.update(|found| found.sample(current, now - last));
        // From when it should have been, unless this core was late by whole periods.
        let due = next + period;
        (last, next) = (now, if due > now { due } else { now + period });
    }
}
