//! Anonymous memory straight from the kernel, unmapped on drop.
//!
//! The chunks of a `DmaPool` and the store of a RAM disk. Pages are zeroes until first written and cost memory only
//! from then on, but for reserved huge pages, which are taken from the system's stock at once.
#![expect(unsafe_code, reason = "mmap and munmap")]

use std::io;
use std::ptr::{self, NonNull};

use super::config::HugePages;
#[cfg(feature = "nvme")]
use super::visible::Visible;
use crate::sys::sync::atomic::{AtomicBool, Ordering::Relaxed};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// The size of a huge page here.
pub(super) const HUGE: usize = 2 << 20;

/// Zeroed, page-aligned memory of fixed length. The owner decides who reads and writes it.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// Set once: a device, or a ring in the kernel, holds on to the pages themselves.
    is_pinned: AtomicBool,
    pages: Pages,
    /// What devices know of it, if they are to.
    #[cfg(feature = "nvme")]
    visible: Option<Visible>,
}

/// What kind of pages a mapping is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// Of 4 KiB.
    Plain,
    /// Aligned for huge pages, which the kernel makes of itself where it can.
    Transparent,
    /// Huge pages out of the system's stock.
    Huge,
}

/// How much must be mapped for `least` bytes.
pub(super) fn needed(least: usize, wish: HugePages) -> usize {
    if wish == HugePages::Required { least.next_multiple_of(HUGE) } else { least }
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
        Self::map(len, MapFlags::NORESERVE, Pages::Plain)
    }

    /// Maps at least `least` bytes of zeroes and at most `room`, about `wanted`, in pages as `wish` has them, for buffers: devices see
    /// them. The caller has seen that [`needed`] is no more than `room`.
    ///
    /// # Errors
    /// As [`zeroed`](Self::zeroed); with [`HugePages::Required`] what the kernel says of huge pages; with devices, that they cannot see
    /// so much.
    pub(super) fn between(least: usize, wanted: usize, room: usize, wish: HugePages) -> io::Result<Self> {
        Self::in_pages(least, wanted, room, wish)?.show()
    }

    /// Has all devices see it.
    #[cfg_attr(
        not(feature = "nvme"),
        expect(unused_mut, clippy::unnecessary_wraps, reason = "there are no devices")
    )]
    pub(super) fn show(mut self) -> io::Result<Self> {
        #[cfg(feature = "nvme")]
        {
            self.pin();
            self.visible = Some(Visible::new(self.start, self.len)?);
        }
        Ok(self)
    }

    /// Where devices see its first byte. 0 if they do not.
    pub(super) fn seen(&self) -> u64 {
        #[cfg(feature = "nvme")]
        return self.visible.as_ref().map_or(0, Visible::at);
        #[cfg(not(feature = "nvme"))]
        0
    }

    fn in_pages(least: usize, wanted: usize, room: usize, wish: HugePages) -> io::Result<Self> {
        let plain = wanted.min(room / least * least).max(least);
        let whole = plain.next_multiple_of(HUGE);
        let huge = if whole <= room { whole } else { needed(least, HugePages::Required) };
        if wish == HugePages::Never || huge > room {
            return Self::zeroed(plain);
        }
        match Self::huge(huge) {
            Err(_) if wish == HugePages::Auto && plain % HUGE == 0 => Self::transparent(plain),
            Err(_) if wish == HugePages::Auto => Self::zeroed(plain),
            mapped => mapped,
        }
    }

    fn huge(len: usize) -> io::Result<Self> {
        // With NORESERVE the first touch could find the stock empty, which is a SIGBUS. Without it the kernel sets the pages
        // aside now, or says no.
        let mapped = Self::map(len, MapFlags::HUGETLB | MapFlags::HUGE_2MB, Pages::Huge)?;
        // What is set aside may still be refused, by a cgroup or a NUMA node without pages: that is found out now as well.
        // SAFETY: the pages are ours, and nobody knows of them yet.
        let touched =
            unsafe { rustix::mm::madvise(mapped.start.as_ptr().cast(), len, Advice::LinuxPopulateWrite) };
        match touched {
            // Before Linux 5.14 there is no such advice.
            Ok(()) | Err(Errno::INVAL) => Ok(mapped),
            Err(refused) => Err(refused.into()),
        }
    }

    /// From a multiple of [`HUGE`] on, so that the kernel can make huge pages of all of it.
    fn transparent(len: usize) -> io::Result<Self> {
        let mut mapped = Self::map(len + HUGE, MapFlags::NORESERVE, Pages::Transparent)?;
        let front = mapped.start.as_ptr().align_offset(HUGE);
        // If a part stays mapped, for want of room in the kernel's list, it is address space that is never used.
        for (at, len) in [(0, front), (front + len, HUGE - front)] {
            if len > 0 {
                // SAFETY: these pages are ours, and nobody knows of them.
                let _ = unsafe { rustix::mm::munmap(mapped.start.as_ptr().wrapping_add(at).cast(), len) };
            }
        }
        // SAFETY: `front` is at most `HUGE`, and so within what was mapped.
        mapped.start = unsafe { mapped.start.add(front) };
        mapped.len = len;
        mapped.prefer_huge_pages();
        Ok(mapped)
    }

    fn map(len: usize, flags: MapFlags, pages: Pages) -> io::Result<Self> {
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | flags,
            )?
        };
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the kernel mapped address zero"))?;
        Ok(Self {
            start,
            len,
            is_pinned: AtomicBool::new(false),
            pages,
            #[cfg(feature = "nvme")]
            visible: None,
        })
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

    /// What it is made of.
    pub(super) fn pages(&self) -> Pages {
        self.pages
    }

    /// Length in bytes, as asked for.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Devices first.
        #[cfg(feature = "nvme")]
        drop(self.visible.take());
        // SAFETY: `start` and `len` are what mmap returned, and whoever drops the mapping has no users left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of {:?}+{} failed: {unmapped:?}", self.start, self.len);
    }
}
