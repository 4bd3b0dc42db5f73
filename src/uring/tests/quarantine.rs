//! Buffers whose memory is watched after their release: sanitizers do not see the kernel's writes.

#![expect(unsafe_code, reason = "implements the buffer traits")]

use crate::uring::{IoBuf, IoBufMut};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const CANARY: u8 = 0xc5;
const ALIGN: usize = 4096;

/// Keeps what was released, filled with a canary, until the end of the test.
#[derive(Clone, Default)]
pub(crate) struct Quarantine(Rc<Shared>);

#[derive(Default)]
struct Shared {
    released: RefCell<Vec<Box<[u8]>>>,
    lent: Cell<usize>,
}

/// A page-aligned buffer that goes into quarantine when dropped.
pub(crate) struct Watched {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
    home: Quarantine,
}

impl Quarantine {
    pub(crate) fn lend(&self, len: usize) -> Watched {
        let bytes = vec![0; len + ALIGN].into_boxed_slice();
        let start = bytes.as_ptr().align_offset(ALIGN);
        self.0.lent.set(self.0.lent.get() + 1);
        Watched { bytes, start, len, home: self.clone() }
    }

    /// Buffers handed out and not released.
    pub(crate) fn lent(&self) -> usize {
        self.0.lent.get()
    }

    /// Fails if anybody wrote to a released buffer.
    pub(crate) fn check(&self) {
        for (index, bytes) in self.0.released.borrow().iter().enumerate() {
            let touched = bytes.iter().filter(|byte| **byte != CANARY).count();
            assert_eq!(touched, 0, "released buffer {index} was written to");
        }
    }
}

impl Watched {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }

    pub(super) fn fill(&mut self, byte: u8) {
        self.bytes[self.start..][..self.len].fill(byte);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.bytes.fill(CANARY);
        self.home.0.released.borrow_mut().push(std::mem::take(&mut self.bytes));
        self.home.0.lent.set(self.home.0.lent.get() - 1);
    }
}

// SAFETY: the bytes are on the heap, initialised and owned by the value until it is dropped.
unsafe impl IoBuf for Watched {
    fn as_ptr(&self) -> *const u8 {
        self.bytes().as_ptr()
    }
    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: as above; the quarantine gets the bytes only when the value is gone.
unsafe impl IoBufMut for Watched {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes[self.start..][..self.len].as_mut_ptr()
    }
}
