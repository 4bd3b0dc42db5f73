//! Holding a device, or some of its blocks: what is in flight is waited for, what begins waits.

use super::modules::{How, Made, Pass, SHAPE, SHELF, stretch, unshelve};
use super::{block_on, in_use, poll, wait_turns};
use reactor::bdev::modules::Passthru;
use reactor::bdev::{
    Access, Bdev, Done, Error, Geometry, Io, Result, Submit, WaitsFor, modules::Ram, open_private,
};
use reactor::spawn_local;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use std::task::Poll;

#[test]
fn a_hold_waits_for_what_began_and_keeps_the_rest_in_order() {
    block_on(async {
        for layers in 0..3 {
            let base = Made::new(How::Shelves).open();
            let top = (0..layers).fold(base.clone(), |below, _| {
                open_private("over", Pass::over(&below), Access::ReadWrite).unwrap()
            });
            let channel = top.channel().unwrap();
            let begun = spawn_local({
                let channel = channel.clone();
                async move { channel.flush().await }
            });
            wait_turns(2).await;
            let mut hold = base.quiesce();
            assert!(poll(&mut hold).is_pending());
            wait_turns(2).await;
            assert!(poll(&mut hold).is_pending());
            let [WaitsFor::Io(_, 1)] = hold.waits_for()[..] else { panic!("{hold:?}") };

            let order = Rc::new(RefCell::new(Vec::new()));
            let later = (0..3).map(|number| {
                let (channel, order) = (channel.clone(), order.clone());
                spawn_local(async move {
                    channel.write_zeroes(number..number + 1).await.unwrap();
                    order.borrow_mut().push(number);
                })
            });
            let later: Vec<_> = later.collect();
            wait_turns(2).await;
            assert_eq!(SHELF.with(|shelf| shelf.borrow().len()), 1, "nothing else reaches the module");

            drop(unshelve().done(Ok(())));
            let held = hold.await.unwrap();
            begun.await.unwrap().unwrap();
            wait_turns(3).await;
            assert!(SHELF.with(|shelf| shelf.borrow().is_empty()));
            drop(held);
            wait_turns(3).await;
            let lbas: Vec<_> = SHELF.with(|shelf| shelf.borrow().iter().map(|io| io.lba()).collect());
            assert_eq!(lbas, [0, 1, 2]);
            SHELF.with(RefCell::take).into_iter().for_each(|io| drop(io.done(Ok(()))));
            for task in later {
                task.await.unwrap();
            }
            assert_eq!(*order.borrow(), [0, 1, 2]);
        }
    });
}

