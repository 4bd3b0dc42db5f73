//! Asking about a file.

#![expect(unsafe_code, reason = "vouches for an entry that points to a result, and reads it when written")]

use super::open::c_path;
use crate::inflight::Payload;
use crate::uring::Link;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{Fd, Ring};
use io_uring::{opcode, squeue::Entry, types};
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

/// What is asked about: a path, or an open file and the empty path.
struct Query {
    path: Result<CString, Errno>,
    fd: Option<Fd>,
    flags: AtFlags,
    mask: StatxFlags,
}

/// What the slot keeps: where the kernel writes, what it reads, and the file.
struct Asked {
    answer: Box<MaybeUninit<Statx>>,
    path: CString,
    fd: Option<Fd>,
}

impl Payload<Completion> for Asked {}

const _: () = assert!(size_of::<Statx>() == 256, "the kernel writes a struct statx of 256 bytes");

// SAFETY: the entry points to the path and to the room for the answer, both on the heap and owned by `Held`.
unsafe impl Operation for Query {
    type Held = Asked;
    type Output = io::Result<Statx>;

    fn prepare(self, _: &Rc<Ring>) -> (Result<Entry, Errno>, Asked) {
        let errno = self.path.as_ref().err().copied();
        let mut held = Asked { answer: Box::new_uninit(), path: self.path.unwrap_or_default(), fd: self.fd };
        let at = held.fd.as_ref().map_or(CWD.as_raw_fd(), |fd| fd.as_raw_fd());
        let answer = held.answer.as_mut_ptr().cast::<types::statx>();
        let entry = opcode::Statx::new(types::Fd(at), held.path.as_ptr(), answer)
            .flags(self.flags.bits() as i32)
            .mask(self.mask.bits())
            .build();
        (errno.map_or(Ok(entry), Err), held)
    }

    fn finish(held: Asked, completion: Completion) -> io::Result<Statx> {
        completion.into_result()?;
        // SAFETY: the kernel answered without an error, so it has written all 256 bytes; any bits are a `Statx`.
        Ok(unsafe { held.answer.assume_init_read() })
    }
}

impl Ring {
    /// Asks about the file at `path`. `mask` says what is wanted, `stx_mask` of the answer what came.
    ///
    /// # Errors
    /// Those of `statx(2)`; `EINVAL` for a path with a NUL byte.
    pub fn statx_path(
        self: &Rc<Self>,
        path: &Path,
        flags: AtFlags,
        mask: StatxFlags,
    ) -> impl Link<Output = io::Result<Statx>> + use<> {
        Op::new(self, Query { path: c_path(path), fd: None, flags, mask })
    }

    /// Asks about an open file.
    ///
    /// # Errors
    /// Those of `statx(2)`.
    pub fn statx(
        self: &Rc<Self>,
        fd: &Fd,
        mask: StatxFlags,
    ) -> impl Link<Output = io::Result<Statx>> + use<> {
        let flags = AtFlags::EMPTY_PATH;
        Op::new(self, Query { path: Ok(CString::default()), fd: Some(fd.clone()), flags, mask })
    }
}
