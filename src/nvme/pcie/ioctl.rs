//! The operations of VFIO that this driver needs (Linux, include/uapi/linux/vfio.h), each as a function.
//!
//! The structures come from `vfio-bindings`. `vfio-ioctls` has the operations as well, and with them `vm-memory`, `vmm-sys-util`,
//! `byteorder` and `log`: a virtual machine monitor's view of memory, to make a dozen calls.
#![expect(unsafe_code, reason = "ioctls that point to structures, and memory that devices are to see")]

use crate::sys::dma::Area;
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use std::ffi::{CString, c_void};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use vfio_bindings::bindings::vfio::{
    VFIO_API_VERSION, VFIO_BASE, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_GROUP_FLAGS_VIABLE,
    VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_INFO_PGSIZES, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_TYPE, VFIO_TYPE1v2_IOMMU,
    vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd, vfio_device_info, vfio_group_status,
    vfio_iommu_type1_dma_map, vfio_iommu_type1_dma_unmap, vfio_iommu_type1_info, vfio_irq_info,
    vfio_region_info,
};

/// The operation at a distance from VFIO_BASE.
const fn vfio(distance: u8) -> Opcode {
    opcode::none(VFIO_TYPE, VFIO_BASE as u8 + distance)
}

const GET_API_VERSION: Opcode = vfio(0);
const CHECK_EXTENSION: Opcode = vfio(1);
const SET_IOMMU: Opcode = vfio(2);
const GROUP_GET_STATUS: Opcode = vfio(3);
const GROUP_SET_CONTAINER: Opcode = vfio(4);
const GROUP_GET_DEVICE_FD: Opcode = vfio(6);
const DEVICE_GET_INFO: Opcode = vfio(7);
const DEVICE_GET_REGION_INFO: Opcode = vfio(8);
const DEVICE_GET_IRQ_INFO: Opcode = vfio(9);
const DEVICE_SET_IRQS: Opcode = vfio(10);
const DEVICE_RESET: Opcode = vfio(11);
const IOMMU_GET_INFO: Opcode = vfio(12);
const IOMMU_MAP_DMA: Opcode = vfio(13);
const IOMMU_UNMAP_DMA: Opcode = vfio(14);
const DEVICE_BIND_IOMMUFD: Opcode = vfio(18);
const DEVICE_ATTACH_IOMMUFD_PT: Opcode = vfio(19);

/// Words in front of what `VFIO_DEVICE_SET_IRQS` is given: `argsz`, `flags`, `index`, `start`, `count`.
const IRQ_SET_WORDS: usize = 5;

/// One call: an operation and its argument, which is a pointer or a number.
struct Call {
    operation: Opcode,
    argument: *mut c_void,
}

// SAFETY: the operation and what it points to go to the kernel as they are, and its answer comes back as it is. That they belong together
// is promised by who makes the call.
unsafe impl Ioctl for Call {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.operation
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(answer)
    }
}

/// # Safety
/// `argument` is what the operation takes, and nobody else uses what it points to during the call.
pub(super) unsafe fn call(fd: impl AsFd, operation: Opcode, argument: *mut c_void) -> io::Result<i32> {
    // SAFETY: the caller's promise.
    Ok(unsafe { ioctl(fd, Call { operation, argument }) }?)
}

/// An operation that takes no argument, or a number.
fn ask(fd: impl AsFd, operation: Opcode, number: u32) -> io::Result<i32> {
    debug_assert!(matches!(operation, GET_API_VERSION | CHECK_EXTENSION | SET_IOMMU | DEVICE_RESET));
    // SAFETY: these point to nothing.
    unsafe { call(fd, operation, ptr::without_provenance_mut(number as usize)) }
}

/// What an operation is given a pointer to.
///
/// # Safety
/// The kernel reads and writes no more than a `Self` there, given that its `argsz`, if it has one, is no more than its size. Any bits in
/// it are numbers.
pub(super) unsafe trait Argument: Sized {
    const OPERATION: Opcode;

