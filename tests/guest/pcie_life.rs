//! Controllers on the bus while commands are on their way: they interrupt, are reset, are removed.

use super::in_guest;
use super::pcie::{Disk, SMALL, all_to_user_space, machine, write_and_verify};
use futures::StreamExt;
use reactor::nvme::pcie::PcieDevice;
use reactor::nvme::{self, Config, Controller, Event};
use reactor::sys::dma::DmaPool;
use reactor::{LocalExecutor, Mode, Stats, spawn_local, yield_now};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

#[test]
fn interrupts() {
    let options = machine(SMALL, &["-n", "64M"]);
    in_guest("pcie_life::interrupts", &options, &[a_core_that_may_sleep_is_woken_by_the_device]);
}

/// How often the controller's I/O queues have interrupted a processor for us.
fn interrupts_of(address: &str) -> u64 {
    super::interrupts(|name| {
        name.contains("vfio-msix[") && name.contains(address) && !name.contains("vfio-msix[0]")
    })
}

pub fn a_core_that_may_sleep_is_woken_by_the_device() {
    const ROUNDS: u64 = 50;
    let address = &all_to_user_space()[0];
    for mode in Mode::ALL {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        core.block_on(async {
            let disk = Disk::attach(address).await;
            // One at a time, so that the core has nothing else to do while it waits: each answer interrupts.
            let before = (interrupts_of(address), Stats::current().sleeps);
            write_and_verify(&disk, 1, 4096, ROUNDS).await;
            let (interrupts, sleeps) =
                (interrupts_of(address) - before.0, Stats::current().sleeps - before.1);
            match mode {
                Mode::Poll => assert_eq!((interrupts, sleeps), (0, 0)),
                Mode::Adaptive => assert!(interrupts >= ROUNDS, "{interrupts}"),
                // Some answers may be there before it has fallen asleep.
                Mode::Interrupt => assert!(interrupts >= ROUNDS && sleeps > 0, "{interrupts}, {sleeps}"),
            }
            write_and_verify(&disk, 128, 4096, 4).await;
            disk.controller.close().await.unwrap();
        });
    }
}

#[test]
fn resets() {
    let options = machine(SMALL, &["-n", "64M"]);
    in_guest("pcie_life::resets", &options, &[commands_outlive_resets]);
}

fn commands_outlive_resets() {
    let address = &all_to_user_space()[0];
    LocalExecutor::new().unwrap().block_on(async {
        let mut config = Config::default();
        config.retries = 100;
        let controller = Controller::attach(PcieDevice::open(address).unwrap(), config).await.unwrap();
        let (disk, events) = (Disk::of(controller.clone()).await, controller.events());
        let is_done = Rc::new(Cell::new(false));
        let resets = spawn_local({
            let (disk, is_done) = (disk.clone(), is_done.clone());
            async move {
                let mut resets = 0;
                while !is_done.get() {
                    disk.controller.reset().await.unwrap();
                    resets += 1;
                    // No more often than that something gets done in between.
                    let before = disk.channel.queue().counters().completed;
                    while !is_done.get() && disk.channel.queue().counters().completed < before + 64 {
                        yield_now().await;
                    }
                }
                resets
            }
        });
        write_and_verify(&disk, 128, 4096, 20).await;
        is_done.set(true);
        let resets: usize = resets.await.unwrap();
        controller.close().await.unwrap();
        let told = events.filter(|event| std::future::ready(*event == Event::Reset)).count().await;
        println!("{resets} resets");
        assert!(resets > 3 && told > 0, "{resets}, {told}");
    });
}

#[test]
fn removal() {
    let options = machine(SMALL, &["-n", "64M", "-n", "64M"]);
    in_guest("pcie_life::removal", &options, &[every_command_ends_when_the_device_is_removed]);
}

pub fn every_command_ends_when_the_device_is_removed() {
    let all = all_to_user_space();
    let device = Path::new("/sys/bus/pci/devices").join(&all[0]);
    let removal = LocalExecutor::new().unwrap().block_on(async {
        let (disk, other) = (Disk::attach(&all[0]).await, Disk::attach(&all[1]).await);
        let mut events = disk.controller.events();
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
                        if let Err(error) = read {
                            return error;
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
        for task in tasks {
            let error = task.await.unwrap();
            assert!(matches!(error, nvme::Error::Removed), "{error}");
        }
        assert_eq!(events.next().await, Some(Event::Removed));
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
