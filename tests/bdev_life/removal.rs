//! Taking a device away while it is in use: every I/O ends, finished or with `Removed`, whatever the module does.

use super::modules::{How, Made, Pass, SHELF, unshelve};
use super::{block_on, core_by_hand, in_use, poll, settle, wait_turns};
use reactor::bdev::{
    self, Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit, modules::Null,
    open, open_private, register, unregister,
};
use reactor::spawn_local;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Registers and opens `device` under a name of its own.
async fn open_as(name: &str, device: impl Bdev) -> Descriptor {
    register(name, device).unwrap();
    open(name, Access::ReadWrite).await.unwrap()
}

#[test]
fn io_that_the_module_never_answers_ends_with_removed_and_its_buffer_if_that_is_there() {
    block_on(async {
        let before = in_use();
        for how in [How::Keeps, How::Shelves] {
            for layers in 0..3 {
                let base = open_as("removal-never", Made::new(how)).await;
                let disk = (0..layers).fold(base, |base, _| {
                    open_private("over", Pass::over(&base), Access::ReadWrite).unwrap()
                });
                let channel = disk.channel().unwrap();
                let read = {
                    let channel = channel.clone();
                    spawn_local(
                        async move { channel.read_into(0..8, channel.alloc(4096).await.unwrap()).await },
                    )
                };
                let flush = {
                    let channel = channel.clone();
                    spawn_local(async move { channel.flush().await })
                };
                wait_turns(3).await;
                assert_eq!(channel.stats().in_flight, 2);
                let removal = unregister("removal-never").unwrap();
                let e = read.await.unwrap().unwrap_err();
                assert!(matches!(*e.error, Error::Removed), "{how:?} {layers}: {e}");
                assert_eq!(e.buf.is_some(), how == How::Keeps, "{layers}");
                assert!(matches!(flush.await.unwrap(), Err(Error::Removed)));
                assert_eq!((channel.stats().in_flight, channel.stats().errors), (0, 2));
                assert!(channel.in_flight().is_empty());
                drop((channel, disk, e));
                removal.await;
                // What the module brings now is heard by nobody.
                for io in SHELF.with(RefCell::take) {
                    drop(io.done(Ok(())));
                }
                assert_eq!(in_use(), before, "a buffer leaked");
            }
        }
    });
}

#[test]
fn what_is_in_flight_has_its_time_to_finish() {
    let (executor, hand) = core_by_hand();
    let before = in_use();
    let grace = Duration::from_secs(5);
    let [fast, slow] = [3, 6].map(|s| Made { grace, ..Made::new(How::After(Duration::from_secs(s))) });
    let mut started = executor.block_on(async {
        let mut started = Vec::new();
        for (name, device) in [("removal-fast", fast), ("removal-slow", slow)] {
            let channel = open_as(name, device).await.channel().unwrap();
            let late = channel.clone();
            started.push(spawn_local(async move { channel.read(0..8).await.map(drop) }));
            wait_turns(2).await;
            drop(unregister(name).unwrap());
            assert!(matches!(late.read(0..1).await, Err(Error::Removed)), "new I/O is refused at once");
        }
        started
    });
    // Each core counts from when it hears of the removal.
    settle(&executor);
    let mut after = |passed| {
        hand.advance(Duration::from_millis(passed));
        settle(&executor);
        let mut answers = started.iter_mut().map(poll);
        (answers.next().unwrap(), answers.next().unwrap())
    };
    assert!(matches!(after(2900), (Poll::Pending, Poll::Pending)));
    let (Poll::Ready(Ok(Ok(()))), Poll::Pending) = after(200) else { panic!("the fast one finishes") };
    drop(started.remove(0));
    let mut after = |passed| {
        hand.advance(Duration::from_millis(passed));
        settle(&executor);
        poll(&mut started[0])
    };
    assert!(after(1800).is_pending(), "the slow one has five seconds");
    let Poll::Ready(Ok(Err(Error::Removed))) = after(200) else { panic!("and no more") };
    assert_eq!(in_use(), before);
}