    fn call(&mut self, fd: &OwnedFd) -> io::Result<()> {
        // SAFETY: the trait's promise; it is borrowed for the call.
        unsafe { call(fd, Self::OPERATION, ptr::from_mut(self).cast()) }.map(drop)
    }

    fn size() -> u32 {
        size_of::<Self>() as u32
    }
}

// SAFETY, for all of these: include/uapi/linux/vfio.h names the operation and the structure together, and those with pages of their own
// to fill (`data`, `cap_offset`) are called with `argsz` for the structure alone.
/// The descriptor of a container.
#[repr(transparent)]
struct ContainerFd(RawFd);

// SAFETY: as above; it has no `argsz`, and 32 bits are read.
unsafe impl Argument for ContainerFd {
    const OPERATION: Opcode = GROUP_SET_CONTAINER;
}

macro_rules! arguments {
    ($($structure:ty => $operation:expr),* $(,)?) => {$(
        // SAFETY: as above.
        unsafe impl Argument for $structure {
            const OPERATION: Opcode = $operation;
        }
    )*};
}

arguments! {
    vfio_group_status => GROUP_GET_STATUS,
    vfio_device_info => DEVICE_GET_INFO,
    vfio_region_info => DEVICE_GET_REGION_INFO,
    vfio_irq_info => DEVICE_GET_IRQ_INFO,
    vfio_iommu_type1_info => IOMMU_GET_INFO,
    vfio_iommu_type1_dma_map => IOMMU_MAP_DMA,
    vfio_iommu_type1_dma_unmap => IOMMU_UNMAP_DMA,
    vfio_device_bind_iommufd => DEVICE_BIND_IOMMUFD,
    vfio_device_attach_iommufd_pt => DEVICE_ATTACH_IOMMUFD_PT,
}

/// Whether the kernel has the interface of containers and groups that is used here.
pub(super) fn has_type1(container: &OwnedFd) -> io::Result<bool> {
    let version = ask(container, GET_API_VERSION, 0)?;
    Ok(version == VFIO_API_VERSION as i32 && ask(container, CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU)? == 1)
}

/// Gives the container, which has a group, its tables.
pub(super) fn set_type1(container: &OwnedFd) -> io::Result<()> {
    ask(container, SET_IOMMU, VFIO_TYPE1v2_IOMMU).map(drop)
}

/// Whether all devices of the group are in the hands of user space.
pub(super) fn is_viable(group: &OwnedFd) -> io::Result<bool> {
    let mut status = vfio_group_status { argsz: vfio_group_status::size(), ..Default::default() };
    status.call(group)?;
    Ok(status.flags & VFIO_GROUP_FLAGS_VIABLE != 0)
}

/// Puts the group into the container.
pub(super) fn set_container(group: &OwnedFd, container: &OwnedFd) -> io::Result<()> {
    ContainerFd(container.as_raw_fd()).call(group)
}

/// Opens a device of the group by its name.
pub(super) fn device(group: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name).map_err(io::Error::other)?;
    // SAFETY: the operation reads a string that ends with zero.
    let fd = unsafe { call(group, GROUP_GET_DEVICE_FD, name.as_ptr().cast_mut().cast()) }?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes the device whose own file this is, for an iommufd.
pub(super) fn bind(device: &OwnedFd, iommufd: &OwnedFd) -> io::Result<()> {
    let argsz = vfio_device_bind_iommufd::size();
    let mut bind = vfio_device_bind_iommufd { argsz, iommufd: iommufd.as_raw_fd(), ..Default::default() };
    bind.call(device)
}

/// Has it see the memory of one of the iommufd's address spaces, instead of none.
pub(super) fn attach(device: &OwnedFd, space: u32) -> io::Result<()> {
    let argsz = vfio_device_attach_iommufd_pt::size();
    vfio_device_attach_iommufd_pt { argsz, pt_id: space, ..Default::default() }.call(device)
}

