//! Two traps of SPDK's threading rules that concern block devices, as they end here.

use super::modules::{How, Made};
use super::{block_on, in_use, poll, wait_turns};
use reactor::bdev::{Access, Bdev, Error, Geometry, Op, Removal, Result, open, register, unregister};
use reactor::{LocalExecutor, Poller, Work, spawn_local, time};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Trap 7, the channel is alive and the device is not. In SPDK a put frees the device under whoever still uses it, and a get
/// gives a null pointer; here the channel holds the device, whose module is dropped with the last of them, and each call says
/// `Removed`.
#[test]
fn a_channel_outlives_its_device_and_says_so() {
    struct Witnessed(Made, #[expect(dead_code, reason = "counted")] Arc<()>);
    impl Bdev for Witnessed {
        type Channel = <Made as Bdev>::Channel;
        fn module(&self) -> &'static str {
            "witnessed"
        }
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn supports(&self, _op: Op) -> bool {
            true
        }
        fn channel(&self, access: Access) -> Result<Self::Channel> {
            self.0.channel(access)
        }
    }
    block_on(async {
        let witness = Arc::new(());
        register("trap-seven", Witnessed(Made::new(How::AfterTurns(4)), witness.clone())).unwrap();
        let disk = open("trap-seven", Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let page = channel.read(0..8).await.unwrap();
        let removal = unregister("trap-seven").unwrap();

        // Every operation, the channel asked for again, a descriptor elsewhere: all say the same, as often as one asks.
        for _ in 0..2 {
            assert!(matches!(channel.read(0..8).await, Err(Error::Removed)));
            assert!(matches!(
                channel.write(0, channel.alloc(4096).await.unwrap()).await,
                Err(Error::Removed)
            ));
            assert!(matches!(channel.flush().await, Err(Error::Removed)));
            assert!(matches!(channel.write_zeroes(0..8).await, Err(Error::Removed)));
            assert!(matches!(channel.unmap(0..8).await, Err(Error::Removed)));
            assert!(matches!(disk.channel(), Err(Error::Removed)));
            assert!(matches!(disk.quiesce().await, Err(Error::Removed)));
        }
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(matches!(block_on(async { disk.channel() }), Err(Error::Removed))));
        });
        // Another device may have the name meanwhile, and is another.
        register("trap-seven", Made::new(How::AfterTurns(4))).unwrap();
        assert!(matches!(channel.read(0..8).await, Err(Error::Removed)));
        unregister("trap-seven").unwrap().await;

        drop(page);
        drop(disk);
        assert_eq!(Arc::strong_count(&witness), 2, "the channel holds what it uses");
        assert!(!removal.is_over());
        drop(channel);
        assert_eq!(Arc::strong_count(&witness), 1);
        removal.await;
        assert_eq!(in_use(), 0);
    });
}

/// The QMP quit wedge: a poller learns that its guest is gone and drains. In SPDK it spins for completions that reach its thread
/// as messages, which this very spinning keeps from running. Here draining is a future: a poller looks at it and returns, and
/// the completions have their turn.
#[test]
fn a_poller_drains_a_device_without_keeping_its_core() {
    block_on(async {
        register("trap-quit", Made { grace: Duration::from_secs(60), ..Made::new(How::AfterTurns(50)) })
            .unwrap();
        let disk = open("trap-quit", Access::ReadWrite).await.unwrap();
        let reads: Vec<_> = (0..8)
            .map(|number| {
                let channel = disk.channel().unwrap();
                spawn_local(async move { channel.read(number..number + 1).await.map(drop) })
            })
            .collect();
        wait_turns(2).await;

        drop(disk);
        let quit = Rc::new(Cell::new(false));
        let drained = Rc::new(Cell::new(0));
        let _poller = Poller::register("guest", {
            let (quit, drained) = (quit.clone(), drained.clone());
            let draining: RefCell<Option<Removal>> = RefCell::default();
            move || {
                let mut draining = draining.borrow_mut();
                if quit.get() && draining.is_none() {
                    *draining = Some(unregister("trap-quit").unwrap());
                }
                let Some(removal) = &mut *draining else { return Work::Idle };
                if poll(removal).is_ready() {
                    drained.set(drained.get() + 1);
                }
                Work::Busy
            }
        });
        wait_turns(2).await;
        quit.set(true);
        // What was in flight finishes, though the poller looks in every turn.
        for read in reads {
            read.await.unwrap().unwrap();
        }
        time::timeout(Duration::from_secs(60), async {
            while drained.get() < 3 {
                wait_turns(1).await;
            }
        })
        .await
        .expect("it drains");
    });
}

/// And one that would wait in the poller is told why it cannot.
#[test]
fn a_poller_that_would_wait_for_the_end_is_told_why_not() {
    block_on(async {
        register("trap-wait", Made::new(How::Keeps)).unwrap();
        let disk = open("trap-wait", Access::ReadWrite).await.unwrap();
        let said = Rc::new(RefCell::new(None));
        let _poller = Poller::register("guest", {
            let said = said.clone();
            move || {
                if said.borrow().is_none() {
                    let removal = unregister("trap-wait").unwrap();
                    let wait = AssertUnwindSafe(|| LocalExecutor::new().unwrap().block_on(removal));
                    let panic = catch_unwind(wait).unwrap_err();
                    *said.borrow_mut() = Some(*panic.downcast::<String>().unwrap());
                }
                Work::Idle
            }
        });
        while said.borrow().is_none() {
            wait_turns(1).await;
        }
        let said = said.take().unwrap();
        assert!(said.contains("block_on") && said.contains("would block this core"), "{said}");
        drop(disk);
    });
}
