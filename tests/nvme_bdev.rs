//! Namespaces of software controllers as block devices: what the tests share; the promises are in the files beside this one.

#[path = "nvme_bdev/forms.rs"]
mod forms;
#[path = "nvme_bdev/life.rs"]
mod life;
#[path = "nvme_bdev/multipath.rs"]
mod multipath;
#[path = "nvme_bdev/node.rs"]
mod node;
#[path = "nvme_bdev/one.rs"]
mod one;

use reactor::bdev::modules::{Nvme, NvmeDisk, NvmeOptions};
use reactor::bdev::{self, Access, Channel, Descriptor, Error};
use reactor::nvme::soft::{SoftConfig, SoftController};
use reactor::nvme::spec::{AdminOpcode, IdentifyWhat};
use reactor::nvme::{Config, Controller};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::{JoinHandle, LocalExecutor, Poller, spawn_local, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

type Attached = Nvme<Controller<SoftController>>;
type Disk = NvmeDisk<Controller<SoftController>>;

/// A controller of software that works by itself, attached under `name`.
struct Bay {
    device: SoftController,
    nvme: Attached,
}

impl Bay {
    async fn new(name: &str, soft: SoftConfig) -> Self {
        Self::over(name, SoftController::new(soft), options()).await
    }

    async fn over(name: &str, device: SoftController, options: NvmeOptions) -> Self {
        Self::of_subsystem(name, name, device, options).await
    }

    /// All that run at a time are in one process: what is one subsystem has a name of its own.
    async fn of_subsystem(subsystem: &str, name: &str, device: SoftController, options: NvmeOptions) -> Self {
        let subsystem = format!("nqn.2014-08.org.example:{subsystem}\0");
        device.tamper(move |command, answer| {
            if command.opcode() == AdminOpcode::IDENTIFY.0
                && command.identify_what() == IdentifyWhat::CONTROLLER
            {
                answer[768..][..subsystem.len()].copy_from_slice(subsystem.as_bytes());
            }
        });
        // To the end of the core: what was given up is still to be answered.
        std::mem::forget(works(&device));
        let mut config = Config::default();
        config.end_patience = Duration::ZERO;
        config.watch_period = Duration::from_millis(2);
        let controller = Controller::attach(device.clone(), config).await.unwrap();
        let nvme = Nvme::attach_with(name, controller, options).await.unwrap();
        Self { device, nvme }
    }

    /// Two controllers of one subsystem, `NAME-a` and `NAME-b`, whose namespaces are devices of the first.
    async fn two(name: &str, options: NvmeOptions) -> (Self, Self) {
        let device = SoftController::default();
        let other = device.another(SoftConfig::default());
        let a = Self::of_subsystem(name, &format!("{name}-a"), device, options.clone()).await;
        let b = Self::of_subsystem(name, &format!("{name}-b"), other, options).await;
        (a, b)
    }

    /// Takes the devices away, and waits until they are gone.
    async fn detach(self) {
        for removal in self.nvme.detach() {
            removal.await;
        }
    }
}

fn works(device: &SoftController) -> Poller {
    let device = device.clone();
    Poller::register("a device", move || device.step())
}

/// Times that a test on a real clock does not notice.
fn options() -> NvmeOptions {
    let mut options = NvmeOptions::default();
    options.probe_every = Duration::from_millis(1);
    options
}

async fn open(name: &str) -> Descriptor {
    bdev::open(name, Access::ReadWrite).await.unwrap()
}

fn buffer(len: usize, byte: u8) -> DmaBuf {
    let mut buf = DmaPool::local().try_alloc(len).unwrap();
    buf.fill(byte);
    buf
}

/// Runs a test on a core, and holds it to leaving no buffer behind.
fn on_a_core(test: impl AsyncFnOnce()) {
    let executor = LocalExecutor::new().unwrap();
    executor.block_on(test());
    let in_use = || executor.enter_with(|| DmaPool::local().stats().in_use);
    let start = Instant::now();
    while in_use() > 0 {
        executor.turn();
        assert!(start.elapsed() < Duration::from_secs(5), "{} buffers are left", in_use());
    }
}

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Waits until something is so, which other tasks see to.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        yield_now().await;
    }
}

async fn write(channel: &Channel, lba: u64, byte: u8) {
    let size = channel.geometry().block_size as usize;
    channel.write(lba, buffer(size, byte)).await.unwrap();
}

async fn reads(channel: &Channel, lba: u64) -> u8 {
    let block = channel.read(lba..lba + 1).await.unwrap();
    assert!(block.iter().all(|byte| *byte == block[0]));
    block[0]
}

/// Writes and reads back until it is told to stop, and counts.
fn load(disk: &Descriptor, tasks: u64, stop: &Rc<Cell<bool>>) -> Vec<JoinHandle<u64>> {
    let task = |number: u64| {
        let (disk, stop) = (disk.clone(), stop.clone());
        spawn_local(async move {
            let channel = disk.channel().unwrap();
            let mut rounds = 0;
            while !stop.get() {
                write(&channel, number, rounds as u8).await;
                assert_eq!(reads(&channel, number).await, rounds as u8);
                rounds += 1;
            }
            rounds
        })
    };
    (0..tasks).map(task).collect()
}
