//! The system calls on a ring: `io_uring_enter`, by the ring's number where the thread has one for it, and the registrations that
//! take pointers.

#![expect(unsafe_code, reason = "system calls whose arguments point to memory")]

use super::Features;
use rustix::io::Result;
use rustix::io_uring::{
    IoringEnterFlags, IoringRegisterOp, io_uring_enter, io_uring_enter_arg, io_uring_getevents_arg,
    io_uring_ptr, io_uring_register, io_uring_rsrc_update, io_uring_rsrc_update2, iovec,
};
use rustix::time::Timespec;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// `IORING_ENTER_NO_IOWAIT`, Linux 6.15.
pub(super) const NO_IOWAIT: IoringEnterFlags = IoringEnterFlags::from_bits_retain(1 << 7);

/// How the kernel is told which ring is meant.
pub(super) struct Door {
    /// The number, or the descriptor.
    name: RawFd,
    is_number: bool,
}

impl Door {
    /// Asks for a number. A thread has 16 of them; further rings go by their descriptors.
    pub(super) fn new(uring: &(impl AsFd + AsRawFd), features: Features) -> Self {
        let mut update = io_uring_rsrc_update::default();
        // Any free number will do.
        update.offset = u32::MAX;
        update.data.ptr = uring.as_raw_fd() as usize as *mut _;
        let op = IoringRegisterOp::RegisterRingFds;
        let arg = std::ptr::from_mut(&mut update).cast_const().cast();
        // SAFETY: the kernel reads and writes one `update`, which outlives the call.
        let is_number = features.contains(Features::RING_NUMBER)
            && unsafe { io_uring_register(uring, op, arg, 1) } == Ok(1);
        Self { name: if is_number { update.offset as RawFd } else { uring.as_raw_fd() }, is_number }
    }

    /// Whether the ring has a number.
    pub(super) fn is_number(&self) -> bool {
        self.is_number
    }

    /// Gives the number back. It would keep the ring alive until the thread ends.
    pub(super) fn close(&mut self, uring: &(impl AsFd + AsRawFd)) {
        if std::mem::take(&mut self.is_number) {
            let mut update = io_uring_rsrc_update::default();
            update.offset = self.name as u32;
            let op = IoringRegisterOp::UnregisterRingFds;
            // SAFETY: as above.
            let _ = unsafe {
                io_uring_register(uring, op, std::ptr::from_mut(&mut update).cast_const().cast(), 1)
            };
            self.name = uring.as_raw_fd();
        }
    }

    /// Hands over `submit` entries and waits for `want` completions.
    ///
    /// # Safety
    /// What the entries point to stays as it is until they are answered.
    #[inline]
    pub(super) unsafe fn enter(&self, submit: u32, want: u32, mut flags: IoringEnterFlags) -> Result<u32> {
        flags.set(IoringEnterFlags::REGISTERED_RING, self.is_number);
        // SAFETY: the number is taken for one only with the flag that says so, and is the ring's until `close`; the descriptor is
        // open while the ring is.
        let name = unsafe { BorrowedFd::borrow_raw(self.name) };
        // SAFETY: the caller's promise.
        unsafe { io_uring_enter(name, submit, want, flags) }
    }

    /// Hands over `submit` entries and waits for one completion, `timeout` at most.
    ///
    /// # Safety
    /// That of [`enter`](Self::enter).
    pub(super) unsafe fn sleep(
        &self,
        submit: u32,
        mut flags: IoringEnterFlags,
        timeout: Option<Timespec>,
    ) -> Result<u32> {
        flags |= IoringEnterFlags::GETEVENTS | IoringEnterFlags::EXT_ARG;
        flags.set(IoringEnterFlags::REGISTERED_RING, self.is_number);
        let mut arg = io_uring_getevents_arg::default();
        if let Some(timeout) = &timeout {
            arg.ts = io_uring_ptr::new(std::ptr::from_ref(timeout).cast_mut().cast());
        }
        // SAFETY: as above.
        let name = unsafe { BorrowedFd::borrow_raw(self.name) };
        // SAFETY: the caller's promise; the kernel reads `arg` and the time that it points to, which outlive the call.
        unsafe { io_uring_enter_arg(name, submit, 1, flags, Some(&arg)) }
    }
}

/// Whether the kernel knows these flags: it says `EINVAL` to others.
pub(super) fn accepts(uring: impl AsFd, flags: IoringEnterFlags) -> bool {
    // SAFETY: hands over nothing, and waits for nothing.
    unsafe { io_uring_enter(uring, 0, 0, flags | IoringEnterFlags::GETEVENTS) }.is_ok()
}

/// Enters memory into the ring's table of buffers, or empties the entry where there is none (null and 0). The kernel holds the pages
/// until then or until the ring ends, however long the memory is mapped; operations name an address as well, which the kernel holds against the entry.
pub(super) fn register_buffer(uring: impl AsFd, index: u32, start: *mut u8, len: usize) -> bool {
    let buffer = iovec { iov_base: start.cast(), iov_len: len };
    let mut update = io_uring_rsrc_update2::default();
    update.offset = index;
    update.data.ptr = std::ptr::from_ref(&buffer).cast_mut().cast();
    update.nr = 1;
    let (op, len) = (IoringRegisterOp::RegisterBuffersUpdate, size_of_val(&update) as u32);
    // SAFETY: the kernel reads one `update` and the one `buffer` that it points to; it touches the memory itself only for
    // operations.
    unsafe { io_uring_register(uring, op, std::ptr::from_ref(&update).cast(), len) }.is_ok()
}
