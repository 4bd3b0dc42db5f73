//! Promises about devices on devices, whichever they are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::*;
use crate::LocalExecutor;
use crate::bdev::{
    Access, Bdev, Channel, Descriptor, DeviceRef, Done, Geometry, Io, Op, Submit, open_private, register,
    unregister,
};
use crate::sys::dma::DmaPool;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

/// Says of every I/O where it was when it came back.
struct Watch(Descriptor, Arc<Mutex<Vec<u64>>>);
struct WatchChannel(Channel, Arc<Mutex<Vec<u64>>>);

impl Bdev for Watch {
    type Channel = WatchChannel;
    fn module(&self) -> &'static str {
        "watch"
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn channel(&self, _access: Access) -> Result<WatchChannel> {
        Ok(WatchChannel(self.0.channel()?, self.1.clone()))
    }
}

impl Submit for WatchChannel {
    async fn submit(&self, io: Io) -> Done {
        let (result, io) = self.0.submit(io).await.into_io();
        self.1.lock().unwrap().push(io.lba());
        io.done(result)
    }
}

/// A module that tries again would otherwise go elsewhere the second time.
#[test]
fn an_io_comes_back_with_the_blocks_that_it_went_out_with() {
    block_on(async {
        for (spec, ways) in [
            ("part:blocks=100..200(ram:1M)", "at once"),
            ("stripe:4K(ram:64K,ram:64K)", "at once"),
            ("concat(ram:4K,ram:64K)", "at once, and across an end"),
            ("part:blocks=100..200(delay:1us(ram:1M))", "after a wait"),
            ("part:blocks=3..200(stripe:4K(ram:64K,ram:64K))", "in pieces"),
        ] {
            let seen = Arc::default();
            let base = open(spec, Access::ReadWrite).await.unwrap();
            let disk = open_private("watch", Watch(base, Arc::clone(&seen)), Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            for range in [5..8, 6..14, 17..18] {
                channel.read(range.clone()).await.unwrap();
                let seen = std::mem::take(&mut *seen.lock().unwrap());
                assert_eq!(seen[0], range.start, "{spec}: {ways}");
            }
        }
    });
}

#[test]
fn a_stack_goes_with_any_of_its_bases() {
    block_on(async {
        for spec in [
            "passthru(goes0)",
            "delay(goes0)",
            "error(goes0)",
            "part:0..8(goes0)",
            "concat(ram:1M,goes0)",
            "stripe(goes0,ram:1M)",
            "passthru(stripe(ram:1M,concat(ram:1M,part:0..2048(goes0))))",
        ] {
            register("goes0", Ram::new(1 << 20).unwrap()).unwrap();
            let disk = open(spec, Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            channel.read(0..1).await.unwrap();
            unregister("goes0").unwrap();
            assert!(matches!(channel.read(0..1).await, Err(Error::Removed)), "{spec}");
            assert!(matches!(channel.flush().await, Err(Error::Removed)), "{spec}");
            assert!(matches!(disk.channel(), Err(Error::Removed)), "{spec}");
        }
        assert_eq!(DmaPool::local().stats().in_use, 0, "a buffer leaked");
    });
}

/// As many null blocks as it is told.
struct Stretch(Null, Arc<AtomicU64>, Arc<Mutex<Option<DeviceRef>>>);

impl Bdev for Stretch {
    type Channel = <Null as Bdev>::Channel;
    fn module(&self) -> &'static str {
        "stretch"
    }
    fn geometry(&self) -> Geometry {
        Geometry::new(512, self.1.load(Relaxed))
    }
    fn attached(&self, device: DeviceRef) {
        *self.2.lock().unwrap() = Some(device);
    }
    fn channel(&self, access: Access) -> Result<Self::Channel> {
        Bdev::channel(&self.0, access)
    }
    fn supports(&self, op: Op) -> bool {
        Bdev::supports(&self.0, op)
    }
}

#[test]
fn a_stack_grows_and_shrinks_with_its_bases() {
    block_on(async {
        let (blocks, reference) = (Arc::new(AtomicU64::new(64)), Arc::default());
        let base = Stretch(Null::new(512).unwrap(), blocks.clone(), Arc::clone(&reference));
        register("grows0", base).unwrap();
        let device = reference.lock().unwrap().clone().unwrap();
        let resize = |count| {
            blocks.store(count, Relaxed);
            device.resize(count).unwrap();
        };
        for (spec, grown, shrunk) in [
            ("passthru(grows0)", 128, 32),
            ("delay(grows0)", 128, 32),
            ("error(grows0)", 128, 32),
            ("part:16..48(grows0)", 32, 16),
            ("concat(null:8K,grows0)", 144, 48),
            ("concat(grows0,null:8K)", 80, 80),
            ("stripe:4K(grows0,null:1M)", 256, 64),
            ("passthru(part:16..4000(concat(null:8K,grows0)))", 0, 0),
        ] {
            resize(64);
            let Ok(disk) = open(spec, Access::ReadWrite).await else {
                assert_eq!(grown, 0, "{spec}");
                continue;
            };
            let channel = disk.channel().unwrap();
            resize(128);
            assert_eq!(channel.geometry().block_count, grown, "{spec}");
            channel.read(0..grown).await.unwrap();
            assert!(matches!(channel.read(0..grown + 1).await, Err(Error::OutOfRange { .. })), "{spec}");
            resize(32);
            assert_eq!(channel.geometry().block_count, shrunk, "{spec}");
        }
        unregister("grows0").unwrap();
    });
}
