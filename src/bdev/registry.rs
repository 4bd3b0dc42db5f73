//! Which block devices there are, by name, for the whole process.
//!
//! A registered device stays until it is unregistered. A transient one, made from a spec such as `ram:64M` when it is
//! opened, lives as long as somebody has it open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::device::Device;
use super::module::AnyBdev;
use super::removal::Removal;
use super::{Access, Bdev, Descriptor, Error, Result};

enum Entry {
    Registered(Arc<Device>),
    Transient(Weak<Device>),
}

impl Entry {
    fn device(&self) -> Option<Arc<Device>> {
        match self {
            Self::Registered(device) => Some(device.clone()),
            Self::Transient(device) => device.upgrade(),
        }
    }

    /// Asked with the table locked, so it must not hold what could be the last reference to a device.
    fn is_alive(&self) -> bool {
        match self {
            Self::Registered(_) => true,
            Self::Transient(device) => device.strong_count() > 0,
        }
    }
}

/// Taken to open, register and list: never per I/O.
static DEVICES: Mutex<BTreeMap<String, Entry>> = Mutex::new(BTreeMap::new());

fn devices() -> MutexGuard<'static, BTreeMap<String, Entry>> {
    // Every change below is a single insert or remove, so a panic elsewhere leaves nothing half done.
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes `bdev` known as `name`.
///
/// # Errors
/// [`Error::BadName`] if the name is empty, or taken; [`Error::BadGeometry`].
pub fn register(name: impl Into<String>, bdev: impl Bdev) -> Result<()> {
    let name = name.into();
    if name.is_empty() {
        return Err(Error::BadName { name, reason: "a name has at least one character" });
    }
    let device = Device::new(&name, Box::new(bdev))?;
    let mut devices = devices();
    if devices.get(&name).is_some_and(Entry::is_alive) {
        return Err(Error::BadName { name, reason: "the name is taken; unregister that device first" });
    }
    devices.insert(name, Entry::Registered(device));
    Ok(())
}

/// Takes the device away: its name is free at once, new I/O is answered with [`Error::Removed`], I/O in flight
/// finishes or, if the module does not answer it in [time](Bdev::removing), ends with [`Error::Removed`], and the device is dropped with its last descriptor and channel.
///
/// All that has begun when this returns. The [`Removal`] waits for the end, for who wants to; dropped, it changes nothing.
///
/// # Errors
/// [`Error::NotFound`].
pub fn unregister(name: &str) -> Result<Removal> {
    let entry = devices().remove(name);
    match entry.and_then(|entry| entry.device()) {
        Some(device) => Ok(device.remove()),
        None => Err(Error::NotFound { name: name.to_owned() }),
    }
}

/// Frees the name of `device`, unless another has it by now.
pub(super) fn forget(device: &Arc<Device>) {
    let mut devices = devices();
    let is_it = match devices.get(&*device.name) {
        Some(Entry::Registered(known)) => Arc::ptr_eq(known, device),
        Some(Entry::Transient(known)) => known.as_ptr() == Arc::as_ptr(device),
        None => false,
    };
    let entry = if is_it { devices.remove(&*device.name) } else { None };
    // With the table free: this could be the last of a device.
    drop(devices);
    drop(entry);
}

/// Opens the device known as `name`, if there is one.
pub(super) fn open_known(name: &str, access: Access) -> Option<Result<Descriptor>> {
    let device = devices().get(name).and_then(Entry::device)?;
    Some(Descriptor::open(device, access))
}

/// Opens `bdev` and has it known as `name` while it is open. Of two who do so at a time, the first makes the device, and the
/// other opens that.
pub(super) fn open_transient(name: String, bdev: Box<dyn AnyBdev>, access: Access) -> Result<Descriptor> {
    let made = Device::new(&name, bdev)?;
    let device = {
        let mut devices = devices();
        devices.retain(|_, entry| entry.is_alive());
        match devices.get(&name).and_then(Entry::device) {
            Some(first) => first,
            None => {
                devices.insert(name, Entry::Transient(Arc::downgrade(&made)));
                made
            }
        }
    };
    Descriptor::open(device, access)
}

/// Opens a device of one's own that nobody else can open by name, such as the lower half of a stacked module.
///
/// # Errors
/// [`Error::BadGeometry`]; what the device says.
pub fn open_private(name: impl Into<String>, bdev: impl Bdev, access: Access) -> Result<Descriptor> {
    open_unnamed(name.into(), Box::new(bdev), access)
}

/// As `open_private`, for a device whose type was forgotten.
pub(super) fn open_unnamed(name: String, bdev: Box<dyn AnyBdev>, access: Access) -> Result<Descriptor> {
    Descriptor::open(Device::new(&name, bdev)?, access)
}

/// The names of all devices, in order.
#[must_use]
pub fn names() -> Vec<String> {
    devices().iter().filter(|(_, entry)| entry.is_alive()).map(|(name, _)| name.clone()).collect()
}
