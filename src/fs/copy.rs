//! Bytes from file to file.

use super::{
    File, OpenOptions,
    copying::{BUFFER, CHUNK, Copying},
    way,
};
use rustix::{
    fs::{Mode, fchmod},
    io::Errno,
};
use std::{io, ops::Range, path::Path};

/// Copies what is in a file, and its permissions, to a file that is made if it is missing and emptied if it is not. Returns how many
/// bytes went.
///
/// File systems such as XFS and btrfs share the blocks (`FICLONE`); otherwise the kernel copies (`copy_file_range(2)`), and where it
/// cannot, as between file systems of two kinds, the bytes go through a buffer. All by a thread, but for targets such as pipes. Holes stay
/// holes.
///
/// If the future is dropped, the copying ends within 16 MiB, and the file holds a part.
///
/// # Errors
/// Those of reading and writing; [`InvalidInput`](io::ErrorKind::InvalidInput) if `from` is no regular file, or is `to`.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let source = File::open(from).await?;
    let known = source.metadata().await?;
    if !known.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "what is copied is no regular file"));
    }
    let target = OpenOptions::new().write(true).create(true).mode(known.mode()).open(to).await?;
    let before = target.metadata().await?;
    if (known.device(), known.inode()) == (before.device(), before.inode()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file is not copied onto itself"));
    }
    if before.is_file() && before.len() > 0 {
        target.set_len(0).await?;
    }
    // The umask took some when it was made, or it was there before.
    let mode = (before.is_file() && before.mode() != known.mode()).then(|| Mode::from_raw_mode(known.mode()));
    let copying = Copying::new(&source, &target)?;
    let (shared, copying) = way::beside(move || {
        mode.map_or(Ok(()), |mode| fchmod(&copying.target, mode))?;
        Ok((copying.share()?, copying))
    })
    .await?;
    let copied = match shared {
        Some(len) => len,
        None if before.is_file() && known.allocated() < known.len() => copy_over_holes(copying).await?,
        None => source.copy_range(copying, 0..i64::MAX as u64, &target, 0).await?,
    };
    target.close().await?;
    Ok(copied)
}

impl File {
    /// Copies the byte range to offset `at` of another file, or as much of it as there is before the end, and returns how many bytes
    /// went. Ranges of one file must not overlap.
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// use reactor::fs::{self, File};
    /// # let dir = tempfile::tempdir()?;
    /// # let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    /// fs::write(&from, "head and tail").await?;
    /// let (source, target) = (File::open(&from).await?, File::create(&to).await?);
    /// assert_eq!(source.copy_range_to(9..1000, &target, 0).await?, 4);
    /// assert_eq!(fs::read(&to).await?, b"tail");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the future is dropped, the copying ends within 16 MiB.
    ///
    /// # Errors
    /// Those of reading and writing; `EINVAL` for a range that ends before it begins, for offsets beyond `i64::MAX`, and for ranges
    /// of one file that overlap.
    pub async fn copy_range_to(&self, bytes: Range<u64>, target: &Self, at: u64) -> io::Result<u64> {
        let len = bytes.end.checked_sub(bytes.start).ok_or(Errno::INVAL)?;
        let ends = [bytes.end, at.saturating_add(len.min(1))];
        if ends.iter().any(|&end| end > i64::MAX as u64) {
            return Err(Errno::INVAL.into());
        }
        self.copy_range(Copying::new(self, target)?, bytes, target, at).await
    }

    pub(super) async fn copy_range(
        &self,
        mut copying: Copying,
        bytes: Range<u64>,
        target: &Self,
        at: u64,
    ) -> io::Result<u64> {
        let (mut from, mut end) = (bytes.start, bytes.end);
        while from < end {
            let (to, range) = (at + (from - bytes.start), bytes.clone());
            let step = way::beside(move || {
                if from == range.start {
                    end = copying.end(range, at)?;
                }
                let count = copying.step(from, to, CHUNK.min(end.saturating_sub(from)))?;
                Ok((count, end, copying))
            });
            match step.await {
                Ok((0, ..)) => break,
                Ok((count, found, back)) => (from, end, copying) = (from + count, found, back),
                // No offsets in one of them: what waits for a peer is the ring's.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::SPIPE) => {
                    return self.copy_by_ring(bytes, target, at).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(from - bytes.start)
    }

    /// As [`copy_range_to`](Self::copy_range_to), by reading and writing.
    async fn copy_by_ring(&self, bytes: Range<u64>, target: &Self, at: u64) -> io::Result<u64> {
        let mut buf = vec![0; BUFFER];
        let mut from = bytes.start;
        while from < bytes.end {
            let len = usize::try_from(bytes.end - from).map_or(BUFFER, |left| left.min(BUFFER));
            buf.truncate(len);
            let (read, full) = self.read_at(buf, from).await;
            buf = full;
            let count = match read {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            buf.truncate(count);
            let (written, emptied) = target.write_all_at(buf, at + (from - bytes.start)).await;
            written?;
            buf = emptied;
            buf.resize(BUFFER, 0);
            from += count as u64;
        }
        Ok(from - bytes.start)
    }
}

/// All of a source into an empty target, but for the holes.
async fn copy_over_holes(mut copying: Copying) -> io::Result<u64> {
    let (mut at, mut is_over) = (0, false);
    while !is_over {
        ((at, is_over), copying) = way::beside(move || Ok((copying.step_over_holes(at)?, copying))).await?;
    }
    Ok(at)
}
