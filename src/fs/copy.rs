//! Bytes from file to file.

use super::{File, OpenOptions, way};
use rustix::{fs::copy_file_range, io::Errno};
use std::{io, ops::Range, path::Path, sync::Arc};

/// Bytes per trip to a thread: long enough that the trip is lost in it, short enough that a dropped copy ends soon.
const CHUNK: usize = 16 << 20;

/// Bytes per buffer where the kernel does not copy by itself.
const BUFFER: usize = 256 << 10;

/// Copies what is in a file, and its permissions, to a file that is made if it is missing and emptied if it is not. Returns how many
/// bytes went.
///
/// The kernel copies (`copy_file_range(2)`, on a thread), which on file systems such as XFS and btrfs shares the blocks; where it cannot,
/// the bytes go through a buffer.
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
    if before.is_file() {
        if before.len() > 0 {
            target.set_len(0).await?;
        }
        if before.mode() != known.mode() {
            // The umask took some when it was made, or it was there before.
            let (target, mode) = (target.try_clone_to_std()?, rustix::fs::Mode::from_raw_mode(known.mode()));
            way::beside(move || Ok(rustix::fs::fchmod(&target, mode)?)).await?;
        }
    }
    let copied = source.copy_range_to(0..i64::MAX as u64, &target, 0).await?;
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
        let files = Arc::new((self.try_clone_to_std()?, target.try_clone_to_std()?));
        let mut done = 0;
        while done < len {
            let files = files.clone();
            let chunk = usize::try_from(len - done).map_or(CHUNK, |left| left.min(CHUNK));
            let (mut from, mut to) = (bytes.start + done, at + done);
            let call =
                move || Ok(copy_file_range(&files.0, Some(&mut from), &files.1, Some(&mut to), chunk)?);
            match way::beside(call).await {
                // The end; or a file such as those of /proc, which only reading brings to light.
                Ok(0) => break,
                Ok(count) => done += count as u64,
                Err(error) if is_unable(&error) => break,
                Err(error) => return Err(error),
            }
        }
        if done < len {
            done += self.copy_by_buffer(bytes.start + done..bytes.end, target, at + done).await?;
        }
        Ok(done)
    }

    /// As [`copy_range_to`](Self::copy_range_to), by reading and writing.
    pub(super) async fn copy_by_buffer(&self, bytes: Range<u64>, target: &Self, at: u64) -> io::Result<u64> {
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

/// Whether the kernel cannot copy between these two by itself.
fn is_unable(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::BADF)
    )
}
