//! A core's way to a device: [`Channel`], made by a `descriptor`, one per core.
//!
//! Here stand its making and what it knows; what it does stands in rooms of its own: `data` reads and writes, `vectored` with several
//! buffers, `memory` with memory of the caller's own, `lend` in place, `metadata` with what lies beside the blocks; `blocks` changes,
//! compares and searches them; `zones` and `passthrough` are for devices that have such things. All check with `inner`, and
//! `run` takes them to the module (`submitting`), whole or in pieces (`split`), or has the layer do it (`emulate`).

mod blocks;
mod data;
mod handing_on;
mod inner;
mod lend;
mod memory;
mod metadata;
mod passthrough;
mod run;
mod vectored;
mod zones;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;

pub use lend::{Lent, Populate};

pub(super) use inner::Inner;
pub(super) use run::Entering;

use handing_on::HandingOn;

use super::descriptor::Descriptor;
use super::device::Device;
use super::{Done, Error, Geometry, Io, IoStats, Result};
use crate::NotOnReactor;
use crate::reactor::context;

/// A core's channel to a device. It stays on its core; a clone is the same channel.
///
/// From [`Descriptor::channel`]. Operations are in units of blocks, run concurrently, and complete in any order. Each
/// may be dropped at any await: the device's answer is then ignored, and the buffer goes home when it has come.
///
/// ```
/// use reactor::bdev::{self, Access};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
/// let channel = disk.channel()?;
/// let mut page = channel.read(0..8).await?;
/// page[..4].copy_from_slice(b"head");
/// channel.write(0, page).await?;
/// channel.flush().await?;
/// assert_eq!(&channel.read(0..1).await?[..4], b"head");
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
///
/// A future that holds one stays with it:
///
/// ```compile_fail,E0277
/// use reactor::{Core, bdev::Channel, spawn_on};
///
/// fn elsewhere(channel: Channel, core: Core) {
///     spawn_on(core, async move { channel.read(0..8).await.map(drop) }).detach();
/// }
/// ```
#[derive(Clone)]
pub struct Channel(Rc<Inner>);

impl Channel {
    /// Hands on an I/O that a module above was given. What this device refuses is answered with the error.
    ///
    /// What comes back stands for the blocks that went in, also if a module below has moved it to others.
    #[inline]
    pub fn submit(&self, io: Io) -> impl Future<Output = Done> + '_ {
        HandingOn::new(&self.0, io)
    }

    /// The device's shape as it is now.
    #[inline]
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.0.device.geometry()
    }

    /// The descriptor that this channel belongs to.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    /// What this channel has done.
    #[must_use]
    pub fn stats(&self) -> IoStats {
        self.0.account.stats()
    }

    pub(super) fn inner(&self) -> &Rc<Inner> {
        &self.0
    }

    /// The calling core's channel of `descriptor`, made now if there is none.
    pub(super) fn of(descriptor: &Descriptor) -> Result<Self> {
        if let Some(channel) = known(descriptor.id()) {
            return Ok(channel);
        }
        // With the table free: a stacked module opens channels of its own in here.
        let inner = Inner::new(descriptor)?;
        per_core(|open| {
            open.retain(|(_, channel)| channel.strong_count() > 0);
            open.push((descriptor.id(), Rc::downgrade(&inner)));
        })?;
        descriptor.watches().begin(&inner);
        Ok(Self(inner))
    }
}

impl From<Rc<Inner>> for Channel {
    fn from(inner: Rc<Inner>) -> Self {
        Self(inner)
    }
}

/// The open channels of a core, by descriptor.
#[derive(Default)]
struct OpenChannels(RefCell<Vec<(u64, Weak<Inner>)>>);

/// The calling core's channel of the descriptor with this number, if there is one.
pub(super) fn known(id: u64) -> Option<Channel> {
    let find = |open: &mut Vec<(u64, Weak<Inner>)>| {
        open.iter().find(|(known, _)| *known == id).and_then(|(_, channel)| channel.upgrade())
    };
    per_core(find).ok().flatten().map(Channel)
}

/// The calling core's channels of `device`, whatever descriptor they are of.
pub(super) fn of_device(device: &Arc<Device>) -> Vec<Rc<Inner>> {
    let open = per_core(|open| open.iter().filter_map(|(_, channel)| channel.upgrade()).collect::<Vec<_>>());
    // With the table free: the last count of a channel may be dropped here.
    open.unwrap_or_default().into_iter().filter(|inner| Arc::ptr_eq(&inner.device, device)).collect()
}

/// Whether one of the calling core's channels of `device` is what is asked for.
pub(super) fn any_of_device(device: &Arc<Device>, f: impl Fn(&Inner) -> bool) -> bool {
    let is_it = |(_, channel): &(u64, Weak<Inner>)| {
        channel.upgrade().is_some_and(|inner| Arc::ptr_eq(&inner.device, device) && f(&inner))
    };
    per_core(|open| open.iter().any(is_it)).unwrap_or(false)
}

/// Lends the calling core's table of open channels.
fn per_core<R>(f: impl FnOnce(&mut Vec<(u64, Weak<Inner>)>) -> R) -> Result<R> {
    if context::try_with(|_| ()).is_none() {
        return Err(NotOnReactor { what: "bdev::Descriptor::channel" }.into());
    }
    let open = context::singleton(|| Ok::<_, Error>(Rc::<OpenChannels>::default()))?;
    Ok(f(&mut open.0.borrow_mut()))
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.0.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
