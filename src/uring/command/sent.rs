//! The future of one command: queued on first poll, ready with its answer, kept from harm when dropped.

#![expect(unsafe_code, reason = "takes the promise that a command points only into what is kept for it")]

use super::queues::{Kept, Queues};
use super::{CommandRing, Reply, Target};
use crate::inflight::{Id, Orphan};
use crate::sys::dma::DmaChunk;
use crate::uring::completion::Completion;
use io_uring::squeue::Entry128;
use std::cell::RefMut;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A command on its ring. Yields the answer, and what was kept for it.
#[must_use = "commands are queued when first polled"]
pub(crate) struct Sent<'a, H: 'static> {
    ring: &'a CommandRing<H>,
    state: State<H>,
}

enum State<H: 'static> {
    New(Entry128, Kept<H>),
    Submitted(Id),
    Done,
}

impl<H: 'static> CommandRing<H> {
    /// Sends `command` to the driver of `target`, as its `operation`. `chunk` is where its data lies, if that is in a pool's memory, all
    /// in one piece. Dropping the future leaves the command to the driver; `held` is kept until that has answered.
    ///
    /// After the end of the core it answers at once, as [`Reply::is_of_no_core`] tells.
    ///
    /// # Safety
    /// All memory that the command points to is owned by `held`, stays where it is when that moves, and is touched by nobody else while
    /// that exists.
    #[inline]
    pub(crate) unsafe fn send<'a>(
        &'a self,
        target: &Rc<Target<H>>,
        operation: u32,
        command: [u8; 80],
        chunk: Option<DmaChunk>,
        held: H,
    ) -> Sent<'a, H> {
        let entry = self.entry(target, operation, command, chunk);
        // SAFETY: the entry points to what the command does, and to nothing else.
        unsafe { self.carry(entry, target, held) }
    }

    /// Sends what `entry` says.
    ///
    /// # Safety
    /// That of [`send`](Self::send), for all that the entry points to.
    #[inline]
    pub(super) unsafe fn carry<'a>(
        &'a self,
        entry: Entry128,
        target: &Rc<Target<H>>,
        held: H,
    ) -> Sent<'a, H> {
        Sent { ring: self, state: State::New(entry, Kept { held, _target: target.clone() }) }
    }
}

impl Reply {
    /// Of a ring whose core has ended.
    const CORE_GONE: Self = Self { result: Completion::CORE_GONE.result, value: 0 };

    /// Whether the core had ended before the command could begin.
    pub(crate) fn is_of_no_core(self) -> bool {
        self == Self::CORE_GONE
    }
}

impl<H: 'static> Sent<'_, H> {
    fn submit(&mut self, entry: Entry128, kept: Kept<H>, cx: &Context<'_>) -> Poll<(Reply, H)> {
        if self.ring.has_ended.get() {
            return Poll::Ready((Reply::CORE_GONE, kept.held));
        }
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = cx.waker().clone();
        // SAFETY: who made this future promised that `entry` points only into what is kept.
        let id = unsafe { self.ring.queues().start(entry, kept, waker) };
        self.state = State::Submitted(id);
        Poll::Pending
    }
}

/// Nothing is pinned: what the kernel points to is in the slot or behind it.
impl<H: 'static> Unpin for Sent<'_, H> {}

impl<H: 'static> Future for Sent<'_, H> {
    type Output = (Reply, H);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Submitted(id) = self.state {
            let (kept, reply) = ready!(id.ask(|| RefMut::map(self.ring.queues(), Queues::ops), cx));
            self.state = State::Done;
            return Poll::Ready((reply, kept.held));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::New(entry, kept) => self.submit(entry, kept, cx),
            _ => panic!("a command was polled after it had finished"),
        }
    }
}

impl<H: 'static> Drop for Sent<'_, H> {
    #[inline]
    fn drop(&mut self) {
        if let State::Submitted(id) = self.state {
            let orphan = self.ring.queues().give_up(id);
            match orphan {
                Orphan::Unsubmitted(kept, waker) => drop((kept, waker)),
                Orphan::InFlight(waker) => drop(waker),
                Orphan::Answered(kept, _) => drop(kept),
            }
        }
    }
}
