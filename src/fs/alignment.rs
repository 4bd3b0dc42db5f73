//! How direct I/O to a file must be aligned: what the kernel says, what the device says, or what every device takes.
//!
//! ```text
//!   statx has STATX_DIOALIGN (Linux 6.1) ──▶ as it says; 0: no direct I/O
//!   else a block device ─────────────────▶ its logical block (BLKSSZGET)
//!   else ────────────────────────────────▶ 4,096
//! ```

use super::{File, Misaligned};
use crate::{sys::dma, uring::IoBuf};
use rustix::{
    fs::{FileType, Statx, StatxFlags, ioctl_blksszget},
    io::Errno,
};
use std::io;

/// What direct I/O to a file must be multiples of, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alignment {
    /// Offsets in the file, and lengths.
    pub offset: u32,
    /// Addresses of buffers. What a [`DmaPool`](crate::sys::dma::DmaPool) gives fits any.
    pub memory: u32,
}

impl Alignment {
    /// Whether a transfer of `len` bytes at `offset` with a buffer at `address` is aligned so.
    pub fn fits(self, offset: u64, len: usize, address: usize) -> bool {
        let (blocks, memory) = (u64::from(self.offset), self.memory as usize);
        offset % blocks == 0 && len as u64 % blocks == 0 && address % memory == 0
    }

    pub(super) fn of(statx: &Statx, block_size: impl FnOnce() -> io::Result<u32>) -> io::Result<Self> {
        let both = |bytes| Self { offset: bytes, memory: bytes };
        if statx.stx_mask & StatxFlags::DIOALIGN.bits() != 0 {
            return match (statx.stx_dio_offset_align, statx.stx_dio_mem_align) {
                (0, _) => Err(Errno::OPNOTSUPP.into()),
                (offset, memory) => Ok(Self { offset, memory: memory.max(1) }),
            };
        }
        if FileType::from_raw_mode(statx.stx_mode.into()) == FileType::BlockDevice {
            return block_size().map(both);
        }
        Ok(both(dma::ALIGN as u32))
    }
}

impl File {
    /// How direct I/O to this file must be aligned, whether or not it was opened for it.
    ///
    /// Asks by statx (`STATX_DIOALIGN`, Linux 6.1), else the block device (`BLKSSZGET`); for files whose kernel says nothing the
    /// answer is 4,096, which every file system takes.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if there is no direct I/O to this file; those of `statx(2)`.
    pub async fn alignment(&self) -> io::Result<Alignment> {
        let statx = self.ring.statx(&self.fd, StatxFlags::TYPE | StatxFlags::DIOALIGN).await?;
        Alignment::of(&statx, || Ok(ioctl_blksszget(&self.fd)?))
    }
}

/// A direct transfer as it was asked for, for the case that it is refused.
pub(super) struct Asked {
    file: File,
    offset: u64,
    len: usize,
    address: usize,
}

impl Asked {
    /// `None` for a file that is read and written through the page cache.
    #[inline]
    pub(super) fn new(file: &File, buf: &impl IoBuf, offset: u64) -> Option<Self> {
        let (len, address) = (buf.len(), buf.as_ptr() as usize);
        file.is_direct().then(|| Self { file: file.clone(), offset, len, address })
    }

    /// The error that tells more than `EINVAL`, if that was the answer and the alignment is to blame.
    async fn explain(self, error: io::Error) -> io::Error {
        if Errno::from_io_error(&error) != Some(Errno::INVAL) {
            return error;
        }
        let Ok(alignment) = self.file.alignment().await else { return error };
        match Misaligned::new(alignment, self.offset, self.len, self.address) {
            Some(misaligned) => misaligned.into(),
            None => error,
        }
    }
}

/// The result as it was, or its error explained.
#[inline]
pub(super) async fn explained(asked: Option<Asked>, result: io::Result<usize>) -> io::Result<usize> {
    match (asked, result) {
        // On the heap: only what failed pays for the state of the further question.
        (Some(asked), Err(error)) => Err(Box::pin(asked.explain(error)).await),
        (_, result) => result,
    }
}
