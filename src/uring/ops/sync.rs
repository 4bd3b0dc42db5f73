//! Making data durable and reserving space: operations on a file that lend no memory.

#![expect(unsafe_code, reason = "vouches for the entries")]

use crate::inflight::Payload;
use crate::uring::Link;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{Fd, Ring};
use io_uring::types::FsyncFlags;
use io_uring::{opcode, squeue::Entry};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::io;
use std::ops::Range;
use std::rc::Rc;

impl Payload<Completion> for Fd {}

struct Sync(Fd, FsyncFlags);

// SAFETY: the entry points to no memory.
unsafe impl Operation for Sync {
    type Held = Fd;
    type Output = io::Result<()>;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Fd) {
        let (fd, flags) = self.0.target(ring);
        (Ok(opcode::Fsync::new(fd).flags(self.1).build().flags(flags)), self.0)
    }

    fn finish(_: Fd, completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

/// Pages that are being written, and those that are dirty: waited for and written (`SYNC_FILE_RANGE_WAIT_BEFORE`, `_WRITE`, `_WAIT_AFTER`).
const WRITE: u32 = 2;
const WRITE_AND_WAIT: u32 = 1 | WRITE | 4;

struct SyncRange(Fd, Range<u64>, u32);

// SAFETY: the entry points to no memory.
unsafe impl Operation for SyncRange {
    type Held = Fd;
    type Output = io::Result<()>;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Fd) {
        let Self(fd, Range { start, end }, how) = self;
        let (target, fixed) = fd.target(ring);
        let entry = end.checked_sub(start).ok_or(Errno::INVAL).map(|len| {
            // 0 stands for all that is behind: more than was asked for, where that is more than the entry can say.
            let len = u32::try_from(len).unwrap_or(0);
            opcode::SyncFileRange::new(target, len).offset(start).flags(how).build().flags(fixed)
        });
        (entry, fd)
    }

    fn finish(_: Fd, completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

struct Allocate(Fd, FallocateFlags, Range<u64>);

// SAFETY: the entry points to no memory.
unsafe impl Operation for Allocate {
    type Held = Fd;
    type Output = io::Result<()>;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Fd) {
        let Self(fd, flags, Range { start, end }) = self;
        let (target, fixed) = fd.target(ring);
        let entry = end.checked_sub(start).ok_or(Errno::INVAL).map(|len| {
            let entry = opcode::Fallocate::new(target, len).offset(start).mode(flags.bits() as i32);
            entry.build().flags(fixed)
        });
        (entry, fd)
    }

    fn finish(_: Fd, completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

impl Ring {
    /// Makes what was written to the file durable, its metadata included (`fsync(2)`). Writes still in flight are not part
    /// of it.
    ///
    /// # Errors
    /// Those of `fsync(2)`. After `EIO` the unwritten data may be lost: a second call that succeeds proves nothing.
    pub fn sync_all(self: &Rc<Self>, fd: &Fd) -> impl Link<Output = io::Result<()>> + use<> {
        Op::new(self, Sync(fd.clone(), FsyncFlags::empty()))
    }

    /// As [`sync_all`](Self::sync_all), with only the metadata needed to read the data back (`fdatasync(2)`).
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    pub fn sync_data(self: &Rc<Self>, fd: &Fd) -> impl Link<Output = io::Result<()>> + use<> {
        Op::new(self, Sync(fd.clone(), FsyncFlags::DATASYNC))
    }

    /// Has the byte range's dirty pages written to the device, and waits for it if `waits` (`sync_file_range(2)`). Neither metadata nor what
    /// the device keeps in a cache is part of it. From 4 GiB on everything behind the start is; an empty range stands for that, too.
    ///
    /// # Errors
    /// Those of `sync_file_range(2)`: `ESPIPE` for a pipe; `EINVAL` for a range that ends before it begins.
    pub fn sync_range(
        self: &Rc<Self>,
        fd: &Fd,
        bytes: Range<u64>,
        waits: bool,
    ) -> impl Link<Output = io::Result<()>> + use<> {
        Op::new(self, SyncRange(fd.clone(), bytes, if waits { WRITE_AND_WAIT } else { WRITE }))
    }

    /// Reserves, punches or zeroes the byte range, as `flags` says (`fallocate(2)`).
    ///
    /// # Errors
    /// Those of `fallocate(2)`, such as `ENOSPC`, and `EOPNOTSUPP` where the file system cannot.
    pub fn allocate(
        self: &Rc<Self>,
        fd: &Fd,
        flags: FallocateFlags,
        bytes: Range<u64>,
    ) -> impl Link<Output = io::Result<()>> + use<> {
        Op::new(self, Allocate(fd.clone(), flags, bytes))
    }
}
