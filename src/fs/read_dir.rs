//! What is in a directory, read by a thread beside the core a batch at a time.

use super::{FileType, Metadata, symlink_metadata, way};
use futures::{Stream, future::LocalBoxFuture};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt, io,
    os::unix::fs::{DirEntryExt, FileTypeExt},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Entries per trip to a thread: about as many as one `getdents64(2)` of std's yields.
const BATCH: usize = 256;

/// Opens a directory to read what is in it, by a thread. `.` and `..` are left out, and the order is the file system's.
///
/// ```
/// # #[reactor::main]
/// # async fn main() -> std::io::Result<()> {
/// let mut entries = reactor::fs::read_dir("/proc/self").await?;
/// while let Some(entry) = entries.next_entry().await? {
///     println!("{}", entry.path().display());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of `open(2)`: `ENOTDIR` for what is no directory.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let listing = way::beside(move || std::fs::read_dir(path)).await?;
    Ok(ReadDir { read: VecDeque::new(), source: Source::Here(listing) })
}

/// The entries of a directory, made by [`read_dir`]. Also a [`Stream`] of them.
pub struct ReadDir {
    read: VecDeque<io::Result<std::fs::DirEntry>>,
    source: Source,
}

/// Where the listing is: here between two batches, with a thread during one.
enum Source {
    Here(std::fs::ReadDir),
    Away(LocalBoxFuture<'static, io::Result<(std::fs::ReadDir, VecDeque<io::Result<std::fs::DirEntry>>)>>),
    Over,
}

impl ReadDir {
    /// The next entry; `None` when there are no more.
    ///
    /// Dropping the future loses no entry.
    ///
    /// # Errors
    /// Those of `getdents64(2)`.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        std::future::poll_fn(|cx| self.poll_entry(cx)).await.transpose()
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                return Poll::Ready(Some(entry.map(DirEntry)));
            }
            match std::mem::replace(&mut self.source, Source::Over) {
                Source::Over => return Poll::Ready(None),
                Source::Here(mut listing) => {
                    let batch = way::beside(move || {
                        let read = listing.by_ref().take(BATCH).collect();
                        Ok((listing, read))
                    });
                    self.source = Source::Away(Box::pin(batch));
                }
                Source::Away(mut batch) => {
                    let Poll::Ready(answer) = batch.as_mut().poll(cx) else {
                        self.source = Source::Away(batch);
                        return Poll::Pending;
                    };
                    match answer {
                        Ok((listing, read)) => {
                            if read.len() == BATCH {
                                self.source = Source::Here(listing);
                            }
                            self.read = read;
                        }
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.poll_entry(cx)))
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("read", &self.read.len()).finish_non_exhaustive()
    }
}

/// One name in a directory.
#[derive(Debug)]
pub struct DirEntry(std::fs::DirEntry);

impl DirEntry {
    /// The directory's path with the name.
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// The number of what it stands for in its file system.
    pub fn inode(&self) -> u64 {
        self.0.ino()
    }

    /// What it stands for; a symbolic link for itself. Asks the file system where the directory does not say.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    pub async fn file_type(&self) -> io::Result<FileType> {
        use rustix::fs::FileType as Raw;
        // Most file systems keep it with the name; std asks only for the others, which would block.
        let known = match self.0.file_type() {
            Ok(kind) if kind.is_dir() => Raw::Directory,
            Ok(kind) if kind.is_file() => Raw::RegularFile,
            Ok(kind) if kind.is_symlink() => Raw::Symlink,
            Ok(kind) if kind.is_block_device() => Raw::BlockDevice,
            Ok(kind) if kind.is_char_device() => Raw::CharacterDevice,
            Ok(kind) if kind.is_fifo() => Raw::Fifo,
            Ok(kind) if kind.is_socket() => Raw::Socket,
            _ => return Ok(self.metadata().await?.file_type()),
        };
        Ok(FileType::new(known))
    }

    /// Asks about what it stands for; a symbolic link about itself.
    ///
    /// # Errors
    /// As [`symlink_metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(self.path()).await
    }
}
