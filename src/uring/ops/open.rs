//! Opening and closing: the two operations whose result or subject is a descriptor that must not leak.

#![expect(unsafe_code, reason = "vouches for entries that point to paths; owns what the kernel opened")]

use crate::inflight::Payload;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::{Completion, Holds};
use crate::uring::{Fd, Ring};
use io_uring::{opcode, squeue::Entry, types};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

struct OpenAt {
    path: Result<CString, Errno>,
    flags: OFlags,
    mode: Mode,
}

/// What the slot of an open keeps.
struct Opening(#[expect(dead_code, reason = "the kernel reads it")] CString);

impl Opening {
    fn opened(completion: Completion) -> io::Result<OwnedFd> {
        let fd = completion.into_result()?;
        // SAFETY: the kernel has just opened it for us, and this answer is looked at once.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

impl Payload<Completion> for Opening {
    fn abandon(self, completion: Completion) {
        drop(Self::opened(completion));
    }
}

// SAFETY: the entry points to the path, which is on the heap, owned by `Held`, and never changes.
unsafe impl Operation for OpenAt {
    type Held = Opening;
    type Output = io::Result<OwnedFd>;

    /// What the kernel leaves to a worker from the first, which waits at a named pipe.
    fn holds(&self) -> Holds {
        [self.flags.intersects(OFlags::CREATE | OFlags::TRUNC), false]
    }

    fn prepare(self, _: &Rc<Ring>) -> (Result<Entry, Errno>, Opening) {
        let entry = |path: &CString| {
            opcode::OpenAt::new(types::Fd(CWD.as_raw_fd()), path.as_ptr())
                .flags((self.flags | OFlags::CLOEXEC).bits() as i32)
                .mode(self.mode.bits())
                .build()
        };
        match self.path {
            Ok(path) => (Ok(entry(&path)), Opening(path)),
            Err(errno) => (Err(errno), Opening(CString::default())),
        }
    }

    fn finish(_: Opening, completion: Completion) -> io::Result<OwnedFd> {
        Self::Held::opened(completion)
    }
}

struct Close(OwnedFd);

/// What the slot of a close keeps: dropped without an answer from the kernel, it closes the descriptor after all.
struct Closing(OwnedFd);

impl Closing {
    fn closed(self, completion: Completion) -> io::Result<()> {
        if completion.is(Errno::CANCELED) || completion.is_of_no_core() {
            drop(self.0);
        } else {
            // The kernel has closed it, also where it reports an error.
            let _ = self.0.into_raw_fd();
        }
        completion.into_result().map(drop)
    }
}

impl Payload<Completion> for Closing {
    fn abandon(self, completion: Completion) {
        // Nobody is there to hear of an error.
        let _ = self.closed(completion);
    }
}

// SAFETY: the entry points to no memory.
unsafe impl Operation for Close {
    type Held = Closing;
    type Output = io::Result<()>;
    /// Who drops the future still wants the descriptor closed.
    const CANCELLED_BY_DROP: bool = false;

    fn prepare(self, _: &Rc<Ring>) -> (Result<Entry, Errno>, Closing) {
        (Ok(opcode::Close::new(types::Fd(self.0.as_raw_fd())).build()), Closing(self.0))
    }

    fn finish(held: Closing, completion: Completion) -> io::Result<()> {
        held.closed(completion)
    }
}

/// The path as the kernel takes it.
pub(super) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}

impl Ring {
    /// Opens a file; relative paths start at the working directory. The descriptor is close-on-exec.
    ///
    /// If the future is dropped, a descriptor that was opened nevertheless is closed.
    ///
    /// # Errors
    /// Those of `openat(2)`; `EINVAL` for a path with a NUL byte.
    pub fn open(
        self: &Rc<Self>,
        path: &Path,
        flags: OFlags,
        mode: Mode,
    ) -> impl Future<Output = io::Result<Fd>> + use<> {
        let open = Op::new(self, OpenAt { path: c_path(path), flags, mode });
        async { open.await.map(Fd::from) }
    }

    /// Closes the file, if nobody else shares it; otherwise the last to let go closes it.
    ///
    /// A future once polled closes the file even if it is then dropped; so does one never polled, on the spot.
    ///
    /// # Errors
    /// Those of `close(2)`, such as a delayed write error of NFS. The descriptor is gone in any case.
    pub async fn close(self: &Rc<Self>, fd: Fd) -> io::Result<()> {
        match fd.into_owned() {
            Some(fd) => Op::new(self, Close(fd)).await,
            None => Ok(()),
        }
    }
}
