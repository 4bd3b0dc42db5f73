//! What the file system knows about a file, as statx tells it.

use super::{File, way};
use rustix::fs::{AtFlags, FileType as Raw, Statx, StatxFlags, StatxTimestamp, makedev};
use std::{
    fmt, io,
    path::Path,
    time::{Duration, SystemTime},
};

/// What the file system knows about a file.
#[derive(Clone, Copy)]
pub struct Metadata(Statx);

/// What kind of thing a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileType(Raw);

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

/// Asks about the file at `path`, through symbolic links.
///
/// ```
/// # #[reactor::main]
/// # async fn main() -> std::io::Result<()> {
/// assert!(reactor::fs::metadata("/proc").await?.is_dir());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of `statx(2)`; `EINVAL` for a path with a NUL byte.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    way::ring()?.statx_path(path.as_ref(), AtFlags::empty(), wanted()).await.map(Metadata)
}

/// Asks about the file at `path`; a symbolic link is asked about itself.
///
/// # Errors
/// As [`metadata()`].
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    way::ring()?.statx_path(path.as_ref(), AtFlags::SYMLINK_NOFOLLOW, wanted()).await.map(Metadata)
}

/// Whether `path` leads to something.
///
/// # Errors
/// As [`metadata()`], but for `ENOENT`, which is the answer no.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl File {
    /// Asks about the file.
    ///
    /// # Errors
    /// Those of `statx(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.ring.statx(&self.fd, wanted()).await.map(Metadata)
    }
}

#[expect(clippy::len_without_is_empty, reason = "as in std: an empty file is no empty metadata")]
impl Metadata {
    /// The file's length in bytes; 0 for a device.
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// What kind of thing it is.
    pub fn file_type(&self) -> FileType {
        FileType(Raw::from_raw_mode(self.0.stx_mode.into()))
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a symbolic link: only [`symlink_metadata`] asks about those.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// The permissions, the sticky bit and its like among them: the lowest twelve bits of `st_mode`.
    pub fn mode(&self) -> u32 {
        u32::from(self.0.stx_mode) & 0o7777
    }

    /// The owner.
    pub fn uid(&self) -> u32 {
        self.0.stx_uid
    }

    /// The owner's group.
    pub fn gid(&self) -> u32 {
        self.0.stx_gid
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// Its number in its file system.
    pub fn inode(&self) -> u64 {
        self.0.stx_ino
    }

    /// The device that its file system is on: with [`inode`](Self::inode), what tells it from any other file.
    pub fn device(&self) -> u64 {
        makedev(self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// For a device, which one.
    pub fn special_device(&self) -> u64 {
        makedev(self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    /// The bytes that it takes up on the device: less than its length where it has holes.
    pub fn allocated(&self) -> u64 {
        // Linux counts in units of 512 bytes whatever the device's blocks are.
        self.0.stx_blocks.saturating_mul(512)
    }

    /// The length of reads and writes that suits it best, in bytes.
    pub fn io_size(&self) -> u32 {
        self.0.stx_blksize
    }

    /// When its data was last written.
    pub fn modified(&self) -> SystemTime {
        time(self.0.stx_mtime)
    }

    /// When its data was last read, as far as the mount options say.
    pub fn accessed(&self) -> SystemTime {
        time(self.0.stx_atime)
    }

    /// When its data or what is known about it last changed.
    pub fn changed(&self) -> SystemTime {
        time(self.0.stx_ctime)
    }

    /// When it was made, if the file system keeps that.
    pub fn created(&self) -> Option<SystemTime> {
        (self.0.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time(self.0.stx_btime))
    }
}

fn time(stamp: StatxTimestamp) -> SystemTime {
    let seconds = Duration::from_secs(stamp.tv_sec.unsigned_abs());
    let whole =
        if stamp.tv_sec < 0 { SystemTime::UNIX_EPOCH - seconds } else { SystemTime::UNIX_EPOCH + seconds };
    whole + Duration::from_nanos(stamp.tv_nsec.into())
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("file_type", &self.file_type())
            .field("mode", &format_args!("{:#o}", self.mode()))
            .field("len", &self.len())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

impl FileType {
    pub(super) fn new(raw: Raw) -> Self {
        Self(raw)
    }

    /// A directory.
    pub fn is_dir(self) -> bool {
        self.0 == Raw::Directory
    }

    /// A regular file.
    pub fn is_file(self) -> bool {
        self.0 == Raw::RegularFile
    }

    /// A symbolic link.
    pub fn is_symlink(self) -> bool {
        self.0 == Raw::Symlink
    }

    /// A block device.
    pub fn is_block_device(self) -> bool {
        self.0 == Raw::BlockDevice
    }

    /// A character device.
    pub fn is_char_device(self) -> bool {
        self.0 == Raw::CharacterDevice
    }

    /// A named pipe.
    pub fn is_fifo(self) -> bool {
        self.0 == Raw::Fifo
    }

    /// A Unix socket.
    pub fn is_socket(self) -> bool {
        self.0 == Raw::Socket
    }
}
