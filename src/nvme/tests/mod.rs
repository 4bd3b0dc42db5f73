//! The driver against the software controller: what they share; the promises are in the files beside this one.

mod attach;
mod blocks;
mod commands;
mod cores;
mod faults;
mod ranges;
mod requests;
mod zones;

use super::soft::{SoftConfig, SoftController};
use super::{Channel, Config, Controller, QueuePair};
use crate::sys::dma::{DmaBuf, DmaPool};
use crate::{LocalExecutor, Poller, yield_now};
use std::time::Duration;

type Disk = Channel<QueuePair<SoftController>>;

/// Attaches a controller, and runs `test` on its core. The device works by itself until its poller is dropped.
fn on_a_core(
    soft: SoftConfig,
    config: Config,
    test: impl AsyncFnOnce(SoftController, Controller<SoftController>, Poller),
) {
    LocalExecutor::new().unwrap().block_on(async {
        let device = SoftController::new(soft);
        let works = works(&device);
        let controller = Controller::attach(device.clone(), config).await.unwrap();
        test(device, controller, works).await;
    });
}

fn works(device: &SoftController) -> Poller {
    let device = device.clone();
    Poller::register("a device", move || device.step())
}

async fn disk_of(controller: &Controller<SoftController>) -> Disk {
    Channel::new(controller.namespace(1).await.unwrap(), controller.queue_pair().await.unwrap())
}

fn entries(queue_entries: u16) -> Config {
    Config { queue_entries, end_patience: Duration::ZERO, ..Config::default() }
}

fn buffer(len: usize, byte: u8) -> DmaBuf {
    let mut buf = DmaPool::local().try_alloc(len).unwrap();
    buf.fill(byte);
    buf
}

/// Lets tasks run, and the driver hand over what they asked.
async fn turns() {
    for _ in 0..4 {
        yield_now().await;
    }
}

async fn write(disk: &Disk, lba: u64, byte: u8) {
    disk.write(lba, buffer(512, byte).freeze()).await.unwrap();
}

async fn reads(disk: &Disk, lba: u64) -> u8 {
    let (read, buf) = disk.read(lba, buffer(512, 0xee)).await;
    read.unwrap();
    assert!(buf.iter().all(|&byte| byte == buf[0]));
    buf[0]
}
