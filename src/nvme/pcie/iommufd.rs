//! The operations of iommufd that this driver needs (Linux, include/uapi/linux/iommufd.h), each as a function.
//!
//! `vfio-bindings` does not have them: the structures are written out here, and their sizes are the kernel's.
#![expect(unsafe_code, reason = "ioctls that point to structures, and memory that devices are to see")]

use super::ioctl::{Argument, all_of, call};
use crate::sys::dma::Area;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, opcode};
use std::io;
use std::os::fd::OwnedFd;
use std::ptr;

const TYPE: u8 = b';';
const IOAS_ALLOC: Opcode = opcode::none(TYPE, 0x81);
const IOAS_IOVA_RANGES: Opcode = opcode::none(TYPE, 0x84);
const IOAS_MAP: Opcode = opcode::none(TYPE, 0x85);
const IOAS_UNMAP: Opcode = opcode::none(TYPE, 0x86);

const MAP_FIXED_IOVA: u32 = 1 << 0;
const MAP_WRITEABLE: u32 = 1 << 1;
const MAP_READABLE: u32 = 1 << 2;

/// `struct iommu_ioas_alloc`
#[repr(C)]
#[derive(Default)]
struct Alloc {
    size: u32,
    flags: u32,
    id: u32,
}

/// `struct iommu_ioas_iova_ranges`
#[repr(C)]
#[derive(Default)]
struct IovaRanges {
    size: u32,
    id: u32,
    count: u32,
    reserved: u32,
    ranges: u64,
    alignment: u64,
}

/// `struct iommu_iova_range`: the first address, and the last.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct IovaRange {
    first: u64,
    last: u64,
}

/// `struct iommu_ioas_map`
#[repr(C)]
#[derive(Default)]
struct Map {
    size: u32,
    flags: u32,
    id: u32,
    reserved: u32,
    start: u64,
    len: u64,
    at: u64,
}

/// `struct iommu_ioas_unmap`
#[repr(C)]
#[derive(Default)]
struct Unmap {
    size: u32,
    id: u32,
    at: u64,
    len: u64,
}

const _: () = assert!(size_of::<Alloc>() == 12 && size_of::<IovaRanges>() == 32);
const _: () = assert!(size_of::<IovaRange>() == 16 && size_of::<Map>() == 40 && size_of::<Unmap>() == 24);

// SAFETY: the operation takes this structure, and is told its size by the first word.
unsafe impl Argument for Alloc {
    const OPERATION: Opcode = IOAS_ALLOC;
}

// SAFETY: as above. What `start` points to is not touched by the call: devices may do that afterwards.
unsafe impl Argument for Map {
    const OPERATION: Opcode = IOAS_MAP;
}

// SAFETY: as above.
unsafe impl Argument for Unmap {
    const OPERATION: Opcode = IOAS_UNMAP;
}

/// Makes an address space, in which nothing is seen yet. Returns its number, by which it is known as long as the file is open.
pub(super) fn alloc(iommufd: &OwnedFd) -> io::Result<u32> {
    let mut alloc = Alloc { size: Alloc::size(), ..Default::default() };
    alloc.call(iommufd)?;
    Ok(alloc.id)
}

/// What the address space has for the devices that are attached to it: where addresses can be, first and last of each range, and what
/// they have to be multiples of.
pub(super) fn ranges(iommufd: &OwnedFd, id: u32) -> io::Result<(Vec<(u64, u64)>, u64)> {
    // Around what is kept for interrupts, and for memory of the firmware's.
    let mut ranges = [IovaRange::default(); 64];
    let mut ask = IovaRanges {
        size: size_of::<IovaRanges>() as u32,
        id,
        count: ranges.len() as u32,
        ranges: ranges.as_mut_ptr().expose_provenance() as u64,
        ..Default::default()
    };
    // SAFETY: the operation takes this structure, and is told its size. It writes to the array that is pointed to, at most as many
    // elements as it is told that there are, any bits of which are numbers.
    let told = unsafe { call(iommufd, IOAS_IOVA_RANGES, ptr::from_mut(&mut ask).cast()) };
    match told {
        // More of them than there is room for: these are the first.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) => {}
        told => drop(told?),
    }
    let ranges = ranges.iter().take(ask.count as usize).map(|range| (range.first, range.last));
    Ok((ranges.collect(), ask.alignment))
}

/// Has the devices of an address space read and write the area. Its pages stay where they are until [`unmap`].
pub(super) fn map(iommufd: &OwnedFd, id: u32, area: &Area) -> io::Result<()> {
    // As for a container: what devices can do from now on is what an area is made for.
    let mut map = Map {
        size: Map::size(),
        flags: MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE,
        id,
        reserved: 0,
        start: area.start() as u64,
        len: area.len() as u64,
        at: area.at(),
    };
    map.call(iommufd)
}

/// Ends what [`map`] began.
pub(super) fn unmap(iommufd: &OwnedFd, id: u32, area: &Area) -> io::Result<()> {
    let mut unmap = Unmap { size: Unmap::size(), id, at: area.at(), len: area.len() as u64 };
    unmap.call(iommufd)?;
    all_of(area, unmap.len)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_iommufd_is_an_error() {
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        assert!(alloc(&file).is_err() && ranges(&file, 1).is_err());
    }
}
