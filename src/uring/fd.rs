//! An open file as operations hold it: shared, and closed when the last of them has been answered.

use super::Ring;
use io_uring::{squeue::Flags, types};
use std::cell::OnceCell;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};

/// A descriptor shared by the operations on it. Clones share; the last to go closes.
///
/// Every operation in flight holds one, so that the number cannot come to name another file between the call and the
/// `io_uring_enter` that carries it.
#[derive(Clone)]
pub struct Fd(Rc<Open>);

struct Open {
    registered: OnceCell<Registered>,
    fd: OwnedFd,
}

/// An entry in a ring's table of files, freed when dropped.
struct Registered {
    ring: Weak<Ring>,
    index: u32,
}

impl Fd {
    /// How an entry on `ring` names the file: what goes into it as descriptor, and the flag that goes with it.
    #[inline]
    pub(super) fn target(&self, ring: &Rc<Ring>) -> (types::Fd, Flags) {
        match self.0.registered.get() {
            Some(entry) if entry.ring.as_ptr() == Rc::as_ptr(ring) => {
                (types::Fd(entry.index as i32), Flags::FIXED_FILE)
            }
            _ => (types::Fd(self.0.fd.as_raw_fd()), Flags::empty()),
        }
    }

    /// The descriptor itself, if no clone and no operation shares it.
    pub(super) fn into_owned(self) -> Option<OwnedFd> {
        Rc::into_inner(self.0).map(|open| open.fd)
    }
}

impl Ring {
    /// Enters the file into this ring's table, so that operations on it cost less here. Other rings, and this one if its table
    /// is full or the kernel has none, go by the descriptor as before. Costs a system call, and another when the file is
    /// closed; a file is in one ring's table at most.
    ///
    /// Returns whether the file is in this ring's table.
    pub fn register(self: &Rc<Self>, fd: &Fd) -> bool {
        if fd.0.registered.get().is_none() {
            let index = self.queues().register(fd.as_raw_fd());
            if let Some(index) = index {
                let entry = Registered { ring: Rc::downgrade(self), index };
                assert!(fd.0.registered.set(entry).is_ok(), "looked above");
            }
        }
        fd.target(self).1 == Flags::FIXED_FILE
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(ring) = self.ring.upgrade() {
            ring.queues().unregister(self.index);
        }
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Self {
        Self(Rc::new(Open { registered: OnceCell::new(), fd }))
    }
}

impl From<std::fs::File> for Fd {
    fn from(file: std::fs::File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fd").field(&self.as_raw_fd()).finish()
    }
}
