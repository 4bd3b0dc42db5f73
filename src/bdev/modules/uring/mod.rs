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
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use super::spec::{Args, Bases, Fault, Kind, Plan, quoted};
use crate::bdev::{Access, Bdev, DeviceRef, Error, Geometry, Op, Result, Timing};
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

/// An existing file or block device. When it has become longer or shorter, [`rescan`](Self::rescan) it.
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
    device: OnceLock<DeviceRef>,
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
        let (block_size, buffer_align) =
            if is_direct { direct_alignment(&file) } else { (BLOCK_SIZE_MIN, 1) };
        let geometry = Geometry::new(block_size, count_blocks(&path, &file, block_size)?)
            .with_buffer_align(buffer_align)
            .with_max_segments(SEGMENTS_MAX)
            .with_write_cache(true);
        let mut files = Files::default();
        *files.slot(access) = Some(file);
        let identity = (metadata.dev(), metadata.ino());
        let is_disk = metadata.file_type().is_block_device();
        Ok(Self {
            path,
            geometry,
            is_direct,
            is_disk,
            is_polled: false,
            identity,
            files: Mutex::new(files),
            device: OnceLock::new(),
        })
    }

    /// Asks how long the file or disk is by now, and has the device be as large: SPDK's `bdev_uring_rescan`. Everybody who has it
    /// open reads [`Event::Resized`](crate::bdev::Event::Resized). Yields the number of blocks.
    ///
    /// From any thread; the call does not wait for the disk. Who makes a file shorter
    /// [holds](crate::bdev::Descriptor::quiesce_range) what it is about to lose before, and until this has returned.
    ///
    /// ```
    /// use reactor::bdev::{self, Access, modules::Uring};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// # let file = tempfile::NamedTempFile::new().unwrap();
    /// file.as_file().set_len(1 << 20).unwrap();
    /// let disk = bdev::open(&format!("file:{}", file.path().display()), Access::ReadWrite).await?;
    /// file.as_file().set_len(2 << 20).unwrap();
    /// disk.module_as::<Uring>().expect("it was opened as one").rescan()?;
    /// assert_eq!(disk.geometry().len_bytes(), 2 << 20);
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if it is empty or no whole number of blocks, which leaves the device as it was; [`Error::Os`];
    /// [`Error::Removed`] if it was not registered, or is gone.
    pub fn rescan(&self) -> Result<u64> {
        let device = self.device.get().ok_or(Error::Removed)?;
        let count = || {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let file = files.read_write.as_ref().or(files.read_only.as_ref()).expect("opened by `open`");
            count_blocks(&self.path, file, self.geometry.block_size)
        };
        let mut blocks = count()?;
        loop {
            // With nothing locked: this calls what stands on the device.
            device.resize(blocks)?;
            // Somebody else may have seen a later length and said so before.
            match count()? {
                same if same == blocks => return Ok(blocks),
                other => blocks = other,
            }
        }
    }

    /// Where the file or device is, as it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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
        let os = |source| not_opened(format!("cannot open {} again", self.path.display()), source);
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
        not_opened(format!("cannot open {}", path.display()), source)
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

/// `context`, and what helps where files have run out.
fn not_opened(mut context: String, source: io::Error) -> Error {
    if Errno::from_io_error(&source) == Some(Errno::MFILE) {
        context
            .push_str(", this process has too many files open: raise `ulimit -n` (LimitNOFILE= in systemd)");
    }
    Error::Os { context, source }
}

/// How many blocks `file`, which is at `path`, has at present.
fn count_blocks(path: &Path, mut file: &File, block_size: u32) -> Result<u64> {
    let path = path.display();
    let is_device = file.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device());
    let bytes = file
        .seek(SeekFrom::End(0))
        .map_err(|source| Error::Os { context: format!("cannot ask for the size of {path}"), source })?;
    let reason = match bytes {
        0 if is_device => format!("{path} is empty; attach what it is to have first, such as by `losetup`"),
        0 => format!("{path} is empty; give it a size first, such as by `truncate -s 1G {path}`"),
        _ if bytes % u64::from(block_size) == 0 => return Ok(bytes / u64::from(block_size)),
        _ => format!(
            "{path} has {bytes} bytes, which are not whole blocks of {block_size}; `truncate -s %{block_size} {path}` makes it \
             longer by what is missing"
        ),
    };
    Err(Error::BadGeometry { reason })
}

/// Refuses what has no blocks.
fn check_type(path: &Path, metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(());
    }
    let (what, errno) = match kind.is_dir() {
        true => ("a directory", Errno::ISDIR),
        false => ("neither a file nor a block device", Errno::NOTBLK),
    };
    let source = errno.into();
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

    fn attached(&self, device: DeviceRef) {
        // Once per device.
        let _ = self.device.set(device);
    }

    fn opening(&self, access: Access) -> Result<()> {
        self.file(access).map(drop)
    }

    /// Some 7 % of the I/O of a file in memory, and nothing that shows on a disk: `cargo bench --bench bdev -- tmpfs`.
    fn timing(&self) -> Timing {
        Timing::Totals
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