/// What can be done with the device: `VFIO_DEVICE_FLAGS_*`.
pub(super) fn device_flags(device: &OwnedFd) -> io::Result<u32> {
    let mut info = vfio_device_info { argsz: vfio_device_info::size(), ..Default::default() };
    info.call(device)?;
    Ok(info.flags)
}

/// Where a region of the device is in its descriptor: offset, size and `VFIO_REGION_INFO_FLAG_*`.
pub(super) fn region(device: &OwnedFd, index: u32) -> io::Result<(u64, u64, u32)> {
    let mut info = vfio_region_info { argsz: vfio_region_info::size(), index, ..Default::default() };
    info.call(device)?;
    Ok((info.offset, info.size, info.flags))
}

/// How many interrupts of a kind the device has.
pub(super) fn interrupts(device: &OwnedFd, index: u32) -> io::Result<u32> {
    let mut info = vfio_irq_info { argsz: vfio_irq_info::size(), index, ..Default::default() };
    info.call(device)?;
    Ok(info.count)
}

/// Has the first interrupts of a kind signal these eventfds. Returns 0, or, if there are not so many to be had, how many are.
pub(super) fn signal(device: &OwnedFd, index: u32, events: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let bytes = (IRQ_SET_WORDS + events.len()) * 4;
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    let mut words = vec![bytes as u32, flags, index, 0, events.len() as u32];
    words.extend(events.iter().map(|event| event.as_raw_fd() as u32));
    // SAFETY: the operation reads a `vfio_irq_set` (five words, the first of which is how many bytes there are) with as many descriptors
    // behind it as the fifth says.
    unsafe { call(device, DEVICE_SET_IRQS, words.as_mut_ptr().cast()) }.map(|had| had as usize)
}

/// Resets the function; nothing of it is left but what the kernel restores of its configuration.
pub(super) fn reset(device: &OwnedFd) -> io::Result<()> {
    ask(device, DEVICE_RESET, 0).map(drop)
}

/// What a container's IOMMU can do.
pub(super) struct Translation {
    /// Sizes of its pages, a bit each.
    pub(super) page_sizes: u64,
    /// The addresses that devices can use, first and last of each range. None if the kernel does not tell (before Linux 5.4).
    pub(super) ranges: Option<Vec<(u64, u64)>>,
}

pub(super) fn translation(container: &OwnedFd) -> io::Result<Translation> {
    let mut info = vfio_iommu_type1_info { argsz: vfio_iommu_type1_info::size(), ..Default::default() };
    info.call(container)?;
    // The kernel has said how much it has to tell, and is asked for all of it. Whole words, so that the structure is aligned.
    let bytes = (info.argsz as usize).max(size_of::<vfio_iommu_type1_info>());
    let mut words = vec![0_u64; bytes.div_ceil(8)];
    words[0] = u64::from_ne_bytes(pair(bytes as u32, 0));
    // SAFETY: the operation fills in a `vfio_iommu_type1_info` and what follows it, at most as many bytes as its first word says, which
    // are there.
    unsafe { call(container, IOMMU_GET_INFO, words.as_mut_ptr().cast()) }?;
    let told: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).take(bytes).collect();
    Ok(read_translation(&told))
}

fn pair(first: u32, second: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    bytes
}

