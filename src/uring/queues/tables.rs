//! What a ring keeps in tables of the kernel's: files, memory, and groups of buffers to receive into.
//!
//! The tables themselves stand in `files`, `buffers` and `groups`; here is what of them needs the ring.

#![expect(unsafe_code, reason = "tells the kernel of memory that it will write to")]

use super::Queues;
use crate::uring::Features;
use crate::uring::door::register_buffer;
use std::os::fd::RawFd;
use std::ptr::NonNull;

impl Queues {
    /// Registers a ring of provided buffers and names it, where the kernel has such rings.
    ///
    /// # Safety
    /// That of `Groups::register`.
    pub(in crate::uring) unsafe fn register_group(
        &mut self,
        entries: NonNull<u8>,
        count: u16,
    ) -> Option<u16> {
        if !self.features.contains(Features::BUFFER_RINGS) {
            return None;
        }
        // SAFETY: the caller promises the same.
        unsafe { self.groups.register(&self.uring, entries, count) }
    }

    pub(in crate::uring) fn unregister_group(&mut self, group: u16) {
        self.groups.unregister(&self.uring, group);
    }

    /// Enters the file into the ring's table, if there is room.
    pub(in crate::uring) fn register(&mut self, fd: RawFd) -> Option<u32> {
        self.files.register(&self.uring.submitter(), fd)
    }

    /// Enters the memory into the ring's table of buffers.
    pub(in crate::uring) fn register_buffer(&mut self, index: u32, start: *mut u8, len: usize) -> bool {
        register_buffer(&self.uring, index, start, len)
    }

    /// Frees the entry.
    pub(in crate::uring) fn unregister(&mut self, index: u32) {
        self.files.unregister(&self.uring.submitter(), index);
    }
}
