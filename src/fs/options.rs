//! How a file is to be opened. The rules are those of [`std::fs::OpenOptions`].

use super::File;
use rustix::fs::{Mode, OFlags};
use std::{io, path::Path};

/// How a file is to be opened.
///
/// ```
/// use reactor::fs::OpenOptions;
///
/// # #[reactor::main]
/// # async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("log");
/// let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).await?;
/// log.write_all_at("a line\n", 0).await.0?;
/// # assert_eq!(reactor::fs::read_to_string(&path).await?, "a line\n");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a file is opened with them"]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: OFlags,
}

/// Made files may be read and written by everybody whom the process's umask does not exclude.
const MODE: u32 = 0o666;

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is allowed yet: one of [`read`](Self::read), [`write`](Self::write) and [`append`](Self::append) is needed.
    pub fn new() -> Self {
        let (read, write, append, truncate, create, create_new) = (false, false, false, false, false, false);
        Self { read, write, append, truncate, create, create_new, mode: MODE, flags: OFlags::empty() }
    }

    /// For reading.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// For writing. What is there stays, but for what is written over.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// For writing at the end, wherever that is by then: the offset of a write counts for nothing (`O_APPEND`).
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Empties the file; needs [`write`](Self::write).
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Makes the file if it is missing; needs [`write`](Self::write) or [`append`](Self::append).
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Makes the file and fails with `EEXIST` if it is there; needs [`write`](Self::write) or [`append`](Self::append).
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// The permissions of a file that is made, less the process's umask: 0o666 unless set.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`, such as `O_DSYNC` or `O_NOFOLLOW`; the access mode among them counts for nothing. Takes the place of
    /// flags given before, and leaves [`direct`](Self::direct) alone.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        let direct = self.flags & OFlags::DIRECT;
        self.flags = OFlags::from_bits_retain(flags as u32) & !OFlags::RWMODE | direct;
        self
    }

    /// Past the page cache (`O_DIRECT`): buffers, offsets and lengths are then aligned as [`File::alignment`] says.
    pub fn direct(&mut self, direct: bool) -> &mut Self {
        self.flags.set(OFlags::DIRECT, direct);
        self
    }

    /// Opens the file; relative paths start at the working directory. The descriptor is close-on-exec.
    ///
    /// A named pipe that nobody has opened at the other end is opened as with `O_NONBLOCK`: for reading at once, for writing with `ENXIO`.
    /// With [`create`](Self::create), and where the kernel has the path not at hand, a worker of the kernel's waits for the other end instead,
    /// for as long as it takes or until the future is dropped. There are as many workers as [`workers_max`](crate::uring::Config::workers_max)
    /// says, 16: while named pipes hold all of them, whatever else needs one waits, such as making files and metadata. `O_NONBLOCK` among
    /// [`custom_flags`](Self::custom_flags) keeps an open from waiting.
    ///
    /// If the future is dropped, a file that was opened nevertheless is closed.
    ///
    /// # Errors
    /// Those of `open(2)`, `EINVAL` among them where the file system has no direct I/O;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for options that contradict each other; whatever keeps a ring from being made.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let flags = self.flags | self.access()? | self.creation()?;
        File::open_with(path.as_ref(), flags, Mode::from_raw_mode(self.mode)).await
    }

    fn access(&self) -> io::Result<OFlags> {
        match (self.read, self.write, self.append) {
            (true, false, false) => Ok(OFlags::RDONLY),
            (false, true, false) => Ok(OFlags::WRONLY),
            (true, true, false) => Ok(OFlags::RDWR),
            (false, _, true) => Ok(OFlags::WRONLY | OFlags::APPEND),
            (true, _, true) => Ok(OFlags::RDWR | OFlags::APPEND),
            (false, false, false) => Err(contradiction("a file is opened with `read`, `write` or `append`")),
        }
    }

    fn creation(&self) -> io::Result<OFlags> {
        let makes = self.create || self.create_new;
        if !self.write && !self.append && (self.truncate || makes) {
            return Err(contradiction("`create`, `create_new` and `truncate` go with `write` or `append`"));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(contradiction("`truncate` goes with `write`, not with `append`"));
        }
        Ok(match (self.create, self.truncate, self.create_new) {
            (_, _, true) => OFlags::CREATE | OFlags::EXCL,
            (create, truncate, false) => {
                let mut flags = OFlags::empty();
                flags.set(OFlags::CREATE, create);
                flags.set(OFlags::TRUNC, truncate);
                flags
            }
        })
    }
}

fn contradiction(advice: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, advice)
}
