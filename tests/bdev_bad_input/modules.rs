//! Modules that misbehave, and devices that go at the wrong moment.

use super::process::{child, ends_clean, is_child, tell};
use super::support::cores_unpinned;
use super::{PAGE, refused, write_page};
use reactor::bdev::{
    Access, Bdev, DeviceRef, Done, Error, Geometry, Io, Result, Submit, modules::Null, open, register,
    unregister,
};
use reactor::sys::dma::DmaPool;
use reactor::{Core, call_on, spawn_local, yield_now};
use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

thread_local! {
    /// Where I/O is put that is not answered.
    static SHELF: RefCell<Vec<Io>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
enum How {
    /// Keeps it in its own future for ever.
    Keeps,
    /// Puts it on the shelf.
    Shelves,
    Panics,
    /// When it has been asked again.
    PanicsLater,
    /// Answers every second by the answer to the one before.
    Swaps,
}

/// Ends when it is removed, whatever is in flight.
struct Bad(How, OnceLock<DeviceRef>);

impl Bad {
    fn new(how: How) -> Self {
        Self(how, OnceLock::new())
    }
}

struct BadChannel(How);

impl Bdev for Bad {
    type Channel = BadChannel;
    fn module(&self) -> &'static str {
        "bad"
    }
    fn geometry(&self) -> Geometry {
        Geometry::new(512, 1024).with_keeps_data(false)
    }
    fn channel(&self, _access: Access) -> Result<BadChannel> {
        Ok(BadChannel(self.0))
    }
    fn attached(&self, device: DeviceRef) {
        let _ = self.1.set(device);
    }
    fn removing(&self) -> Duration {
        Duration::ZERO
    }
}

impl Submit for BadChannel {
    async fn submit(&self, io: Io) -> Done {
        match self.0 {
            How::Keeps => {
                let _io = io;
                pending().await
            }
            How::Shelves => {
                SHELF.with(|shelf| shelf.borrow_mut().push(io));
                pending().await
            }
            How::Panics => panic!("a module without a clue"),
            How::PanicsLater => {
                yield_now().await;
                panic!("a module without a clue")
            }
            How::Swaps => match SHELF.take().pop() {
                Some(before) => {
                    SHELF.with(|shelf| shelf.borrow_mut().push(io));
                    before.done(Ok(()))
                }
                None => {
                    SHELF.with(|shelf| shelf.borrow_mut().push(io));
                    pending().await
                }
            },
        }
    }
}

/// Alone, and below another.
const STACKS: [&str; 3] = ["bad", "passthru(bad)", "mirror(delay:0(bad),null:1M)"];

async fn once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn in_use() -> usize {
    DmaPool::local().stats().in_use
}

