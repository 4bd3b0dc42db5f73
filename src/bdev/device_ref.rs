//! A module's handle on the device that the layer has made of it: [`DeviceRef`].

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::device::Device;
use super::removal::Removal;
use super::{Descriptor, Error, Event, Media, Quiesce, Result, registry};

/// What a module says about its own device after it was registered: that it has grown or shrunk, or is gone.
///
/// Handed to [`Bdev::attached`](super::Bdev::attached). May be used on any thread, and does not keep the device.
#[derive(Clone)]
pub struct DeviceRef {
    name: Arc<str>,
    device: Weak<Device>,
}

impl DeviceRef {
    pub(super) fn of(device: &Arc<Device>) -> Self {
        Self { name: device.name.clone(), device: Arc::downgrade(device) }
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the device is gone: removed, and its last descriptor closed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.device.strong_count() == 0
    }

    /// The device has `block_count` blocks from now on: SPDK's `spdk_bdev_notify_blockcnt_change`.
    ///
    /// I/O that begins afterwards is checked against the new number. I/O in flight goes on, also beyond the new end: it is for
    /// the module to answer, or to [wait for](Self::quiesce_range) first. Everybody who listens reads [`Event::Resized`](super::Event::Resized), and the devices that stand
    /// on this one learn of it before this returns.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] for a number that cannot be, such as none; [`Error::Removed`].
    pub fn resize(&self, block_count: u64) -> Result<()> {
        self.device.upgrade().ok_or(Error::Removed)?.resize(block_count)
    }

    /// Holds the whole device, as [`Descriptor::quiesce`](super::Descriptor::quiesce).
    pub fn quiesce(&self) -> Quiesce {
        Quiesce::of(self.device.clone(), None)
    }

    /// Holds some blocks, as [`Descriptor::quiesce_range`](super::Descriptor::quiesce_range): what a module does before it
    /// [shrinks](Self::resize), so that no I/O is in flight beyond the new end.
    pub fn quiesce_range(&self, blocks: Range<u64>) -> Quiesce {
        Quiesce::of(self.device.clone(), Some(blocks))
    }

    /// The device has gone, as [`unregister`](super::unregister) would take it away: its name is free, I/O is answered with
    /// [`Error::Removed`](super::Error::Removed). What is returned waits for its end.
    pub fn remove(&self) -> Removal {
        match self.device.upgrade() {
            Some(device) => registry::remove(&device),
            None => Removal::over(),
        }
    }

    /// The device stands on `base` too from now on, which was not among its [`bases`](super::Bdev::bases): what happens to that is
    /// told to [`base_changed`](super::Bdev::base_changed) under `number`.
    pub fn follow(&self, number: usize, base: &Descriptor) {
        if let Some(device) = self.device.upgrade() {
            device.follow(number, base);
        }
    }

    /// The medium wants blocks to be looked after: everybody who listens reads
    /// [`Event::MediaManaged`](super::Event::MediaManaged).
    pub fn media_managed(&self, media: Media) {
        if let Some(device) = self.device.upgrade() {
            device.media_managed(&Event::MediaManaged(media));
        }
    }
}

impl fmt::Debug for DeviceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceRef").field("name", &self.name()).finish_non_exhaustive()
    }
}
