//! The operation that does nothing: what a trip through the ring costs.

#![expect(unsafe_code, reason = "vouches for the entry")]

use crate::inflight::Payload;
use crate::uring::Link;
use crate::uring::Ring;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use std::io;
use std::rc::Rc;

struct Nop;

impl Payload<Completion> for () {}

// SAFETY: the entry points to no memory.
unsafe impl Operation for Nop {
    type Held = ();
    type Output = io::Result<()>;

    #[inline]
    fn prepare(self, _: &Rc<Ring>) -> (Result<Entry, Errno>, ()) {
        (Ok(opcode::Nop::new().build()), ())
    }

    #[inline]
    fn finish((): (), completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

impl Ring {
    /// Goes to the kernel and back.
    ///
    /// # Errors
    /// Only what a ring under memory pressure or at its end (`ECANCELED`) answers.
    pub fn nop(self: &Rc<Self>) -> impl Link<Output = io::Result<()>> + use<> {
        Op::new(self, Nop)
    }
}
