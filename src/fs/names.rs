//! What changes names rather than data. Directories are in `dir`.

use super::way;
use crate::uring::Features;
use rustix::fs::{AtFlags, CWD, RenameFlags};
use std::{
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Renames a file or directory; a file that has the new name is replaced. Both names are in one file system. By a thread before Linux
/// 5.11.
///
/// Dropping the future once polled leaves open whether it is done, here and for the other functions.
///
/// # Errors
/// Those of `rename(2)`: `EXDEV` between file systems; `EINVAL` for a path with a NUL byte.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    renamed(from.as_ref(), to.as_ref(), RenameFlags::empty()).await
}

/// As [`rename`], and fails with `EEXIST` if the new name is taken: of several who try, one succeeds.
///
/// # Errors
/// As [`rename`]; `EINVAL` also where the file system cannot.
pub async fn rename_no_replace(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    renamed(from.as_ref(), to.as_ref(), RenameFlags::NOREPLACE).await
}

/// Has two names change places, atomically.
///
/// # Errors
/// As [`rename`]; `ENOENT` if one is missing; `EINVAL` also where the file system cannot.
pub async fn exchange(one: impl AsRef<Path>, other: impl AsRef<Path>) -> io::Result<()> {
    renamed(one.as_ref(), other.as_ref(), RenameFlags::EXCHANGE).await
}

async fn renamed(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    let ring = way::ring()?;
    if ring.has(Features::RENAME) {
        return ring.rename(from, to, flags).await;
    }
    let (from, to) = (from.to_owned(), to.to_owned());
    way::beside(move || Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)).await
}

/// Removes a name; the file goes with its last name and its last user. By a thread before Linux 5.11.
///
/// # Errors
/// Those of `unlink(2)`: `EISDIR` for a directory; `EINVAL` for a path with a NUL byte.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    unlinked(path.as_ref(), AtFlags::empty()).await
}

/// Removes a file, or with `REMOVEDIR` an empty directory.
pub(super) async fn unlinked(path: &Path, flags: AtFlags) -> io::Result<()> {
    let ring = way::ring()?;
    if ring.has(Features::UNLINK) {
        return ring.unlink(path, flags).await;
    }
    let path = path.to_owned();
    way::beside(move || Ok(rustix::fs::unlinkat(CWD, path, flags)?)).await
}

/// Gives the file at `original` a further name in the same file system; a symbolic link is not followed. By a thread before Linux 5.15.
///
/// # Errors
/// Those of `link(2)`; `EINVAL` for a path with a NUL byte.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    let ring = way::ring()?;
    if ring.has(Features::HARD_LINK) {
        return ring.hard_link(original, link).await;
    }
    let (original, link) = (original.to_owned(), link.to_owned());
    way::beside(move || Ok(rustix::fs::linkat(CWD, original, CWD, link, AtFlags::empty())?)).await
}

/// Makes `link` a symbolic link to `target`, which need not exist and is taken from the link's directory if it is relative. By a thread
/// before Linux 5.15.
///
/// # Errors
/// Those of `symlink(2)`; `EINVAL` for a path with a NUL byte.
pub async fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (target, link) = (target.as_ref(), link.as_ref());
    let ring = way::ring()?;
    if ring.has(Features::SYMLINK) {
        return ring.symlink(target, link).await;
    }
    let (target, link) = (target.to_owned(), link.to_owned());
    way::beside(move || Ok(rustix::fs::symlinkat(target, CWD, link)?)).await
}

/// Where a symbolic link leads. By a thread.
///
/// # Errors
/// Those of `readlink(2)`: `EINVAL` for what is no symbolic link.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    way::beside(move || std::fs::read_link(path)).await
}

/// The absolute path without symbolic links. By a thread.
///
/// # Errors
/// Those of `realpath(3)`.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    way::beside(move || std::fs::canonicalize(path)).await
}

/// Sets the permissions, [`Metadata::mode`](super::Metadata::mode)'s twelve bits, through symbolic links. By a thread.
///
/// # Errors
/// Those of `chmod(2)`.
pub async fn set_permissions(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    way::beside(move || std::fs::set_permissions(path, Permissions::from_mode(mode))).await
}
