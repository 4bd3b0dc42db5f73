//! Commands that their callers want no more: aborted where the controller can, and as before where not.

use super::*;
use crate::nvme::Error;
use crate::nvme::soft::Fault;
use crate::nvme::spec::StatusCode;
use crate::reactor::driver::Driver;
use crate::spawn_local;

/// In virtual time, `count` commands at a time.
fn with(count: u16, test: impl AsyncFnOnce(SoftController, Controller<SoftController>) + 'static) {
    let device = SoftController::default();
    let given = device.clone();
    in_virtual_time(&device, async move {
        let config = Config { admin_timeout: Duration::from_secs(1), ..entries(count + 1) };
        let controller = Controller::attach(given.clone(), config).await.unwrap();
        test(given, controller).await;
    });
}

fn is_aborted(read: &Result<(), Error>) -> bool {
    matches!(read, Err(Error::Status(status)) if status.code() == StatusCode::ABORT_REQUESTED)
}

#[test]
fn a_command_is_aborted_by_its_caller() {
    with(8, async |device, controller| {
        let disk = disk_of(&controller).await;
        (0..2).for_each(|_| device.inject(Fault::Lose));
        let (queue, also) = (disk.queue().clone(), disk.clone());
        let (reading, handle) = queue.abortable(async move { disk.read(0, buffer(512, 0)).await });
        let reading = spawn_local(reading);
        let other = spawn_local(async move { also.read(0, buffer(512, 0)).await.0 });
        turns().await;
        assert_eq!((device.held(), handle.abort().await.unwrap()), (2, 1));
        let (read, buf) = reading.await.unwrap();
        assert!(is_aborted(&read) && buf.len() == 512, "{read:?}");
        assert_eq!(
            (device.held(), handle.abort().await.unwrap()),
            (1, 0),
            "there is nothing left, and the other is not ours"
        );
        drop(other);
    });
}

#[test]
fn what_the_controller_does_not_abort_ends_as_if_nothing_had_been_asked() {
    with(8, async |device, controller| {
        let disk = disk_of(&controller).await;
        write(&disk, 0, 6).await;
        device.set_keeps_commands(true);
        device.inject(Fault::Delay(50));
        let queue = disk.queue().clone();
        let (reading, handle) = queue.abortable(async move { disk.read(0, buffer(512, 0)).await });
        let reading = spawn_local(reading);
        turns().await;
        assert_eq!(handle.abort().await.unwrap(), 0);
        let (read, buf) = reading.await.unwrap();
        read.unwrap();
        assert_eq!((buf[0], queue.counters().strays), (6, 0));
    });
}

#[test]
fn what_waits_for_its_turn_ends_without_the_controller() {
    with(2, async |device, controller| {
        let disk = disk_of(&controller).await;
        (0..2).for_each(|_| device.inject(Fault::Lose));
        let lost: Vec<_> = (0..2)
            .map(|_| {
                let disk = disk.clone();
                spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 })
            })
            .collect();
        turns().await;
        let queue = disk.queue().clone();
        let reader = disk.clone();
        let (reading, handle) = queue.abortable(async move { reader.read(0, buffer(512, 0)).await });
        let reading = spawn_local(reading);
        turns().await;
        let after = spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 });
        turns().await;
        assert_eq!((queue.in_flight(), queue.counters().submitted), (4, 2));
        assert_eq!(handle.abort().await.unwrap(), 1);
        assert!(is_aborted(&reading.await.unwrap().0));
        assert_eq!((queue.in_flight(), queue.counters().submitted), (3, 2));
        // What stood behind it has its turn.
        lost.into_iter().for_each(|task| task.abort());
        turns().await;
        assert_eq!(queue.given_up(), 2);
        queue.abort_given_up();
        after.await.unwrap().unwrap();
    });
}

/// And no more aborts at a time than the controller takes, four of this one.
#[test]
fn all_commands_of_a_request_are_aborted() {
    let soft = SoftConfig { transfer_max: 1, ..SoftConfig::default() };
    on_a_core(soft, entries(64), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        (0..8).for_each(|_| device.inject(Fault::Lose));
        let queue = disk.queue().clone();
        let (reading, handle) = queue.abortable(async move { disk.read(0, buffer(64 << 10, 0)).await });
        let reading = spawn_local(reading);
        while device.held() < 8 {
            yield_now().await;
        }
        assert_eq!(handle.abort().await.unwrap(), 8);
        let (read, buf) = reading.await.unwrap();
        assert!(is_aborted(&read) && buf.len() == 64 << 10);
    });
}

#[test]
fn no_more_aborts_are_on_their_way_than_the_controller_takes_and_lost_ones_end_in_a_reset() {
    with(8, async |device, controller| {
        let disk = disk_of(&controller).await;
        (0..6).for_each(|_| device.inject(Fault::Lose));
        let queue = disk.queue().clone();
        let (mut readings, mut aborts) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let disk = disk.clone();
            let (reading, handle) = queue.abortable(async move { disk.read(0, buffer(512, 0)).await.0 });
            readings.push(spawn_local(reading));
            aborts.push(async move { handle.abort().await });
        }
        while device.held() < 6 {
            yield_now().await;
        }
        device.set_silent(true);
        let aborts: Vec<_> = aborts.into_iter().map(spawn_local).collect();
        turns().await;
        let admin = controller.link().seats().get().unwrap().admin().unwrap();
        assert_eq!(admin.in_flight(), 4, "ACL is 3, less one");
        let mut events = controller.events();
        let mut ended = 0;
        for abort in aborts {
            ended += u32::from(abort.await.unwrap().is_err());
            device.set_silent(false);
        }
        assert!(ended > 0, "they were not answered");
        assert_eq!(events.next().await, Some(crate::nvme::Event::Reset));
        for reading in readings {
            assert!(reading.await.unwrap().is_err());
        }
        assert_eq!((reads(&disk, 0).await, queue.in_flight()), (0, 0));
    });
}

#[test]
fn what_was_given_up_is_aborted_and_its_buffers_are_free() {
    with(8, async |device, controller| {
        let disk = disk_of(&controller).await;
        let before = DmaPool::local().stats().in_use;
        (0..3).for_each(|_| device.inject(Fault::Lose));
        for _ in 0..3 {
            let mut read = Box::pin(disk.read(0, buffer(512, 0)));
            assert!(poll_once(&mut read).await.is_pending());
        }
        turns().await;
        assert_eq!((disk.queue().given_up(), DmaPool::local().stats().in_use), (3, before + 3));
        disk.queue().abort_given_up();
        while disk.queue().given_up() > 0 {
            yield_now().await;
        }
        assert_eq!((device.held(), DmaPool::local().stats().in_use), (0, before));
        assert_eq!(reads(&disk, 0).await, 0);
    });
}