#[test]
fn a_hold_on_blocks_leaves_the_others_alone() {
    block_on(async {
        let disk = open_private("ram", Ram::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        assert!(matches!(disk.quiesce_range(2048..2049).await, Err(Error::OutOfRange { .. })));
        let held = disk.quiesce_range(8..16).await.unwrap();
        channel.read(0..8).await.unwrap();
        channel.read(16..24).await.unwrap();
        channel.flush().await.unwrap();
        let mut inside = Box::pin(channel.read(15..17));
        assert!(poll(&mut inside).is_pending());
        // A second hold meets the first, and both must go.
        let mut second = disk.quiesce_range(12..20);
        assert!(poll(&mut second).is_pending());
        drop(held);
        wait_turns(2).await;
        assert!(poll(&mut inside).is_pending());
        channel.read(8..12).await.unwrap();
        drop(second.await.unwrap());
        inside.await.unwrap();
    });
}

/// Each has the blocks to himself: who copies, and who cuts them off.
#[test]
fn of_two_holds_of_the_same_blocks_the_later_waits_for_the_earlier() {
    block_on(async {
        let (disk, device) = stretch();
        let first = disk.quiesce_range(0..4).await.unwrap();
        drop(device.quiesce_range(4..8).await.unwrap());
        let [mut second, mut third, mut whole] =
            [disk.quiesce_range(2..6), device.quiesce_range(5..8), disk.quiesce()];
        for hold in [&mut second, &mut third, &mut whole] {
            assert!(poll(&mut *hold).is_pending());
            wait_turns(2).await;
            assert!(poll(&mut *hold).is_pending());
            let [waits @ WaitsFor::Hold] = hold.waits_for()[..] else { panic!("{hold:?}") };
            assert!(waits.to_string().contains("another hold"));
        }
        drop(first);
        let second = second.await.unwrap();
        assert!(poll(&mut third).is_pending());
        // One that gives up is waited for no more, and one whose blocks have gone meanwhile is told so.
        let mut cut_off = disk.quiesce_range(7..8);
        assert!(poll(&mut cut_off).is_pending());
        drop(third);
        drop(second);
        let whole = whole.await.unwrap();
        device.resize(7).unwrap();
        assert!(poll(&mut cut_off).is_pending());
        drop(whole);
        assert!(matches!(cut_off.await, Err(Error::OutOfRange { .. })));
        let whole = disk.quiesce().await.unwrap();
        let mut last = disk.quiesce_range(0..1);
        assert!(poll(&mut last).is_pending());
        let removal = device.remove();
        assert!(matches!(last.await, Err(Error::Removed)));
        drop((whole, disk));
        removal.await;
    });
}

#[test]
fn a_hold_on_blocks_waits_only_for_io_that_touches_them() {
    block_on(async {
        let disk = Made::new(How::Shelves).open();
        let channel = disk.channel().unwrap();
        let mut reads: Vec<_> = [0..4, 4..8].map(|blocks| Box::pin(channel.read(blocks))).into();
        for read in &mut reads {
            assert!(poll(read).is_pending());
        }
        drop(disk.quiesce_range(8..100).await.unwrap());
        let mut hold = disk.quiesce_range(6..100);
        assert!(poll(&mut hold).is_pending());
        wait_turns(2).await;
        drop(SHELF.with(|shelf| shelf.borrow_mut().remove(1)).done(Ok(())));
        // The caller has not looked yet: for it, the I/O is not over.
        wait_turns(2).await;
        assert!(poll(&mut hold).is_pending());
        assert!(poll(&mut reads[1]).is_ready());
        drop(hold.await.unwrap());
        drop(reads);
        SHELF.with(RefCell::take);
    });
}

#[test]
fn a_hold_given_up_lets_go() {
    block_on(async {
        let disk = Made::new(How::Shelves).open();
        let channel = disk.channel().unwrap();
        let mut stuck = Box::pin(channel.flush());
        assert!(poll(&mut stuck).is_pending());
        let mut hold = disk.quiesce();
        assert!(poll(&mut hold).is_pending());
        let mut waiting = Box::pin(channel.read(0..1));
        assert!(poll(&mut waiting).is_pending());
        drop(hold);
        assert!(poll(&mut waiting).is_pending());
        assert_eq!(SHELF.with(|shelf| shelf.borrow().len()), 2, "it has reached the module");
        drop(SHELF.with(RefCell::take));
        assert!(matches!(waiting.await, Err(Error::Aborted)));
    });
}

/// What the caller has dropped may still be on its way to the medium.
#[test]
fn a_hold_waits_for_io_that_its_caller_has_dropped() {
    block_on(async {
        for layers in 0..2 {
            let base = Made::new(How::Shelves).open();
            let top = (0..layers).fold(base.clone(), |below, _| {
                open_private("over", Pass::over(&below), Access::ReadWrite).unwrap()
            });
            let channel = top.channel().unwrap();
            let mut write = Box::pin(async { channel.write(0, channel.try_alloc(512).unwrap()).await });
            assert!(poll(&mut write).is_pending());
            drop(write);
            let mut hold = base.quiesce();
            assert!(poll(&mut hold).is_pending());
            wait_turns(3).await;
            assert!(poll(&mut hold).is_pending(), "{layers}");
            drop(unshelve().done(Ok(())));
            drop(hold.await.unwrap());
        }
        assert_eq!(in_use(), 0);
    });
}

#[test]
fn io_in_pieces_is_in_flight_until_its_last_piece() {
    block_on(async {
        let shape = Geometry::new(512, 1024).with_max_io_blocks(1);
        let disk = Made { shape, ..Made::new(How::Shelves) }.open();
        let channel = disk.channel().unwrap();
        let mut read = spawn_local(async move { channel.read(0..100).await.map(drop) });
        wait_turns(2).await;
        let mut hold = disk.quiesce();
        let mut pieces = 0;
        while poll(&mut hold).is_pending() {
            let ios = SHELF.with(RefCell::take);
            pieces += ios.len();
            ios.into_iter().for_each(|io| drop(io.done(Ok(()))));
            wait_turns(2).await;
        }
        assert_eq!(pieces, 100);
        assert!(poll(&mut read).is_ready());
    });
}

#[test]
fn a_device_shrinks_with_nothing_in_flight_beyond_its_end() {
    block_on(async {
        let (disk, device) = stretch();
        device.resize(64).unwrap();
        let channel = disk.channel().unwrap();
        let held = device.quiesce_range(8..64).await.unwrap();
        let mut beyond = Box::pin(channel.read(10..12));
        assert!(poll(&mut beyond).is_pending());
        device.resize(8).unwrap();
        drop(held);
        assert!(matches!(beyond.await, Err(Error::OutOfRange { block_count: 8, .. })));
        channel.read(0..8).await.unwrap();
    });
}

/// Without a hold, what is in flight is the module's to answer.
#[test]
fn a_resize_below_io_in_flight_leaves_it_to_the_module() {
    block_on(async {
        let disk = Pass::over(&Made::new(How::Shelves).open());
        let reference = disk.reference.clone();
        let disk = open_private("over", disk, Access::ReadWrite).unwrap();
        let device = reference.lock().unwrap().clone().unwrap();
        let channel = disk.channel().unwrap();
        let mut read = Box::pin(channel.read(1000..1024));
        assert!(poll(&mut read).is_pending());
        device.resize(8).unwrap();
        assert!(poll(&mut read).is_pending());
        assert!(matches!(channel.read(8..9).await, Err(Error::OutOfRange { block_count: 8, .. })));
        drop(unshelve().done(Ok(())));
        let Poll::Ready(Ok(buf)) = poll(&mut read) else { panic!("answered") };
        assert_eq!(buf.len(), 24 * 512);
    });
}

/// Nor does a hold forget what a device does after its caller and its module have let go of it, where the module knows.
#[test]
fn a_hold_waits_for_what_lingers_in_the_device() {
    struct Lingers(Arc<AtomicBool>);
    impl Bdev for Lingers {
        type Channel = Self;
        fn module(&self) -> &'static str {
            "lingers"
        }
        fn geometry(&self) -> Geometry {
            SHAPE
        }
        fn channel(&self, _access: Access) -> Result<Self> {
            Ok(Self(self.0.clone()))
        }
    }
    impl Submit for Lingers {
        async fn submit(&self, io: Io) -> Done {
            io.done(Ok(()))
        }
        fn is_lingering(&self) -> bool {
            self.0.load(SeqCst)
        }
    }
    block_on(async {
        for layers in 0..3 {
            let lingers = Arc::new(AtomicBool::new(true));
            let disk = open_private("lingers", Lingers(lingers.clone()), Access::ReadWrite).unwrap();
            let above = |base, _| open_private("above", Passthru::new(base), Access::ReadWrite).unwrap();
            let disk = (0..layers).fold(disk, above);
            let channel = disk.channel().unwrap();
            let mut hold = disk.quiesce();
            for _ in 0..10 {
                assert!(poll(&mut hold).is_pending(), "{layers} layers");
                wait_turns(1).await;
            }
            assert!(matches!(hold.waits_for()[..], [WaitsFor::Io(_, 0)]));
            lingers.store(false, SeqCst);
            drop(hold.await.unwrap());
            drop(channel);
        }
    });
}
