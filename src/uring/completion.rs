//! An answer of the kernel, as operations get it, and the count of what a ring has done.

use super::CoreGone;
use io_uring::cqueue;
use rustix::io::Errno;
use std::io;

/// What the kernel answered: `res` and `flags` of a completion queue entry.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Completion {
    /// The answer to all that is asked of a ring whose core has ended. No error of the system has this number (`MAX_ERRNO`).
    pub(crate) const CORE_GONE: Self = Self { result: -4096, flags: 0 };

    /// An answer of our own, for what never reaches the kernel.
    pub(crate) fn refused(errno: Errno) -> Self {
        Self { result: -errno.raw_os_error(), flags: 0 }
    }

    /// The result as an [`io::Result`] that keeps the OS code.
    #[inline]
    pub(crate) fn into_result(self) -> io::Result<usize> {
        match self.result {
            error @ ..0 => Err(self.error(-error)),
            count => Ok(count as usize),
        }
    }

    #[cold]
    fn error(self, errno: i32) -> io::Error {
        if self.is_of_no_core() { io::Error::other(CoreGone) } else { io::Error::from_raw_os_error(errno) }
    }

    /// Whether the core has ended before the operation could begin.
    pub(crate) fn is_of_no_core(self) -> bool {
        self.result == Self::CORE_GONE.result
    }

    /// Whether the same operation will answer again.
    #[inline]
    pub(crate) fn has_more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// Whether it says that memory which was lent is free again, and nothing of a result.
    pub(crate) fn is_notification(self) -> bool {
        cqueue::notif(self.flags)
    }

    /// Which provided buffer the answer is in.
    #[inline]
    pub(crate) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    /// Whether the answer is this error.
    pub(crate) fn is(self, errno: Errno) -> bool {
        self.result == -errno.raw_os_error()
    }
}

/// What a ring has done so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Counters {
    /// Entries that the kernel has taken, cancels included.
    pub submitted: u64,
    /// Answers of the kernel, those to cancels included.
    pub completed: u64,
    /// Answers, counted in `completed`, after which the same operation goes on: `submitted` − (`completed` − `continued`) entries
    /// are at the kernel.
    pub continued: u64,
    /// `io_uring_enter` system calls.
    pub enters: u64,
    /// Operations that found no room and had to wait for it.
    pub waits: u64,
    /// Times that the kernel had more answers than the completion queue has room for.
    pub overflows: u64,
    /// Answers `EFAULT` to operations that nobody awaited any more: their memory was gone, which no buffer that keeps the promises of
    /// [`IoBuf`](super::IoBuf) allows.
    pub faults: u64,
}

impl Counters {
    /// Takes note of an answer that nobody awaits.
    pub(super) fn count_fault(&mut self, completion: Completion) {
        self.faults += u64::from(completion.is(Errno::FAULT));
    }
}