/// Every handle dropped while a module and the kernel have the buffers.
#[test]
fn a_device_closed_with_io_in_flight() {
    ends_clean("modules::a_device_closed_with_io_in_flight", async || {
        for stack in STACKS {
            register("bad", Bad::new(How::Shelves)).unwrap();
            let disk = open(stack, Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            assert!(once(channel.write(0, channel.try_alloc(PAGE).unwrap())).await.is_pending());
            drop((channel, disk));
            unregister("bad").unwrap().await;
            assert!(in_use() > 0, "the module still has it");
            SHELF.take().into_iter().for_each(|io| drop(io.done(Ok(()))));
            assert_eq!(in_use(), 0, "{stack}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let disk = open(&format!("file:{}", file.path().display()), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        for number in 0..64 {
            let _ = once(channel.write(number * 8, channel.try_alloc(PAGE).unwrap())).await;
            let _ = once(channel.read(number * 8..number * 8 + 8)).await;
        }
    });
}

/// By its own module, and by another core, as fast as they can.
#[test]
fn a_device_removed_while_it_is_opened() {
    struct Leaves;
    impl Bdev for Leaves {
        type Channel = BadChannel;
        fn module(&self) -> &'static str {
            "leaves"
        }
        fn geometry(&self) -> Geometry {
            Geometry::new(512, 1024)
        }
        fn opening(&self, _access: Access) -> Result<()> {
            drop(unregister("leaves"));
            Ok(())
        }
        fn channel(&self, _access: Access) -> Result<BadChannel> {
            unreachable!("it cannot be opened")
        }
    }
    ends_clean("modules::a_device_removed_while_it_is_opened", async || {
        register("leaves", Leaves).unwrap();
        refused(open("leaves", Access::ReadWrite).await, &["the block device was removed"]);
        refused(
            open("leaves", Access::ReadWrite).await,
            &["no block device is named \"leaves\": register it first"],
        );

        let other = call_on(Core::nth(1).unwrap(), async || {
            for _ in 0..2000 {
                match open("comes and goes", Access::ReadOnly).await {
                    Ok(disk) => match disk.channel() {
                        Ok(channel) => match channel.read(0..8).await {
                            Ok(_) | Err(Error::Removed) => {}
                            Err(e) => panic!("{e}"),
                        },
                        Err(Error::Removed) => {}
                        Err(e) => panic!("{e}"),
                    },
                    Err(Error::Removed | Error::NotFound { .. }) => {}
                    Err(e) => panic!("{e}"),
                }
            }
        });
        for _ in 0..500 {
            register("comes and goes", Null::new(1 << 20).unwrap()).unwrap();
            yield_now().await;
            unregister("comes and goes").unwrap().await;
        }
        other.await.unwrap();
    });
}

/// What is in flight beyond the new end is the module's to answer; what comes after is refused.
#[test]
fn a_device_that_shrinks_below_io_in_flight() {
    ends_clean("modules::a_device_that_shrinks_below_io_in_flight", async || {
        register("bad", Bad::new(How::Shelves)).unwrap();
        let disk = open("bad", Access::ReadWrite).await.unwrap();
        let device = disk.module_as::<Bad>().unwrap().1.get().unwrap();
        let channel = disk.channel().unwrap();
        let reader = channel.clone();
        let read = spawn_local(async move { reader.read(1000..1024).await });
        while SHELF.with(|shelf| shelf.borrow().is_empty()) {
            yield_now().await;
        }
        device.resize(8).unwrap();
        refused(
            channel.read(1000..1024).await,
            &["blocks 1000..1024 reach past the end: the device has blocks 0..8"],
        );
        refused(device.resize(0), &["bad geometry"]);
        SHELF.take().into_iter().for_each(|io| drop(io.done(Ok(()))));
        assert_eq!(read.await.unwrap().unwrap().len(), 24 * 512);
    });
}

#[test]
fn a_module_that_panics() {
    ends_clean("modules::a_module_that_panics", async || {
        for how in [How::Panics, How::PanicsLater] {
            for stack in STACKS {
                register("bad", Bad::new(how)).unwrap();
                let disk = open(stack, Access::ReadWrite).await.unwrap();
                let channel = disk.channel().unwrap();
                for number in 0..8 {
                    let channel = channel.clone();
                    let write = spawn_local(async move {
                        let page = channel.alloc(PAGE).await?;
                        channel.write(number * 8, page).await
                    });
                    let panicked = write.await.unwrap_err().to_string();
                    assert!(panicked.contains("a module without a clue"), "{stack}: {panicked}");
                }
                assert_eq!((channel.stats().in_flight, in_use()), (0, 0), "{stack}");
                drop((channel, disk));
                unregister("bad").unwrap().await;
            }
        }
    });
}

#[test]
fn a_module_that_never_answers() {
    ends_clean("modules::a_module_that_never_answers", async || {
        for how in [How::Keeps, How::Shelves] {
            register("bad", Bad::new(how)).unwrap();
            let disk = open("passthru(bad)", Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            let reads: Vec<_> = (0..8)
                .map(|number| {
                    let channel = channel.clone();
                    spawn_local(async move { channel.read(number..number + 1).await })
                })
                .collect();
            while channel.in_flight().len() < 8 {
                yield_now().await;
            }
            assert_eq!(channel.in_flight()[0].to_string().split(' ').next(), Some("read"));
            // One by one, or all with the device.
            assert!(channel.abort(channel.in_flight()[0].id));
            drop(unregister("bad").unwrap());
            let mut words = vec!["the i/o was aborted before it completed"];
            for read in reads {
                refused(read.await.unwrap(), &words);
                words = vec!["the block device was removed"];
            }
            SHELF.take();
        }
    });
}

/// Heard by nobody, and its buffer is the pool's again.
#[test]
fn a_module_that_answers_after_its_device_has_gone() {
    ends_clean("modules::a_module_that_answers_after_its_device_has_gone", async || {
        for result in [Ok(()), Err(Error::Media)] {
            register("bad", Bad::new(How::Shelves)).unwrap();
            let disk = open("bad", Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            let reader = channel.clone();
            let read = spawn_local(async move { reader.read(0..8).await });
            while SHELF.with(|shelf| shelf.borrow().is_empty()) {
                yield_now().await;
            }
            let removal = unregister("bad").unwrap();
            refused(read.await.unwrap(), &["the block device was removed"]);
            drop((channel, disk));
            removal.await;
            let late = SHELF.take().pop().unwrap();
            drop(late.done(result));
            assert_eq!(in_use(), 0);
        }
    });
}

/// The nearest to answering twice that compiles.
#[test]
fn a_module_that_answers_one_io_by_another() {
    ends_clean("modules::a_module_that_answers_one_io_by_another", async || {
        register("bad", Bad::new(How::Swaps)).unwrap();
        let disk = open("bad", Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let read = |number: u64| {
            let channel = channel.clone();
            spawn_local(async move { channel.read(number..number + 1).await })
        };
        let first = read(0);
        while channel.in_flight().is_empty() {
            yield_now().await;
        }
        let second = read(1).await.unwrap_err().to_string();
        assert!(second.contains("the answer to another i/o"), "{second}");
        drop(first);
        drop(unregister("bad").unwrap());
        SHELF.take();
    });
}

/// What these stories rest on: a buffer that is not given back does not go unnoticed.
#[test]
fn a_buffer_that_is_kept_is_noticed() {
    if is_child() {
        return tell(cores_unpinned(2), Duration::from_millis(100), async || {
            let disk = open("ram:1M", Access::ReadWrite).await.unwrap();
            write_page(&disk).await;
            let kept = call_on(Core::nth(1).unwrap(), async || {
                std::mem::forget(DmaPool::local().try_alloc(PAGE).unwrap());
            });
            kept.await.unwrap();
        });
    }
    let (is_success, said) = child("modules::a_buffer_that_is_kept_is_noticed");
    assert!(!is_success && said.contains("buffers are left") && said.contains("in_use: 1"), "{said}");
}
