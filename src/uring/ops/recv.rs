//! Receiving as a stream, into buffers of a pool.
//!
//! Three ways, the best that the kernel has: a multishot receive that takes a buffer of the shared ring for each message; a
//! receive per message that does the same; or, without shared rings, a poll and then a receive into a buffer taken out here, so
//! that an idle connection holds no buffer.

#![expect(unsafe_code, reason = "vouches for entries that point to a pool's buffers")]

use crate::uring::completion::Completion;
use crate::uring::stream::{Answers, Armed, Claimed, Source};
use crate::uring::{Fd, Features, RecvBuf, RecvPool, Ring};
use io_uring::{opcode, squeue};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::cell::Cell;
use std::io;
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

/// What arrives at a socket: see [`Ring::recv_stream`].
pub type RecvStream = Answers<Receive>;

/// What the slot of a receive keeps: the socket, the pool, and where the stream stands.
pub struct Receive {
    fd: Fd,
    pool: RecvPool,
    /// What has been asked of the kernel last, or is to be asked next.
    step: Cell<Step>,
    /// Whether and how it waits for a buffer.
    hunger: Cell<Hunger>,
    /// Its place in line, from the first time that there was no buffer until it has one.
    ticket: Cell<Option<u64>>,
    /// How many buffers had come back when the kernel was last asked.
    returned: Cell<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    /// Whether the socket is readable: where the kernel would not wait for that, or must not be given a buffer before.
    Poll,
    /// A receive, the kernel choosing the buffer.
    Select,
    /// A receive into a buffer of ours, which is with the operation.
    Into(Option<u16>),
}

#[derive(Clone, Copy, PartialEq)]
enum Hunger {
    /// Not yet, as far as is known.
    None,
    /// There was no buffer.
    Fresh,
    /// In line, or called meanwhile.
    InLine,
}

impl Receive {
    /// Whether the kernel may be asked for what needs a buffer. If not, the stream is in line.
    fn is_served(&self, waker: &Waker) -> bool {
        let ticket = self.ticket.get();
        let is_served = match self.hunger.get() {
            Hunger::None => true,
            Hunger::Fresh => self.pool.has_room(self.returned.get()),
            Hunger::InLine => !ticket.is_some_and(|ticket| self.pool.waits(ticket, waker)),
        };
        match (is_served, self.hunger.get()) {
            (true, _) => self.hunger.set(Hunger::None),
            (false, Hunger::InLine) => {}
            (false, _) => self.get_in_line(waker),
        }
        is_served
    }

    fn get_in_line(&self, waker: &Waker) {
        self.ticket.set(Some(self.pool.wait(self.ticket.get(), waker)));
        self.hunger.set(Hunger::InLine);
    }

    /// Gives up the place in line, or the call that has come.
    fn leave_line(&self) {
        if let Some(ticket) = self.ticket.take() {
            self.pool.leave(ticket);
        }
    }

    fn end(&self, completion: Completion) -> Claimed<io::Result<RecvBuf>> {
        self.leave_line();
        Claimed::End(completion.into_result().err().map(Err))
    }

    fn poll_first(&self) -> Claimed<io::Result<RecvBuf>> {
        self.step.set(Step::Poll);
        Claimed::Again
    }

    fn claim_received(&self, completion: Completion, buffer: Option<u16>) -> Claimed<io::Result<RecvBuf>> {
        match (completion.into_result(), buffer) {
            (Ok(len @ 1..), Some(id)) => {
                self.ticket.set(None);
                Claimed::Item(Ok(self.pool.received(id, len)))
            }
            (_, buffer) => {
                if let Some(id) = buffer {
                    self.pool.give_back(id);
                }
                // A non-blocking socket answers `EAGAIN` where it has nothing; so may one that was readable a moment ago.
                match completion.is(Errno::AGAIN) {
                    true => self.poll_first(),
                    false => self.end(completion),
                }
            }
        }
    }
}

