//! How core and controller wake each other: interrupts, doorbells in memory, and which queue is served first.

use super::*;
use crate::nvme::spec::{Arbitration, FeatureId, FeatureSelect};
use crate::nvme::{Event, Weights};
use crate::{Mode, spawn_local};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn is_ready(executor: &LocalExecutor) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(executor.fd(), PollFlags::IN)], Some(&now)).unwrap() == 1
}

fn falls_asleep(executor: &LocalExecutor) -> bool {
    (0..1000).any(|_| {
        executor.turn();
        executor.prepare_to_sleep()
    })
}

/// A core of this mode, on which a controller with vectors is attached, and nothing has its device work.
fn asleep(mode: Mode, config: Config) -> (LocalExecutor, SoftController, Controller<SoftController>, Disk) {
    let device = SoftController::new(SoftConfig { vectors: 4, ..SoftConfig::default() });
    let executor = LocalExecutor::new().unwrap();
    let handle = executor.handle();
    handle.set_mode(handle.cores()[0], mode);
    let given = device.clone();
    let (controller, disk) = executor.block_on(async move {
        let _works = works(&given);
        let controller = Controller::attach(given.clone(), config).await.unwrap();
        let disk = disk_of(&controller).await;
        (controller, disk)
    });
    (executor, device, controller, disk)
}

#[test]
fn a_core_sleeps_until_the_controller_interrupts() {
    for mode in [Mode::Interrupt, Mode::Adaptive] {
        let (executor, device, _controller, disk) = asleep(mode, Config::default());
        for _ in 0..100 {
            let reading = disk.clone();
            drop(executor.spawn_local(async move { assert_eq!(reads(&reading, 0).await, 0) }));
            assert!(falls_asleep(&executor), "with a command on its way");
            assert_eq!(disk.queue().in_flight(), 1);
            assert!(!is_ready(&executor));
            assert!(device.step() > 0);
            assert!(is_ready(&executor), "the answer wakes it");
            while disk.queue().in_flight() > 0 {
                executor.turn();
            }
        }
        // An answer that came just before is found as the core lies down.
        let reading = disk.clone();
        drop(executor.spawn_local(async move { assert_eq!(reads(&reading, 0).await, 0) }));
        while disk.queue().counters().submitted < 101 {
            executor.turn();
        }
        device.step();
        assert!(!executor.prepare_to_sleep());
    }
}

#[test]
fn without_interrupts_a_core_stays_awake_for_its_commands() {
    for (mode, interrupts) in [(Mode::Poll, true), (Mode::Adaptive, false)] {
        let (executor, _device, _controller, disk) = asleep(mode, Config { interrupts, ..Config::default() });
        let reading = disk.clone();
        drop(executor.spawn_local(async move { _ = reading.read(0, buffer(512, 0)).await }));
        assert!(!falls_asleep(&executor));
        assert_eq!(disk.queue().in_flight(), 1);
    }
}

#[test]
fn doorbells_in_memory_need_not_be_rung() {
    for polls_shadow_doorbells in [false, true] {
        let soft = SoftConfig { has_shadow_doorbells: true, polls_shadow_doorbells, ..SoftConfig::default() };
        // So few entries that the rings come round many times.
        on_a_core(soft, Config { retries: 1, ..entries(5) }, async |device, controller, _works| {
            let disk = disk_of(&controller).await;
            let mut events = controller.events();
            for round in 0..3 {
                // Admin queues have no such doorbells.
                let before = device.bells();
                for lba in 0..50 {
                    write(&disk, lba, lba as u8 + round).await;
                }
                let tasks: Vec<_> = (0..50)
                    .map(|lba| {
                        let disk = disk.clone();
                        spawn_local(async move { assert_eq!(reads(&disk, lba).await, lba as u8 + round) })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                if polls_shadow_doorbells {
                    assert!(device.bells() - before < 10, "{}", device.bells() - before);
                }
                controller.reset().await.unwrap();
                assert_eq!(events.next().await, Some(Event::Reset));
            }
        });
    }
}

#[test]
fn weights_are_set_where_a_controller_takes_them_and_again_after_a_reset() {
    let weights = Arbitration::default().with_burst(3).with_high(7).with_medium(3).with_low(1);
    let config = Config { arbitration: Some(Weights { weights, priority: 2 }), ..Config::default() };
    on_a_core(SoftConfig::default(), config, async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        for _ in 0..2 {
            let set = controller.feature(FeatureId::ARBITRATION, 0, FeatureSelect::Current).await.unwrap();
            let is_taken = controller.link().capabilities().has_weighted_arbitration();
            assert_eq!(set, if is_taken { weights.bits() } else { 0 });
            assert_eq!(reads(&disk, 0).await, 0);
            controller.reset().await.unwrap();
        }
    });
}
