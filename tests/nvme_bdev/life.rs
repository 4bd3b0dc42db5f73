//! Namespaces that come, grow and go, controllers that are reset or taken out, and more than one core: every I/O ends.

use super::*;
use reactor::bdev::modules::PathStatus;
use reactor::bdev::{Event, NvmeCommand, NvmeData};
use reactor::nvme::soft::{Fault, SoftNamespace};
use reactor::nvme::spec::{AdminOpcode, AnaState, FormatOptions};
use reactor::{Core, app, call_on};

#[test]
fn namespaces_that_appear_become_devices_and_those_that_go_are_removed() {
    on_a_core(async || {
        let attached = Bay::new("life-hot", SoftConfig::default()).await;
        let nsid = attached.device.add_namespace(SoftNamespace::new(512, 12));
        let name = format!("life-hotn{nsid}");
        until(|| bdev::names().contains(&name)).await;
        let disk = open(&name).await;
        let channel = disk.channel().unwrap();
        let mut events = disk.events();
        write(&channel, 4, 4).await;
        assert!(attached.device.remove_namespace(nsid));
        assert_eq!(events.next().await, Some(Event::Removed));
        assert!(matches!(channel.read(4..5).await, Err(Error::Removed)));
        assert_eq!(attached.nvme.disks(), ["life-hotn1"]);
        drop((channel, disk));
        attached.detach().await;
    });
}

#[test]
fn what_somebody_has_taken_away_stays_away() {
    on_a_core(async || {
        let attached = Bay::new("life-away", SoftConfig::default()).await;
        bdev::unregister("life-awayn1").unwrap().await;
        let nsid = attached.device.add_namespace(SoftNamespace::new(512, 12));
        until(|| bdev::names().contains(&format!("life-awayn{nsid}"))).await;
        assert!(!bdev::names().contains(&"life-awayn1".to_owned()));
        attached.detach().await;
    });
}

#[test]
fn a_namespace_that_grows_or_shrinks_is_resized() {
    on_a_core(async || {
        let attached = Bay::new("life-size", SoftConfig::default()).await;
        let disk = open("life-sizen1").await;
        let channel = disk.channel().unwrap();
        let mut events = disk.events();
        for blocks in [4096, 100] {
            attached.device.resize_namespace(1, blocks);
            let Some(Event::Resized(geometry)) = events.next().await else { panic!("it is resized") };
            assert_eq!(geometry.block_count, blocks);
            write(&channel, blocks - 1, 7).await;
            assert!(matches!(channel.read(blocks..blocks + 1).await, Err(Error::OutOfRange { .. })));
        }
        drop((channel, disk));
        attached.detach().await;
    });
}

fn format(low: u32) -> NvmeCommand {
    NvmeCommand::new(AdminOpcode::FORMAT.0).with_dword(1, 1).with_dword(10, low)
}

/// Its blocks become eight times as long: not one more command goes to them.
#[test]
fn a_device_that_is_formatted_otherwise_is_removed() {
    for by_hand in [false, true] {
        on_a_core(async || {
            let name = format!("life-format{by_hand}");
            let attached = Bay::new(&name, SoftConfig::default()).await;
            let disk = open(&format!("{name}n1")).await;
            let channel = disk.channel().unwrap();
            write(&channel, 4, 4).await;
            if by_hand {
                // The device hears of it by itself.
                let larger = FormatOptions::default().with_format_low(3);
                attached.nvme.source().format(1, larger).await.unwrap();
            } else {
                let answer = channel.nvme_admin(format(3), NvmeData::None).await.unwrap();
                assert_eq!(answer.status, 0);
            }
            let read = channel.read(4..5).await;
            assert!(matches!(read, Err(Error::Removed)), "{read:?}");
            until(|| attached.nvme.disks() == [format!("{name}n1")]).await;
            drop((channel, disk));
            until(|| bdev::names().contains(&format!("{name}n1"))).await;
            let disk = open(&format!("{name}n1")).await;
            assert_eq!(disk.geometry().block_size, 4096);
            assert_eq!(reads(&disk.channel().unwrap(), 4).await, 0);
            drop(disk);
            attached.detach().await;
        });
    }
}

