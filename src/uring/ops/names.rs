//! What changes names rather than data: rename, unlink, make directories, links.

#![expect(unsafe_code, reason = "vouches for entries that point to paths")]

use super::open::c_path;
use crate::inflight::Payload;
use crate::uring::Ring;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use io_uring::{opcode, squeue::Entry, types};
use rustix::fs::{AtFlags, CWD, Mode, RenameFlags};
use rustix::io::Errno;
use std::ffi::{CString, c_char};
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

/// One path or two, and what makes the entry of them: the second pointer is null where there is one path.
struct Naming<F> {
    paths: Result<Paths, Errno>,
    entry: F,
}

/// What the slot keeps.
struct Paths(CString, Option<CString>);

impl Payload<Completion> for Paths {}

// SAFETY: the functions below make entries that point to nothing but the paths they are given, which are on the heap, owned by
// `Held`, and never change.
unsafe impl<F> Operation for Naming<F>
where
    F: FnOnce(*const c_char, *const c_char) -> Entry + 'static,
{
    type Held = Paths;
    type Output = io::Result<()>;

    fn prepare(self, _: &Rc<Ring>) -> (Result<Entry, Errno>, Paths) {
        match self.paths {
            Ok(paths) => {
                let second = paths.1.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
                (Ok((self.entry)(paths.0.as_ptr(), second)), paths)
            }
            Err(errno) => (Err(errno), Paths(CString::default(), None)),
        }
    }

    fn finish(_: Paths, completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

fn one(path: &Path) -> Result<Paths, Errno> {
    Ok(Paths(c_path(path)?, None))
}

fn two(first: &Path, second: &Path) -> Result<Paths, Errno> {
    Ok(Paths(c_path(first)?, Some(c_path(second)?)))
}

fn here() -> types::Fd {
    types::Fd(CWD.as_raw_fd())
}

/// Dropping one of these futures once polled leaves open whether the change is made.
impl Ring {
    /// Renames a file or directory, as `flags` say (`renameat2(2)`). Linux 5.11.
    ///
    /// # Errors
    /// Those of `rename(2)`; `EINVAL` for a path with a NUL byte.
    pub fn rename(
        self: &Rc<Self>,
        from: &Path,
        to: &Path,
        flags: RenameFlags,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let entry =
            move |from, to| opcode::RenameAt::new(here(), from, here(), to).flags(flags.bits()).build();
        Op::new(self, Naming { paths: two(from, to), entry })
    }

    /// Removes a name: of a file, or with [`AtFlags::REMOVEDIR`] of an empty directory (`unlinkat(2)`). Linux 5.11.
    ///
    /// # Errors
    /// Those of `unlink(2)` and `rmdir(2)`; `EINVAL` for a path with a NUL byte.
    pub fn unlink(
        self: &Rc<Self>,
        path: &Path,
        flags: AtFlags,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let entry = move |path, _| opcode::UnlinkAt::new(here(), path).flags(flags.bits() as i32).build();
        Op::new(self, Naming { paths: one(path), entry })
    }

    /// Makes a directory (`mkdir(2)`). Linux 5.15.
    ///
    /// # Errors
    /// Those of `mkdir(2)`; `EINVAL` for a path with a NUL byte.
    pub fn make_directory(
        self: &Rc<Self>,
        path: &Path,
        mode: Mode,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let entry = move |path, _| opcode::MkDirAt::new(here(), path).mode(mode.bits()).build();
        Op::new(self, Naming { paths: one(path), entry })
    }

    /// Makes `link` a symbolic link to `target`, which need not exist (`symlink(2)`). Linux 5.15.
    ///
    /// # Errors
    /// Those of `symlink(2)`; `EINVAL` for a path with a NUL byte.
    pub fn symlink(
        self: &Rc<Self>,
        target: &Path,
        link: &Path,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let entry = move |target, link| opcode::SymlinkAt::new(here(), target, link).build();
        Op::new(self, Naming { paths: two(target, link), entry })
    }

    /// Gives the file at `original` a further name (`link(2)`); a symbolic link is not followed. Linux 5.15.
    ///
    /// # Errors
    /// Those of `link(2)`; `EINVAL` for a path with a NUL byte.
    pub fn hard_link(
        self: &Rc<Self>,
        original: &Path,
        link: &Path,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let entry = move |original, link| opcode::LinkAt::new(here(), original, here(), link).build();
        Op::new(self, Naming { paths: two(original, link), entry })
    }
}
