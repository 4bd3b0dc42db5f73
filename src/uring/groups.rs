//! The numbers by which entries name a ring's groups of provided buffers, and their registration.

#![expect(unsafe_code, reason = "gives the kernel the address of a ring of buffers")]

use io_uring::IoUring;
use std::ptr::NonNull;

/// Which numbers are free.
#[derive(Default)]
pub(super) struct Groups {
    free: Vec<u16>,
    next: u16,
}

impl Groups {
    /// Registers a ring of `count` entries at `entries`. `None` where the kernel will not.
    ///
    /// # Safety
    /// The memory is page-aligned, has room for the entries, and stays until [`unregister`](Self::unregister) has succeeded or
    /// every operation that names the group has been answered.
    pub(super) unsafe fn register(
        &mut self,
        uring: &IoUring,
        entries: NonNull<u8>,
        count: u16,
    ) -> Option<u16> {
        let group = match self.free.pop() {
            Some(group) => group,
            None => {
                self.next = self.next.checked_add(1)?;
                self.next - 1
            }
        };
        // SAFETY: the caller keeps the memory for as long as the kernel may look at it.
        let made = unsafe {
            uring.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, count, group, 0)
        };
        if made.is_err() {
            self.free.push(group);
        }
        made.is_ok().then_some(group)
    }

    /// Frees the number. One that the kernel will not give back stays in use.
    pub(super) fn unregister(&mut self, uring: &IoUring, group: u16) {
        if uring.submitter().unregister_buf_ring(group).is_ok() {
            self.free.push(group);
        }
    }
}
