//! A file or a block device through the core's io_uring.
//!
//! Opened with O_DIRECT, past the page cache; file systems that refuse it are used through the cache, and
//! [`Uring::is_direct`] says so. Each core's channel has the file registered with its own ring.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FallocateFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::bdev::{Access, Bdev, Done, Error, Geometry, Io, Op, Result, Submit};
use crate::sys::dma::{DmaBuf, DmaBytes};
use crate::uring::{Fd, Ring};

/// What the kernel takes for O_DIRECT where it does not say: what every disk and file system in use takes.
const BLOCK_SIZE_UNKNOWN: u32 = 4096;
const BLOCK_SIZE_MIN: u32 = 512;

/// An existing file or block device of fixed size.
///
/// Its block size is what the kernel asks of direct I/O to it, 512 bytes or more.
#[derive(Debug)]
pub struct Uring {
    path: PathBuf,
    geometry: Geometry,
    is_direct: bool,
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

/// One core's handle on the file.
#[derive(Debug)]
pub struct UringChannel {
    ring: Rc<Ring>,
    fd: Fd,
    block_size: u64,
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
        let os = |source| Error::Os { context: format!("cannot ask for the size of {}", path.display()), source };
        let metadata = file.metadata().map_err(os)?;
        check_type(&path, &metadata)?;
        let bytes = (&file).seek(SeekFrom::End(0)).map_err(os)?;
        let (block_size, buffer_align) = if is_direct { direct_alignment(&file) } else { (BLOCK_SIZE_MIN, 1) };
        if bytes == 0 || bytes % u64::from(block_size) != 0 {
            let reason = format!(
                "{} has {bytes} bytes, which are not whole blocks of {block_size}; give it a size first, such as by \
                 `truncate -s 1G`",
                path.display()
            );
            return Err(Error::BadGeometry { reason });
        }
        let geometry = Geometry::new(block_size, bytes / u64::from(block_size))
            .with_buffer_align(buffer_align)
            .with_write_cache(true);
        let mut files = Files::default();
        *files.slot(access) = Some(file);
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { path, geometry, is_direct, identity, files: Mutex::new(files) })
    }

    /// False where the file system refuses O_DIRECT: then I/O goes through the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.is_direct
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
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => Ok((open(OFlags::empty()).map_err(refused)?, false)),
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
    let source = io::Error::from(if kind.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput });
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

    fn supports(&self, _op: Op) -> bool {
        // File systems that cannot zero or punch say so when asked.
        true
    }

    fn opening(&self, access: Access) -> Result<()> {
        self.file(access).map(drop)
    }

    fn channel(&self, access: Access) -> Result<UringChannel> {
        let ring = Ring::current().map_err(|e| Error::Os {
            context: format!("no io_uring for {} on this core", self.path.display()),
            source: io::Error::other(e),
        })?;
        let fd = Fd::from(self.file(access)?);
        // Worth a try: where the table is full, the kernel looks the descriptor up each time.
        let _ = ring.register(&fd);
        Ok(UringChannel { ring, fd, block_size: self.geometry.block_size.into() })
    }
}

impl Submit for UringChannel {
    async fn submit(&self, mut io: Io) -> Done {
        let start = io.lba() * self.block_size;
        let result = match io.op() {
            Op::Read => {
                let (result, buf) = self.read(io.take_read_buf(), start).await;
                if let Some(buf) = buf {
                    io.put_read_buf(buf);
                }
                result
            }
            Op::Write => self.write(io.take_data(), start).await,
            Op::Flush => self.ring.sync_data(&self.fd).await,
            Op::WriteZeroes => self.allocate(FallocateFlags::ZERO_RANGE, start, &io).await,
            Op::Unmap => self.allocate(FallocateFlags::PUNCH_HOLE, start, &io).await,
        };
        let op = io.op();
        io.done(result.map_err(|e| sorted(op, e)))
    }
}

impl UringChannel {
    /// Fills `buf` from byte `at`. The kernel may bring less than was asked for; then the rest is asked for.
    #[inline]
    async fn read(&self, buf: DmaBuf, at: u64) -> (io::Result<()>, Option<DmaBuf>) {
        let len = buf.len();
        let (result, buf) = self.ring.read_at(&self.fd, buf, at).await;
        match result {
            Ok(n) if n == len => (Ok(()), Some(buf)),
            Ok(n) => self.read_rest(buf, n, at).await,
            Err(e) => (Err(e), Some(buf)),
        }
    }

    #[cold]
    async fn read_rest(&self, mut rest: DmaBuf, mut n: usize, mut at: u64) -> (io::Result<()>, Option<DmaBuf>) {
        let mut filled = rest.split_to(0);
        let result = loop {
            if n == 0 {
                break Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
            }
            let part = rest.split_to(n);
            at += n as u64;
            filled = match filled.unsplit(part) {
                Ok(joined) => joined,
                Err(_) => unreachable!("the parts of one buffer, in order"),
            };
            if rest.is_empty() {
                break Ok(());
            }
            let answer;
            (answer, rest) = self.ring.read_at(&self.fd, rest, at).await;
            n = match answer {
                Ok(n) => n,
                Err(e) => break Err(e),
            };
        };
        (result, filled.unsplit(rest).ok())
    }

