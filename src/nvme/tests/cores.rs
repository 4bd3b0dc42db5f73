//! One controller and several cores: each with a queue pair of its own, for as long as somebody there uses it.

use super::*;
use crate::nvme::spec::{Command, FeatureId, IdentifyWhat};
use crate::nvme::{Error, Payload};
use crate::reactor::testing::on_two_cores;
use crate::{Core, Mode, call_on};
use static_assertions::assert_impl_all;

assert_impl_all!(Controller<SoftController>: Send, Sync, Clone);
assert_impl_all!(crate::nvme::Namespace: Send, Sync, Clone);

fn other() -> Core {
    Core::nth(1).unwrap()
}

/// Attaches on core 0 of two, which works the device as well.
fn on_two(test: impl AsyncFnOnce(SoftController, Controller<SoftController>)) {
    on_two_cores(Mode::Adaptive, async || {
        let device = SoftController::default();
        let _works = works(&device);
        let controller = Controller::attach(device.clone(), Config::default()).await.unwrap();
        test(device.clone(), controller).await;
        while device.queue_pairs() > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn every_core_has_a_queue_pair_and_sees_the_same_blocks() {
    on_two(async |device, controller| {
        let here = disk_of(&controller).await;
        let also_here = disk_of(&controller).await;
        assert_eq!(device.queue_pairs(), 2, "one, and the admin queues");
        let sent = controller.clone();
        let there = call_on(other(), async move || {
            let disk = disk_of(&sent).await;
            write(&disk, 5, 0x55).await;
            disk.queue().counters().submitted
        });
        assert_eq!(there.await.unwrap(), 1);
        assert_eq!(reads(&here, 5).await, 0x55);
        assert_eq!(reads(&also_here, 5).await, 0x55);
        assert_eq!(here.queue().counters().submitted, 2);
        // That of the other core has gone with its user.
        while device.queue_pairs() != 2 {
            yield_now().await;
        }
        drop((here, also_here));
        while device.queue_pairs() != 1 {
            yield_now().await;
        }
    });
}

/// Of a controller that has one: while a core uses it there is none for others, and the moment that it does not, there is.
#[test]
fn a_queue_pair_that_is_left_is_waited_for() {
    on_two_cores(Mode::Adaptive, async || {
        let soft = SoftConfig { queues: 1, ..SoftConfig::default() };
        let device = SoftController::new(soft);
        let _works = works(&device);
        let controller = Controller::attach(device.clone(), Config::default()).await.unwrap();
        for _ in 0..20 {
            let here = disk_of(&controller).await;
            assert_eq!(controller.cores(), [Core::current()]);
            let sent = controller.clone();
            let refused = call_on(other(), async move || sent.queue_pair().await.map(drop));
            assert!(matches!(refused.await.unwrap(), Err(Error::NoQueue(1))));
            // It deletes nothing before the other core has asked.
            device.set_silent(true);
            drop(here);
            let (sent, muted) = (controller.clone(), device.clone());
            let there = call_on(other(), async move || {
                let mut asking = Box::pin(sent.queue_pair());
                for _ in 0..10 {
                    assert!(poll_once(&mut asking).await.is_pending());
                    yield_now().await;
                }
                muted.set_silent(false);
                drop(asking.await.unwrap());
                assert_eq!(reads(&disk_of(&sent).await, 0).await, 0);
                sent.cores()
            });
            assert_eq!(there.await.unwrap(), [other()]);
        }
    });
}

#[test]
fn admin_commands_are_sent_from_any_core() {
    on_two(async |_, controller| {
        let asked = call_on(other(), async move || {
            assert_eq!(controller.namespaces().await.unwrap(), [1]);
            let mut page = buffer(4096, 0);
            let identify = Command::identify(IdentifyWhat::CONTROLLER, 0);
            let (answer, payload) = controller.admin(identify, page.into()).await;
            answer.unwrap().ok().unwrap();
            page = payload.into_buf().unwrap();
            assert_eq!(page[24..43], *b"software controller");
            let wrong = Command::set_features(FeatureId(0), 0, 0, false);
            let (answer, _) = controller.admin(wrong, Payload::None).await;
            assert!(matches!(answer.unwrap().ok(), Err(Error::Status(_))));
        });
        asked.await.unwrap();
    });
}

#[test]
fn an_unused_pair_stays_until_its_commands_are_answered() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, works| {
        let disk = disk_of(&controller).await;
        drop(works);
        let before = DmaPool::local().stats().in_use;
        {
            let mut read = Box::pin(disk.read(0, buffer(512, 0)));
            std::future::poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        drop(disk);
        turns().await;
        assert_eq!((device.queue_pairs(), DmaPool::local().stats().in_use), (2, before + 1));
        let _works = super::works(&device);
        while device.queue_pairs() > 1 {
            yield_now().await;
        }
        assert_eq!(DmaPool::local().stats().in_use, before);
        // The next user has queues again.
        assert_eq!(reads(&disk_of(&controller).await, 0).await, 0);
    });
}

#[test]
fn closing_from_another_core_ends_what_all_cores_wait_for() {
    on_two(async |device, controller| {
        let disk = disk_of(&controller).await;
        device.inject(crate::nvme::soft::Fault::Lose);
        let reading = crate::spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 });
        turns().await;
        let sent = controller.clone();
        call_on(other(), async move || sent.close().await).await.unwrap().unwrap();
        assert!(matches!(reading.await.unwrap(), Err(Error::Status(_))));
        assert!(matches!(controller.queue_pair().await, Err(Error::Closed)));
        drop(Controller::attach(device, Config::default()).await.unwrap());
    });
}

#[test]
fn a_controller_whose_last_user_is_elsewhere_is_disabled_at_home() {
    on_two(async |_, controller| {
        call_on(other(), async move || {
            let disk = disk_of(&controller).await;
            drop(controller);
            assert_eq!(reads(&disk, 0).await, 0);
        })
        .await
        .unwrap();
    });
}