#[test]
fn a_device_that_is_formatted_as_it_was_goes_on() {
    on_a_core(async || {
        let attached = Bay::new("life-erase", SoftConfig::default()).await;
        let disk = open("life-erasen1").await;
        let channel = disk.channel().unwrap();
        write(&channel, 4, 4).await;
        assert_eq!(channel.nvme_admin(format(0), NvmeData::None).await.unwrap().status, 0);
        assert_eq!(reads(&channel, 4).await, 0);
        write(&channel, 4, 5).await;
        assert_eq!(reads(&channel, 4).await, 5);
        drop((channel, disk));
        attached.detach().await;
    });
}

/// The controller has one queue, and each core has its I/O done.
#[test]
fn cores_without_a_queue_use_those_of_others() {
    app::test_entry(app::Builder::new().cores("0-1"), async || {
        let mut soft = SoftConfig::default();
        soft.queues = 1;
        let attached = Bay::new("life-few", soft).await;
        let disk = open("life-fewn1").await;
        let channel = disk.channel().unwrap();
        write(&channel, 0, 1).await;
        let far = disk.clone();
        let there = call_on(Core::nth(1).unwrap(), async move || {
            let channel = far.channel().unwrap();
            assert_eq!(reads(&channel, 0).await, 1);
            for lba in 100..200 {
                write(&channel, lba, lba as u8).await;
            }
            let (same, new) = (buffer(512, 100), buffer(512, 7));
            channel.compare_and_write(100, same, new).await.unwrap();
            let (same, new) = (buffer(512, 100), buffer(512, 8));
            let differs = channel.compare_and_write(100, same, new).await.unwrap_err();
            assert!(matches!(differs, Error::Miscompare { lba: 100 }), "{differs}");
            // Given up, it is waited for.
            {
                let mut write = Box::pin(channel.write(300, buffer(512, 3)));
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                assert!(write.as_mut().poll(&mut cx).is_pending());
            }
            drop(far.quiesce().await.unwrap());
            assert!(!channel.is_lingering());
        });
        there.await.unwrap();
        assert_eq!((reads(&channel, 100).await, reads(&channel, 199).await), (7, 199));
        drop((channel, disk));
        attached.detach().await;
    });
}

/// Sixteen writes whose futures are dropped.
async fn give_up_writes(channel: &Channel) {
    for lba in 0..16 {
        let mut write = Box::pin(channel.write(lba, buffer(512, 1)));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(write.as_mut().poll(&mut cx).is_pending());
    }
}

/// What is given up may reach the device until the controller says otherwise: who holds the device waits for that.
#[test]
fn a_hold_waits_for_what_the_controller_still_does() {
    on_a_core(async || {
        let attached = Bay::new("life-lingers", SoftConfig::default()).await;
        let disk = open("life-lingersn1").await;
        let channel = disk.channel().unwrap();
        write(&channel, 0, 9).await;
        attached.device.set_keeps_commands(true);
        (0..16).for_each(|_| attached.device.inject(Fault::Delay(100)));
        give_up_writes(&channel).await;
        assert!(channel.is_lingering());
        let held = disk.quiesce().await.unwrap();
        assert!(!channel.is_lingering() && attached.device.held() == 0);
        drop(held);
        drop((channel, disk));
        attached.detach().await;
    });
}

/// It would take 30 seconds for the driver to find that they are late.
#[test]
fn what_is_given_up_or_aborted_is_aborted_at_the_controller() {
    on_a_core(async || {
        let attached = Bay::new("life-aborts", SoftConfig::default()).await;
        let disk = open("life-abortsn1").await;
        let channel = disk.channel().unwrap();
        write(&channel, 0, 9).await;
        (0..16).for_each(|_| attached.device.inject(Fault::Lose));
        give_up_writes(&channel).await;
        drop(disk.quiesce().await.unwrap());
        assert_eq!(attached.device.held(), 0);
        (0..4).for_each(|_| attached.device.inject(Fault::Lose));
        let task = |lba| {
            let disk = disk.clone();
            spawn_local(async move { disk.channel().unwrap().read(lba..lba + 1).await })
        };
        let reads: Vec<_> = (0..4).map(task).collect();
        until(|| attached.device.held() == 4).await;
        assert_eq!(channel.abort_all(), 4);
        for read in reads {
            assert!(matches!(read.await.unwrap(), Err(Error::Aborted)));
        }
        until(|| attached.device.held() == 0).await;
        drop((channel, disk));
        attached.detach().await;
    });
}

