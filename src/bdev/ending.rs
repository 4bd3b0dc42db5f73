//! An I/O that ends although its module does not answer: aborted, or because its device is gone.
//!
//! ```text
//!              end_at(depth, error)                the submitter at `depth` is polled
//!   Open ─────────────────────────────► Ended ──────────────────────────────────────► drops the module's future
//!    ▲                                    │                                              │ the Io went with it: Lost
//!    └── an answer comes first: as usual ─┘                                              │ the module keeps it: replaced
//! ```
//!
//! `traffic` finds the I/O and says so here; `submitting` acts on it. Where a module keeps the `Io` (on a list of its own, say),
//! the submitters go on with a [replacement](Request::replace), and nobody hears what becomes of the first.

use std::ops::Range;
use std::rc::Rc;

use super::Error;
use super::request::{Request, State};

/// How an I/O shall end, and for whom.
pub(super) struct End {
    /// The submitter at this depth gives it up.
    depth: usize,
    /// Of which I/O.
    serial: u64,
    error: Error,
}

impl Request {
    #[inline(always)]
    pub(super) fn serial(&self) -> u64 {
        self.serial.get()
    }

    #[inline(always)]
    pub(super) fn set_serial(&self, serial: u64) {
        self.serial.set(serial);
    }

    pub(super) fn blocks_range(&self) -> Range<u64> {
        self.lba.get()..self.lba.get().saturating_add(self.blocks.get())
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.depth.get() > 0
    }

    /// Whether a module has it and has not answered.
    pub(super) fn is_with_module(&self) -> bool {
        matches!(self.state.get(), State::Open | State::Ended)
    }

    /// Has the submitter at `depth` give the I/O up with `error`, unless an answer comes first.
    pub(super) fn end_at(&self, depth: usize, error: Error) {
        let earlier = self.take_valid_end();
        let end = match earlier {
            // Who is further out ends it for those within.
            Some(earlier) if earlier.depth <= depth => earlier,
            _ => Box::new(End { depth, serial: self.serial.get(), error }),
        };
        self.end.set(Some(end));
        if self.state.get() != State::Lost {
            self.state.set(State::Ended);
        }
        self.wake();
    }

    fn take_valid_end(&self) -> Option<Box<End>> {
        self.end.take().filter(|end| end.serial == self.serial.get())
    }

    /// The error with which the submitter at `depth` is to give the I/O up, if it is.
    pub(super) fn take_end(&self, depth: usize) -> Option<Error> {
        let end = self.take_valid_end()?;
        if end.depth == depth {
            return Some(end.error);
        }
        self.end.set(Some(end));
        None
    }

    /// A module has taken the answer back.
    pub(super) fn reopen(&self) {
        let end = self.take_valid_end();
        self.state.set(if end.is_some() { State::Ended } else { State::Open });
        self.end.set(end);
    }

    /// A request to go on with at `depth`, in the place of this one, which a module keeps. It has no buffer.
    pub(super) fn replace(self: &Rc<Self>, depth: usize) -> Rc<Self> {
        self.is_replaced.set(true);
        let other = Self::new();
        other.op.set(self.op.get());
        other.lba.set(self.lba.get());
        other.blocks.set(self.blocks.get());
        other.serial.set(self.serial.get());
        other.depth.set(depth);
        *other.original.borrow_mut() = Some(self.clone());
        other
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.is_replaced.get()
    }

    /// Whether it has, directly or not, taken the place of `original`.
    pub(super) fn stands_for(&self, original: &Rc<Self>) -> bool {
        let before = self.original.borrow();
        before.as_ref().is_some_and(|before| Rc::ptr_eq(before, original) || before.stands_for(original))
    }

    /// Moves in for the submitter at `depth`.
    pub(super) fn set_depth(&self, depth: usize) {
        self.depth.set(depth);
    }
}
