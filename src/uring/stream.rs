//! The stream of an operation that answers again and again, asked once (multishot) or, where the kernel cannot, once per
//! answer.
//!
//! Which streams there are stands in `ops`; what becomes of the slot and of answers that nobody takes in
//! [`inflight`](crate::inflight). A stream that has taken the last answer asks again when next polled, so that a kernel which
//! ends the operation early (its completion queue was full, the line of untaken answers was, it knows no multishot) shows to
//! nobody.
//!
//! ```text
//!   Idle ──poll: arm──▶ Armed ──poll: an answer──▶ Armed
//!    ▲                   │
//!    └──the last answer──┤   an end or an error
//!                        └──────────────────────▶ Done
//! ```

#![expect(unsafe_code, reason = "the trait promises that entries point only into what the slot keeps")]

use super::Ring;
use super::completion::Completion;
use crate::inflight::{Id, Line, Next};
use futures::stream::Stream;
use io_uring::squeue::Entry;
use rustix::io::Errno;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What answers that nobody takes are given to.
pub(crate) trait Unclaimed {
    /// Releases what the answer brought.
    fn abandon(&self, completion: Completion);

    /// Whether all that is left is memory that a network may still look at: no cancel finds that, and nobody can hasten it.
    fn is_lent(&self) -> bool {
        false
    }
}

/// One kind of operation that answers more than once.
///
/// # Safety
/// All memory that an entry from [`arm`](Self::arm) points to is owned by the value, stays where it is while that does, and is
/// touched by nobody else until the operation has been answered for the last time. (The value itself does not move: it is
/// counted.)
pub unsafe trait Source: 'static {
    /// What the stream yields.
    type Item;

    /// Describes the operation to the kernel on `ring`. Called when none is in flight.
    #[doc(hidden)]
    fn arm(&self, ring: &Rc<Ring>, waker: &Waker) -> Armed;

    /// Makes an item of an answer.
    #[doc(hidden)]
    fn claim(&self, completion: Completion) -> Claimed<Self::Item>;

    /// Releases what an answer brought that nobody takes.
    #[doc(hidden)]
    fn abandon(&self, completion: Completion);

    /// The stream is being dropped; an operation may still be in flight.
    #[doc(hidden)]
    fn leave(&self) {}
}

impl<T: Source> Unclaimed for T {
    fn abandon(&self, completion: Completion) {
        Source::abandon(self, completion);
    }
}

/// What a stream asks of the kernel next.
pub enum Armed {
    /// This.
    Entry(Entry),
    /// Nothing yet: the waker will be woken.
    Wait,
    /// Nothing at all.
    Refused(Errno),
}

/// What an answer means to a stream.
pub enum Claimed<T> {
    /// An item, and others may follow.
    Item(T),
    /// Nothing by itself: to be asked again, if it was the last answer.
    Again,
    /// The last item, if any.
    End(Option<T>),
}

/// A stream of answers to one operation on a [`Ring`].
///
/// The operation starts when the stream is first polled. Dropping the stream cancels it; what it brought that nobody took is
/// released. A consumer that is slow holds at most some 64 answers: then the operation is suspended until they are taken.
#[must_use = "streams start when first polled"]
pub struct Answers<T: Source> {
    ring: Rc<Ring>,
    source: Rc<T>,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Idle,
    Armed(Id),
    Done,
}

impl<T: Source> Answers<T> {
    pub(super) fn new(ring: &Rc<Ring>, source: T) -> Self {
        Self { ring: ring.clone(), source: Rc::new(source), state: State::Idle }
    }

    /// The next item: `None` when the stream has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<T::Item> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What has come already. Never asks the kernel for more, and nobody will be woken: for who is about to drop the stream.
    pub(crate) fn take_untaken(&mut self) -> Option<T::Item> {
        loop {
            let State::Armed(id) = self.state else { return None };
            match self.answer(id, Waker::noop())? {
                Claimed::Item(item) => return Some(item),
                Claimed::End(last) => {
                    self.give_up();
                    return last;
                }
                Claimed::Again => {}
            }
        }
    }

    /// Asks the kernel, if there is something to ask.
    fn arm(&mut self, waker: &Waker) -> Option<Claimed<T::Item>> {
        if self.ring.has_ended() {
            return Some(self.source.claim(Completion::CORE_GONE));
        }
        match self.source.arm(&self.ring, waker) {
            Armed::Entry(entry) => {
                // Cloning a waker may run anything, so it comes before the borrow.
                let waker = waker.clone();
                // SAFETY: `Source` promises that `entry` points only into what this clone keeps.
                let id = unsafe { self.ring.queues().start_stream(entry, self.source.clone(), waker) };
                self.state = State::Armed(id);
                None
            }
            Armed::Wait => None,
            Armed::Refused(errno) => Some(self.source.claim(Completion::refused(errno))),
        }
    }

    /// The next answer, if there is one; otherwise the waker will be woken by it.
    fn answer(&mut self, id: Id, waker: &Waker) -> Option<Claimed<T::Item>> {
        let next = self.ring.queues().next(id, waker);
        match next {
            Next::Answer(completion) => Some(self.source.claim(completion)),
            Next::Last { answer, was_paused } => {
                self.state = State::Idle;
                if was_paused && answer.is(Errno::CANCELED) {
                    return Some(Claimed::Again);
                }
                Some(self.source.claim(answer))
            }
            Next::Pending => None,
            Next::Stale => {
                let fresh = waker.clone();
                let renewed = self.ring.queues().renew(id, fresh);
                match renewed {
                    Ok(_displaced) => None,
                    Err(_fresh) => self.answer(id, waker),
                }
            }
        }
    }

    /// Gives up the operation and what it has brought.
    fn give_up(&mut self) {
        if let State::Armed(id) = std::mem::replace(&mut self.state, State::Done) {
            let (line, _waker) = self.ring.queues().give_up_stream(id);
            self.ring.abandon(&*self.source, line);
        }
    }
}

impl Ring {
    /// Releases what is in line, with nothing borrowed.
    pub(super) fn abandon(&self, source: &dyn Unclaimed, mut line: Line) {
        loop {
            let Some(completion) = self.queues().take(&mut line) else { return };
            source.abandon(completion);
        }
    }
}

/// Nothing is pinned: what the kernel points to is behind the counted pointer.
impl<T: Source> Unpin for Answers<T> {}

impl<T: Source> Stream for Answers<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        loop {
            let claimed = match self.state {
                State::Idle => self.arm(cx.waker()),
                State::Armed(id) => self.answer(id, cx.waker()),
                State::Done => return Poll::Ready(None),
            };
            match claimed {
                Some(Claimed::Item(item)) => return Poll::Ready(Some(item)),
                Some(Claimed::End(last)) => {
                    self.give_up();
                    return Poll::Ready(last);
                }
                Some(Claimed::Again) => {}
                None => return Poll::Pending,
            }
        }
    }
}

impl<T: Source> Drop for Answers<T> {
    fn drop(&mut self) {
        self.give_up();
        self.source.leave();
    }
}

impl<T: Source> fmt::Debug for Answers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_armed = matches!(self.state, State::Armed(_));
        f.debug_struct("Answers").field("is_armed", &is_armed).finish_non_exhaustive()
    }
}