#[test]
fn io_in_pieces_ends_as_a_whole_and_starts_no_further_piece() {
    block_on(async {
        let before = in_use();
        let shape = Geometry::new(512, 1024).with_max_io_blocks(1);
        let disk = open_as("removal-pieces", Made { shape, ..Made::new(How::Shelves) }).await;
        let channel = disk.channel().unwrap();
        let reader = channel.clone();
        let read = spawn_local(async move { reader.read(0..100).await.map(drop) });
        wait_turns(2).await;
        let pieces = SHELF.with(|shelf| shelf.borrow().len());
        assert!(pieces < 100);
        let [listed] = &channel.in_flight()[..] else { panic!("listed once") };
        assert_eq!((listed.op, listed.blocks.clone()), (Op::Read, 0..100));
        drop(unregister("removal-pieces").unwrap());
        assert!(matches!(read.await.unwrap(), Err(Error::Removed)));
        assert_eq!(SHELF.with(RefCell::take).len(), pieces);
        assert_eq!((channel.stats().in_flight, in_use()), (0, before));
    });
}

#[test]
fn a_device_that_goes_while_it_is_opened_is_not_opened() {
    struct Leaves;
    impl Bdev for Leaves {
        type Channel = NeverMade;
        fn module(&self) -> &'static str {
            "leaves"
        }
        fn geometry(&self) -> Geometry {
            super::modules::SHAPE
        }
        fn opening(&self, _access: Access) -> Result<()> {
            // The name may be gone: the second of two who open at a time.
            let _ = unregister("removal-opening");
            Ok(())
        }
        fn channel(&self, _access: Access) -> Result<NeverMade> {
            unreachable!("it cannot be opened")
        }
    }
    struct NeverMade;
    impl Submit for NeverMade {
        async fn submit(&self, io: Io) -> Done {
            io.done(Ok(()))
        }
    }
    block_on(async {
        register("removal-opening", Leaves).unwrap();
        assert!(matches!(open("removal-opening", Access::ReadWrite).await, Err(Error::Removed)));
        assert!(matches!(open("removal-opening", Access::ReadWrite).await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn a_descriptor_closed_with_io_in_flight_lets_the_device_go() {
    block_on(async {
        let before = in_use();
        let disk = open_as("removal-closed", Made::new(How::Shelves)).await;
        let channel = disk.channel().unwrap();
        let mut write = Box::pin(async { channel.write(0, channel.try_alloc(4096).unwrap()).await });
        assert!(poll(&mut write).is_pending());
        drop(write);
        drop((channel, disk));
        unregister("removal-closed").unwrap().await;
        // The module still has it, and its buffer.
        assert_eq!(in_use(), before + 1);
        drop(unshelve().done(Ok(())));
        assert_eq!(in_use(), before);
    });
}

#[test]
fn a_module_that_panics_is_removed_like_any_other() {
    block_on(async {
        let before = in_use();
        let disk = open_as("removal-panics", Made::new(How::Panics)).await;
        let channel = disk.channel().unwrap();
        for _ in 0..3 {
            let channel = channel.clone();
            spawn_local(async move { channel.read(0..8).await.map(drop) }).await.unwrap_err();
        }
        assert_eq!(channel.stats().in_flight, 0);
        drop((channel, disk));
        unregister("removal-panics").unwrap().await;
        assert_eq!(in_use(), before);
    });
}

/// Tries the first of two, and the second if that fails: what a mirror does.
struct Either(Descriptor, Descriptor);
struct EitherChannel(Channel, Channel);

impl Bdev for Either {
    type Channel = EitherChannel;
    fn module(&self) -> &'static str {
        "either"
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn supports(&self, _op: Op) -> bool {
        true
    }
    fn channel(&self, _access: Access) -> Result<EitherChannel> {
        Ok(EitherChannel(self.0.channel()?, self.1.channel()?))
    }
}

impl Submit for EitherChannel {
    async fn submit(&self, io: Io) -> Done {
        match self.0.submit(io).await.into_io() {
            (Ok(()), io) => io.done(Ok(())),
            (Err(_), io) => self.1.submit(io).await,
        }
    }
}

/// The first base is removed with the I/O in its hands; the second answers it. A retry is seen in the first's errors, and an I/O
/// that the first brings back later harms nobody.
#[test]
fn a_stack_goes_on_with_its_other_base() {
    block_on(async {
        for how in [How::Keeps, How::Shelves] {
            let first = open_as("removal-first", Made::new(how)).await;
            let second = open_private("second", Null::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
            let below = first.channel().unwrap();
            let disk = open_private("either", Either(first, second), Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            let both = {
                let channel = channel.clone();
                spawn_local(async move {
                    futures::future::join(channel.flush(), channel.write_zeroes(0..8)).await
                })
            };
            wait_turns(3).await;
            assert_eq!(below.in_flight().len(), 2, "what passes is in flight below as well");
            drop(unregister("removal-first").unwrap());
            let (flushed, cleared) = both.await.unwrap();
            flushed.unwrap();
            cleared.unwrap();
            assert_eq!((below.stats().errors, channel.stats().errors), (2, 0));
            assert_eq!((below.stats().in_flight, channel.stats().in_flight), (0, 0));
            // The next I/O has nothing to do with what is on the shelf.
            let mut next = Box::pin(channel.read(0..8));
            drop(SHELF.with(RefCell::take));
            assert!(poll(&mut next).is_ready());
        }
    });
}

/// A module that takes the answer back and tries again for ever is ended like one that waits.
#[test]
fn a_module_that_retries_for_ever_is_ended() {
    struct Stubborn(Descriptor);
    struct StubbornChannel(Channel);
    impl Bdev for Stubborn {
        type Channel = StubbornChannel;
        fn module(&self) -> &'static str {
            "stubborn"
        }
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn channel(&self, _access: Access) -> Result<StubbornChannel> {
            Ok(StubbornChannel(self.0.channel()?))
        }
        fn removing(&self) -> Duration {
            Duration::ZERO
        }
    }
    impl Submit for StubbornChannel {
        async fn submit(&self, mut io: Io) -> Done {
            loop {
                let (_, again) = self.0.submit(io).await.into_io();
                io = again;
                reactor::yield_now().await;
            }
        }
    }
    block_on(async {
        let base = open_private("base", Null::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
        let disk = open_as("removal-stubborn", Stubborn(base)).await;
        let channel = disk.channel().unwrap();
        let read = spawn_local(async move { channel.read(0..8).await.map(drop) });
        wait_turns(5).await;
        drop(unregister("removal-stubborn").unwrap());
        assert!(matches!(read.await.unwrap(), Err(Error::Removed)));
    });
}

#[test]
fn io_at_the_door_is_refused_when_the_device_goes() {
    block_on(async {
        let disk = open_as("removal-door", Null::new(1 << 20).unwrap()).await;
        let channel = Rc::new(disk.channel().unwrap());
        let held = disk.quiesce().await.unwrap();
        let mut waiting = Box::pin(channel.read(0..8));
        assert!(poll(&mut waiting).is_pending());
        let removal = unregister("removal-door").unwrap();
        assert!(matches!(waiting.await, Err(Error::Removed)));
        assert!(matches!(disk.quiesce().await, Err(Error::Removed)));
        drop((channel, disk));
        removal.await;
        drop(held);
    });
}

/// The module keeps every buffer there is, and will not give one back.
#[test]
fn io_that_waits_for_a_buffer_is_refused_when_the_device_goes() {
    block_on(async {
        let pool = reactor::sys::dma::DmaPool::local();
        pool.set_limit(2 * 4096);
        let disk =
            open_as("removal-dry", Made { grace: Duration::from_secs(60), ..Made::new(How::Shelves) }).await;
        let channel = disk.channel().unwrap();
        let reads: Vec<_> = (0..6)
            .map(|number| {
                let channel = channel.clone();
                spawn_local(async move { channel.read(number * 8..number * 8 + 8).await.map(drop) })
            })
            .collect();
        wait_turns(2).await;
        assert_eq!((pool.stats().waiting, channel.stats().in_flight), (4, 2));
        drop(unregister("removal-dry").unwrap());
        let mut reads = reads.into_iter();
        let stuck: Vec<_> = reads.by_ref().take(2).collect();
        for read in reads {
            assert!(matches!(read.await.unwrap(), Err(Error::Removed)));
        }
        assert_eq!(channel.abort_all(), 2);
        for read in stuck {
            assert!(matches!(read.await.unwrap(), Err(Error::Aborted)));
        }
        SHELF.with(RefCell::take);
        assert_eq!(pool.stats().in_use, 0);
    });
}

#[test]
fn a_module_takes_its_own_device_away() {
    block_on(async {
        let (disk, device) = super::modules::stretch();
        let mut events = disk.events();
        let removal = device.remove();
        assert_eq!(events.next().await, Some(bdev::Event::Removed));
        assert!(matches!(device.resize(9), Err(Error::Removed)));
        assert_eq!(removal.open_descriptors(), 1);
        drop(disk);
        removal.await;
        device.remove().await;
    });
}