/// `vfio_iommu_type1_info` and its chain of capabilities.
fn read_translation(told: &[u8]) -> Translation {
    let u32_at = |at: usize| Some(u32::from_ne_bytes(told.get(at..)?.first_chunk().copied()?));
    let u64_at = |at: usize| Some(u64::from_ne_bytes(told.get(at..)?.first_chunk().copied()?));
    let flags = u32_at(4).unwrap_or(0);
    let page_sizes = if flags & VFIO_IOMMU_INFO_PGSIZES != 0 { u64_at(8).unwrap_or(0) } else { 4096 };
    let mut ranges = None;
    let mut at = if flags & VFIO_IOMMU_INFO_CAPS != 0 { u32_at(16).unwrap_or(0) as usize } else { 0 };
    // Each capability: id and version (16 bits each), where the next one is, its content. The chain goes upwards and ends with 0.
    while at != 0 {
        let (Some(id), Some(next)) = (u32_at(at), u32_at(at + 4)) else { break };
        if id & 0xffff == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE {
            let count = u32_at(at + 8).unwrap_or(0) as usize;
            let range = |n: usize| Some((u64_at(at + 16 + n * 16)?, u64_at(at + 24 + n * 16)?));
            ranges = Some((0..count).map_while(range).collect());
        }
        if next as usize <= at {
            break;
        }
        at = next as usize;
    }
    Translation { page_sizes, ranges }
}

/// Has the container's devices read and write the area. Its pages stay where they are until [`unmap`].
pub(super) fn map(container: &OwnedFd, area: &Area) -> io::Result<()> {
    let mut map = vfio_iommu_type1_dma_map {
        argsz: vfio_iommu_type1_dma_map::size(),
        flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
        vaddr: area.start() as u64,
        iova: area.at(),
        size: area.len() as u64,
    };
    // What devices can do from now on is what an area is made for: it is buffers, of which a driver tells devices while nobody else uses
    // them, and words, which are seen as atomics alone.
    map.call(container)
}

/// Ends what [`map`] began.
pub(super) fn unmap(container: &OwnedFd, area: &Area) -> io::Result<()> {
    let mut unmap = vfio_iommu_type1_dma_unmap {
        argsz: vfio_iommu_type1_dma_unmap::size(),
        iova: area.at(),
        size: area.len() as u64,
        ..Default::default()
    };
    unmap.call(container)?;
    all_of(area, unmap.size)
}

/// The kernel says how much it took away.
pub(super) fn all_of(area: &Area, bytes: u64) -> io::Result<()> {
    let is_all = bytes == area.len() as u64;
    is_all.then_some(()).ok_or_else(|| io::Error::other(format!("{bytes} bytes of {area:?} were unmapped")))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(flags: u32, words: &[u64]) -> Vec<u8> {
        let mut told = pair(0, flags).to_vec();
        told.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        told
    }

    /// As Linux 6.12 tells of an IOMMU of 39 bits, with another capability before.
    #[test]
    fn the_ranges_are_found_in_the_chain() {
        let migration = [u64::from_ne_bytes(pair(2 | 1 << 16, 48)), 0, 0];
        let ranges =
            [u64::from_ne_bytes(pair(1 | 1 << 16, 0)), 2, 0, 0xfedf_ffff, 0xfef0_0000, 0x7f_ffff_ffff];
        let told = info(3, &[&[0x20_1000, 24][..], &migration, &ranges].concat());
        let found = read_translation(&told);
        assert_eq!(found.page_sizes, 0x20_1000);
        assert_eq!(found.ranges.unwrap(), [(0, 0xfedf_ffff), (0xfef0_0000, 0x7f_ffff_ffff)]);
        assert!(read_translation(&info(1, &[0x1000, 24])).ranges.is_none());
    }

    proptest! {
        #[test]
        fn any_chain_comes_to_an_end(flags in 0..4_u32, words in prop::collection::vec(prop_oneof![0..64_u64, any::<u64>()], 0..40)) {
            let _ = read_translation(&info(flags, &words));
        }
    }

    #[test]
    fn what_is_no_container_is_an_error() {
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        assert!(
            has_type1(&file).is_err()
                && translation(&file).is_err()
                && device(&file, "0000:00:04.0").is_err()
        );
        assert!(device_flags(&file).is_err() && region(&file, 0).is_err() && is_viable(&file).is_err());
        assert!(
            signal(&file, 0, &[]).is_err() && reset(&file).is_err() && set_container(&file, &file).is_err()
        );
        assert!(bind(&file, &file).is_err() && attach(&file, 1).is_err());
    }
}
