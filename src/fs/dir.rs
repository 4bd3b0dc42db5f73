//! Directories made and removed. Reading them is in `read_dir`.

use super::{metadata, names, way};
use crate::uring::Features;
use rustix::fs::{AtFlags, CWD, Mode};
use std::{io, path::Path};

/// Less the process's umask.
const MODE: Mode = Mode::from_bits_retain(0o777);

/// Makes a directory. By a thread before Linux 5.15.
///
/// Dropping the future once polled leaves open whether it is done.
///
/// # Errors
/// Those of `mkdir(2)`: `EEXIST`, `ENOENT` if its parent is missing; `EINVAL` for a path with a NUL byte.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let ring = way::ring()?;
    if ring.has(Features::MAKE_DIRECTORY) {
        return ring.make_directory(path, MODE).await;
    }
    let path = path.to_owned();
    way::beside(move || Ok(rustix::fs::mkdirat(CWD, path, MODE)?)).await
}

/// Makes a directory and those above it that are missing. That it is there already is no error.
///
/// ```
/// # #[reactor::main]
/// # async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let deep = dir.path().join("a/b/c");
/// reactor::fs::create_dir_all(&deep).await?;
/// assert!(reactor::fs::metadata(&deep).await?.is_dir());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`create_dir`]; `EEXIST` or `ENOTDIR` if something else has one of the names. Those made before the error stay.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    // Upwards until one could be made or is there, then down again.
    let mut missing = Vec::new();
    let mut at = path;
    while !at.as_os_str().is_empty() {
        match create_dir(at).await {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(at),
            Err(_) if is_dir(at).await => break,
            Err(error) => return Err(error),
        }
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    for below in missing.into_iter().rev() {
        match create_dir(below).await {
            Ok(()) => {}
            // Somebody else was faster.
            Err(_) if is_dir(below).await => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn is_dir(path: &Path) -> bool {
    metadata(path).await.is_ok_and(|metadata| metadata.is_dir())
}

/// Removes an empty directory. By a thread before Linux 5.11.
///
/// # Errors
/// Those of `rmdir(2)`: `ENOTEMPTY`, `ENOTDIR`; `EINVAL` for a path with a NUL byte.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    names::unlinked(path.as_ref(), AtFlags::REMOVEDIR).await
}

/// Removes a directory with all that is in it; symbolic links in it are removed, not followed. By a thread.
///
/// Dropping the future once polled does not stop it.
///
/// # Errors
/// As [`std::fs::remove_dir_all`]. What was removed before the error is gone.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    way::beside(move || std::fs::remove_dir_all(path)).await
}
