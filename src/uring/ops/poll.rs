//! Waiting until a descriptor is ready: for what a foreign library reads and writes itself.

#![expect(unsafe_code, reason = "vouches for entries")]

use crate::inflight::Payload;
use crate::uring::completion::Completion;
use crate::uring::op::{Op, Operation};
use crate::uring::stream::{Answers, Armed, Claimed, Source};
use crate::uring::{Fd, Features, Link, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::io;
use std::rc::Rc;
use std::task::Waker;

/// The times at which a descriptor becomes ready: see [`Ring::ready_stream`].
pub type ReadyStream = Answers<Readiness>;

/// What the slot of a poll keeps: the file, and what is asked about it.
#[derive(Debug)]
pub struct Readiness {
    fd: Fd,
    events: PollFlags,
}

impl Readiness {
    fn entry(&self, ring: &Rc<Ring>, is_multishot: bool) -> Entry {
        let (fd, fixed) = self.fd.target(ring);
        let events = u32::from(self.events.bits());
        opcode::PollAdd::new(fd, events).multi(is_multishot).build().flags(fixed)
    }

    fn events(completion: Completion) -> io::Result<PollFlags> {
        completion.into_result().map(|events| PollFlags::from_bits_retain(events as u16))
    }
}

impl Payload<Completion> for Readiness {}

// SAFETY: the entry points to no memory.
unsafe impl Operation for Readiness {
    type Held = Self;
    type Output = io::Result<PollFlags>;
    const IS_PATIENT: bool = true;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Self) {
        (Ok(self.entry(ring, false)), self)
    }

    fn finish(_: Self, completion: Completion) -> io::Result<PollFlags> {
        Self::events(completion)
    }
}

// SAFETY: the entries point to no memory.
unsafe impl Source for Readiness {
    type Item = io::Result<PollFlags>;

    fn arm(&self, ring: &Rc<Ring>, _: &Waker) -> Armed {
        Armed::Entry(self.entry(ring, ring.has(Features::POLL_MULTISHOT)))
    }

    fn claim(&self, completion: Completion) -> Claimed<io::Result<PollFlags>> {
        match Self::events(completion) {
            Ok(events) => Claimed::Item(Ok(events)),
            error => Claimed::End(Some(error)),
        }
    }

    fn abandon(&self, _: Completion) {}
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
    ) -> impl Link<Output = io::Result<PollFlags>> + use<> {
        Op::new(self, Readiness { fd: fd.clone(), events })
    }

    /// Yields the events that are true of the file, now and whenever more has come. Read or write until `EAGAIN` after each: what
    /// is left lying may or may not be told of again.
    ///
    /// With a multishot poll (Linux 5.13) the kernel is asked once; before, for each item.
    ///
    /// # Errors
    /// As [`poll_fd`](Self::poll_fd). The stream ends after an error.
    pub fn ready_stream(self: &Rc<Self>, fd: &Fd, events: PollFlags) -> ReadyStream {
        Answers::new(self, Readiness { fd: fd.clone(), events })
    }
}
