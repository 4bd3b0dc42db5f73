//! A file's length and the space behind it: cut, reserved, punched, zeroed, moved.

use super::{File, way};
use crate::uring::Features;
use rustix::fs::FallocateFlags;
use std::{io, num::NonZeroU64, ops::Range};

pub use rustix::fs::Advice;

impl File {
    /// Cuts the file to `len` bytes, or extends it by a hole that reads as zeros. By a thread before Linux 6.9.
    ///
    /// Dropping the future once polled leaves open whether it is done.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`; `EINVAL` also for a length beyond `i64::MAX`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        if self.ring.has(Features::TRUNCATE) {
            return self.ring.truncate(&self.fd, len).await;
        }
        let file = self.try_clone_to_std()?;
        way::beside(move || Ok(rustix::fs::ftruncate(&file, len)?)).await
    }

    /// Reserves the byte range on the device, so that writing to it cannot fail for want of space; a file that ends before is
    /// extended by zeros.
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let journal = reactor::fs::File::create(dir.path().join("journal")).await?;
    /// journal.allocate(0..1 << 20).await?;
    /// assert_eq!(journal.metadata().await?.len(), 1 << 20);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `fallocate(2)`: `ENOSPC`, `EOPNOTSUPP` where the file system cannot, `EINVAL` for an empty range, `EFBIG` beyond the
    /// largest file.
    pub async fn allocate(&self, bytes: Range<u64>) -> io::Result<()> {
        self.ring.allocate(&self.fd, FallocateFlags::empty(), bytes).await
    }

    /// As [`allocate`](Self::allocate), and the file stays as long as it is.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub async fn reserve(&self, bytes: Range<u64>) -> io::Result<()> {
        self.ring.allocate(&self.fd, FallocateFlags::KEEP_SIZE, bytes).await
    }

    /// Gives the range's space back: it reads as zeros, and the file stays as long as it is.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate), without `ENOSPC`.
    pub async fn punch_hole(&self, bytes: Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.ring.allocate(&self.fd, flags, bytes).await
    }

    /// Has the range read as zeros and keeps its space; a file that ends before is extended.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub async fn zero_range(&self, bytes: Range<u64>) -> io::Result<()> {
        self.ring.allocate(&self.fd, FallocateFlags::ZERO_RANGE, bytes).await
    }

    /// Takes the range out of the file: what is behind it moves to its place. In whole blocks of the file system, and not up to the
    /// end.
    ///
    /// # Errors
    /// As [`punch_hole`](Self::punch_hole); `EINVAL` also for a range that is no whole blocks or reaches the end.
    pub async fn collapse_range(&self, bytes: Range<u64>) -> io::Result<()> {
        self.ring.allocate(&self.fd, FallocateFlags::COLLAPSE_RANGE, bytes).await
    }

    /// Puts a hole into the file: what was at the range's start and behind moves to its end. In whole blocks of the file system, and
    /// not at the end.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate); `EINVAL` also for a range that is no whole blocks or begins at the end.
    pub async fn insert_range(&self, bytes: Range<u64>) -> io::Result<()> {
        self.ring.allocate(&self.fd, FallocateFlags::INSERT_RANGE, bytes).await
    }

    /// Says how the byte range will be used (`posix_fadvise(2)`), such as `Advice::Sequential` or `Advice::DontNeed`.
    ///
    /// # Errors
    /// Those of `posix_fadvise(2)`: `ESPIPE` for a pipe; `EINVAL` for a range that ends before it begins.
    pub async fn advise(&self, bytes: Range<u64>, advice: Advice) -> io::Result<()> {
        let len = bytes.end.checked_sub(bytes.start).ok_or(rustix::io::Errno::INVAL)?;
        // A length of 0 stands for all that is behind.
        let Some(some) = NonZeroU64::new(len) else { return Ok(()) };
        if let Ok(short) = u32::try_from(len) {
            return self.ring.advise(&self.fd, bytes.start, short, advice).await;
        }
        let file = self.try_clone_to_std()?;
        way::beside(move || Ok(rustix::fs::fadvise(&file, bytes.start, Some(some), advice)?)).await
    }
}
