//! The driver against the software controller: what they share; the promises are in the files beside this one.

mod aborts;
mod attach;
mod blocks;
mod changes;
mod commands;
mod cores;
mod events;
mod faults;
mod hostile;
mod ranges;
mod recovery;
mod requests;
mod storm;
mod waking;
mod zones;

use super::soft::{SoftConfig, SoftController};
use super::{Channel, Config, Controller, QueuePair};
use crate::sys::dma::{DmaBuf, DmaPool};
use crate::time::Clock;
use crate::{LocalExecutor, Poller, yield_now};
use std::pin::Pin;
use std::task::Poll;
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

/// Turns a core by hand, on a clock that goes on by a millisecond each time, until `task` is done.
fn in_virtual_time<T: 'static>(device: &SoftController, task: impl Future<Output = T> + 'static) -> T {
    let (clock, time) = Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    let slot = std::rc::Rc::new(std::cell::Cell::new(None));
    let result = slot.clone();
    drop(executor.spawn_local(async move { result.set(Some(task.await)) }));
    for _ in 0..100_000 {
        if let Some(result) = slot.take() {
            return result;
        }
        executor.turn();
        device.step();
        device.pass(Duration::from_millis(1));
        time.advance(Duration::from_millis(1));
    }
    panic!("it does not end");
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

async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
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
