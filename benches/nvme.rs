//! The NVMe driver's rows: what it costs itself, from a task that asks to the same task awake with the answer.
//!
//! `cargo bench --bench nvme --features nvme,testing -- [--quick] [--json] [PART OF A ROW'S ID]...`.
//!
//! The controller is one of software, on the same core, stepped by a poller that takes the time of each step; this is taken off.
//! What is left is the driver with all that it needs: the checks, the command and its doorbell, the answer, the wake, and the core's
//! turn with its poll of the task; two readings of the clock a turn; and the software's doorbells, each of which takes its lock. What
//! it leaves out is what only a device brings: the doorbell's way over the bus, and queues that another's writes have taken out of
//! the core's cache.
//!
//! As a block device the time of each I/O is taken as well, as it is for all devices of this kind unless somebody says otherwise: two
//! more readings of the clock per I/O.

#[allow(dead_code, reason = "each bench uses its part")]
mod harness;
#[path = "harness/memory.rs"]
mod memory;

use harness::{Bench, Measure, Target::*, median};
use memory::allocations_by;
use reactor::{
    LocalExecutor, Poller,
    bdev::{self, Access, Timing, modules::Nvme},
    nvme::{Channel, Config, Controller, QueuePair, soft::SoftController},
    spawn_local,
    sys::dma::{DmaBuf, DmaPool},
    time::Clock,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Instant,
};

/// What is read.
trait Disk: 'static {
    fn blocks(&self) -> u64;
    async fn read(&self, lba: u64, buf: DmaBuf) -> DmaBuf;
}

impl Disk for Channel<QueuePair<SoftController>> {
    fn blocks(&self) -> u64 {
        self.namespace().size()
    }

    async fn read(&self, lba: u64, buf: DmaBuf) -> DmaBuf {
        let (read, buf) = self.read(lba, buf).await;
        read.expect("the device reads");
        buf
    }
}

impl Disk for bdev::Channel {
    fn blocks(&self) -> u64 {
        self.geometry().block_count
    }

    async fn read(&self, lba: u64, buf: DmaBuf) -> DmaBuf {
        self.read_into(lba..lba + 1, buf).await.expect("the device reads")
    }
}

/// Small, as the copy is the controller's work and not the driver's.
const IO_BYTES: usize = 512;

fn main() {
    let mut bench = Bench::from_args("nvme");
    bench.group("The driver alone: 512 B reads from a controller of software, its own time taken off");
    bench.row("driver_1", "CPU time per I/O, depth 1", "ns", None, |m| driver(m, 1));
    bench.row("driver_32", "depth 32", "ns", AtMost(60.0), |m| driver(m, 32));
    bench.row("driver_128", "depth 128", "ns", None, |m| driver(m, 128));
    bench.row("iops_32", "I/O of one core by that, depth 32", "M/s", AtLeast(10.0), |m| 1e3 / driver(m, 32));
    bench.row("allocations", "allocations per I/O, depth 32", "", AtMost(0.0), |m| {
        on_a_disk(Rc::default(), async |disk| allocations(m, disk).await)
    });
    bench.group("The same as a block device");
    let timed = Timing::Totals;
    bench.row("bdev_1", "nvme bdev over soft, CPU time per I/O, depth 1", "ns", None, |m| {
        block_device(m, 1, timed)
    });
    bench.row("bdev_32", "depth 32", "ns", None, |m| block_device(m, 32, timed));
    bench.row("bdev_untimed_32", "depth 32, how long each takes not measured", "ns", None, |m| {
        block_device(m, 32, Timing::Off)
    });
    bench.row("bdev_allocations", "allocations per I/O, depth 32", "", AtMost(0.0), |m| {
        on_a_bdev(Rc::default(), timed, async |disk| allocations(m, disk).await)
    });
    bench.print();
}

fn driver(measure: Measure, depth: u64) -> f64 {
    let of_device = Rc::new(Cell::new(0));
    on_a_disk(of_device.clone(), async |disk| cost(measure, depth, disk, &of_device).await)
}

fn block_device(measure: Measure, depth: u64, timing: Timing) -> f64 {
    let of_device = Rc::new(Cell::new(0));
    on_a_bdev(of_device.clone(), timing, async |disk| cost(measure, depth, disk, &of_device).await)
}

