//! What there is to say of a device: [`Info`], by name or for all.

use std::sync::Arc;

use uuid::Uuid;

use super::table;
use crate::bdev::claims::Claimed;
use crate::bdev::device::Device;
use crate::bdev::examine::Examined;
use crate::bdev::{Descriptor, Error, Geometry, Result};

/// A device as it is at one moment: SPDK's `bdev_get_bdevs`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Its name.
    pub name: String,
    /// What else it is found by.
    pub aliases: Vec<String>,
    /// Its identity, if it has one.
    pub uuid: Option<Uuid>,
    /// The kind of device, such as `"ram"`.
    pub module: &'static str,
    /// Its shape.
    pub geometry: Geometry,
    /// True if it stays until it is unregistered, false if it goes with its last descriptor.
    pub is_registered: bool,
    /// How many descriptors are open, clones of one counted once.
    pub open: usize,
    /// How many of them may write.
    pub writers: usize,
    /// The claim that modules have on it.
    pub claim: Option<Claimed>,
    /// The names of the devices that it stands on.
    pub bases: Vec<String>,
    /// What modules have [examined](crate::bdev::Module) it, and how that ended.
    pub examined: Vec<Examined>,
    /// A spec that makes such a device again, if it can be written as one.
    pub spec: Option<String>,
}

impl Info {
    pub(in crate::bdev) fn of(device: &Arc<Device>) -> Self {
        let is_registered = super::is_registered(device);
        let (names, openings) = {
            let life = device.life();
            (life.names.clone(), (life.openings.count(), life.openings.writers(), life.openings.claimed()))
        };
        let (open, writers, claim) = openings;
        Self {
            name: device.name.to_string(),
            aliases: names.aliases,
            uuid: names.uuid,
            module: device.bdev.module(),
            geometry: device.geometry(),
            is_registered,
            open,
            writers,
            claim,
            bases: device.bdev.bases().iter().map(|base| base.name().to_owned()).collect(),
            examined: device.looks.said(),
            spec: device.bdev.spec(),
        }
    }
}

impl Descriptor {
    /// What there is to say of the device now.
    #[must_use]
    pub fn info(&self) -> Info {
        Info::of(self.device())
    }
}

/// What there is to say of every device that can be opened by name, in the order of their names.
///
/// ```
/// for disk in reactor::bdev::list() {
///     println!("{} ({}): {} bytes, open {} times", disk.name, disk.module, disk.geometry.len_bytes(), disk.open);
/// }
/// ```
#[must_use]
pub fn list() -> Vec<Info> {
    let devices: Vec<_> = table::lock().entries.values().filter_map(|entry| entry.device()).collect();
    devices.iter().map(Info::of).collect()
}

/// What there is to say of the device known as `name`, which may be an alias or a UUID.
///
/// # Errors
/// [`Error::NotFound`].
pub fn info(name: &str) -> Result<Info> {
    super::find(name).map(|device| Info::of(&device)).ok_or_else(|| Error::NotFound { name: name.to_owned() })
}
