//! Groups of devices that an IOMMU cannot tell apart, and the containers that they are in: what their devices see of memory.
//!
//! A container is shared as far as the kernel allows, so that memory is pinned and counted once and not once for each device.

use super::function::Sysfs;
use super::{Address, Error, ioctl};
use crate::sys::dma::{Area, Shown, Space, are_enough, show};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Those that this process has open. The kernel opens a group once, and so do we.
static GROUPS: Mutex<Vec<Weak<Group>>> = Mutex::new(Vec::new());

struct Group {
    number: u32,
    /// Before the group is closed, as without one it takes no memory any more.
    container: Arc<Container>,
    file: OwnedFd,
}

struct Container {
    /// Ends before the tables do.
    _shown: Shown,
    tables: Arc<Tables>,
}

struct Tables(OwnedFd);

impl Space for Tables {
    fn map(&self, area: &Area) -> io::Result<()> {
        ioctl::map(&self.0, area)
    }

    fn unmap(&self, area: &Area) -> io::Result<()> {
        ioctl::unmap(&self.0, area)
    }
}

/// A device's place in its group. While it is there, the device sees the memory of this process that it may be told of.
pub(super) struct Member {
    /// There until the drop.
    group: Option<Arc<Group>>,
}

fn groups() -> MutexGuard<'static, Vec<Weak<Group>>> {
    // Nothing in here unwinds between two changes that belong together.
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Member {
    /// Joins the device's group, and opens the device.
    pub(super) fn join(sysfs: &Sysfs, address: Address, group: u32) -> Result<(Self, OwnedFd), Error> {
        let mut groups = groups();
        let known: Vec<Arc<Group>> = groups.iter().filter_map(Weak::upgrade).collect();
        let group = match known.iter().find(|known| known.number == group) {
            Some(known) => known.clone(),
            None => {
                let opened = Arc::new(Group::open(sysfs, address, group, &known)?);
                groups.retain(|group| group.strong_count() > 0);
                groups.push(Arc::downgrade(&opened));
                opened
            }
        };
        let device =
            ioctl::device(&group.file, &address.to_string()).map_err(Error::refused(format!("{address}")))?;
        Ok((Self { group: Some(group) }, device))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Within the lock, so that who opens the group next finds it closed.
        let _groups = groups();
        drop(self.group.take());
    }
}

impl Group {
    fn open(sysfs: &Sysfs, address: Address, number: u32, known: &[Arc<Self>]) -> Result<Self, Error> {
        let path = format!("/dev/vfio/{number}");
        let file = open_file(&path)?;
        if !ioctl::is_viable(&file).map_err(Error::refused(path.clone()))? {
            return Err(Error::NotViable { group: number, others: sysfs.others(number) });
        }
        // The kernel refuses an IOMMU of another kind: those do not share a container.
        let shared = known.iter().map(|group| &group.container);
        let container =
            match shared.into_iter().find(|one| ioctl::set_container(&file, &one.tables.0).is_ok()) {
                Some(container) => container.clone(),
                None => Arc::new(Container::new(address, &file)?),
            };
        Ok(Self { number, container, file })
    }
}

impl Container {
    fn new(address: Address, group: &OwnedFd) -> Result<Self, Error> {
        let unsupported = |reason| Error::Unsupported { address, reason };
        let path = "/dev/vfio/vfio";
        let file = open_file(path)?;
        if !ioctl::has_type1(&file).map_err(Error::refused(path))? {
            return Err(unsupported(
                "the kernel has no type 1 IOMMU interface (`modprobe vfio_iommu_type1`)",
            ));
        }
        ioctl::set_container(group, &file).map_err(Error::refused("a container for its group"))?;
        ioctl::set_type1(&file).map_err(Error::refused(
            "the type 1 interface to its IOMMU (if the kernel's log speaks of interrupt remapping, vfio_iommu_type1 has a parameter for that)",
        ))?;
        let translation = ioctl::translation(&file).map_err(Error::refused("what its IOMMU translates"))?;
        if translation.page_sizes & 4096 == 0 {
            return Err(unsupported("its IOMMU has no pages of 4 KiB"));
        }
        // A kernel that does not say refuses the first area that would not do.
        if translation.ranges.is_some_and(|ranges| !are_enough(ranges.into_iter())) {
            return Err(unsupported("its IOMMU does not translate the addresses from 4 GiB to 256 GiB"));
        }
        let tables = Arc::new(Tables(file));
        Ok(Self { _shown: show(tables.clone())?, tables })
    }
}

pub(super) fn open_file(path: &str) -> Result<OwnedFd, Error> {
    open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV => Error::NoVfio(path.to_owned()),
        Errno::ACCESS | Errno::PERM => Error::Permission(path.to_owned()),
        Errno::BUSY => Error::Busy(path.to_owned()),
        other => Error::Refused { what: path.to_owned(), source: other.into() },
    })
}
