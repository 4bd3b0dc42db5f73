//! Commands that are late, controllers that fail, are reset, or taken away: every command ends, and I/O goes on where it can.

use super::*;
use crate::nvme::soft::Fault;
use crate::nvme::spec::StatusCode;
use crate::nvme::{Error, Event};
use crate::time::{Instant, sleep};
use crate::{JoinHandle, Mode, call_on, spawn_local};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

fn config() -> Config {
    Config { command_timeout: Duration::from_secs(4), admin_timeout: Duration::from_secs(1), ..entries(256) }
}

/// Reads of the first blocks, each by a task.
fn read_many(disk: &Disk, count: u64) -> Vec<JoinHandle<(Result<(), Error>, DmaBuf)>> {
    let read = |lba| {
        let disk = disk.clone();
        spawn_local(async move { disk.read(lba, buffer(512, 0xee)).await })
    };
    (0..count).map(read).collect()
}

async fn fill(disk: &Disk, count: u64) {
    for lba in 0..count {
        write(disk, lba, lba as u8 + 1).await;
    }
}

fn is_retryable(read: &Result<(), Error>) -> bool {
    matches!(read, Err(Error::Status(status)) if status.is_retryable())
}

/// Attaches in virtual time, and runs `test`; a second of the clock is a thousand turns.
fn with_config(config: Config, test: impl AsyncFnOnce(SoftController, Controller<SoftController>) + 'static) {
    let device = SoftController::default();
    let given = device.clone();
    in_virtual_time(&device, async move {
        let controller = Controller::attach(given.clone(), config).await.unwrap();
        test(given, controller).await;
    });
}

#[test]
fn a_late_command_is_aborted_and_says_so() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        let before = DmaPool::local().stats().in_use;
        let since = Instant::now();
        device.inject(Fault::Lose);
        let (read, buf) = disk.read(0, buffer(512, 0)).await;
        assert!(matches!(read, Err(Error::TimedOut(limit)) if limit == Duration::from_secs(4)), "{read:?}");
        let waited = since.elapsed();
        assert!((4..=6).contains(&waited.as_secs()), "{waited:?}");
        drop(buf);
        assert_eq!(DmaPool::local().stats().in_use, before);
        assert_eq!(reads(&disk, 0).await, 0);
    });
}

#[test]
fn a_command_that_takes_its_time_is_not_late() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        device.inject(Fault::Delay(3_900));
        assert_eq!(reads(&disk, 0).await, 0);
    });
}

#[test]
fn what_cannot_be_aborted_is_ended_by_a_reset() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        let mut events = controller.events();
        device.set_keeps_commands(true);
        device.inject(Fault::Lose);
        let (read, _buf) = disk.read(0, buffer(512, 0)).await;
        assert!(is_retryable(&read), "{read:?}");
        assert_eq!(events.next().await, Some(Event::Reset));
        assert_eq!(reads(&disk, 0).await, 0);
    });
}

#[test]
fn a_reset_has_io_wait_and_ends_what_was_on_its_way() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        fill(&disk, 64).await;
        (0..64).for_each(|_| device.inject(Fault::Lose));
        let cut_off = read_many(&disk, 64);
        turns().await;
        let resetting = controller.clone();
        let reset = spawn_local(async move { resetting.reset().await });
        turns().await;
        let later = read_many(&disk, 64);
        reset.await.unwrap().unwrap();
        for read in cut_off {
            assert!(is_retryable(&read.await.unwrap().0));
        }
        for (lba, read) in later.into_iter().enumerate() {
            let (read, buf) = read.await.unwrap();
            read.unwrap();
            assert!(buf.iter().all(|&byte| byte == lba as u8 + 1));
        }
    });
}

#[test]
fn a_reset_sends_again_what_it_cut_off() {
    with_config(Config { retries: 2, ..config() }, async |device, controller| {
        let disk = disk_of(&controller).await;
        fill(&disk, 64).await;
        for _ in 0..2 {
            (0..64).for_each(|_| device.inject(Fault::Lose));
            let cut_off = read_many(&disk, 64);
            turns().await;
            controller.reset().await.unwrap();
            for (lba, read) in cut_off.into_iter().enumerate() {
                let (read, buf) = read.await.unwrap();
                read.unwrap();
                assert!(buf.iter().all(|&byte| byte == lba as u8 + 1));
            }
        }
        // Two times is enough.
        (0..3).for_each(|_| device.inject(Fault::Lose));
        let mut cut_off = read_many(&disk, 1);
        for _ in 0..3 {
            turns().await;
            assert_eq!(disk.queue().in_flight(), 1);
            controller.reset().await.unwrap();
            turns().await;
        }
        assert!(is_retryable(&cut_off.pop().unwrap().await.unwrap().0));
    });
}

#[test]
fn a_fatal_error_is_noticed_and_reset() {
    with_config(Config { retries: 1, ..config() }, async |device, controller| {
        let disk = disk_of(&controller).await;
        let mut events = controller.events();
        device.fail();
        assert_eq!(reads(&disk, 0).await, 0);
        assert_eq!(events.next().await, Some(Event::Reset));
    });
}

#[test]
fn an_admin_queue_that_falls_silent_is_reset() {
    with_config(config(), async |device, controller| {
        device.set_silent(true);
        assert!(matches!(controller.namespaces().await, Err(Error::AdminTimeout(_))));
        device.set_silent(false);
        assert_eq!(controller.namespaces().await.unwrap(), [1]);
    });
}

