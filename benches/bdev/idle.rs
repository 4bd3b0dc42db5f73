//! What memory a channel takes that has nothing to do.

use super::memory::live_bytes;
use super::on_core;
use reactor::bdev::{self, Access, Descriptor};

const CHANNELS: usize = 100;

async fn open_to_read(device: &str) -> Descriptor {
    bdev::open(device, Access::ReadOnly).await.expect("the device opens")
}

/// Bytes of heap per idle channel, of so many devices on one core, the channels below it included. What the core has once, such as
/// its pool and its ring, is there before.
pub fn bytes_per_channel(device: &str) -> f64 {
    let device = device.to_owned();
    on_core(async move {
        let warm = open_to_read(&device).await.channel().expect("the core has a channel");
        warm.read(0..8).await.expect("the device reads");
        let mut disks = Vec::with_capacity(CHANNELS);
        for _ in 0..CHANNELS {
            disks.push(open_to_read(&device).await);
        }
        let mut channels = Vec::with_capacity(CHANNELS);
        let before = live_bytes();
        for disk in &disks {
            channels.push(disk.channel().expect("the core has a channel"));
        }
        let bytes = live_bytes() - before;
        drop((channels, warm));
        bytes as f64 / CHANNELS as f64
    })
}

/// The same after each has done I/Os, and they are over.
pub fn bytes_per_used_channel(device: &str) -> f64 {
    let device = device.to_owned();
    on_core(async move {
        let mut disks = Vec::with_capacity(CHANNELS);
        for _ in 0..CHANNELS {
            disks.push(open_to_read(&device).await);
        }
        let mut channels = Vec::with_capacity(CHANNELS);
        let warm = open_to_read(&device).await.channel().expect("the core has a channel");
        warm.read(0..8).await.expect("the device reads");
        let before = live_bytes();
        for disk in &disks {
            let channel = disk.channel().expect("the core has a channel");
            // More than a task's budget, so that some have waited.
            for _ in 0..300 {
                channel.read(0..8).await.expect("the device reads");
            }
            channels.push(channel);
        }
        let bytes = live_bytes() - before;
        drop((channels, warm));
        bytes as f64 / CHANNELS as f64
    })
}
