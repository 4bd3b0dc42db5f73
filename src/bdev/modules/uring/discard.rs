//! Discarding on a disk: for those that forget blocks on request and promise nothing about what they read as afterwards.

#![expect(unsafe_code, reason = "an ioctl that points to a range")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::ioctl::{Setter, ioctl, opcode};

use super::UringChannel;
use crate::unblock::unblock;

/// `BLKDISCARD` of `linux/fs.h`, `_IO(0x12, 119)`: takes two numbers, the first byte and how many.
const BLKDISCARD: rustix::ioctl::Opcode = opcode::none(0x12, 119);

impl UringChannel {
    /// Has the disk forget `len` bytes from `start` on. On a thread beside the core, as the call waits for the disk.
    #[cold]
    pub(super) async fn discard(&self, start: u64, len: u64) -> io::Result<()> {
        let disk = self.fd.as_fd().try_clone_to_owned()?;
        unblock(move || discard(disk.as_fd(), start, len)).await.map_err(io::Error::other)?
    }
}

pub(super) fn discard(disk: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    // SAFETY: the operation reads two numbers of 64 bits from the pointer that it is given.
    let range = unsafe { Setter::<BLKDISCARD, [u64; 2]>::new([start, len]) };
    // SAFETY: as above; it changes nothing in this process.
    Ok(unsafe { ioctl(disk, range) }?)
}
