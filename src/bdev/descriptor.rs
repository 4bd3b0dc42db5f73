//! An open device: what may be done with it, and the claim that it may hold.
//!
//! Opened by `registry`, sent to any core, turned into a `channel` there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::claims::Wish;
use super::device::Device;
use super::overdue::Watches;
use super::{Bdev, Channel, Claim, Error, Events, Geometry, Op, Result, emulate};

/// What a descriptor is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only. Any number of these may be open beside one writer.
    ReadOnly,
    /// Reads and writes. One of these may be open per device, unless a [`Claim`](super::Claim) says otherwise.
    ReadWrite,
}

/// An open block device. Send it, or clones of it, to the cores that shall use it.
///
/// Clones share what [`Access::ReadWrite`] and a [claim](Self::claim) keep others from; that ends when the last clone and the last
/// channel made from them are gone.
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
        Self::open_as(device, &Wish::Plain(access))
    }

    fn open_as(device: Arc<Device>, wish: &Wish) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let access = wish.access();
        device.open(id, wish)?;
        let opened = Opened { id, access, device, watches: Watches::default() };
        // From here on the drop of `opened` closes it.
        opened.device.bdev.opening(access)?;
        // It may have gone meanwhile.
        if opened.device.is_removed() {
            return Err(Error::Removed);
        }
        Ok(Self(Arc::new(opened)))
    }

    /// Opens the device once more, with `claim` on it in the name of `by`, a module. Until the last clone of what is returned and
    /// its last channel are gone nobody opens the device against the claim. It is there for what `claim` [says](Claim::access),
    /// whatever this one was opened for.
    ///
    /// ```
    /// use reactor::bdev::{self, Access, Claim, Error, modules::Ram};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// bdev::register("claimed0", Ram::new(1 << 20)?)?;
    /// let found = bdev::open("claimed0", Access::ReadOnly).await?;
    /// let mine = found.claim(Claim::WriteOne, "volumes")?;
    /// let refused = bdev::open("claimed0", Access::ReadWrite).await;
    /// assert!(matches!(refused, Err(Error::Busy { by: Some(by), .. }) if by.contains("volumes")));
    /// drop(mine);
    /// bdev::open("claimed0", Access::ReadWrite).await?;
    /// # bdev::unregister("claimed0")?;
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody writes, this one included, or has claimed the device in a way that does not go with it;
    /// [`Error::ReadOnly`]; [`Error::Removed`]; what the device says.
    pub fn claim(&self, claim: Claim, by: impl Into<Arc<str>>) -> Result<Self> {
        Self::open_as(self.0.device.clone(), &Wish::Claim(claim, by.into()))
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
        self.device.close(self.id, self.access);
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
