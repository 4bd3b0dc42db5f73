//! Promises about the life of a device: what happens to it is told, and it goes whoever has it open.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use super::modules::Ram;
use super::*;
use crate::LocalExecutor;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

/// Hands on to what lies below, whose size it has.
struct Pass {
    base: Descriptor,
    reference: Arc<Mutex<Option<DeviceRef>>>,
    changes: Arc<Mutex<Vec<(usize, Event)>>>,
}

impl Pass {
    fn over(base: &Descriptor) -> Self {
        Self { base: base.clone(), reference: Arc::default(), changes: Arc::default() }
    }
}

struct PassChannel(Channel);

impl Submit for PassChannel {
    async fn submit(&self, io: Io) -> Done {
        self.0.submit(io).await
    }
}

/// What [`Bdev::base_changed`] does unless implemented.
struct Default(Geometry);

impl Bdev for Pass {
    type Channel = PassChannel;
    fn module(&self) -> &'static str {
        "pass"
    }
    fn geometry(&self) -> Geometry {
        self.base.geometry()
    }
    fn channel(&self, _access: Access) -> Result<PassChannel> {
        Ok(PassChannel(self.base.channel()?))
    }
    fn attached(&self, device: DeviceRef) {
        *self.reference.lock().unwrap() = Some(device);
    }
    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }
    fn base_changed(&self, base: usize, event: &Event, device: &DeviceRef) {
        self.changes.lock().unwrap().push((base, event.clone()));
        Default(self.geometry()).base_changed(base, event, device);
    }
}

impl Bdev for Default {
    type Channel = PassChannel;
    fn module(&self) -> &'static str {
        unreachable!("it is no device")
    }
    fn geometry(&self) -> Geometry {
        self.0
    }
    fn channel(&self, _access: Access) -> Result<PassChannel> {
        unreachable!("it is no device")
    }
}

/// A RAM disk whose number of blocks is what the test says.
struct Stretch(Ram, Arc<AtomicU64>, Arc<Mutex<Option<DeviceRef>>>);

impl Bdev for Stretch {
    type Channel = <Ram as Bdev>::Channel;
    fn module(&self) -> &'static str {
        "stretch"
    }
    fn geometry(&self) -> Geometry {
        Geometry::new(512, self.1.load(Relaxed))
    }
    fn channel(&self, access: Access) -> Result<Self::Channel> {
        self.0.channel(access)
    }
    fn attached(&self, device: DeviceRef) {
        *self.2.lock().unwrap() = Some(device);
    }
}

/// A resizable disk of 8 of 64 blocks, and what its module knows it by.
fn stretch() -> (Descriptor, DeviceRef) {
    let reference = Arc::default();
    let disk = Stretch(Ram::new(64 * 512).unwrap(), Arc::new(AtomicU64::new(8)), Arc::clone(&reference));
    let disk = open_private("stretch", disk, Access::ReadWrite).unwrap();
    let reference = reference.lock().unwrap().take().unwrap();
    (disk, reference)
}

#[test]
fn a_resize_is_told_checked_and_followed_through_a_stack() {
    block_on(async {
        let (base, device) = stretch();
        let top = open_private("top", Pass::over(&base), Access::ReadWrite).unwrap();
        let mut events = [base.events(), base.events(), top.events()];
        let channel = top.channel().unwrap();
        assert!(matches!(channel.read(8..9).await, Err(Error::OutOfRange { block_count: 8, .. })));

        device.resize(64).unwrap();
        assert_eq!((base.geometry().block_count, channel.geometry().block_count), (64, 64));
        channel.read(8..64).await.unwrap();
        device.resize(64).unwrap();
        device.resize(16).unwrap();
        device.resize(4).unwrap();
        assert!(matches!(channel.read(4..5).await, Err(Error::OutOfRange { block_count: 4, .. })));
        assert!(matches!(device.resize(0), Err(Error::BadGeometry { .. })));
        for events in &mut events {
            let now = Event::Resized(Geometry::new(512, 4));
            assert_eq!(events.next().await, Some(now), "of those that nobody read, the last");
            assert_eq!(events.try_next(), None);
        }
        device.media_managed(Media::new(2..3));
        for mut events in events {
            assert_eq!(events.next().await, Some(Event::MediaManaged(Media::new(2..3))));
        }
    });
}

#[test]
fn a_removal_is_told_up_the_stack_and_over_when_the_last_descriptor_is_closed() {
    block_on(async {
        register("life-base", Ram::new(1 << 20).unwrap()).unwrap();
        let base = open("life-base", Access::ReadWrite).await.unwrap();
        let pass = Pass::over(&base);
        let changes = pass.changes.clone();
        drop(base);
        register("life-top", pass).unwrap();
        let top = open("life-top", Access::ReadWrite).await.unwrap();
        let channel = top.channel().unwrap();
        let mut events = top.events();

        let mut removal = unregister("life-base").unwrap();
        assert!(!names().iter().any(|name| name.starts_with("life-")), "what stands on it goes with it");
        assert_eq!(*changes.lock().unwrap(), [(0, Event::Removed)]);
        assert_eq!(events.next().await, Some(Event::Removed));
        assert_eq!(events.next().await, None);
        assert_eq!(top.events().next().await, Some(Event::Removed), "who comes late is told as well");
        assert!(matches!(channel.read(0..1).await, Err(Error::Removed)));
        assert!(matches!(top.channel(), Err(Error::Removed)));

        drop(top);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(&mut removal).poll(&mut cx).is_pending());
        assert_eq!(removal.open_descriptors(), 1);
        drop(channel);
        removal.await;
    });
}
