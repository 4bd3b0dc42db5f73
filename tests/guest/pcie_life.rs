//! What becomes of commands on their way when a controller on the bus is removed.

use super::in_guest;
use super::pcie::{Disk, SMALL, all_to_user_space, machine, write_and_verify};
use reactor::nvme::pcie::PcieDevice;
use reactor::nvme::{self, Config, Controller};
use reactor::sys::dma::DmaPool;
use reactor::time::sleep;
use reactor::{LocalExecutor, spawn_local, yield_now};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn removal() {
    let options = machine(SMALL, &["-n", "64M", "-n", "64M"]);
    in_guest("pcie_life::removal", &options, &[every_command_ends_when_the_device_is_removed]);
}

fn every_command_ends_when_the_device_is_removed() {
    let all = all_to_user_space();
    let device = Path::new("/sys/bus/pci/devices").join(&all[0]);
    let removal = LocalExecutor::new().unwrap().block_on(async {
        let (disk, other) = (Disk::attach(&all[0]).await, Disk::attach(&all[1]).await);
        let busy = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..128)
            .map(|task| {
                let (disk, busy) = (disk.clone(), busy.clone());
                spawn_local(async move {
                    let mut buf = DmaPool::local().alloc(4096).await.unwrap();
                    let mut done = 0_u64;
                    loop {
                        let (read, back) = disk.channel.read(task * 8, buf).await;
                        (buf, done) = (back, done + 1);
                        busy.set(busy.get() + u32::from(done == 10));
                        if read.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        while busy.get() < 128 {
            yield_now().await;
        }
        // The kernel waits with it until the device is let go of.
        let remove = device.join("remove");
        let removal = std::thread::spawn(move || fs::write(remove, "1").unwrap());
        while disk.controller.version().bits() != u32::MAX {
            sleep(Duration::from_millis(10)).await;
        }
        disk.controller.close().await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let again =
            Controller::attach(PcieDevice::open(&all[0]).unwrap(), Config::default()).await.unwrap_err();
        assert!(matches!(again, nvme::Error::Removed), "{again}");
        assert!(!removal.is_finished() && device.exists());
        write_and_verify(&other, 32, 4096, 2).await;
        drop(disk);
        removal
    });
    removal.join().unwrap();
    assert!(!device.exists());
}
