//! Devices by files of their own, and the address space that they share: iommufd, which Linux has since 6.6 beside groups and containers.

use super::group::open_file;
use super::{Address, Error, ioctl, iommufd};
use crate::sys::dma::{Area, Shown, Space, are_enough, show};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The one that this process has, if it has one: memory is pinned and counted once and not once for each device.
static IOAS: Mutex<Weak<Ioas>> = Mutex::new(Weak::new());

/// An address space. While it is there, the devices that are attached to it see the memory of this process that they may be told of.
pub(super) struct Ioas {
    /// Ends before the tables do.
    _shown: Shown,
    tables: Arc<Tables>,
}

struct Tables {
    iommufd: OwnedFd,
    id: u32,
}

impl Space for Tables {
    fn map(&self, area: &Area) -> io::Result<()> {
        iommufd::map(&self.iommufd, self.id, area)
    }

    fn unmap(&self, area: &Area) -> io::Result<()> {
        iommufd::unmap(&self.iommufd, self.id, area)
    }
}

/// Opens the device by its file, and has it see memory. `others` are the devices of its group that the kernel has.
pub(super) fn join(
    address: Address,
    file: &str,
    group: u32,
    others: impl FnOnce() -> Vec<(Address, String)>,
) -> Result<(Arc<Ioas>, OwnedFd), Error> {
    let mut ioas = IOAS.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open_file(file)?;
    let known = ioas.upgrade();
    let tables = match &known {
        Some(known) => known.tables.clone(),
        None => Arc::new(Tables::new()?),
    };
    ioctl::bind(&device, &tables.iommufd).map_err(|refused| match Errno::from_io_error(&refused) {
        // The kernel's word for both, and the second for a device whose file another process has.
        Some(Errno::BUSY | Errno::INVAL) => match others() {
            others if others.is_empty() => Error::Busy(file.to_owned()),
            others => Error::NotViable { group, others },
        },
        _ => Error::Refused { what: file.to_owned(), source: refused },
    })?;
    ioctl::attach(&device, tables.id).map_err(Error::refused(format!("an address space for {address}")))?;
    let unsupported = |reason| Error::Unsupported { address, reason };
    let (ranges, alignment) = iommufd::ranges(&tables.iommufd, tables.id)
        .map_err(Error::refused(format!("what the IOMMU of {address} translates")))?;
    if alignment > 4096 {
        return Err(unsupported("its IOMMU has no pages of 4 KiB"));
    }
    if !are_enough(ranges.into_iter()) {
        return Err(unsupported("its IOMMU does not translate the addresses from 4 GiB to 256 GiB"));
    }
    let joined = match known {
        Some(known) => known,
        None => Arc::new(Ioas { _shown: show(tables.clone())?, tables }),
    };
    *ioas = Arc::downgrade(&joined);
    Ok((joined, device))
}

impl Tables {
    fn new() -> Result<Self, Error> {
        let iommufd = open_file("/dev/iommu")?;
        let id = iommufd::alloc(&iommufd).map_err(Error::refused("an address space of /dev/iommu"))?;
        Ok(Self { iommufd, id })
    }
}