#[test]
fn io_goes_on_after_the_controller_was_reset_or_had_failed() {
    on_a_core(async || {
        let attached = Bay::new("life-reset", SoftConfig::default()).await;
        let disk = open("life-resetn1").await;
        let stop = Rc::new(Cell::new(false));
        let tasks = load(&disk, 32, &stop);
        for round in 0..4 {
            turns(50).await;
            match round % 2 {
                0 => attached.nvme.source().reset().await.unwrap(),
                _ => {
                    let mut events = attached.nvme.source().events();
                    attached.device.fail();
                    while events.next().await != Some(reactor::nvme::Event::Reset) {}
                }
            }
        }
        turns(50).await;
        stop.set(true);
        for task in tasks {
            assert!(task.await.unwrap() > 0);
        }
        // The layer's own, which aborts what is in flight.
        disk.reset().await.unwrap();
        write(&disk.channel().unwrap(), 1, 1).await;
        drop(disk);
        attached.detach().await;
    });
}

#[test]
fn a_controller_that_is_taken_out_takes_its_devices_along() {
    on_a_core(async || {
        let attached = Bay::new("life-out", SoftConfig::default()).await;
        let disk = open("life-outn1").await;
        let channel = disk.channel().unwrap();
        let mut events = disk.events();
        write(&channel, 0, 0).await;
        // The device keeps what it was asked.
        attached.device.set_silent(true);
        let reads = (0..128).map(|lba| {
            let channel = channel.clone();
            spawn_local(async move { channel.read(lba..lba + 1).await.map(drop) })
        });
        let reads: Vec<_> = reads.collect();
        turns(10).await;
        attached.device.remove();
        for read in reads {
            let answer = read.await.unwrap();
            assert!(matches!(answer, Err(Error::Removed)), "{answer:?}");
        }
        assert_eq!(events.next().await, Some(Event::Removed));
        drop((disk, channel));
        attached.detach().await;
    });
}

#[test]
fn of_two_controllers_one_may_be_taken_out_under_load() {
    on_a_core(async || {
        let (a, b) = Bay::two("life-two", options()).await;
        let disk = open("life-two-an1").await;
        let stop = Rc::new(Cell::new(false));
        let tasks = load(&disk, 32, &stop);
        turns(50).await;
        a.device.remove();
        let paths = || disk.module_as::<Disk>().unwrap().paths();
        until(|| paths().len() == 1).await;
        turns(50).await;
        stop.set(true);
        for task in tasks {
            assert!(task.await.unwrap() > 0);
        }
        drop(disk);
        drop(a.nvme.detach());
        b.detach().await;
    });
}

#[test]
fn access_states_are_told_and_followed() {
    on_a_core(async || {
        let (a, b) = Bay::two("life-ana", options()).await;
        let disk = open("life-ana-an1").await;
        let used = || {
            disk.module_as::<Disk>()
                .unwrap()
                .paths()
                .iter()
                .map(|path: &PathStatus| path.is_used)
                .collect::<Vec<_>>()
        };
        assert_eq!(used(), [true, false]);
        for (state, is_used) in [
            (AnaState::NON_OPTIMIZED, false),
            (AnaState::OPTIMIZED, true),
            (AnaState::INACCESSIBLE, false),
            (AnaState::OPTIMIZED, true),
            (AnaState::PERSISTENT_LOSS, false),
        ] {
            a.device.set_ana(1, state);
            until(|| used() == [is_used, !is_used]).await;
        }
        b.device.set_ana(1, AnaState::NON_OPTIMIZED);
        until(|| disk.module_as::<Disk>().unwrap().paths()[1].access == AnaState::NON_OPTIMIZED).await;
        assert_eq!(used(), [false, true], "better than none");
        drop(disk);
        drop(a.nvme.detach());
        b.detach().await;
    });
}

#[test]
fn two_cores_use_one_controller_and_see_the_same_blocks() {
    app::test_entry(app::Builder::new().cores("0-1"), async || {
        let attached = Bay::new("life-cores", SoftConfig::default()).await;
        let disk = open("life-coresn1").await;
        let far = disk.clone();
        let there = call_on(Core::nth(1).unwrap(), async move || {
            let channel = far.channel().unwrap();
            for lba in 100..200 {
                write(&channel, lba, lba as u8).await;
            }
        });
        let channel = disk.channel().unwrap();
        for lba in 0..100 {
            write(&channel, lba, lba as u8).await;
        }
        there.await.unwrap();
        for lba in 0..200 {
            assert_eq!(reads(&channel, lba).await, lba as u8);
        }
        drop((channel, disk));
        attached.detach().await;
    });
}
