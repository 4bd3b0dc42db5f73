//! One disk on one core: as many tasks as I/Os may be in flight, each doing one after the other.
//!
//! What the disk is does not matter, as long as it can be read and written: a channel to a block device, or to an NVMe namespace.
//! In the steady state nothing is allocated: a task reads into its own buffer again and again, and what it writes comes
//! from the core's pool and goes back there. Where it goes next is in `places`, for `verify` in `window`.

use super::pattern::Pass;
use super::places::{Places, Random, share};
use super::tally::{Live, Outcome, Tally};
use super::timing::Timing;
use super::window::{Phase, Step, Windows};
use crate::args::Rw;
use crate::failure::{Failure, chain};
use reactor::sys::dma::{AllocError, DmaBuf, DmaPool};
use reactor::time::Clock;
use std::cell::Cell;
use std::error::Error;
use std::fmt::Display;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Windows of a verification are at most this large, so that one can be read back soon after the time is over…
const WINDOW_BYTES: u64 = 16 << 20;
/// …and at most so many I/Os.
const WINDOW_IOS: u64 = 1_024;

/// What a job reads and writes, as its core reaches it.
pub(crate) trait Disk: 'static {
    fn block_bytes(&self) -> u32;

    fn block_count(&self) -> u64;

    /// Reads the blocks into a buffer of their size.
    fn read(
        &self,
        blocks: Range<u64>,
        buf: DmaBuf,
    ) -> impl Future<Output = Result<DmaBuf, impl Error + 'static>>;

    /// Writes the buffer from block `lba` on.
    fn write(&self, lba: u64, buf: DmaBuf) -> impl Future<Output = Result<(), impl Error + 'static>>;
}

/// What every job of a run does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) rw: Rw,
    /// Percentage of reads.
    pub(super) reads: u8,
    pub(super) io_bytes: usize,
    pub(super) queue_depth: u32,
    pub(super) time: Duration,
    pub(super) seed: u32,
}

/// Which of the jobs on a device this is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bdev: String,
    pub(super) index: usize,
    pub(super) count: usize,
}

struct Job<D> {
    name: String,
    work: Work,
    disk: D,
    pool: DmaPool,
    block_size: usize,
    /// Blocks per I/O.
    blocks: u64,
    clock: Clock,
    tally: Tally,
    /// In ticks; zero once an I/O has failed.
    deadline: Cell<u64>,
    stop: Arc<AtomicBool>,
}

/// Does `work` on `disk` until the time is over, `stop` is set or an I/O fails.
pub(super) async fn run<D: Disk>(
    disk: D,
    work: Work,
    place: Place,
    live: Arc<Live>,
    stop: Arc<AtomicBool>,
) -> Result<Outcome, Failure> {
    let blocks = work.io_bytes as u64 / u64::from(disk.block_bytes());
    let units = disk.block_count() / blocks;
    let pool = DmaPool::local();
    fill_pool(&pool, work).map_err(|e| no_buffers(&place.bdev, work, &e))?;

    let clock = Clock::tsc();
    let begin = clock.now_ticks();
    let job = Rc::new(Job {
        name: place.bdev,
        work,
        block_size: disk.block_bytes() as usize,
        disk,
        pool,
        blocks,
        deadline: Cell::new(begin.saturating_add(clock.ticks_of(work.time))),
        clock,
        tally: Tally::new(live),
        stop,
    });
    let own = share(units, place.index, place.count);
    let tasks: Vec<_> = if work.rw == Rw::Verify {
        let ios = (WINDOW_BYTES / work.io_bytes as u64).min(WINDOW_IOS).max(work.queue_depth.into());
        let windows = Rc::new(Windows::new(own, ios, work.seed));
        let verify = |_| reactor::spawn_local(verify(job.clone(), windows.clone()));
        (0..work.queue_depth).map(verify).collect()
    } else {
        let places = Rc::new(match work.rw {
            Rw::Read | Rw::Write => Places::in_order(own),
            _ => Places::AtRandom { count: units },
        });
        let transfer = |task| {
            let seed = u64::from(work.seed) << 32 | (place.index as u64) << 20 | u64::from(task);
            reactor::spawn_local(transfer(job.clone(), places.clone(), Random::new(seed)))
        };
        (0..work.queue_depth).map(transfer).collect()
    };
    for task in tasks {
        task.await.map_err(|e| Failure::at(&job.name, &e))?;
    }
    let elapsed = Duration::from_nanos(job.clock.ns_of(job.clock.now_ticks().saturating_sub(begin)));
    let job = Rc::into_inner(job).expect("the tasks that shared the job have ended");
    Ok(job.tally.outcome(job.name, reactor::Core::current().id(), work.io_bytes, elapsed))
}

