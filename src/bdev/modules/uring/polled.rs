//! A channel's way through the core's polling ring, for as long as the device can be asked for completions.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use rustix::io::Errno;

use crate::uring::{Fd, Ring};

/// The second ring and the file in it.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) ring: Rc<Ring>,
    pub(super) fd: Fd,
    is_refused: Cell<bool>,
}

impl Polled {
    pub(super) fn new(ring: Rc<Ring>, fd: Fd) -> Self {
        Self { ring, fd, is_refused: Cell::new(false) }
    }

    /// The way itself, unless the device has refused it.
    #[inline]
    pub(super) fn open(&self) -> Option<&Self> {
        (!self.is_refused.get()).then_some(self)
    }

    /// Whether the answer means that the device cannot be asked: then this I/O and all further ones go the ordinary way.
    pub(super) fn refuses<T>(&self, answer: &io::Result<T>) -> bool {
        let refuses = answer.as_ref().is_err_and(|e| Errno::from_io_error(e) == Some(Errno::OPNOTSUPP));
        if refuses {
            self.is_refused.set(true);
        }
        refuses
    }
}