/// The median of many rounds, in nanoseconds per I/O. Each is so short that few are interrupted, even where others work on the core.
async fn cost(measure: Measure, depth: u64, disk: Rc<impl Disk>, of_device: &Cell<u64>) -> f64 {
    let (rounds, count) = (if measure.quick { 51 } else { 2_001 }, 4_000);
    read(&disk, depth, 10_000).await;
    let clock = Clock::tsc();
    let mut samples = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let (start, before) = (Instant::now(), of_device.get());
        read(&disk, depth, count).await;
        let device = clock.ns_of(of_device.get() - before) as f64;
        samples.push((start.elapsed().as_nanos() as f64 - device) / count as f64);
    }
    median(&mut samples)
}

/// Asserted, and so a test as well. The tasks, made before the count begins, wait for a start.
async fn allocations(measure: Measure, disk: Rc<impl Disk>) -> f64 {
    let count = if measure.quick { 20_000 } else { 1_000_000 };
    read(&disk, 32, 10_000).await;
    let (buffers, left) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    for _ in 0..32 {
        buffers.borrow_mut().push(DmaPool::local().try_alloc(IO_BYTES).expect("a buffer"));
    }
    left.set(count);
    let tasks: Vec<_> =
        (0..32).map(|_| spawn_local(reader(disk.clone(), buffers.clone(), left.clone()))).collect();
    let allocated = allocations_by(async || {
        for task in tasks {
            task.await.expect("the task ends");
        }
    })
    .await;
    assert_eq!(allocated, 0, "{count} reads allocate");
    allocated as f64 / count as f64
}

async fn reader(disk: Rc<impl Disk>, buffers: Rc<RefCell<Vec<DmaBuf>>>, left: Rc<Cell<u64>>) {
    let mut buf = buffers.borrow_mut().pop().expect("a buffer for each");
    let mut lba = left.get();
    while left.get() > 0 {
        left.set(left.get() - 1);
        lba = (lba + 7) % disk.blocks();
        buf = disk.read(lba, buf).await;
    }
}

/// So many reads, `depth` at a time.
async fn read(disk: &Rc<impl Disk>, depth: u64, count: u64) {
    let buffer = || DmaPool::local().try_alloc(IO_BYTES).expect("a buffer");
    let buffers = Rc::new(RefCell::new((0..depth).map(|_| buffer()).collect()));
    let left = Rc::new(Cell::new(count));
    let tasks: Vec<_> =
        (0..depth).map(|_| spawn_local(reader(disk.clone(), buffers.clone(), left.clone()))).collect();
    for task in tasks {
        task.await.expect("the task ends");
    }
}

type Driven = Controller<SoftController>;

fn on_a_disk(
    of_device: Rc<Cell<u64>>,
    work: impl AsyncFnOnce(Rc<Channel<QueuePair<SoftController>>>) -> f64,
) -> f64 {
    with_a_controller(of_device, async |controller| {
        let namespace = controller.namespace(1).await.expect("it has a namespace");
        let queue = controller.queue_pair().await.expect("it has queues");
        work(Rc::new(Channel::new(namespace, queue))).await
    })
}

fn on_a_bdev(
    of_device: Rc<Cell<u64>>,
    timing: Timing,
    work: impl AsyncFnOnce(Rc<bdev::Channel>) -> f64,
) -> f64 {
    with_a_controller(of_device, async |controller| {
        let nvme = Nvme::attach("nvme0", controller).await.expect("its namespace is a device");
        let disk = bdev::open("nvme0n1", Access::ReadWrite).await.expect("it is registered");
        disk.set_timing(timing);
        let result = work(Rc::new(disk.channel().expect("the core has a channel"))).await;
        drop(disk);
        for removal in nvme.detach() {
            removal.await;
        }
        result
    })
}

/// Runs `work` on a core with a controller of software, whose ticks of the clock are added to `of_device`.
fn with_a_controller(of_device: Rc<Cell<u64>>, work: impl AsyncFnOnce(Driven) -> f64) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.block_on(async {
        let device = SoftController::default();
        let (stepped, clock) = (device.clone(), Clock::tsc());
        let _works = Poller::register("device", move || {
            let start = clock.now_ticks();
            let done = stepped.step();
            of_device.set(of_device.get() + clock.now_ticks() - start);
            done
        });
        work(Controller::attach(device, Config::default()).await.expect("the controller comes up")).await
    })
}