    /// Writes all of `data` from byte `at` on.
    #[inline]
    async fn write(&self, mut data: DmaBytes, mut at: u64) -> io::Result<()> {
        loop {
            let len = data.len();
            let n;
            (n, data) = match self.ring.write_at(&self.fd, data, at).await {
                (Ok(n), data) => (n, data),
                (Err(e), _) => return Err(e),
            };
            if n == len {
                return Ok(());
            }
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data = data.slice(n..);
            at += n as u64;
        }
    }

    async fn allocate(&self, how: FallocateFlags, start: u64, io: &Io) -> io::Result<()> {
        let end = start + io.blocks() * self.block_size;
        self.ring.allocate(&self.fd, how | FallocateFlags::KEEP_SIZE, start..end).await
    }
}

/// Names an error for what the caller can do.
#[cold]
fn sorted(op: Op, e: io::Error) -> Error {
    match Errno::from_io_error(&e) {
        Some(Errno::IO) => Error::Media,
        Some(Errno::NOSPC | Errno::DQUOT) => Error::NoSpace,
        Some(Errno::NODEV | Errno::NXIO) => Error::Removed,
        Some(Errno::CANCELED) => Error::Aborted,
        Some(Errno::OPNOTSUPP) => Error::Unsupported(op.name()),
        _ => Error::Io(e),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{conformance, open};

    fn file(bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        file
    }

    fn opened(path: &Path, access: Access) -> Result<crate::bdev::Descriptor> {
        LocalExecutor::new().unwrap().block_on(open(&format!("file:{}", path.display()), access))
    }

    #[test]
    fn conforms() {
        let file = file(16 << 20);
        conformance::check_spec(&format!("file:{}", file.path().display()));
    }

    #[test]
    fn conforms_through_the_page_cache() {
        // Of old, tmpfs had no O_DIRECT; where it has by now this is the test above once more.
        let dir = Path::new("/dev/shm");
        if dir.is_dir() {
            let file = tempfile::NamedTempFile::new_in(dir).unwrap();
            file.as_file().set_len(16 << 20).unwrap();
            conformance::check_spec(&format!("file:{}", file.path().display()));
        }
    }

    #[test]
    fn a_missing_file_and_a_directory_are_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let e = opened(&dir.path().join("none"), Access::ReadOnly).unwrap_err();
        assert!(e.to_string().contains("create it first"), "{e}");
        let e = opened(dir.path(), Access::ReadOnly).unwrap_err();
        assert!(e.to_string().contains("is a directory"), "{e}");
        let e = opened(Path::new("/dev/null"), Access::ReadOnly).unwrap_err();
        assert!(e.to_string().contains("neither a file nor a block device"), "{e}");
    }

    #[test]
    fn a_size_that_is_not_whole_blocks_is_refused() {
        for bytes in [0, 1, 511, 4096 + 100] {
            let file = file(bytes);
            let e = opened(file.path(), Access::ReadOnly).unwrap_err();
            assert!(matches!(e, Error::BadGeometry { .. }), "{bytes}: {e}");
            assert!(e.to_string().contains("truncate"), "{e}");
        }
    }

    #[test]
    fn a_file_that_may_only_be_read_opens_read_only() {
        let file = file(1 << 20);
        file.as_file().set_permissions(Permissions::from_mode(0o444)).unwrap();
        // Root may write all the same.
        if OpenOptions::new().write(true).open(file.path()).is_err() {
            assert!(matches!(opened(file.path(), Access::ReadWrite), Err(Error::ReadOnly { .. })));
        }
        opened(file.path(), Access::ReadOnly).unwrap();
    }

    #[test]
    fn a_reader_first_and_a_writer_later_share_the_device() {
        let file = file(1 << 20);
        let spec = format!("file:{}", file.path().display());
        LocalExecutor::new().unwrap().block_on(async {
            let reader = open(&spec, Access::ReadOnly).await.unwrap();
            let writer = open(&spec, Access::ReadWrite).await.unwrap();
            let channel = writer.channel().unwrap();
            let mut data = channel.alloc(4096).unwrap();
            data.fill(5);
            channel.write(0, data).await.unwrap();
            let blocks = 4096 / u64::from(channel.geometry().block_size);
            assert!(reader.channel().unwrap().read(0..blocks).await.unwrap().iter().all(|b| *b == 5));
        });
    }

    #[test]
    fn a_file_cut_short_below_fails_the_read_and_returns_the_buffer() {
        let file = file(1 << 20);
        let spec = format!("file:{}", file.path().display());
        LocalExecutor::new().unwrap().block_on(async {
            let channel = open(&spec, Access::ReadOnly).await.unwrap().channel().unwrap();
            file.as_file().set_len(256 << 10).unwrap();
            let blocks = channel.geometry().block_count;
            let e = channel.read_into(0..blocks, channel.alloc(1 << 20).unwrap()).await.unwrap_err();
            assert!(matches!(&e.error, Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof), "{e}");
            assert_eq!(e.buf.map(|buf| buf.len()), Some(1 << 20));
        });
    }
}
