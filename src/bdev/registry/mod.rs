//! Which block devices there are, for the whole process: by name, alias and UUID.
//!
//! A registered device stays until it is unregistered. A transient one, made from a spec such as `ram:64M` when it is
//! opened, lives as long as somebody has it open. The rules of names stand in `table`, what they are in `names`, what is told of
//! devices in `info`.

mod info;
mod names;
mod table;

use std::sync::Arc;

pub use info::{Info, info, list};
pub use names::Names;
pub(super) use table::Reservation;
use table::{Entry, lock};

use super::device::Device;
use super::gone::Gone;
use super::module::AnyBdev;
use super::removal::Removal;
use super::{Access, Bdev, Descriptor, DeviceRef, Error, Result, examine};

/// Makes `bdev` known as `names`: a string, or [`Names`] with aliases and a UUID. All of them, or none.
///
/// # Errors
/// [`Error::BadName`] if one is taken, or cannot be a name; [`Error::BadGeometry`]; [`Error::Removed`] if it went, or was
/// [unregistered](unregister), meanwhile.
pub fn register(names: impl Into<Names>, bdev: impl Bdev) -> Result<DeviceRef> {
    add(Reservation::of(names.into())?, Box::new(bdev))
}

/// As [`register`], for names that are reserved and a device whose type was forgotten.
pub(super) fn add(reservation: Reservation, bdev: Box<dyn AnyBdev>) -> Result<DeviceRef> {
    let device = Device::new(reservation.names().name(), bdev)?;
    device.life().names = reservation.names().clone();
    examine::before_it_is_known(&device);
    if let Err(e) = reservation.fill(&device) {
        drop(device.remove());
        return Err(e);
    }
    examine::start(&device);
    Ok(DeviceRef::of(&device))
}

/// Takes the device away that is known as `name`: its names are free at once, new I/O is answered with [`Error::Removed`], I/O in flight
/// finishes or, if the module does not answer it in [time](Bdev::removing), ends with [`Error::Removed`], and the device is dropped with its last descriptor and channel.
///
/// All that has begun when this returns. The [`Removal`] waits for the end, for who wants to; dropped, it changes nothing. A device
/// that is still being made is not registered then: who makes it is told [`Error::Removed`].
///
/// # Errors
/// [`Error::NotFound`].
pub fn unregister(name: &str) -> Result<Removal> {
    let mut table = lock();
    let name_known = table.resolve(name);
    let entry = name_known.and_then(|name| table.take(&name));
    drop(table);
    match entry {
        Some(Entry::Reserved { .. }) => Some(Removal::over()),
        Some(entry) => entry.device().map(|device| device.remove()),
        None => None,
    }
    .ok_or_else(|| Error::NotFound { name: name.to_owned() })
}

/// Has the device known as `name` found by `alias` as well.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::BadName`] if `alias` is taken or cannot be a name.
pub fn add_alias(name: &str, alias: &str) -> Result<()> {
    names::validate(alias)?;
    let alias = names::canonical(alias.to_owned());
    let mut table = lock();
    table.must_be_free(&alias)?;
    let device = table.find(name).and_then(Entry::device);
    let known =
        device.filter(|device| table.entries.get(&*device.name).is_some_and(|entry| entry.is(device)));
    let result = match &known {
        Some(device) => {
            table.others.insert(alias.clone(), device.name.to_string());
            device.life().names.aliases.push(alias);
            Ok(())
        }
        None => Err(Error::NotFound { name: name.to_owned() }),
    };
    // Could be the last reference: dropped with the table free.
    drop(table);
    drop(known);
    result
}

/// Has nothing found by `alias` any more. Names and UUIDs stay for as long as their device.
///
/// # Errors
/// [`Error::NotFound`] if there is no such alias.
pub fn remove_alias(alias: &str) -> Result<()> {
    let alias = names::canonical(alias.to_owned());
    let mut table = lock();
    let device = table.others.get(&alias).and_then(|owner| table.entries.get(owner)).and_then(Entry::device);
    let is_removed = device.as_ref().is_some_and(|device| {
        let aliases = &mut device.life().names.aliases;
        let before = aliases.len();
        aliases.retain(|known| *known != alias);
        aliases.len() < before
    });
    if is_removed {
        table.others.remove(&alias);
    }
    drop(table);
    drop(device);
    if is_removed { Ok(()) } else { Err(Error::NotFound { name: alias }) }
}

/// Takes `device` away, as [`unregister`] does.
pub(super) fn remove(device: &Arc<Device>) -> Removal {
    forget(device);
    let removal = device.remove();
    // It may have been registered between the two.
    forget(device);
    removal
}

/// Frees the names of `device`, unless others have them by now.
fn forget(device: &Arc<Device>) {
    let mut table = lock();
    let is_it = table.entries.get(&*device.name).is_some_and(|entry| entry.is(device));
    let entry = if is_it { table.take(&device.name) } else { None };
    // With the table free: this could be the last of a device.
    drop(table);
    drop(entry);
}

pub(super) fn is_registered(device: &Arc<Device>) -> bool {
    matches!(lock().entries.get(&*device.name), Some(Entry::Registered(known)) if Arc::ptr_eq(known, device))
}

/// All registered devices, in the order of their names.
pub(super) fn registered() -> Vec<Arc<Device>> {
    let is_registered = |entry: &&Entry| matches!(entry, Entry::Registered(_));
    lock().entries.values().filter(is_registered).filter_map(Entry::device).collect()
}

/// The device known as `name`.
pub(super) fn find(name: &str) -> Option<Arc<Device>> {
    lock().find(name).and_then(Entry::device)
}

/// The name of the device that is known as `name`, by whatever it is called.
pub(super) fn name_of(name: &str) -> Option<String> {
    let table = lock();
    let name = table.resolve(name)?;
    table.entries.get(&name).is_some_and(|entry| !matches!(entry, Entry::Reserved { .. })).then_some(name)
}

/// Opens the device known as `name`, if there is one.
pub(super) fn open_known(name: &str, access: Access) -> Option<Result<Descriptor>> {
    find(name).map(|device| Descriptor::open(device, access))
}

/// A device that is there, is being made by somebody else, or is for the caller to make.
pub(super) enum Place {
    There(Arc<Device>),
    Wait(Arc<Gone>),
    Free(Reservation),
}

/// The device that is open as `name`, or the right to make it: of several who want it at a time one makes it, and the others open
/// that.
///
/// # Errors
/// [`Error::BadName`] if it is being created by that name.
pub(super) fn place_for(name: &str) -> Result<Place> {
    let mut table = lock();
    let place = match table.find(name) {
        Some(Entry::Reserved { over, is_transient: true }) => Some(Place::Wait(over.clone())),
        Some(entry) => entry.device().map(Place::There),
        None => None,
    };
    match place {
        Some(place) => Ok(place),
        None => {
            table.must_be_free(name)?;
            Ok(Place::Free(Reservation::enter(&mut table, Names::new(name), true)))
        }
    }
}

/// Opens `bdev` and has it known by the name reserved for it while it is open.
pub(super) fn open_transient(
    reservation: Reservation,
    bdev: Box<dyn AnyBdev>,
    access: Access,
) -> Result<Descriptor> {
    let device = Device::new(reservation.names().name(), bdev)?;
    reservation.fill(&device)?;
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

/// The names of all devices, in order. [`list`] says more.
#[must_use]
pub fn names() -> Vec<String> {
    lock().entries.iter().filter(|(_, entry)| entry.is_there()).map(|(name, _)| name.clone()).collect()
}
