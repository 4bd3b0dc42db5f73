//! An open file as operations hold it: shared, and closed when the last of them has been answered.

use super::Ring;
use io_uring::{squeue::Flags, types};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};

/// A descriptor shared by the operations on it. Clones share; the last to go closes.
///
/// Every operation in flight holds one, so that the number cannot come to name another file between the call and the
/// `io_uring_enter` that carries it.
#[derive(Clone)]
pub struct Fd(Rc<Open>);

/// So many operations on a file, and it is entered into the ring's table of itself: that takes a system call and another when it is
/// closed, which a file that is read once or twice would not earn back. Where the table was full it is looked again every 256
/// operations.
const USES_TO_REGISTER: u8 = 8;

struct Open {
    registered: OnceCell<Registered>,
    /// Operations so far, until the file is registered: wraps.
    uses: Cell<u8>,
    /// See `at_once`.
    is_copied: Cell<bool>,
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
        let entry = self.0.registered.get();
        if entry.is_none() {
            let uses = self.0.uses.get().wrapping_add(1);
            self.0.uses.set(uses);
            if uses == USES_TO_REGISTER && ring.register(self) {
                return self.target(ring);
            }
        }
        match entry {
            Some(entry) if entry.ring.as_ptr() == Rc::as_ptr(ring) => {
                (types::Fd(entry.index as i32), Flags::FIXED_FILE)
            }
            _ => (types::Fd(self.0.fd.as_raw_fd()), Flags::empty()),
        }
    }

    /// As [`target`](Self::target), for moving so many bytes.
    #[inline]
    pub(super) fn target_of(&self, len: usize, ring: &Rc<Ring>) -> (types::Fd, Flags) {
        let (fd, flags) = self.target(ring);
        let is_for_worker = self.is_copied() && !ring.share.take(len);
        (fd, if is_for_worker { flags | Flags::ASYNC } else { flags })
    }

    /// Whether the core that asks for a transfer copies the bytes itself, if they are there: not past the page cache.
    #[inline]
    pub(crate) fn is_copied(&self) -> bool {
        self.0.is_copied.get()
    }

    pub(super) fn set_copied(&self, is_copied: bool) {
        self.0.is_copied.set(is_copied);
    }

    /// Whether there are clones, or operations under way: those have one each, also after their futures were dropped.
    pub(crate) fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Whether the file is in the table of `ring`.
    pub(super) fn is_registered(&self, ring: &Rc<Ring>) -> bool {
        self.0.registered.get().is_some_and(|entry| entry.ring.as_ptr() == Rc::as_ptr(ring))
    }

    /// The descriptor itself, if no clone and no operation shares it.
    pub(super) fn into_owned(self) -> Option<OwnedFd> {
        Rc::into_inner(self.0).map(|open| open.fd)
    }
}

impl Ring {
    /// Enters the file into this ring's table, so that operations on it cost less here. A file that is used again and again is
    /// entered of itself; this is for those who know from the beginning. Other rings, and this one if its table
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
        fd.is_registered(self)
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
        Self(Rc::new(Open {
            registered: OnceCell::new(),
            uses: Cell::new(0),
            is_copied: Cell::new(false),
            fd,
        }))
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
