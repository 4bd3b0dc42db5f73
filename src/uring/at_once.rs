//! Transfers for which no device is waited: with files in memory, and through the page cache. The core itself copies the bytes, up to a
//! share per turn; what is beyond goes to a worker of the kernel's, so that a large transfer does not hold the core.
//!
//! The kernel takes a file in memory (tmpfs, memfd) for one that may block, and hands each transfer to a worker, which costs two to three
//! times the copying of 4 KiB. With `O_NONBLOCK` it reads at once, and with `O_DIRECT` besides it writes at once. Neither means
//! anything else to such a file. (The one wait is for a page that was swapped out, as for any memory of the process.)

use super::Fd;
use rustix::fs::{OFlags, fcntl_get_seals, fcntl_getfl, fcntl_setfl};
use std::cell::Cell;
use std::os::fd::AsFd;

/// What the core copies in a turn, in bytes: 256 pages, a quarter of a millisecond.
const SHARE: usize = 1 << 20;

/// Bytes that the core may still copy in this turn.
pub(super) struct Share(Cell<usize>);

impl Share {
    pub(super) fn new() -> Self {
        Self(Cell::new(SHARE))
    }

    /// A turn begins.
    #[inline]
    pub(super) fn renew(&self) {
        self.0.set(SHARE);
    }

    /// Takes so many bytes of the share, if they are left.
    #[inline]
    pub(super) fn take(&self, len: usize) -> bool {
        let left = self.0.get().checked_sub(len);
        self.0.set(left.unwrap_or(self.0.get()));
        left.is_some()
    }
}

/// Whether the file is in memory. Answers at once for any file: `fstatfs(2)` would ask a server for some.
fn is_in_memory(file: impl AsFd) -> bool {
    // Only files in memory have seals.
    fcntl_get_seals(file).is_ok()
}

impl Fd {
    /// For transfers of data, direct ones or not. One in memory is read and written at once: that takes flags of the open file, which is
    /// to be the caller's own.
    pub(crate) fn for_data(self, is_direct: bool) -> Self {
        let fd = self.for_data_as_is(is_direct);
        if fd.is_copied() && is_in_memory(&fd) {
            hasten(&fd);
        }
        fd
    }

    /// As [`for_data`](Self::for_data), and the open file keeps its flags.
    pub(crate) fn for_data_as_is(self, is_direct: bool) -> Self {
        self.set_copied(!is_direct || is_in_memory(&self));
        self
    }
}

/// What cannot be set is done without: transfers go by workers then.
fn hasten(file: &Fd) {
    let Ok(flags) = fcntl_getfl(file) else { return };
    let _ = match flags & OFlags::RWMODE {
        // To read `O_DIRECT` adds nothing, and splicing from the file would copy.
        OFlags::RDONLY => fcntl_setfl(file, flags | OFlags::NONBLOCK),
        // Before Linux 6.6 files in memory have no `O_DIRECT`.
        _ => fcntl_setfl(file, flags | OFlags::NONBLOCK | OFlags::DIRECT)
            .or_else(|_| fcntl_setfl(file, flags | OFlags::NONBLOCK)),
    };
}
