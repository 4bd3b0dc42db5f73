//! Devices made to be difficult.

use super::wait_turns;
use reactor::bdev::{
    Access, Bdev, Channel, Descriptor, DeviceRef, Done, Event, Geometry, Io, Op, Result, Submit,
    modules::Ram, open_private,
};
use reactor::time::sleep;
use std::cell::RefCell;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

thread_local! {
    /// Where [`How::Shelves`] puts what it is given.
    pub static SHELF: RefCell<Vec<Io>> = const { RefCell::new(Vec::new()) };
}

/// How a [`Made`] device treats its I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Keeps it in its own future and never answers.
    Keeps,
    /// Puts it on the [`SHELF`] and never answers itself.
    Shelves,
    /// Answers after so long.
    After(Duration),
    /// Answers after the given number of turns, more or less.
    AfterTurns(u64),
    /// Panics.
    Panics,
}

/// A device of 1,024 blocks of 512 bytes.
pub struct Made {
    pub how: How,
    /// How long a removal gives what is in flight.
    pub grace: Duration,
    pub shape: Geometry,
}

pub const SHAPE: Geometry = Geometry::new(512, 1024).with_keeps_data(false);

impl Made {
    pub fn new(how: How) -> Self {
        Self { how, grace: Duration::ZERO, shape: SHAPE }
    }

    pub fn open(self) -> Descriptor {
        open_private("made", self, Access::ReadWrite).unwrap()
    }
}

pub struct MadeChannel(How);

impl Bdev for Made {
    type Channel = MadeChannel;
    fn module(&self) -> &'static str {
        "made"
    }
    fn geometry(&self) -> Geometry {
        self.shape
    }
    fn supports(&self, _op: Op) -> bool {
        true
    }
    fn channel(&self, _access: Access) -> Result<MadeChannel> {
        Ok(MadeChannel(self.how))
    }
    fn removing(&self) -> Duration {
        self.grace
    }
}

impl Submit for MadeChannel {
    async fn submit(&self, io: Io) -> Done {
        match self.0 {
            How::Keeps => pending().await,
            How::Shelves => {
                SHELF.with(|shelf| shelf.borrow_mut().push(io));
                return pending().await;
            }
            How::After(time) => sleep(time).await,
            How::AfterTurns(turns) => wait_turns(turns / 2 + io.lba() % turns).await,
            How::Panics => panic!("a module that panics"),
        }
        io.done(Ok(()))
    }
}

/// Takes the oldest I/O from this thread's shelf.
pub fn unshelve() -> Io {
    SHELF.with(|shelf| shelf.borrow_mut().remove(0))
}

/// Hands on to what lies below, whose size it has.
pub struct Pass {
    pub base: Descriptor,
    pub reference: Arc<Mutex<Option<DeviceRef>>>,
    pub changes: Arc<Mutex<Vec<(usize, Event)>>>,
}

impl Pass {
    pub fn over(base: &Descriptor) -> Self {
        Self { base: base.clone(), reference: Arc::default(), changes: Arc::default() }
    }
}

pub struct PassChannel(Channel);

impl Submit for PassChannel {
    async fn submit(&self, io: Io) -> Done {
        self.0.submit(io).await
    }
}

/// What [`Bdev::base_changed`] does unless implemented.
pub struct Ordinary(Geometry);

impl Bdev for Pass {
    type Channel = PassChannel;
    fn module(&self) -> &'static str {
        "pass"
    }
    fn geometry(&self) -> Geometry {
        self.base.geometry()
    }
    fn supports(&self, _op: Op) -> bool {
        true
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
        Ordinary(self.geometry()).base_changed(base, event, device);
    }
}

impl Bdev for Ordinary {
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
pub struct Stretch(Ram, Arc<AtomicU64>, Arc<Mutex<Option<DeviceRef>>>);

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
pub fn stretch() -> (Descriptor, DeviceRef) {
    let reference = Arc::default();
    let disk = Stretch(Ram::new(64 * 512).unwrap(), Arc::new(AtomicU64::new(8)), Arc::clone(&reference));
    let disk = open_private("stretch", disk, Access::ReadWrite).unwrap();
    let reference = reference.lock().unwrap().take().unwrap();
    (disk, reference)
}
