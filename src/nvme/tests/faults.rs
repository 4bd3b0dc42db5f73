//! What becomes of commands, buffers and futures when the controller errs, or the caller changes his mind.

use super::*;
use crate::nvme::Error;
use crate::nvme::soft::Fault;
use crate::nvme::spec::{Status, StatusCode};
use crate::spawn_local;
use proptest::prelude::*;

#[test]
fn a_dropped_read_keeps_its_buffer_until_the_answer() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, works| {
        let disk = disk_of(&controller).await;
        drop(works);
        let pool = DmaPool::local();
        let before = pool.stats().in_use;
        device.inject(Fault::Delay(2));
        {
            let mut read = Box::pin(disk.read(0, buffer(4096, 0)));
            std::future::poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        }
        for _ in 0..3 {
            turns().await;
            assert_eq!(pool.stats().in_use, before + 1, "the device may still write it");
            device.step();
        }
        turns().await;
        assert_eq!(pool.stats().in_use, before);
        assert_eq!(disk.queue().counters().strays, 0);
    });
}

#[test]
fn forgotten_futures_lose_their_buffers_and_nothing_else() {
    on_a_core(SoftConfig::default(), entries(4), async |_, controller, _works| {
        let disk = disk_of(&controller).await;
        for _ in 0..20 {
            let mut read = Box::pin(disk.read(0, buffer(512, 0)));
            std::future::poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            std::mem::forget(read);
            turns().await;
        }
        assert_eq!(reads(&disk, 0).await, 0);
    });
}

#[test]
fn answers_out_of_order_reach_those_who_asked() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let disk = std::rc::Rc::new(disk_of(&controller).await);
        for lba in 0..16 {
            write(&disk, lba, lba as u8 + 1).await;
        }
        for round in 0..50_u32 {
            (0..8).for_each(|n| device.inject(Fault::Delay((round * 7 + n * 5) % 6 + 1)));
            let tasks: Vec<_> = (0..16)
                .map(|lba| {
                    let disk = disk.clone();
                    spawn_local(async move { assert_eq!(reads(&disk, lba).await, lba as u8 + 1) })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
        assert_eq!(disk.queue().counters().strays, 0);
    });
}

#[test]
fn a_second_answer_is_nobodys() {
    on_a_core(SoftConfig::default(), entries(4), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        for n in 0..100 {
            device.inject(Fault::Repeat);
            write(&disk, 5, n).await;
            assert_eq!(reads(&disk, 5).await, n);
        }
        assert_eq!(disk.queue().counters().strays, 100);
    });
}

#[test]
fn an_error_is_told_as_the_controller_tells_it() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, _works| {
        let disk = disk_of(&controller).await;
        device.inject(Fault::Fail(StatusCode::UNRECOVERED_READ));
        let (read, _buf) = disk.read(0, buffer(512, 0)).await;
        let Err(Error::Status(status)) = read else { panic!("{read:?}") };
        assert!(status == Status::of(StatusCode::UNRECOVERED_READ) && status.is_retryable());
        assert_eq!(reads(&disk, 0).await, 0);
    });
}

/// Whatever keeps answers away: closing the controller ends the commands, and gives their buffers back.
#[test]
fn closing_ends_what_is_never_answered() {
    for fault in [Fault::Lose, Fault::WrongPhase, Fault::Delay(u32::MAX)] {
        on_a_core(SoftConfig::default(), entries(64), async |device, controller, _works| {
            let disk = std::rc::Rc::new(disk_of(&controller).await);
            let before = DmaPool::local().stats().in_use;
            (0..128).for_each(|_| device.inject(fault));
            let tasks: Vec<_> = (0..128)
                .map(|lba| {
                    let disk = disk.clone();
                    spawn_local(async move { disk.read(lba, buffer(512, 0)).await.0 })
                })
                .collect();
            turns().await;
            assert_eq!(DmaPool::local().stats().in_use, before + 128);
            controller.close().await.unwrap();
            for task in tasks {
                let Err(Error::Status(status)) = task.await.unwrap() else { panic!("answered") };
                assert_eq!(status.code(), StatusCode::ABORTED_SQ_DELETION);
            }
            assert_eq!(DmaPool::local().stats().in_use, before);
            assert!(matches!(disk.flush().await, Err(Error::Closed)));
            // It can be had again.
            let controller = Controller::attach(device.clone(), Config::default()).await.unwrap();
            device.clear_faults();
            assert_eq!(reads(&disk_of(&controller).await, 0).await, 0);
        });
    }
}

#[test]
fn a_removed_controller_ends_its_commands_when_closed() {
    on_a_core(SoftConfig::default(), Config::default(), async |device, controller, works| {
        let disk = std::rc::Rc::new(disk_of(&controller).await);
        drop(works);
        let reading = disk.clone();
        let task = spawn_local(async move { reading.read(0, buffer(512, 0)).await.0 });
        turns().await;
        device.remove();
        assert_eq!(device.step(), 0);
        assert!(matches!(Controller::attach(device.clone(), Config::default()).await, Err(Error::Busy)));
        controller.close().await.unwrap();
        assert!(matches!(task.await.unwrap(), Err(Error::Status(_))));
        assert!(matches!(Controller::attach(device, Config::default()).await, Err(Error::Removed)));
    });
}

#[test]
fn a_core_ends_though_a_command_is_lost() {
    let device = SoftController::default();
    let executor = LocalExecutor::new().unwrap();
    executor.block_on(async {
        let _works = works(&device);
        let controller = Controller::attach(device.clone(), entries(8)).await.unwrap();
        let disk = disk_of(&controller).await;
        device.inject(Fault::Lose);
        drop(spawn_local(async move { disk.read(0, buffer(512, 0)).await.0 }));
        turns().await;
        std::mem::forget(controller);
    });
    drop(executor);
    assert_eq!(device.step(), 0);
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Lose),
        (1..20_u32).prop_map(Fault::Delay),
        Just(Fault::Repeat),
        Just(Fault::WrongPhase),
        Just(Fault::Fail(StatusCode::INTERNAL_ERROR)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Reads of blocks that say which they are, of which some are given up, from a controller that errs at random.
    #[test]
    fn whatever_goes_wrong_no_buffer_is_lost_and_no_answer_is_anothers(
        reads in prop::collection::vec((0..64_u64, prop::option::of(faults()), any::<bool>()), 1..80),
        queue_entries in 2..40_u16,
    ) {
        on_a_core(SoftConfig::default(), entries(queue_entries), async |device, controller, _works| {
            let disk = std::rc::Rc::new(disk_of(&controller).await);
            for lba in 0..64 {
                write(&disk, lba, lba as u8 + 1).await;
            }
            let before = DmaPool::local().stats().in_use;
            let mut tasks = Vec::new();
            for (lba, fault, is_given_up) in reads {
                fault.into_iter().for_each(|fault| device.inject(fault));
                let disk = disk.clone();
                let task = spawn_local(async move { (lba, disk.read(lba, buffer(512, 0)).await) });
                match is_given_up {
                    true => {
                        turns().await;
                        task.abort();
                        drop(task);
                    }
                    false => tasks.push(task),
                }
            }
            for _ in 0..30 {
                turns().await;
            }
            controller.close().await.unwrap();
            for task in tasks {
                let (lba, (read, buf)) = task.await.unwrap();
                match read {
                    Ok(()) => assert!(buf.iter().all(|&byte| u64::from(byte) == lba + 1)),
                    Err(error) => assert!(matches!(error, Error::Status(_)), "{error}"),
                }
            }
            turns().await;
            assert_eq!(DmaPool::local().stats().in_use, before);
        });
    }
}
