//! What a listener's ring has accepted before anybody took it, and who is accepting.
//!
//! An [`Incoming`](super::Incoming) that is dropped has connections in line which nobody else would ever see. It leaves them here for
//! the listener's next accept, unless somebody accepts at the same time: that one waits for the kernel, and would not learn of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

#[derive(Default)]
pub(super) struct Ahead {
    /// Oldest first.
    connections: RefCell<VecDeque<OwnedFd>>,
    acceptors: Cell<usize>,
}

impl Ahead {
    /// Counts one who accepts, until the value is dropped.
    pub(super) fn enter(&self) -> Acceptor<'_> {
        self.acceptors.set(self.acceptors.get() + 1);
        Acceptor(self)
    }
}

/// One who accepts.
#[must_use = "counted until dropped"]
pub(super) struct Acceptor<'a>(&'a Ahead);

impl Acceptor<'_> {
    /// The oldest connection that was left.
    pub(super) fn take(&self) -> Option<OwnedFd> {
        self.0.connections.borrow_mut().pop_front()
    }

    /// Leaves a connection to whoever accepts next, or closes it if somebody does already.
    pub(super) fn leave(&self, connection: OwnedFd) {
        if self.0.acceptors.get() == 1 {
            self.0.connections.borrow_mut().push_back(connection);
        }
    }
}

impl Drop for Acceptor<'_> {
    fn drop(&mut self) {
        self.0.acceptors.set(self.0.acceptors.get() - 1);
    }
}