// SAFETY: the entries point to a buffer of the pool, which the value holds and which stays in place, or to no memory. The buffer is
// with the operation alone until its answer, or until the value is dropped, which is after that.
unsafe impl Source for Receive {
    type Item = io::Result<RecvBuf>;

    fn arm(&self, ring: &Rc<Ring>, waker: &Waker) -> Armed {
        let (fd, fixed) = self.fd.target(ring);
        if self.step.get() == Step::Poll {
            let events = u32::from(PollFlags::IN.bits());
            return Armed::Entry(opcode::PollAdd::new(fd, events).build().flags(fixed));
        }
        if !self.is_served(waker) {
            return Armed::Wait;
        }
        self.returned.set(self.pool.returned());
        let entry = match self.pool.group() {
            Some(group) if ring.has(Features::RECV_MULTISHOT) => opcode::RecvMulti::new(fd, group).build(),
            Some(group) => {
                let entry = opcode::Recv::new(fd, ptr::null_mut(), 0).buf_group(group).build();
                entry.flags(squeue::Flags::BUFFER_SELECT)
            }
            None => {
                let Some((id, start, len)) = self.pool.take() else {
                    self.get_in_line(waker);
                    return Armed::Wait;
                };
                self.step.set(Step::Into(Some(id)));
                opcode::Recv::new(fd, start, len).flags(RecvFlags::DONTWAIT.bits() as i32).build()
            }
        };
        Armed::Entry(entry.flags(fixed))
    }

    fn claim(&self, completion: Completion) -> Claimed<io::Result<RecvBuf>> {
        match self.step.get() {
            Step::Poll if completion.into_result().is_ok() => {
                match self.pool.group() {
                    Some(_) => self.step.set(Step::Select),
                    None => {
                        self.step.set(Step::Into(None));
                        self.hunger.set(Hunger::Fresh);
                    }
                }
                Claimed::Again
            }
            Step::Poll => self.end(completion),
            Step::Select if completion.is(Errno::NOBUFS) => {
                self.hunger.set(Hunger::Fresh);
                Claimed::Again
            }
            Step::Select => self.claim_received(completion, completion.buffer()),
            Step::Into(buffer) => {
                self.step.set(Step::Poll);
                self.claim_received(completion, buffer)
            }
        }
    }

    fn abandon(&self, completion: Completion) {
        if let Some(id) = completion.buffer() {
            self.pool.give_back(id);
        }
    }

    fn leave(&self) {
        self.leave_line();
    }
}

impl Drop for Receive {
    /// The last clone goes when the operation has been answered, or was never given to the kernel.
    fn drop(&mut self) {
        if let Step::Into(Some(id)) = self.step.get() {
            self.pool.give_back(id);
        }
    }
}

impl Ring {
    /// Receives what arrives at a stream socket, each time into a buffer of `pool`, until the peer has sent its last. With no
    /// buffer left the stream waits until one comes back, first come, first served: drop what was received soon, or make the pool
    /// large enough for what is held.
    ///
    /// Messages of a datagram socket are items too, cut to the buffers' size; an empty one would end the stream.
    ///
    /// What has arrived and was not taken is lost when the stream is dropped. With a multishot receive (Linux 6.0) a message costs
    /// no entry of its own; before, the stream asks for each, and before Linux 5.19 twice.
    ///
    /// # Errors
    /// Those of `recv(2)`; `ECANCELED` when the ring ends. The stream ends after an error.
    ///
    /// # Panics
    /// If the pool was made by another ring.
    pub fn recv_stream(self: &Rc<Self>, fd: &Fd, pool: &RecvPool) -> RecvStream {
        assert!(pool.is_of(self), "the pool belongs to another ring: make one with `recv_pool` of this one");
        let step = match pool.group() {
            Some(_) => Step::Select,
            None => Step::Poll,
        };
        let receive = Receive {
            fd: fd.clone(),
            pool: pool.clone(),
            step: Cell::new(step),
            hunger: Cell::new(Hunger::None),
            ticket: Cell::new(None),
            returned: Cell::new(0),
        };
        Answers::new(self, receive)
    }
}
