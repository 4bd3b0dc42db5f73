//! One emulated NVMe controller by each way to it: driven from user space, and the kernel's through io_uring, as a disk and by commands.
//!
//! `cargo bench --bench nvme_guest --features nvme -- [--quick]` starts a virtual machine with itself inside (`tests/guest/run`, which
//! says what that takes). The disks have nothing behind them and answer at once, so what is compared is the way there and back; as it
//! is all emulated, the figures tell which way is shorter, and not how long any of them is. The ways take turns, and each figure is the
//! median of its rounds: a 99th percentile in milliseconds says that the host was busy.

use futures::future::join_all;
use reactor::nvme::passthru::{Namespace, OpenError, Queue};
use reactor::nvme::pcie::{PcieDevice, list};
use reactor::nvme::{Channel, Config, Controller, QueuePair};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::uring::{Fd, Ring};
use reactor::{LocalExecutor, spawn_local};
use rustix::fs::OFlags;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, exit};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How the script says that something is not installed.
const MISSING: i32 = 77;

const DEPTHS: [u64; 3] = [1, 32, 128];
const IO_BYTES: usize = 4096;
const DISK_BYTES: u64 = 1 << 30;

/// Two controllers: the kernel's, which has a queue to be polled, and ours.
const MACHINE: &[&str] = &[
    "-m",
    "vfio-pci",
    "-m",
    "vfio_iommu_type1",
    "-k",
    "intel_iommu=on iommu=pt nvme.poll_queues=1",
    "-t",
    "600",
    "-q",
    "-device intel-iommu,intremap=on \
     -drive driver=null-co,if=none,id=kernels,size=1G -device nvme,drive=kernels,serial=kernels,addr=10.0 \
     -drive driver=null-co,if=none,id=ours,size=1G -device nvme,drive=ours,serial=ours,addr=11.0",
];
const OURS: &str = "0000:00:11.0";

fn main() {
    if std::env::var_os("REACTOR_GUEST").is_none() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/run");
        let program = std::env::current_exe().expect("this program has a name");
        let status =
            Command::new(script).args(MACHINE).arg(program).args(std::env::args_os().skip(1)).status();
        // Where what the script needs is not installed, it has said so: nothing is measured then.
        let code = status.expect("the script is there").code().unwrap_or(1);
        exit(if code == MISSING { 0 } else { code });
    }
    let (rounds, time) = match std::env::args().any(|arg| arg == "--quick") {
        true => (1, Duration::from_millis(50)),
        false => (5, Duration::from_secs(1)),
    };
    hand_over(OURS);
    LocalExecutor::new().expect("a core").block_on(async {
        let namespace = Namespace::open("/dev/ng0n1").await.expect("/dev/ng0n1");
        let ways = [
            Way::Ours(Rc::new(attach().await)),
            Way::Kernel(Rc::new(open()), Ring::current().expect("a ring")),
            Way::Kernel(Rc::new(open()), Ring::current_polling().expect("a ring that polls")),
            Way::Commands(Rc::new(kernels(&namespace, namespace.queue()))),
            Way::Commands(Rc::new(kernels(&namespace, namespace.polling_queue()))),
        ];
        let titles = [
            "nvme::pcie, polled",
            "kernel, io_uring, interrupts",
            "kernel, io_uring, IOPOLL",
            "nvme::passthru, interrupts",
            "nvme::passthru, IOPOLL",
        ];
        println!("4 KiB random reads{:26}{:>10}  {:>10}  {:>10}", "", "k IOPS", "median us", "p99 us");
        for depth in DEPTHS {
            let mut found = [const { Vec::new() }; 5];
            for round in 0..rounds {
                // Each follows each other one as often.
                for n in (0..ways.len()).map(|n| (n + round) % ways.len()) {
                    found[n].push(measure(&ways[n], depth, time).await);
                }
            }
            for (title, found) in titles.iter().zip(found) {
                let [iops, median, p99] = [0, 1, 2].map(|n| middle(found.iter().map(|row| row[n]).collect()));
                println!("depth {depth:<4} {title:<32}{iops:>10.1}  {median:>10.1}  {p99:>10.1}");
            }
        }
    });
}

/// From the kernel's driver to vfio-pci.
fn hand_over(address: &str) {
    let device = format!("/sys/bus/pci/devices/{address}");
    let write =
        |file: String, text: &str| fs::write(&file, text).unwrap_or_else(|error| panic!("{file}: {error}"));
    write(format!("{device}/driver_override"), "vfio-pci");
    write(format!("{device}/driver/unbind"), address);
    write("/sys/bus/pci/drivers_probe".to_owned(), address);
}

async fn attach() -> Channel<QueuePair<PcieDevice>> {
    let device = PcieDevice::open(OURS).unwrap_or_else(|error| panic!("{error}; there are {:?}", list()));
    let controller = Controller::attach(device, Config::default()).await.expect("the controller");
    let queue = controller.queue_pair().await.expect("a queue pair");
    Channel::new(controller.namespace(1).await.expect("a namespace"), queue)
}

/// The disk that the kernel has kept.
fn open() -> Fd {
    let flags = OFlags::DIRECT.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open("/dev/nvme0n1").expect("/dev/nvme0n1").into()
}

/// The same disk, by commands.
fn kernels(namespace: &Namespace, queue: Result<Queue, OpenError>) -> Channel<Queue> {
    Channel::new(namespace.description().clone(), queue.expect("a queue"))
}

#[derive(Clone)]
enum Way {
    Ours(Rc<Channel<QueuePair<PcieDevice>>>),
    Kernel(Rc<Fd>, Rc<Ring>),
    Commands(Rc<Channel<Queue>>),
}

impl Way {
    async fn read(&self, at: u64, buf: DmaBuf) -> DmaBuf {
        match self {
            Self::Ours(channel) => {
                let (read, buf) = channel.read(at / 512, buf).await;
                read.expect("a read");
                buf
            }
            Self::Commands(channel) => {
                let (read, buf) = channel.read(at / 512, buf).await;
                read.expect("a read");
                buf
            }
            Self::Kernel(disk, ring) => {
                let (read, buf) = ring.read_at(disk, buf, at).await;
                assert_eq!(read.expect("a read"), IO_BYTES);
                buf
            }
        }
    }
}

/// Thousands of reads per second, and the median and 99th percentile of how long one takes, in microseconds.
async fn measure(way: &Way, depth: u64, time: Duration) -> [f64; 3] {
    let start = Instant::now();
    let reader = |task: u64| {
        let way = way.clone();
        spawn_local(async move {
            let mut buf = DmaPool::local().alloc(IO_BYTES).await.expect("a buffer");
            let (mut place, mut latencies) = (task, Vec::new());
            while start.elapsed() < time {
                // Any order that does not follow itself.
                place = place.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let block = (place >> 32) % (DISK_BYTES / IO_BYTES as u64);
                let asked = Instant::now();
                buf = way.read(block * IO_BYTES as u64, buf).await;
                latencies.push(asked.elapsed().as_nanos() as f64 / 1e3);
            }
            latencies
        })
    };
    let tasks: Vec<_> = (0..depth).map(reader).collect();
    let mut latencies: Vec<f64> =
        join_all(tasks).await.into_iter().flat_map(|one| one.expect("a reader")).collect();
    let taken = start.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let count = latencies.len();
    [count as f64 / taken / 1e3, latencies[count / 2], latencies[count * 99 / 100]]
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
