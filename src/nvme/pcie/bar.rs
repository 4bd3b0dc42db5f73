//! A device's registers, mapped into the process.
#![expect(unsafe_code, reason = "mmap, and volatile access to what it maps")]

use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, fence};

/// A region of registers. What is not in it, or not aligned, reads as all ones and is not written: as on the bus.
///
/// # Invariants
/// `start..start + len` is mapped, page-aligned, until this is dropped, and is memory of no Rust value.
pub(super) struct Bar {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range of the process, bound to no thread.
unsafe impl Send for Bar {}
// SAFETY: registers are read and written whole, by single instructions; what they do to the device is in the order of its driver.
unsafe impl Sync for Bar {}

impl Bar {
    /// Maps `len` bytes of a vfio device at `offset` of its descriptor.
    ///
    /// # Errors
    /// What mmap says.
    pub(super) fn map(device: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Self> {
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                device,
                offset,
            )?
        };
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the kernel mapped address zero"))?;
        Ok(Self { start, len })
    }

    /// The register at `at`, if it is one.
    #[inline(always)]
    fn register<T>(&self, at: usize) -> Option<*mut T> {
        let is_one = at % size_of::<T>() == 0 && at < self.len && self.len - at >= size_of::<T>();
        is_one.then(|| self.start.as_ptr().wrapping_add(at).cast())
    }

    pub(super) fn read32(&self, at: usize) -> u32 {
        // SAFETY: mapped by the invariants, within the range and aligned by `register`. Whatever bits the device puts there are a number.
        let value = self.register(at).map_or(u32::MAX, |register| unsafe { ptr::read_volatile(register) });
        u32::from_le(value)
    }

    pub(super) fn read64(&self, at: usize) -> u64 {
        // SAFETY: as above.
        let value = self.register(at).map_or(u64::MAX, |register| unsafe { ptr::read_volatile(register) });
        u64::from_le(value)
    }

    /// The device sees all memory that this thread wrote before.
    #[inline(always)]
    pub(super) fn write32(&self, at: usize, value: u32) {
        // Release: keeps the compiler from putting earlier writes after it; x86 keeps stores to ordinary memory before those to uncached.
        fence(Ordering::Release);
        if let Some(register) = self.register(at) {
            // SAFETY: as above; it is no memory of Rust's that changes.
            unsafe { ptr::write_volatile(register, value.to_le()) };
        }
    }

    /// Likewise.
    pub(super) fn write64(&self, at: usize, value: u64) {
        fence(Ordering::Release);
        if let Some(register) = self.register(at) {
            // SAFETY: as above.
            unsafe { ptr::write_volatile(register, value.to_le()) };
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are what mmap returned, and nobody has a reference into it.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of {:?}+{} failed: {unmapped:?}", self.start, self.len);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn what_is_outside_reads_as_ones_and_is_not_written() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 8192]).unwrap();
        let bar = Bar::map(file.as_fd(), 4096, 4096).unwrap();
        for at in [4096, 4094, 4093, 2, usize::MAX, usize::MAX - 3] {
            bar.write32(at, 7);
            assert_eq!(bar.read32(at), u32::MAX, "{at}");
        }
        for at in [4092, 4, usize::MAX - 7] {
            bar.write64(at, 7);
            assert_eq!(bar.read64(at), u64::MAX, "{at}");
        }
        bar.write32(4092, 0x0102_0304);
        bar.write64(8, 0x0506_0708_090a_0b0c);
        assert_eq!((bar.read32(4092), bar.read64(8), bar.read32(0)), (0x0102_0304, 0x0506_0708_090a_0b0c, 0));
        drop(bar);
        use std::io::Seek;
        file.seek(io::SeekFrom::Start(0)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let mut wanted = vec![0; 8192];
        wanted[8188..].copy_from_slice(&[4, 3, 2, 1]);
        wanted[4104..4112].copy_from_slice(&[12, 11, 10, 9, 8, 7, 6, 5]);
        assert!(bytes == wanted, "the registers alone, little-endian");
    }
}
