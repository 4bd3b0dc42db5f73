//! Giving I/O up: one, all, by a reset of the device, or because it takes too long.

use super::modules::{How, Made, Pass, SHELF};
use super::{block_on, core_by_hand, in_use, poll, settle, wait_turns};
use reactor::bdev::{Access, Error, Op, open_private};
use reactor::spawn_local;
use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn one_io_is_given_up_and_the_others_are_left() {
    block_on(async {
        let before = in_use();
        let channel = Made::new(How::Keeps).open().channel().unwrap();
        let read = |lba: u64| {
            let channel = channel.clone();
            spawn_local(async move {
                let buf = channel.alloc(512).await.unwrap();
                channel.read_into(lba..lba + 1, buf).await
            })
        };
        let mut tasks: Vec<_> = (0..3).map(read).collect();
        wait_turns(2).await;
        let list = channel.in_flight();
        assert_eq!(
            list.iter().map(|io| (io.op, io.blocks.start)).collect::<Vec<_>>(),
            [(Op::Read, 0), (Op::Read, 1), (Op::Read, 2)]
        );
        assert!(channel.abort(list[1].id));
        let e = tasks.remove(1).await.unwrap().unwrap_err();
        assert!(matches!(*e.error, Error::Aborted));
        assert!(e.buf.is_some_and(|buf| buf.len() == 512));
        assert!(!channel.abort(list[1].id), "it is over");
        // Another in the same request is another I/O.
        tasks.push(read(7));
        wait_turns(2).await;
        assert!(!channel.abort(list[1].id));
        assert_eq!(channel.abort_all(), 3);
        for task in tasks {
            assert!(matches!(*task.await.unwrap().unwrap_err().error, Error::Aborted));
        }
        assert_eq!((channel.stats().errors, channel.stats().in_flight, in_use()), (4, 0, before));
    });
}

#[test]
fn an_abort_below_is_an_answer_above() {
    block_on(async {
        for how in [How::Keeps, How::Shelves] {
            let base = Made::new(how).open();
            let below = base.channel().unwrap();
            let top = open_private("over", Pass::over(&base), Access::ReadWrite).unwrap().channel().unwrap();
            let flush = spawn_local(async move { top.flush().await });
            wait_turns(2).await;
            assert_eq!(below.abort_all(), 1);
            assert!(matches!(flush.await.unwrap(), Err(Error::Aborted)), "{how:?}");
            SHELF.with(RefCell::take);
        }
    });
}

#[test]
fn a_reset_gives_up_what_is_in_flight_and_lets_the_rest_go_on() {
    block_on(async {
        let disk = Made::new(How::Shelves).open();
        let channel = disk.channel().unwrap();
        let stuck = spawn_local({
            let channel = channel.clone();
            async move { channel.flush().await }
        });
        wait_turns(2).await;
        // What the module never brings back is not waited for: its caller has been told.
        let mut reset = Box::pin(disk.reset());
        while SHELF.with(|shelf| shelf.borrow().len()) < 2 {
            assert!(poll(&mut reset).is_pending());
            wait_turns(1).await;
        }
        assert!(matches!(stuck.await.unwrap(), Err(Error::Aborted)));
        let mut held = Box::pin(channel.flush());
        assert!(poll(&mut held).is_pending());
        let module = SHELF.with(|shelf| shelf.borrow_mut().pop()).unwrap();
        assert_eq!(module.op(), Op::Reset);
        drop(module.done(Ok(())));
        reset.await.unwrap();
        drop(held);
        let mut next = Box::pin(channel.flush());
        assert!(poll(&mut next).is_pending());
        assert_eq!(SHELF.with(|shelf| shelf.borrow().len()), 2, "the next has reached the module");
        drop(next);
        SHELF.with(RefCell::take);
    });
}

#[test]
fn io_that_takes_too_long_is_told_once_and_may_be_given_up() {
    let (executor, hand) = core_by_hand();
    let disk = Made::new(How::Keeps).open();
    let told = Arc::new(Mutex::new(Vec::new()));
    let watch = |disk: &reactor::bdev::Descriptor, gives_up: bool| {
        let told = told.clone();
        disk.on_timeout(Duration::from_secs(8), move |channel, io| {
            told.lock().unwrap().push((io.blocks.clone(), io.age));
            assert!(io.to_string().starts_with("read of blocks"), "{io}");
            if gives_up {
                assert!(channel.abort(io.id));
            }
        })
    };
    let channel = executor.enter_with(|| disk.channel().unwrap());
    // One channel is there, and one is yet to come.
    let watching = watch(&disk, false);
    let other = Made::new(How::Keeps).open();
    let _also = watch(&other, true);
    let read = |disk: &reactor::bdev::Descriptor, blocks: std::ops::Range<u64>| {
        let disk = disk.clone();
        executor.spawn_local(async move { disk.channel().unwrap().read(blocks).await.map(drop) })
    };
    let mut stuck = read(&disk, 0..1);
    settle(&executor);
    hand.advance(Duration::from_secs(2));
    settle(&executor);
    let given_up = read(&other, 5..6);
    for _ in 0..7 {
        settle(&executor);
        hand.advance(Duration::from_secs(1));
    }
    settle(&executor);
    assert_eq!(told.lock().unwrap()[..], [(0..1, Duration::from_secs(8))]);
    for _ in 0..4 {
        hand.advance(Duration::from_secs(1));
        settle(&executor);
    }
    assert_eq!(told.lock().unwrap().len(), 2, "each once");
    assert!(matches!(executor.block_on(given_up).unwrap(), Err(Error::Aborted)));
    assert!(poll(&mut stuck).is_pending());

    drop(watching);
    assert_eq!(channel.abort_all(), 1);
    let unwatched = read(&disk, 1..2);
    for _ in 0..20 {
        settle(&executor);
        hand.advance(Duration::from_secs(1));
    }
    assert_eq!(told.lock().unwrap().len(), 2);
    drop(unwatched);
}
