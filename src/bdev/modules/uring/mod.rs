//! A file or a block device through the core's io_uring.
//!
//! Opened with O_DIRECT, past the page cache; file systems that refuse it are used through the cache, and
//! [`Uring::is_direct`] says so. Each core's channel has the file registered with its own ring.

mod channel;
mod discard;
mod polled;
mod seek;

pub use channel::UringChannel;

use polled::Polled;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use super::spec::{Args, Bases, Fault, Kind, Plan, quoted};
use crate::bdev::{Access, Bdev, Error, Geometry, Op, Result};
use crate::uring::{Fd, Ring};

/// What the kernel takes for O_DIRECT where it does not say: what every disk and file system in use takes.
const BLOCK_SIZE_UNKNOWN: u32 = 4096;
const BLOCK_SIZE_MIN: u32 = 512;

/// The kernel's own bound on one list of buffers (`UIO_MAXIOV`).
const SEGMENTS_MAX: u32 = 1024;

pub(super) const FILE: Kind = Kind {
    takes_path: true,
    ..Kind::new("file", "file:PATH", "a file or a block device, through io_uring", Bases::None, |args| {
        let path = path(args, "name the file, such as file:disk.img")?;
        Ok(Plan::leaf(name(&path)?, move |access| Uring::open(path, access)).shared())
    })
};

pub(super) const POLL: Kind = Kind {
    takes_path: true,
    ..Kind::new(
        "poll",
        "poll:PATH",
        "the same, its completions polled for where it can; its name is that of `file:PATH`",
        Bases::None,
        |args| {
            let path = path(args, "name the file, such as poll:disk.img")?;
            Ok(Plan::leaf(name(&path)?, move |access| Ok(Uring::open(path, access)?.polled())).shared())
        },
    )
};

fn path(args: &mut Args<'_>, missing: &str) -> Result<PathBuf, Fault> {
    let value = args.bare().ok_or_else(|| args.missing(missing))?;
    if value.text().is_empty() { Err(value.fault(missing)) } else { Ok(value.text().into()) }
}

/// The name that the device at `path` goes by, however that is spelled.
fn name(path: &Path) -> Result<String> {
    let whole = path.canonicalize().map_err(|source| {
        let path = path.display();
        let context = match source.kind() {
            io::ErrorKind::NotFound => format!("cannot find {path}; create it first, with its size"),
            _ => format!("cannot reach {path}"),
        };
        Error::Os { context, source }
    })?;
    Ok(format!("file:{}", whole.display()))
}

/// An existing file or block device of fixed size.
///
/// Its block size is what the kernel asks of direct I/O to it, 512 bytes or more.
#[derive(Debug)]
pub struct Uring {
    path: PathBuf,
    geometry: Geometry,
    is_direct: bool,
    is_disk: bool,
    is_polled: bool,
    /// Device and inode, so that a path that comes to name another file is noticed.
    identity: (u64, u64),
    files: Mutex<Files>,
}

/// The file as opened so far, by access.
#[derive(Debug, Default)]
struct Files {
    read_only: Option<File>,
    read_write: Option<File>,
}

impl Uring {
    /// Opens what `path` names, for `access` and whatever is asked for later.
    ///
    /// # Errors
    /// [`Error::Os`] if it is missing, a directory, or not to be opened; [`Error::ReadOnly`];
    /// [`Error::BadGeometry`] if its size is no multiple of its block size.
    pub fn open(path: impl Into<PathBuf>, access: Access) -> Result<Self> {
        let path = path.into();
        let (file, is_direct) = open_file(&path, access)?;
        let os =
            |source| Error::Os { context: format!("cannot ask for the size of {}", path.display()), source };
        let metadata = file.metadata().map_err(os)?;
        check_type(&path, &metadata)?;
        let bytes = (&file).seek(SeekFrom::End(0)).map_err(os)?;
        let (block_size, buffer_align) =
            if is_direct { direct_alignment(&file) } else { (BLOCK_SIZE_MIN, 1) };
        if bytes == 0 || bytes % u64::from(block_size) != 0 {
            let path = path.display();
            let reason = match bytes {
                0 => format!("{path} is empty; give it a size first, such as by `truncate -s 1G {path}`"),
                _ => format!(
                    "{path} has {bytes} bytes, which are not whole blocks of {block_size}; `truncate -s %{block_size} {path}` \
                     makes it longer by what is missing"
                ),
            };
            return Err(Error::BadGeometry { reason });
        }
        let geometry = Geometry::new(block_size, bytes / u64::from(block_size))
            .with_buffer_align(buffer_align)
            .with_max_segments(SEGMENTS_MAX)
            .with_write_cache(true);
        let mut files = Files::default();
        *files.slot(access) = Some(file);
        let identity = (metadata.dev(), metadata.ino());
        let is_disk = metadata.file_type().is_block_device();
        Ok(Self { path, geometry, is_direct, is_disk, is_polled: false, identity, files: Mutex::new(files) })
    }

