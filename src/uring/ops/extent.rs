//! How long a file is, and how it will be read: operations on a file that lend no memory. Making data durable is in `sync`.

#![expect(unsafe_code, reason = "vouches for the entries")]

use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{Fd, Ring};
use io_uring::{opcode, squeue::Entry, types};
use rustix::fs::Advice;
use rustix::io::Errno;
use std::future::Future;
use std::io;
use std::rc::Rc;

/// An operation that names one file, and what makes its entry.
struct OnFile<F>(Fd, F);

// SAFETY: the functions below make entries that point to no memory.
unsafe impl<F> Operation for OnFile<F>
where
    F: FnOnce(types::Fd) -> Result<Entry, Errno> + 'static,
{
    type Held = Fd;
    type Output = io::Result<()>;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Fd) {
        let (target, flags) = self.0.target(ring);
        ((self.1)(target).map(|entry| entry.flags(flags)), self.0)
    }

    fn finish(_: Fd, completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

impl Ring {
    /// Cuts the file to `len` bytes, or extends it by a hole (`ftruncate(2)`). Linux 6.9.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`; `EINVAL` also for a length beyond `i64::MAX`.
    pub fn truncate(self: &Rc<Self>, fd: &Fd, len: u64) -> impl Future<Output = io::Result<()>> + use<> {
        let entry = move |target| match i64::try_from(len) {
            Ok(_) => Ok(opcode::Ftruncate::new(target, len).build()),
            Err(_) => Err(Errno::INVAL),
        };
        Op::new(self, OnFile(fd.clone(), entry))
    }

    /// Says how `len` bytes from `offset`, or all from there if `len` is 0, will be used (`posix_fadvise(2)`).
    ///
    /// # Errors
    /// Those of `posix_fadvise(2)`, such as `ESPIPE` for a pipe.
    pub fn advise(
        self: &Rc<Self>,
        fd: &Fd,
        offset: u64,
        len: u32,
        advice: Advice,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let entry = move |target| {
            let entry = opcode::Fadvise::new(target, len.into(), advice as i32);
            Ok(entry.offset(offset).build())
        };
        Op::new(self, OnFile(fd.clone(), entry))
    }
}
