//! What a controller tells by itself, and what else is asked of it.

use super::*;
use crate::nvme::spec::{
    ALL_NAMESPACES, CriticalWarning, EventKind, FeatureId, FeatureSelect, FormatOptions, IdentifyNamespace,
    LogPage,
};
use crate::nvme::{Error, Event};
use crate::{Mode, call_on};

#[test]
fn all_who_listen_hear_of_what_has_happened() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let (mut one, mut other) = (controller.events(), controller.events());
        for id in 1..9 {
            device.tell_namespace_changed(id);
            for events in [&mut one, &mut other] {
                assert_eq!(events.next().await, Some(Event::NamespacesChanged(vec![id])));
            }
        }
        let warning = CriticalWarning::from_bits(1 << 3);
        device.tell_health(warning);
        device.tell_error(3);
        let mut told = [one.next().await.unwrap(), one.next().await.unwrap()];
        told.sort_by_key(|event| matches!(event, Event::Told(_)));
        assert_eq!(told, [Event::Health(warning), Event::Told(EventKind::Error(3))]);
        controller.close().await.unwrap();
        assert_eq!(one.next().await, None);
        assert_eq!(controller.events().next().await, None);
        // What came before the end is read before it.
        assert!(other.next().await.is_some() && other.next().await.is_some());
        assert_eq!(other.next().await, None);
    });
}

#[test]
fn a_listener_that_does_not_read_misses_the_oldest_and_is_told() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let (mut slow, mut fast) = (controller.events(), controller.events());
        for id in 1..=100 {
            device.tell_namespace_changed(id);
            assert_eq!(fast.next().await, Some(Event::NamespacesChanged(vec![id])));
        }
        assert_eq!(slow.next().await, Some(Event::Missed(36)));
        for id in 37..=100 {
            assert_eq!(slow.next().await, Some(Event::NamespacesChanged(vec![id])));
        }
        assert_eq!(slow.try_next(), None);
    });
}

#[test]
fn events_come_after_a_reset_and_on_another_core() {
    crate::reactor::testing::on_two_cores(Mode::Adaptive, async || {
        let device = SoftController::default();
        let _works = works(&device);
        let controller = Controller::attach(device.clone(), Config::default()).await.unwrap();
        let mut events = controller.events();
        let hears = call_on(crate::Core::nth(1).unwrap(), async move || {
            assert_eq!(events.next().await, Some(Event::Reset));
            assert_eq!(events.next().await, Some(Event::NamespacesChanged(vec![5])));
        });
        controller.reset().await.unwrap();
        device.tell_namespace_changed(5);
        hears.await.unwrap();
    });
}

/// The admin requests that wait for events are no reason to be awake.
#[test]
fn a_core_sleeps_while_nothing_happens() {
    let device = SoftController::default();
    let given = device.clone();
    let executor = LocalExecutor::new().unwrap();
    let controller = executor.block_on(async move {
        let _works = works(&given);
        let controller = Controller::attach(given.clone(), Config::default()).await.unwrap();
        assert_eq!(reads(&disk_of(&controller).await, 0).await, 0);
        while given.queue_pairs() > 1 {
            yield_now().await;
        }
        controller
    });
    executor.enter_with(|| {
        let slept = (0..1000).any(|_| {
            executor.turn();
            executor.prepare_to_sleep()
        });
        assert!(slept);
    });
    drop(controller);
}

#[test]
fn a_controller_that_wants_to_hear_of_its_host_does() {
    let device = SoftController::default();
    let given = device.clone();
    in_virtual_time(&device, async move {
        let config = Config { keep_alive: Some(Duration::from_secs(2)), ..Config::default() };
        let controller = Controller::attach(given.clone(), config).await.unwrap();
        let mut events = controller.events();
        let kept = controller.feature(FeatureId::KEEP_ALIVE, 0, FeatureSelect::Current).await;
        assert_eq!(kept.unwrap(), 2000);
        crate::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(events.try_next(), None, "it was never reset");
        // Ten seconds at once are more than it stands.
        given.pass(Duration::from_secs(10));
        assert_eq!(events.next().await, Some(Event::Reset));
    });
}

#[test]
fn logs_and_features_are_read_and_set() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        write(&disk, 1, 1).await;
        assert_eq!(reads(&disk, 1).await, 1);
        let health = controller.health().await.unwrap();
        assert_eq!((health.reads.get(), health.writes.get()), (1, 1));
        let whole = controller.log(LogPage::SMART, ALL_NAMESPACES, 0, 512).await.unwrap();
        let part = controller.log(LogPage::SMART, ALL_NAMESPACES, 64, 32).await.unwrap();
        assert_eq!(whole[64..96], part);
        let set = controller.set_feature(FeatureId::WRITE_CACHE, 0, 1, false).await;
        let get = controller.feature(FeatureId::WRITE_CACHE, 0, FeatureSelect::Current).await;
        match set {
            Ok(_) => assert_eq!(get.unwrap(), 1),
            Err(error) => assert!(matches!(error, Error::Status(_))),
        }
        assert!(matches!(controller.log(LogPage(0xc7), 0, 0, 512).await, Err(Error::Status(_))));
        assert!(controller.firmware().await.unwrap().revision(1).is_some());
    });
}

#[test]
fn namespaces_are_made_attached_formatted_and_deleted() {
    on_a_core(SoftConfig::default(), Config::default(), async |_, controller, _works| {
        let mut like = IdentifyNamespace::default();
        like.size.set(64);
        like.capacity.set(64);
        let id = controller.create_namespace(&like).await.unwrap();
        assert_eq!(controller.namespaces().await.unwrap(), [1]);
        controller.attach_namespace(id).await.unwrap();
        assert_eq!(controller.namespaces().await.unwrap(), [1, id]);
        let disk = async || {
            Channel::new(controller.namespace(id).await.unwrap(), controller.queue_pair().await.unwrap())
        };
        write(&disk().await, 3, 7).await;
        controller.format(id, FormatOptions::default()).await.unwrap();
        assert_eq!(reads(&disk().await, 3).await, 0);
        controller.detach_namespace(id).await.unwrap();
        assert_eq!(controller.namespaces().await.unwrap(), [1]);
        controller.delete_namespace(id).await.unwrap();
        assert!(matches!(controller.attach_namespace(id).await, Err(Error::Status(_))));
    });
}

#[test]
fn a_closed_controller_was_told_of_the_shutdown() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let stopped = device.clone();
        let watch = crate::spawn_local(async move {
            while !stopped.is_shut_down() {
                yield_now().await;
            }
        });
        controller.close().await.unwrap();
        watch.await.unwrap();
    });
}
