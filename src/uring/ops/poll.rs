//! Waiting until a descriptor is ready.

#![expect(unsafe_code, reason = "vouches for entries that point to no memory")]

use crate::inflight::Payload;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{Fd, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::future::Future;
use std::io;
use std::rc::Rc;

struct PollFd(Fd, PollFlags);

/// What the slot of a poll keeps, so that the number keeps naming the file.
struct Polled(#[expect(dead_code, reason = "keeps the descriptor open")] Fd);

impl Payload<Completion> for Polled {}

// SAFETY: the entry points to no memory.
unsafe impl Operation for PollFd {
    type Held = Polled;
    type Output = io::Result<PollFlags>;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Polled) {
        let (fd, flags) = self.0.target(ring);
        let entry = opcode::PollAdd::new(fd, u32::from(self.1.bits())).build().flags(flags);
        (Ok(entry), Polled(self.0))
    }

    fn finish(_: Polled, completion: Completion) -> io::Result<PollFlags> {
        completion.into_result().map(|events| PollFlags::from_bits_retain(events as u16))
    }
}

impl Ring {
    /// Waits until the file is ready for one of `events`, or has failed or been hung up, and yields what it is ready for
    /// (`poll(2)`).
    ///
    /// # Errors
    /// Those of `poll(2)`, with their OS code.
    pub fn poll_fd(
        self: &Rc<Self>,
        fd: &Fd,
        events: PollFlags,
    ) -> impl Future<Output = io::Result<PollFlags>> + use<> {
        Op::new(self, PollFd(fd.clone(), events))
    }
}
