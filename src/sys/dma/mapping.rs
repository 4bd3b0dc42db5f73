//! Anonymous memory straight from the kernel, unmapped on drop.
//!
//! The chunks of a `DmaPool` and the store of a RAM disk. Pages are zeroes until first written and cost memory only
//! from then on. Huge pages belong here: a mapping of 2 MiB or more could try `MAP_HUGETLB` first and fall back.
#![expect(unsafe_code, reason = "mmap and munmap")]

use std::io;
use std::ptr::{self, NonNull};

use crate::sys::sync::atomic::{AtomicBool, Ordering::Relaxed};
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Zeroed, page-aligned memory of fixed length. The owner decides who reads and writes it.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// Set once: a device, or a ring in the kernel, holds on to the pages themselves.
    is_pinned: AtomicBool,
}

// SAFETY: a mapping is an address range of the process, bound to no thread; all access goes through raw pointers whose
// users argue their own exclusion.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives out an address and a length only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of zeroes without reserving swap for them.
    ///
    /// # Errors
    /// What mmap says: out of address space or over a limit; `len` of zero is refused as well.
    pub(crate) fn zeroed(len: usize) -> io::Result<Self> {
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the kernel mapped address zero"))?;
        Ok(Self { start, len, is_pinned: AtomicBool::new(false) })
    }

    /// Asks for huge pages where the system makes them of itself. A wish: refusal changes nothing but speed.
    pub(crate) fn prefer_huge_pages(&self) {
        // SAFETY: advice on pages of our own that keeps their content.
        let _ = unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.len, Advice::LinuxHugepage) };
    }

    /// Gives whole pages back: they read as zeroes afterwards, as if each byte had been stored.
    ///
    /// # Errors
    /// What madvise says, such as for a range that does not begin on a page.
    ///
    /// # Panics
    /// If the range is not within the mapping, or the mapping is [pinned](Self::pin).
    pub(crate) fn discard(&self, at: usize, len: usize) -> io::Result<()> {
        // Relaxed: the flag says nothing about other memory.
        assert!(!self.is_pinned.load(Relaxed), "a device would go on using the pages that are given back");
        let end = at.checked_add(len);
        assert!(end.is_some_and(|end| end <= self.len), "{len} bytes at {at} of a mapping of {}", self.len);
        let from = self.start.as_ptr().wrapping_add(at);
        // SAFETY: the pages are ours. The kernel changes them as a store would, and whoever uses the memory meanwhile has
        // argued that stores by others are allowed, as for its own.
        unsafe { rustix::mm::madvise(from.cast(), len, Advice::LinuxDontNeed)? };
        Ok(())
    }

    /// Start and length, for who has the kernel hold on to these very pages: from now on they cannot be given back in part. The
    /// mapping may still end first. The pages then stay until they are let go, and are no longer this process' memory.
    pub(crate) fn pin(&self) -> (NonNull<u8>, usize) {
        // Relaxed: as above.
        self.is_pinned.store(true, Relaxed);
        (self.start, self.len)
    }

    /// The first byte.
    #[inline]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes, as asked for.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are what mmap returned, and whoever drops the mapping has no users left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of {:?}+{} failed: {unmapped:?}", self.start, self.len);
    }
}
