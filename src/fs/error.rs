//! What goes wrong with files beyond the OS code: how far a transfer came, and which alignment it should have had.

use super::Alignment;
use rustix::io::Errno;
use std::{error::Error, fmt, io};

/// A transfer that stopped before all of its bytes had gone.
///
/// Turns into its [`source`](Self::source) where an [`io::Error`] is wanted, so that `?` keeps the OS code.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incomplete {
    /// How many bytes had gone before.
    pub done: usize,
    /// What stopped it: [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) at the end of the file,
    /// [`WriteZero`](io::ErrorKind::WriteZero) if the kernel takes no more, or an error of the system.
    pub source: io::Error,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped after {} bytes: {}", self.done, self.source)
    }
}

impl Error for Incomplete {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Incomplete> for io::Error {
    fn from(incomplete: Incomplete) -> Self {
        incomplete.source
    }
}

/// A read or write past the page cache (`O_DIRECT`) that was not aligned as the file wants it.
///
/// Stands in an [`io::Error`] of kind [`InvalidInput`](io::ErrorKind::InvalidInput), in place of the kernel's bare `EINVAL`, which is its
/// source.
///
/// ```
/// use reactor::fs::{File, Misaligned, OpenOptions};
///
/// # #[reactor::main]
/// # async fn main() -> reactor::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
/// # reactor::fs::write(&path, vec![0; 8192]).await?;
/// # let Ok(file) = OpenOptions::new().read(true).direct(true).open(&path).await else { return Ok(()) };
/// let (read, _) = file.read_at(vec![0; 100], 7).await;
/// # if read.is_ok() { return Ok(()) } // This file system takes anything.
/// let error = read.unwrap_err();
/// let misaligned = error.get_ref().and_then(|e| e.downcast_ref::<Misaligned>()).unwrap();
/// println!("{misaligned}; offsets in multiples of {}", misaligned.alignment.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Misaligned {
    /// What the file wants.
    pub alignment: Alignment,
    /// Where in the file the transfer was to begin.
    pub offset: u64,
    /// How many bytes it was to carry.
    pub len: usize,
    /// Where in memory the buffer begins.
    pub address: usize,
    source: io::Error,
}

impl Misaligned {
    /// The error for a transfer that the kernel refused; `None` if its alignment was not the reason.
    pub(super) fn new(alignment: Alignment, offset: u64, len: usize, address: usize) -> Option<Self> {
        let source = Errno::INVAL.into();
        (!alignment.fits(offset, len, address)).then_some(Self { alignment, offset, len, address, source })
    }
}

impl fmt::Display for Misaligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alignment { offset, memory } = self.alignment;
        write!(f, "direct I/O to this file takes offsets and lengths in multiples of {offset} bytes ")?;
        write!(f, "and buffers that begin at multiples of {memory}: ")?;
        write!(f, "this was {} bytes at offset {}, the buffer at {:#x}", self.len, self.offset, self.address)
    }
}

impl Error for Misaligned {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Misaligned> for io::Error {
    fn from(misaligned: Misaligned) -> Self {
        Self::new(io::ErrorKind::InvalidInput, misaligned)
    }
}