    /// False where the file system refuses O_DIRECT: then I/O goes through the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Has each core ask the device for completions instead of being interrupted: less latency, for a core that never sleeps while
    /// I/O is in flight. Done for disks with polling queues (`/sys/block/*/queue/io_poll` is 1) and direct I/O; other devices
    /// refuse the first I/O of each channel, which is then done, as all later ones, the ordinary way.
    #[must_use]
    pub fn polled(mut self) -> Self {
        self.is_polled = self.is_direct;
        self
    }

    /// The file opened for `access`, as a descriptor of the caller's own.
    fn file(&self, access: Access) -> Result<File> {
        let os = |source| Error::Os { context: format!("cannot open {} again", self.path.display()), source };
        // A panic elsewhere leaves the two options as they were.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.slot(access) {
            return file.try_clone().map_err(os);
        }
        let (file, _) = open_file(&self.path, access)?;
        let metadata = file.metadata().map_err(os)?;
        if (metadata.dev(), metadata.ino()) != self.identity {
            return Err(os(io::Error::other("the path names another file by now")));
        }
        let clone = file.try_clone().map_err(os)?;
        *files.slot(access) = Some(file);
        Ok(clone)
    }
}

impl Uring {
    /// The way through the core's second ring; none if the kernel makes no such ring.
    fn polled_channel(&self, access: Access) -> Result<Option<Polled>> {
        let Ok(ring) = Ring::current_polling() else { return Ok(None) };
        let fd = Fd::from(self.file(access)?);
        let _ = ring.register(&fd);
        Ok(Some(Polled::new(ring, fd)))
    }
}

impl Files {
    fn slot(&mut self, access: Access) -> &mut Option<File> {
        match access {
            Access::ReadOnly => &mut self.read_only,
            Access::ReadWrite => &mut self.read_write,
        }
    }
}

/// Opens `path`, with O_DIRECT if its file system has that.
fn open_file(path: &Path, access: Access) -> Result<(File, bool)> {
    let open = |flags: OFlags| {
        OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .custom_flags((flags | OFlags::CLOEXEC).bits() as i32)
            .open(path)
    };
    // Looked at before it is opened: opening a pipe would wait, and opening some devices does things.
    let refused = |source: io::Error| {
        if access == Access::ReadWrite
            && matches!(Errno::from_io_error(&source), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
        {
            return Error::ReadOnly { name: path.display().to_string() };
        }
        Error::Os { context: format!("cannot open {}", path.display()), source }
    };
    check_type(path, &path.metadata().map_err(refused)?)?;
    match open(OFlags::DIRECT) {
        Ok(file) => Ok((file, true)),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
            Ok((open(OFlags::empty()).map_err(refused)?, false))
        }
        Err(e) => Err(refused(e)),
    }
}

/// Refuses what has no blocks.
fn check_type(path: &Path, metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    let what = if kind.is_dir() { "a directory" } else { "neither a file nor a block device" };
    let source = io::Error::from(if kind.is_dir() {
        io::ErrorKind::IsADirectory
    } else {
        io::ErrorKind::InvalidInput
    });
    Err(Error::Os { context: format!("{} is {what}: name a file or a block device", path.display()), source })
}

/// Block size and buffer alignment for O_DIRECT.
fn direct_alignment(file: &File) -> (u32, u32) {
    let known = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok();
    match known.filter(|s| s.stx_mask & StatxFlags::DIOALIGN.bits() != 0 && s.stx_dio_offset_align > 0) {
        Some(s) => {
            let block_size = s.stx_dio_offset_align.max(BLOCK_SIZE_MIN);
            (block_size, s.stx_dio_mem_align.clamp(1, block_size))
        }
        None => (BLOCK_SIZE_UNKNOWN, BLOCK_SIZE_UNKNOWN),
    }
}

impl Bdev for Uring {
    type Channel = UringChannel;

    fn module(&self) -> &'static str {
        "uring"
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn supports(&self, op: Op) -> bool {
        match op {
            // File systems that cannot zero or punch say so when asked.
            Op::Read | Op::Write | Op::Flush | Op::WriteZeroes | Op::Unmap => true,
            Op::SeekData | Op::SeekHole => !self.is_disk,
            _ => false,
        }
    }

    fn opening(&self, access: Access) -> Result<()> {
        self.file(access).map(drop)
    }

    fn spec(&self) -> Option<String> {
        let path = std::path::absolute(&self.path).ok()?;
        let kind = if self.is_polled { "poll" } else { "file" };
        Some(format!("{kind}:{}", quoted(path.to_str()?)))
    }

    fn channel(&self, access: Access) -> Result<UringChannel> {
        let ring = Ring::current().map_err(|e| Error::Os {
            context: format!("no io_uring for {} on this core", self.path.display()),
            source: io::Error::other(e),
        })?;
        let fd = Fd::from(self.file(access)?).for_data(self.is_direct);
        // Worth a try: where the table is full, the kernel looks the descriptor up each time.
        let _ = ring.register(&fd);
        let polled = if self.is_polled { self.polled_channel(access)? } else { None };
        let (block_size, is_disk) = (self.geometry.block_size.into(), self.is_disk);
        Ok(UringChannel { ring, fd, polled, block_size, is_disk })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
