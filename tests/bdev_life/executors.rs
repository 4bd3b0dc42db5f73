//! Cores that come and go while a device lives on: none keeps a hold or a removal waiting without a word.

use super::modules::{How, Made};
use super::{block_on, on_no_reactor, poll, settle, wait_turns};
use reactor::bdev::{Access, Error, WaitsFor, modules::Ram, open, open_private, register, unregister};
use reactor::{JoinError, LocalExecutor, Mode, spawn_local};
use std::sync::mpsc;
use std::thread;

#[test]
fn a_core_that_has_ended_counts_as_visited() {
    let disk = Made::new(How::Keeps).open();
    let (ended, has_ended) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let thread = thread::spawn({
        let disk = disk.clone();
        move || {
            let executor = LocalExecutor::new().unwrap();
            let channel = executor.enter_with(|| disk.channel()).unwrap();
            let mut read = Box::pin(executor.enter_with(|| channel.read(0..8)));
            assert!(poll(&mut read).is_pending());
            drop(executor);
            ended.send(()).unwrap();
            let _ = may_leave.recv();
        }
    });
    has_ended.recv().unwrap();
    block_on(async {
        drop(disk.quiesce().await.unwrap());
        let [(_, Err(JoinError::CoreGone))] = disk.on_every_channel(async |_| ()).await[..] else {
            panic!("the channel is there, its core is not")
        };
    });
    drop(leave);
    thread.join().unwrap();
    assert!(block_on(disk.on_every_channel(async |_| ())).is_empty());
}

#[test]
fn a_core_that_is_not_turned_is_waited_for_and_named() {
    for ends in [false, true] {
        let other = LocalExecutor::new().unwrap();
        let disk = Made::new(How::Keeps).open();
        let channel = other.enter_with(|| disk.channel()).unwrap();
        block_on(async {
            let mut hold = disk.quiesce();
            assert!(hold.waits_for().is_empty());
            assert!(poll(&mut hold).is_pending());
            wait_turns(10).await;
            assert!(poll(&mut hold).is_pending());
            assert_eq!(hold.waits_for(), [WaitsFor::Core(other.core())]);
            let all = format!("{hold:?} {}", hold.waits_for()[0]);
            assert!(all.contains("Core") && all.ends_with("to turn"), "{all}");
            if ends {
                drop(other);
            } else {
                settle(&other);
            }
            assert!(poll(&mut hold).is_ready());
        });
        drop(channel);
    }
}

/// Work on an ended core counts as done, and is told to who waits.
#[test]
fn a_core_that_ends_with_io_in_flight_ends_the_wait() {
    let other = LocalExecutor::new().unwrap();
    let disk = Made::new(How::Keeps).open();
    let task = other.spawn_local({
        let disk = disk.clone();
        async move { disk.channel().unwrap().flush().await }
    });
    settle(&other);
    block_on(async {
        let mut hold = spawn_local({
            let mut hold = disk.quiesce();
            assert!(poll(&mut hold).is_pending());
            settle(&other);
            assert_eq!(hold.waits_for(), [WaitsFor::Io(other.core(), 1)]);
            hold
        });
        wait_turns(3).await;
        assert!(poll(&mut hold).is_pending());
        drop(other);
        drop(hold.await.unwrap().unwrap());
    });
    drop(task);
}

#[test]
fn a_core_that_was_forgotten_keeps_nobody_who_does_not_wait() {
    let other = LocalExecutor::new().unwrap();
    register("executors-forgotten", Made::new(How::Keeps)).unwrap();
    let core = other.core();
    other
        .spawn_local(async {
            let disk = open("executors-forgotten", Access::ReadWrite).await.unwrap();
            disk.channel().unwrap().flush().await
        })
        .detach();
    settle(&other);
    std::mem::forget(other);
    block_on(async {
        let disk = open("executors-forgotten", Access::ReadOnly).await.unwrap();
        let mut hold = disk.quiesce();
        assert!(poll(&mut hold).is_pending());
        assert_eq!(hold.waits_for(), [WaitsFor::Core(core)]);
        drop(hold);
        drop(disk);
        // The name is free, and who asks is told what is waited for.
        let mut removal = unregister("executors-forgotten").unwrap();
        assert!(poll(&mut removal).is_pending());
        assert_eq!((removal.open_descriptors(), removal.is_over()), (1, false));
        assert!(matches!(open("executors-forgotten", Access::ReadOnly).await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn runtimes_one_after_another_share_a_device() {
    register("executors-many", Ram::new(1 << 20).unwrap()).unwrap();
    for round in 0..3 {
        block_on(async {
            let disk = open("executors-many", Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            let page = channel.read(0..8).await.unwrap();
            assert_eq!(page[0], round);
            let mut page = page;
            page[0] += 1;
            channel.write(0, page).await.unwrap();
            drop(disk.quiesce().await.unwrap());
        });
    }
    let disk = block_on(open("executors-many", Access::ReadWrite)).unwrap();
    let mut hold = disk.quiesce();
    assert!(poll(&mut hold).is_ready(), "there is nobody to ask, on no reactor either");
    drop(disk);
    let mut removal = unregister("executors-many").unwrap();
    assert!(poll(&mut removal).is_ready());
}

#[test]
fn a_core_that_sleeps_is_woken_to_be_visited() {
    let disk = open_private("ram", Ram::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let sleeper = thread::spawn({
        let disk = disk.clone();
        move || {
            let executor = LocalExecutor::new().unwrap();
            executor.set_mode(Mode::Interrupt);
            executor.block_on(async {
                let channel = disk.channel().unwrap();
                ready.send(()).unwrap();
                let _ = stopped.await;
                channel.stats().reads
            })
        }
    });
    is_ready.recv().unwrap();
    // This thread is no reactor.
    on_no_reactor(async {
        drop(disk.quiesce().await.unwrap());
        let answers =
            disk.on_every_channel(async |channel| channel.read(0..8).await.map(|page| page.len())).await;
        let [(_, Ok(Ok(4096)))] = answers[..] else { panic!("{answers:?}") };
    });
    stop.send(()).unwrap();
    assert_eq!(sleeper.join().unwrap(), 1);
}