#[test]
fn a_device_taken_away_ends_all_its_io() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        let mut events = controller.events();
        let before = DmaPool::local().stats().in_use;
        (0..128).for_each(|_| device.inject(Fault::Lose));
        let on_their_way = read_many(&disk, 128);
        turns().await;
        device.remove();
        let since = Instant::now();
        for read in on_their_way {
            assert!(matches!(read.await.unwrap().0, Err(Error::Removed)));
        }
        assert!(since.elapsed() < Duration::from_secs(2), "it is noticed by looking");
        assert_eq!(events.next().await, Some(Event::Removed));
        assert_eq!(events.next().await, None);
        assert!(matches!(disk.flush().await, Err(Error::Removed)));
        assert!(matches!(controller.namespaces().await, Err(Error::Removed)));
        assert!(matches!(controller.queue_pair().await, Err(Error::Removed)));
        assert!(matches!(controller.reset().await, Err(Error::Removed)));
        turns().await;
        assert_eq!(DmaPool::local().stats().in_use, before);
    });
}

#[test]
fn a_controller_that_does_not_come_back_is_given_up() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        let mut events = controller.events();
        (0..8).for_each(|_| device.inject(Fault::Lose));
        let on_their_way = read_many(&disk, 8);
        turns().await;
        // It becomes ready, and answers nothing.
        device.set_silent(true);
        assert!(matches!(controller.reset().await, Err(Error::Failed)));
        for read in on_their_way {
            let read = read.await.unwrap().0;
            assert!(is_retryable(&read) || matches!(read, Err(Error::Failed)), "{read:?}");
        }
        assert!(matches!(disk.flush().await, Err(Error::Failed)));
        assert_eq!(events.next().await, Some(Event::Failed));
        assert_eq!(events.next().await, None);
        // It can be had again.
        device.set_silent(false);
        drop((disk, controller));
        let again = Controller::attach(device, config()).await.unwrap();
        assert_eq!(reads(&disk_of(&again).await, 0).await, 0);
    });
}

#[test]
fn every_core_goes_on_after_a_reset() {
    crate::reactor::testing::on_two_cores(Mode::Adaptive, async || {
        let device = SoftController::default();
        let works = works(&device);
        let controller = Controller::attach(device, Config { retries: 3, ..config() }).await.unwrap();
        let disk = disk_of(&controller).await;
        fill(&disk, 16).await;
        let there = controller.clone();
        let is_over = std::sync::Arc::new(AtomicBool::new(false));
        let sent = is_over.clone();
        let reading = call_on(crate::Core::nth(1).unwrap(), async move || {
            let disk = disk_of(&there).await;
            let mut resets = 0;
            let mut events = there.events();
            while resets < 3 {
                for lba in 0..16 {
                    assert_eq!(reads(&disk, lba).await, lba as u8 + 1);
                }
                resets +=
                    std::iter::from_fn(|| events.try_next()).filter(|event| *event == Event::Reset).count();
            }
            sent.store(true, SeqCst);
        });
        while !is_over.load(SeqCst) {
            sleep(Duration::from_millis(2)).await;
            controller.reset().await.unwrap();
            assert_eq!(reads(&disk, 3).await, 4);
        }
        reading.await.unwrap();
        drop(works);
    });
}

/// A command that another core's end leaves behind costs the others a reset, and no more.
#[test]
fn a_core_that_ends_with_a_lost_command_takes_only_its_own() {
    let group = crate::reactor::Group::new([0, 1], Mode::Adaptive).unwrap();
    let home = LocalExecutor::of_group(group.clone(), 0, Clock::tsc()).unwrap();
    let device = SoftController::default();
    let controller = home.block_on(async {
        let works = works(&device);
        let config = Config { retries: 3, end_patience: Duration::ZERO, ..config() };
        let controller = Controller::attach(device.clone(), config).await.unwrap();
        assert_eq!(reads(&disk_of(&controller).await, 0).await, 0);
        std::mem::forget(works);
        controller
    });
    let (sent, lost) = (controller.clone(), device.clone());
    let other = std::thread::spawn(move || {
        let other = LocalExecutor::of_group(group, 1, Clock::tsc()).unwrap();
        other.block_on(async {
            let disk = disk_of(&sent).await;
            lost.inject(Fault::Lose);
            drop(spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 }));
            while lost.held() == 0 {
                yield_now().await;
            }
        });
    });
    while !other.is_finished() {
        home.turn();
    }
    other.join().unwrap();
    home.block_on(async {
        let disk = disk_of(&controller).await;
        assert_eq!(reads(&disk, 0).await, 0);
        while device.queue_pairs() != 2 {
            yield_now().await;
        }
        drop(disk);
        controller.close().await.unwrap();
    });
}

/// As the controller is disabled, nothing that comes later is anybody's.
#[test]
fn what_a_controller_answers_after_its_reset_is_nobodys() {
    with_config(config(), async |device, controller| {
        let disk = disk_of(&controller).await;
        device.inject(Fault::Delay(20));
        let cut_off = read_many(&disk, 1);
        turns().await;
        controller.reset().await.unwrap();
        for _ in 0..10 {
            assert_eq!(reads(&disk, 0).await, 0);
        }
        assert!(is_retryable(&cut_off.into_iter().next().unwrap().await.unwrap().0));
        assert_eq!(disk.queue().counters().strays, 0);
        let code = StatusCode::ABORTED_SQ_DELETION;
        assert!(crate::nvme::spec::Status::of(code).is_retryable());
    });
}
