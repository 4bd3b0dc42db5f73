//! All partitions of every disk, as the disks appear: [`Gpt`].

use std::sync::{Mutex, PoisonError};

use super::{Partition, partitions};
use crate::bdev::modules::part::Origin;
use crate::bdev::{Claim, Descriptor, DeviceRef, Error, Module, Names, Result, register};

/// Makes a device of every partition of every disk: `disk0p1` for the first of `disk0`, with the partition's GUID as its UUID and its
/// name as an alias, where that is free.
///
/// While they are there it has the disk claimed: nobody else writes to it. They go when the disk goes or the module is
/// [removed](crate::bdev::remove_module). A disk that somebody writes to is left alone until it is
/// [examined](crate::bdev::examine) again. A table that is damaged in both its copies, or a partition's name that is taken, leaves all
/// partitions of that disk away, and [says so](crate::bdev::Info::examined).
///
/// ```standalone_crate
/// use reactor::bdev::{self, Access, modules::gpt::Gpt};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// bdev::add_module(Gpt::new()).await?;
/// bdev::create("disk0", "ram:64M").await?;
/// bdev::examined().await;
/// for disk in bdev::list() {
///     println!("{} {:?} {:?}", disk.name, disk.aliases, disk.examined);
/// }
/// bdev::finish().await?;
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Gpt {
    made: Mutex<Vec<DeviceRef>>,
}

impl Gpt {
    /// What claims say, and the kind of device.
    const NAME: &'static str = "gpt";

    /// The module, to be [added](crate::bdev::add_module).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Module for Gpt {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn examine_disk(&self, disk: Descriptor) -> Result<()> {
        // What looks like a table inside of a partition belongs to whoever uses that.
        if disk.module() == Self::NAME || !has_partitions(&disk).await? {
            return Ok(());
        }
        let mine = match disk.claim(Claim::WriteOne, Self::NAME) {
            Err(Error::ReadOnly { .. }) => disk.claim(Claim::WriteNone, Self::NAME)?,
            mine => mine?,
        };
        drop(disk);
        // Now that nobody else can change them.
        let found = partitions(&mine).await?;
        let mut made = Made(Vec::with_capacity(found.len()));
        for partition in &found {
            made.0.push(add(partition, &mine)?);
        }
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|device| !device.is_gone());
        all.append(&mut made.0);
        Ok(())
    }

    async fn fini(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        drop(Made(made));
    }
}

/// Whether there is a table with something in it.
async fn has_partitions(disk: &Descriptor) -> Result<bool> {
    match partitions(disk).await {
        Ok(found) => Ok(!found.is_empty()),
        Err(Error::NoPartitions { is_damaged: false, .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Registers `partition` of `disk`, by its name too if that is nobody else's.
fn add(partition: &Partition, disk: &Descriptor) -> Result<DeviceRef> {
    let names = Names::new(format!("{}p{}", disk.name(), partition.number)).with_uuid(partition.id);
    let part = || Ok::<_, Error>(partition.part(disk)?.with_origin(Origin::Found));
    if !partition.name.is_empty() {
        match register(names.clone().with_alias(&partition.name), part()?) {
            Err(Error::BadName { name, .. }) if name == partition.name => {}
            result => return result,
        }
    }
    register(names, part()?)
}

/// Partitions that go again unless all of a disk's are there.
struct Made(Vec<DeviceRef>);

impl Drop for Made {
    fn drop(&mut self) {
        self.0.iter().for_each(|device| drop(device.remove()));
    }
}
