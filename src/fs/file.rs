//! An open file: what its methods, spread over the neighbours by what they do, have in common.

use super::{OpenOptions, way};
use crate::uring::{Fd, Ring};
use rustix::fs::{Mode, OFlags, fcntl_getfl};
use std::{
    fmt, io,
    ops::Range,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    rc::Rc,
};

/// A file of which a core makes use. Clones share the descriptor; the last of them, or of the operations on it, closes it.
///
/// Reads and writes name their offset, so that any number may be in flight at once. A file that sees more than a few operations is
/// entered into the ring's table, which spares each the lookup. Stays on its core: pass the path, or the `std` file from
/// [`try_clone_to_std`](Self::try_clone_to_std), to use it on another. What is asked of it when its core has ended answers
/// [`CoreGone`](crate::uring::CoreGone).
///
/// Dropping the last clone closes the file on the spot, which may wait for a slow file system: [`close`](Self::close) does not.
#[derive(Clone)]
pub struct File {
    pub(super) fd: Fd,
    pub(super) ring: Rc<Ring>,
}

impl File {
    /// Opens a file for reading.
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let file = reactor::fs::File::open("/proc/version").await?;
    /// let (read, buf) = file.read_at(vec![0; 5], 0).await;
    /// assert_eq!(&buf[..read?], b"Linux");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `open(2)`; whatever keeps a ring from being made.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing, made if it is missing and emptied if it is not.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Opens with flags that [`OpenOptions`] has put together.
    pub(super) async fn open_with(path: &Path, flags: OFlags, mode: Mode) -> io::Result<Self> {
        let ring = way::ring()?;
        let fd = ring.open(path, flags, mode).await?.for_data(flags.contains(OFlags::DIRECT));
        Ok(Self { fd, ring })
    }

    /// Makes a file of this core's out of an open descriptor, such as a `std` file, whose flags stay as they are. (One on a tmpfs that
    /// [`open`](Self::open) has opened is read and written at once; one that comes by this way needs `O_NONBLOCK` for the first and
    /// `O_DIRECT` besides for the second, or each transfer is a worker's.)
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let file = reactor::fs::File::from_std(std::fs::File::open("/proc/version")?)?;
    /// # drop(file);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Whatever keeps a ring from being made.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub fn from_std(file: impl Into<OwnedFd>) -> io::Result<Self> {
        let (ring, fd) = (way::ring()?, file.into());
        let is_direct = fcntl_getfl(&fd)?.contains(OFlags::DIRECT);
        Ok(Self { fd: Fd::from(fd).for_data_as_is(is_direct), ring })
    }

    /// Another descriptor of the same open file, for `std` or another core. A system call that does not wait.
    ///
    /// # Errors
    /// Those of `dup(2)`: `EMFILE`.
    pub fn try_clone_to_std(&self) -> io::Result<std::fs::File> {
        self.as_fd().try_clone_to_owned().map(Into::into)
    }

    /// The descriptor as the ring's own operations take it ([`Ring::splice`] among them).
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Whether reads and writes go past the page cache (`O_DIRECT`). Files in memory (tmpfs) have nothing else, whatever was asked for.
    #[inline]
    pub fn is_direct(&self) -> bool {
        !self.fd.is_copied()
    }

    /// Closes the file, if nobody else shares it; otherwise the last to let go closes it.
    ///
    /// Once polled the file is closed even if the future is then dropped.
    ///
    /// # Errors
    /// Those of `close(2)`, such as a delayed write error of NFS. The file is closed in any case.
    pub async fn close(self) -> io::Result<()> {
        self.ring.close(self.fd).await
    }

    /// Makes what was written to the file durable, its metadata included (`fsync(2)`). Writes still in flight are not part of it.
    ///
    /// # Errors
    /// Those of `fsync(2)`. After `EIO` the unwritten data may be lost: a second call that succeeds proves nothing.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.ring.sync_all(&self.fd).await
    }

    /// As [`sync_all`](Self::sync_all), with only the metadata needed to read the data back (`fdatasync(2)`).
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.ring.sync_data(&self.fd).await
    }

    /// Has what was written to the byte range carried to the device, and waits for that (`sync_file_range(2)`). Durable it is only after
    /// [`sync_data`](Self::sync_data), which then has little left to do.
    ///
    /// # Errors
    /// Those of `sync_file_range(2)`: `ESPIPE` for a pipe, `EIO` as for [`sync_all`](Self::sync_all); `EINVAL` for a range that ends before
    /// it begins.
    pub async fn sync_range(&self, bytes: Range<u64>) -> io::Result<()> {
        if bytes.start == bytes.end {
            return Ok(());
        }
        self.ring.sync_range(&self.fd, bytes, true).await
    }

    /// As [`sync_range`](Self::sync_range), without waiting: the device gets to work on it, instead of on everything at once when
    /// [`sync_data`](Self::sync_data) asks for it.
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = reactor::fs::File::create(dir.path().join("large")).await?;
    /// for part in 0..4 {
    ///     file.write_all_at(vec![1; 1 << 20], part << 20).await.0?;
    ///     file.write_back(part << 20..(part + 1) << 20).await?;
    /// }
    /// file.sync_data().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`sync_range`](Self::sync_range).
    pub async fn write_back(&self, bytes: Range<u64>) -> io::Result<()> {
        if bytes.start == bytes.end {
            return Ok(());
        }
        self.ring.sync_range(&self.fd, bytes, false).await
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.fd).field("is_direct", &self.is_direct()).finish()
    }
}