/// Has the pool make all buffers at once, so that it is known whether they fit, and that none is all zeroes: some
/// devices do not write zeroes.
fn fill_pool(pool: &DmaPool, work: Work) -> Result<(), AllocError> {
    let mut buffers: Vec<_> =
        (0..work.queue_depth).map(|_| pool.try_alloc(work.io_bytes)).collect::<Result<_, _>>()?;
    for (number, buf) in (0..).zip(&mut buffers) {
        Pass { seed: work.seed, number: 0 }.fill(buf, number, work.io_bytes);
    }
    Ok(())
}

/// Says in terms of the command line that there is no memory for so many I/Os.
fn no_buffers(bdev: &str, work: Work, error: &AllocError) -> Failure {
    let (depth, bytes) = (work.queue_depth, work.io_bytes);
    match error {
        AllocError::Dry { limit, .. } | AllocError::OverLimit { limit, .. } => Failure::Run(format!(
            "{bdev}: {depth} I/Os of {bytes} bytes do not fit the buffer pool of a core, which has {limit} bytes: lower \
             --qd or --bs"
        )),
        error => Failure::at(bdev, error),
    }
}

/// A task of every kind of work but `verify`.
async fn transfer<D: Disk>(job: Rc<Job<D>>, places: Rc<Places>, mut random: Random) {
    let mut held = None;
    let mut timing = Timing::new(&job.clock, &job.tally);
    // The kind of work does not change: what depends on it costs a branch that is foretold.
    let reads = match job.work.rw {
        Rw::Read | Rw::RandRead => 100,
        Rw::RandMixed => job.work.reads,
        Rw::Write | Rw::RandWrite | Rw::Verify => 0,
    };
    while job.goes_on(timing.pace().await) {
        let blocks = job.blocks_of(places.next(&mut random));
        // What a read left is written next: tasks that hold one buffer and wait for a second could wait for each other.
        let buf = match held.take() {
            Some(buf) => buf,
            None => match job.buffer().await {
                Some(buf) => buf,
                None => return,
            },
        };
        if reads == 100 || (reads > 0 && random.chance(reads)) {
            match timing.time(pin!(job.disk.read(blocks.clone(), buf))).await {
                Ok(same) => held = Some(same),
                Err(e) => return job.failed("read", &blocks, &e),
            }
        } else if let Err(e) = timing.time(pin!(job.disk.write(blocks.start, buf))).await {
            return job.failed("write", &blocks, &e);
        }
    }
    timing.end_burst();
}

/// A task of `verify`.
async fn verify<D: Disk>(job: Rc<Job<D>>, windows: Rc<Windows>) {
    let mut held = None;
    let mut timing = Timing::new(&job.clock, &job.tally);
    while let Some(Step { phase, pass, unit }) = windows.take(|| job.goes_on(job.clock.now_ticks())).await {
        let blocks = job.blocks_of(unit);
        let mut buf = match held.take() {
            Some(buf) => buf,
            None => match job.buffer().await {
                Some(buf) => buf,
                None => return windows.stop(),
            },
        };
        match phase {
            Phase::Write => {
                pass.fill(&mut buf, blocks.start, job.block_size);
                timing.restart();
                let written = timing.time(pin!(job.disk.write(blocks.start, buf))).await;
                timing.end_burst();
                if let Err(e) = written {
                    job.failed("write", &blocks, &e);
                    return windows.stop();
                }
            }
            Phase::Read => {
                timing.restart();
                let answer = timing.time(pin!(job.disk.read(blocks.clone(), buf))).await;
                timing.end_burst();
                let buf = match answer {
                    Ok(buf) => buf,
                    Err(e) => {
                        job.failed("read", &blocks, &e);
                        return windows.stop();
                    }
                };
                pass.check(&buf, blocks.start, job.block_size, |mismatch| {
                    job.tally.error(format!("{}: {mismatch}", job.name));
                });
                held = Some(buf);
            }
        }
        windows.done();
        // A device that answers at once would keep the core to itself.
        reactor::yield_now().await;
    }
}

impl<D> Job<D> {
    #[inline]
    fn goes_on(&self, now: u64) -> bool {
        // Relaxed: nothing else is read because of it.
        now < self.deadline.get() && !self.stop.load(Ordering::Relaxed)
    }

    #[inline]
    fn blocks_of(&self, unit: u64) -> Range<u64> {
        let start = unit * self.blocks;
        start..start + self.blocks
    }

    /// A buffer from the pool.
    async fn buffer(&self) -> Option<DmaBuf> {
        match self.pool.alloc(self.work.io_bytes).await {
            Ok(buf) => Some(buf),
            Err(e) => {
                self.end(format!("{}: {}", self.name, chain(&e)));
                None
            }
        }
    }

    /// An I/O failed: the others are done and no more begun.
    #[cold]
    fn failed(&self, what: &str, blocks: &Range<u64>, error: &(impl Error + 'static)) {
        self.end(format!(
            "{}: {what} of blocks {}..{}: {}",
            self.name,
            blocks.start,
            blocks.end,
            chain(error)
        ));
    }

    #[cold]
    fn end(&self, message: impl Display) {
        self.tally.error(message.to_string());
        self.deadline.set(0);
    }
}
