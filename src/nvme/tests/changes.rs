//! Namespaces that are formatted, deleted or detached while they are in use: nothing is sent that was meant for what they were.

use super::*;
use crate::nvme::Error;
use crate::nvme::Payload;
use crate::nvme::soft::{Fault, SoftNamespace};
use crate::nvme::spec::{Command, FormatOptions};
use crate::reactor::testing::on_two_cores;
use crate::time::sleep;
use crate::{Core, Mode, call_on, spawn_local};

/// Blocks of 4 KiB.
fn larger() -> FormatOptions {
    FormatOptions::default().with_format_low(3)
}

/// Of `count` commands at a time, in virtual time.
fn with(count: u16, test: impl AsyncFnOnce(SoftController, Controller<SoftController>) + 'static) {
    let device = SoftController::default();
    let given = device.clone();
    in_virtual_time(&device, async move {
        let controller = Controller::attach(given.clone(), entries(count + 1)).await.unwrap();
        test(given, controller).await;
    });
}

/// The controller does them when the format is due, and of blocks that are eight times as long: there is no room for these.
#[test]
fn a_format_waits_for_the_io_that_was_sent_before() {
    with(3, async |device, controller| {
        let disk = disk_of(&controller).await;
        write(&disk, 0, 7).await;
        (0..3).for_each(|_| device.inject(Fault::Delay(50)));
        // Three on their way, and as many that wait.
        let read = |_| {
            let disk = disk.clone();
            spawn_local(async move { disk.read(0, buffer(512, 0)).await })
        };
        let reads: Vec<_> = (0..6).map(read).collect();
        turns().await;
        assert_eq!((device.held(), disk.queue().in_flight()), (3, 6));
        controller.format(1, larger()).await.unwrap();
        for read in reads {
            let (read, buf) = read.await.unwrap();
            read.unwrap();
            assert_eq!(buf[..], [7; 512]);
        }
        assert_eq!(disk_of(&controller).await.namespace().block_size(), 4096);
    });
}

#[test]
fn a_format_waits_for_the_io_of_all_cores() {
    on_two_cores(Mode::Adaptive, async || {
        let device = SoftController::default();
        let _works = works(&device);
        let controller = Controller::attach(device.clone(), Config::default()).await.unwrap();
        write(&disk_of(&controller).await, 0, 7).await;
        device.inject(Fault::Delay(100_000));
        let sent = controller.clone();
        let reading = call_on(Core::nth(1).unwrap(), async move || {
            let disk = disk_of(&sent).await;
            let (read, buf) = disk.read(0, buffer(512, 0)).await;
            read.unwrap();
            buf.iter().all(|&byte| byte == 7)
        });
        while device.held() == 0 {
            yield_now().await;
        }
        controller.format(1, larger()).await.unwrap();
        // It was answered before.
        assert_eq!(device.held(), 0);
        assert!(reading.await.unwrap());
    });
}

#[test]
fn a_request_that_has_begun_sends_nothing_more_after_a_format() {
    let soft = SoftConfig { transfer_max: 1, ..SoftConfig::default() };
    on_a_core(soft, entries(64), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        (0..32).for_each(|_| device.inject(Fault::Delay(20)));
        let reader = disk.clone();
        // 128 commands of 8 KiB, 32 at a time.
        let reading = spawn_local(async move { reader.read(0, buffer(1 << 20, 9)).await });
        while device.held() == 0 {
            yield_now().await;
        }
        controller.format(1, larger()).await.unwrap();
        let (read, buf) = reading.await.unwrap();
        assert!(matches!(read, Err(Error::NamespaceGone)), "{read:?}");
        assert_eq!(buf.len(), 1 << 20, "all of it comes back");
        assert!(disk.queue().counters().submitted <= 64);
    });
}

#[test]
fn what_is_deleted_or_detached_is_gone_at_once() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let id = device.add_namespace(SoftNamespace::new(100, 12));
        let (other, it) = (controller.namespace(1).await.unwrap(), controller.namespace(id).await.unwrap());
        controller.detach_namespace(id).await.unwrap();
        assert!(it.is_gone());
        controller.attach_namespace(id).await.unwrap();
        let it = controller.namespace(id).await.unwrap();
        assert!(!it.is_gone());
        controller.delete_namespace(id).await.unwrap();
        assert!(it.is_gone() && !other.is_gone());
        assert!(matches!(controller.namespace(id).await, Err(Error::NoNamespace(_))));
    });
}

/// Also by commands that are made by hand, whether or not they come to anything.
#[test]
fn a_change_is_known_by_its_command() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, controller, _works| {
        let wrong = Command::format(1, FormatOptions::default().with_format_low(15));
        for (command, ends) in [
            (wrong, true),
            (Command::format(u32::MAX, FormatOptions::default()), true),
            (Command::format(2, FormatOptions::default()), false),
            (Command::attach_namespace(1, true), false),
            (Command::flush(1), false),
        ] {
            let it = controller.namespace(1).await.unwrap();
            let _refused = controller.admin(command, buffer(4096, 0).into()).await.0;
            assert_eq!(it.is_gone(), ends, "{command:?}");
        }
    });
}

#[test]
fn a_format_by_one_controller_is_known_at_all_of_the_subsystem() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, one, _works| {
        let second = device.another(SoftConfig::default());
        let _both = works(&second);
        let other = Controller::attach(second, Config::default()).await.unwrap();
        // It hears of it by no event: those are not looked at until this task waits.
        let it = other.namespace(1).await.unwrap();
        let stranger = SoftController::default();
        let _third = works(&stranger);
        let stranger = Controller::attach(stranger, Config::default()).await.unwrap();
        let others = stranger.namespace(1).await.unwrap();
        let mut format = Box::pin(one.format(1, larger()));
        assert!(poll_once(&mut format).await.is_pending());
        assert!(it.is_gone() && !others.is_gone());
        format.await.unwrap();
    });
}

/// An answer of before the format is nothing to go by, nor is one of meanwhile.
#[test]
fn nothing_is_known_of_a_namespace_until_it_is_formatted() {
    with(8, async |device, controller| {
        let disk = disk_of(&controller).await;
        device.inject(Fault::Delay(50));
        let reading = spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 });
        turns().await;
        let asking = controller.clone();
        let asked_before = spawn_local(async move { asking.namespace(1).await });
        yield_now().await;
        let mut format = Box::pin(controller.format(1, larger()));
        assert!(poll_once(&mut format).await.is_pending());
        // Who asked for it does not wait: it goes on all the same.
        drop(format);
        assert!(matches!(asked_before.await.unwrap(), Err(Error::NamespaceGone)));
        assert!(matches!(controller.namespace(1).await, Err(Error::NamespaceGone)));
        reading.await.unwrap().unwrap();
        let known = loop {
            match controller.namespace(1).await {
                Ok(known) => break known,
                Err(Error::NamespaceGone) => sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(known.block_size(), 4096);
        let vendors = Command::new(0xc0, 0, [0; 6]);
        let _refused = controller.admin(vendors, Payload::None).await.0;
        assert!(!known.is_gone());
    });
}
