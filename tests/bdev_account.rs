//! What a block device does, how long it takes, and how much it may: accounts, times and limits, in virtual time, on one core and on
//! several.

#[path = "bdev_account/depth.rs"]
mod depth;
#[path = "bdev_account/fairness.rs"]
mod fairness;
#[path = "bdev_account/limits.rs"]
mod limits;
#[path = "bdev_account/stats.rs"]
mod stats;
#[path = "bdev_account/times.rs"]
mod times;
#[path = "bdev_account/waiting.rs"]
mod waiting;

use reactor::bdev::{self, Access, Channel, Descriptor};
use reactor::time::{Clock, VirtualClock};
use reactor::{LocalExecutor, spawn_local};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Bytes of the I/Os below.
const PAGE: u64 = 4096;

/// Cores on one clock, which the test moves. All are turned by its thread.
struct Cores {
    cores: Vec<LocalExecutor>,
    hand: VirtualClock,
    clock: Clock,
}

impl Cores {
    fn new(count: usize) -> Self {
        let (clock, hand) = Clock::manual();
        let cores = (0..count).map(|_| LocalExecutor::with_clock(clock.clone()).unwrap()).collect();
        Self { cores, hand, clock }
    }

    /// Runs `future` on a core to its end, without time.
    fn on<T>(&self, core: usize, future: impl Future<Output = T>) -> T {
        self.cores[core].block_on(future)
    }

    /// A device of the test's own, for which `null` stands in `spec`.
    fn open(&self, spec: &str) -> Descriptor {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Null devices of one size are one device.
        let null = format!("null:{}", (1 << 30) + PAGE * NUMBER.fetch_add(1, Ordering::Relaxed));
        self.on(0, async { bdev::open(&spec.replace("null", &null), Access::ReadWrite).await.unwrap() })
    }

    fn start(&self, core: usize, task: impl Future<Output = ()> + 'static) {
        self.on(core, async { spawn_local(task).detach() });
    }

    /// Turns all until nothing more happens.
    fn settle(&self) {
        while self.cores.iter().any(|core| core.turn().is_busy()) {}
    }

    /// Lets `time` pass in steps.
    fn pass(&self, time: Duration, step: Duration) {
        let end = self.clock.now() + time;
        self.settle();
        while self.clock.now() < end {
            self.hand.advance(step);
            self.settle();
        }
    }
}

/// Which I/O keeps coming.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    Reads,
    Writes,
    /// One after the other.
    Both,
}

/// I/O without end, `depth` at a time.
fn load(cores: &Cores, core: usize, disk: &Descriptor, load: Load, depth: usize) {
    for _ in 0..depth {
        let disk = disk.clone();
        cores.start(core, async move {
            let channel = disk.channel().unwrap();
            for number in 0.. {
                match load {
                    Load::Reads => read(&channel).await,
                    Load::Writes => write(&channel).await,
                    Load::Both if number % 2 == 0 => read(&channel).await,
                    Load::Both => write(&channel).await,
                }
            }
        });
    }
}

async fn read(channel: &Channel) {
    channel.read(0..page_blocks(channel)).await.unwrap();
}

async fn write(channel: &Channel) {
    let data = channel.alloc(PAGE as usize).await.unwrap();
    channel.write(0, data).await.unwrap();
}

fn page_blocks(channel: &Channel) -> u64 {
    PAGE / u64::from(channel.geometry().block_size)
}
