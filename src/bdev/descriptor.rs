//! An open device: what may be done with it, and the claim that comes with writing.
//!
//! Opened by `registry`, sent to any core, turned into a `channel` there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::device::Device;
use super::overdue::Watches;
use super::{Bdev, Channel, Error, Events, Geometry, Op, Result, emulate};

/// What a descriptor is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only. Any number of these may be open beside one writer.
    ReadOnly,
    /// Reads and writes. One of these may be open per device.
    ReadWrite,
}

/// An open block device. Send it, or clones of it, to the cores that shall use it.
///
/// Clones share the claim that [`Access::ReadWrite`] puts on the device; it is released when the last clone and the
/// last channel made from them are gone.
#[derive(Clone)]
pub struct Descriptor(Arc<Opened>);

struct Opened {
    id: u64,
    access: Access,
    device: Arc<Device>,
    watches: Watches,
}

impl Descriptor {
    pub(super) fn open(device: Arc<Device>, access: Access) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        device.open(access)?;
        let opened = Opened { id, access, device, watches: Watches::default() };
        // From here on the drop of `opened` closes it.
        opened.device.bdev.opening(access)?;
        // It may have gone meanwhile.
        if opened.device.is_removed() {
            return Err(Error::Removed);
        }
        Ok(Self(Arc::new(opened)))
    }

    /// The calling core's channel, made on first use.
    ///
    /// # Errors
    /// [`Error::Removed`]; [`Error::NotOnReactor`] on a thread that is turning none; whatever keeps this core from using the device.
    pub fn channel(&self) -> Result<Channel> {
        if self.0.device.is_removed() {
            return Err(Error::Removed);
        }
        Channel::of(self)
    }

    /// The device's shape as it is now.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.0.device.geometry()
    }

    /// What happens to the device from now on: a stream of its own for each call.
    #[must_use]
    pub fn events(&self) -> Events {
        let queue = Arc::default();
        self.0.device.add_listener(&queue);
        Events::new(queue)
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.device.name
    }

    /// The kind of device, such as `"ram"`.
    #[must_use]
    pub fn module(&self) -> &'static str {
        self.0.device.bdev.module()
    }

    /// The device as its module made it, if that is a `B`: the way to what a module can be told while it runs.
    ///
    /// ```
    /// use reactor::bdev::{self, Access, modules::{Delay, Delays}};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("delay:1ms(ram:1M)", Access::ReadWrite).await?;
    /// disk.module_as::<Delay>().expect("it was opened as one").set(Delays::none());
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn module_as<B: Bdev>(&self) -> Option<&B> {
        self.0.device.bdev.as_any().downcast_ref()
    }

    /// Whether what stands on this may be opened with `access`: no writer over what was opened to be read.
    pub(super) fn allows(&self, access: Access) -> Result<()> {
        if access == Access::ReadWrite && self.0.access == Access::ReadOnly {
            return Err(Error::ReadOnly { name: self.name().to_owned() });
        }
        Ok(())
    }

    /// True if `op` can be asked of the device: the module does it, or the layer by other operations. What a file system or a disk
    /// turns out not to have answers [`Error::Unsupported`] all the same.
    #[must_use]
    pub fn supports(&self, op: Op) -> bool {
        let does = |op| self.0.device.bdev.supports(op);
        does(op) || emulate::needs(op).is_some_and(|needs| needs.iter().all(|op| does(*op)))
    }

    /// What it was opened for.
    #[must_use]
    pub fn access(&self) -> Access {
        self.0.access
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.0.device
    }

    pub(super) fn watches(&self) -> &Watches {
        &self.0.watches
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.device.close(self.access);
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Descriptor")
            .field("name", &self.name())
            .field("access", &self.access())
            .finish_non_exhaustive()
    }
}
