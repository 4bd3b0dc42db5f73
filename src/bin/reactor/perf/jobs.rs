//! The jobs of a run: one on each core for each disk, all at the same time, until the time is over or Ctrl-C.

use super::job::{self, Disk, Place, Work};
use super::tally::{Live, Outcome};
use crate::args::{Load, Rw};
use crate::failure::Failure;
use crate::progress::Progress;
use reactor::{AbortOnDrop, JoinHandle, app};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where each core gets its disk from.
pub(crate) trait Source: Clone + Send + 'static {
    type Disk: Disk;

    /// The disk as the calling core reaches it.
    async fn disk(&self) -> Result<Self::Disk, Failure>;
}

/// Jobs that run.
pub(crate) struct Jobs {
    work: Work,
    stop: Arc<AtomicBool>,
    lives: Vec<Arc<Live>>,
    running: Vec<(String, JoinHandle<Result<Outcome, Failure>>)>,
    _watcher: AbortOnDrop<()>,
}

impl Jobs {
    /// None so far. From here on the first Ctrl-C ends the measurement, and what was measured is still reported.
    pub(crate) fn new(load: &Load) -> Self {
        let work = Work {
            rw: load.rw,
            reads: load.rwmixread.unwrap_or(50),
            io_bytes: load.bs,
            queue_depth: load.qd,
            time: load.time,
            seed: seed(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let watched = stop.clone();
        let watcher = reactor::spawn_local(async move {
            let _held_until_reported = app::shutdown_requested().await;
            // Relaxed: the flag says nothing about other memory.
            watched.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        });
        Self { work, stop, lives: Vec::new(), running: Vec::new(), _watcher: watcher.abort_on_drop() }
    }

    /// What ends them all early, once it is true.
    pub(crate) fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Starts a job on each core.
    pub(crate) fn start(&mut self, name: &str, source: impl Source) {
        let count = reactor::cores().len();
        for (index, core) in reactor::cores().enumerate() {
            let live = Arc::new(Live::default());
            self.lives.push(live.clone());
            let place = Place { bdev: name.to_owned(), index, count };
            let (source, work, stop) = (source.clone(), self.work, self.stop.clone());
            let job = reactor::call_on(core, async move || {
                let disk = source.disk().await?;
                job::run(disk, work, place, live, stop).await
            });
            self.running.push((name.to_owned(), job));
        }
    }

    /// What they bring home, when all have ended.
    pub(crate) async fn finish(self) -> Result<Vec<Outcome>, Failure> {
        let lives = self.lives;
        let read = move || {
            let sum = |get: fn(&Live) -> u64| lives.iter().map(|live| get(live)).sum();
            (sum(|live| live.ios.load(Ordering::Relaxed)), sum(|live| live.errors.load(Ordering::Relaxed)))
        };
        let _progress = Progress::start(self.work.time, "IOPS", read);
        let mut outcomes = Vec::new();
        let mut failure = None;
        for (name, job) in self.running {
            match job.await.map_err(|e| Failure::at(name, &e)).and_then(|ended| ended) {
                Ok(outcome) => outcomes.push(outcome),
                Err(e) => {
                    // The others need not go on; what they have in flight is still awaited.
                    self.stop.store(true, Ordering::Relaxed);
                    failure.get_or_insert(e);
                }
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(outcomes),
        }
    }
}

/// Whether `load` can be done on a disk of that shape, by all cores of this runtime.
pub(crate) fn must_fit(load: &Load, name: &str, block_bytes: u32, blocks: u64) -> Result<(), Failure> {
    let (bytes, cores) = (load.bs as u64, reactor::cores().len());
    let len = blocks.saturating_mul(block_bytes.into());
    let units = len / bytes;
    let usage = |message| Err(Failure::Usage(message));
    if bytes % u64::from(block_bytes) != 0 {
        return usage(format!(
            "--bs {bytes} does not fit {name}, whose blocks have {block_bytes} bytes: give a multiple of that"
        ));
    }
    if units == 0 {
        return usage(format!("--bs {bytes} does not fit {name}, which has {len} bytes: give less"));
    }
    let needs_shares = matches!(load.rw, Rw::Read | Rw::Write | Rw::Verify);
    if needs_shares && units < cores as u64 {
        return usage(format!(
            "{name} is too small to be divided among {cores} cores: it has room for {units} I/Os of {bytes} bytes"
        ));
    }
    Ok(())
}

/// Different in every run, so that what an earlier one wrote is not taken for this one's.
fn seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) as u32
}
