//! The future of one operation: given to the kernel on first poll, ready with its answer, kept from harm when dropped.
//!
//! Which operations there are stands in `ops`; what becomes of the slot in [`inflight`](crate::inflight).

#![expect(unsafe_code, reason = "the trait promises that entries point only into what the slot keeps")]

use super::Ring;
use super::completion::Completion;
use super::link::Linked;
use super::queues::{Chaining, Holds, Queues};
use crate::inflight::{Id, Orphan, Parcel, Payload};
use io_uring::squeue::Entry;
use rustix::io::Errno;
use std::cell::RefMut;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// One kind of operation.
///
/// # Safety
/// All memory that the entry from [`prepare`](Self::prepare) points to is owned by the `Held` beside it, stays where it is
/// when that moves, and is touched by nobody else while that exists.
pub(super) unsafe trait Operation: 'static {
    /// What the kernel may use until it has answered: buffer, path, file. At most six words, or each operation allocates.
    type Held: Payload<Completion>;
    /// What awaiting yields.
    type Output;
    /// Whether dropping the future asks the kernel to give up the operation.
    const CANCELLED_BY_DROP: bool = true;
    /// Whether the operation waits for a peer, who may never come, and not for a device: then it does not count against
    /// [`Config::in_flight_max`](super::Config::in_flight_max).
    const IS_PATIENT: bool = false;

    /// Which kinds of the kernel's workers it may hold for as long as a peer likes. None of what can be linked does.
    #[inline]
    fn holds(&self) -> Holds {
        [false; 2]
    }

    /// Describes the operation to the kernel on `ring`, or says why it cannot be asked.
    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Self::Held);

    /// Makes the output of the answer.
    fn finish(held: Self::Held, completion: Completion) -> Self::Output;
}

/// An operation on a [`Ring`] as a future.
#[must_use = "operations start when first polled"]
pub(super) struct Op<T: Operation> {
    ring: Rc<Ring>,
    state: State<T>,
}

enum State<T: Operation> {
    New(T),
    Submitted(Id),
    /// Part of a chain that does not run.
    Refused(T::Held, Completion),
    Done,
}

impl<T: Operation> Op<T> {
    pub(super) fn new(ring: &Rc<Ring>, operation: T) -> Self {
        Self { ring: ring.clone(), state: State::New(operation) }
    }

    fn submit(&mut self, operation: T, cx: &Context<'_>) -> Poll<T::Output> {
        let holds = operation.holds();
        let (entry, held) = operation.prepare(&self.ring);
        let refused = match entry {
            Ok(entry) if !self.ring.has_ended() => {
                // Cloning a waker may run anything, so it comes before the borrow.
                let waker = cx.waker().clone();
                let mut queues = self.ring.queues();
                // SAFETY: `Operation` promises that `entry` points only into `held`.
                let id = unsafe { queues.start(entry, held, waker, T::IS_PATIENT) };
                if holds != [false; 2] {
                    queues.nudge_later(holds);
                }
                drop(queues);
                self.state = State::Submitted(id);
                return Poll::Pending;
            }
            Ok(_) => Completion::CORE_GONE,
            Err(errno) => Completion::refused(errno),
        };
        Poll::Ready(T::finish(held, refused))
    }
}

/// Nothing is pinned: what the kernel points to is in the slot or behind it.
impl<T: Operation> Unpin for Op<T> {}

impl<T: Operation> Future for Op<T> {
    type Output = T::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        if let State::Submitted(id) = self.state {
            let (parcel, completion) = ready!(id.ask(|| RefMut::map(self.ring.queues(), Queues::ops), cx));
            self.state = State::Done;
            return Poll::Ready(T::finish(parcel.take(), completion));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::New(operation) => self.submit(operation, cx),
            State::Refused(held, completion) => Poll::Ready(T::finish(held, completion)),
            _ => panic!("an operation was polled after it had finished"),
        }
    }
}

type Left = Orphan<Parcel<Completion>, Completion>;

fn release(orphan: Left) {
    match orphan {
        Orphan::Unsubmitted(parcel, waker) => drop((parcel, waker)),
        Orphan::InFlight(waker) => drop(waker),
        Orphan::Answered(parcel, completion) => parcel.abandon(completion),
    }
}

#[cold]
fn give_up(ring: &Ring, id: Id, cancel: bool) {
    let orphan = ring.queues().give_up(id, cancel);
    release(orphan);
}

impl<T: Operation> Linked for Op<T> {
    type Staged = (Result<Entry, Errno>, T::Held, Waker);
    type Left = Option<Left>;
    const SHAPE: (usize, bool) = (1, T::IS_PATIENT);

    fn ring(&self) -> &Rc<Ring> {
        &self.ring
    }

    fn stage(&mut self, cx: &Context<'_>) -> (Self::Staged, bool) {
        let State::New(operation) = std::mem::replace(&mut self.state, State::Done) else {
            panic!("an operation was linked after it had been polled")
        };
        let (entry, held) = operation.prepare(&self.ring);
        let can_ask = entry.is_ok();
        ((entry, held, cx.waker().clone()), can_ask)
    }

    fn queue(&mut self, (entry, held, waker): Self::Staged, queues: &mut Queues, chain: Chaining) {
        let entry = entry.expect("the kernel can be asked");
        // SAFETY: `Operation` promises that `entry` points only into `held`, which moves into the parcel.
        let id = unsafe { queues.queue_linked(entry, Parcel::new(held), waker, T::IS_PATIENT, chain) };
        self.state = State::Submitted(id);
    }

    fn refuse(&mut self, (entry, held, _waker): Self::Staged, other: Completion) {
        self.state = State::Refused(held, entry.err().map_or(other, Completion::refused));
    }

    fn give_up(&mut self, queues: &mut Queues) -> Option<Left> {
        let State::Submitted(id) = self.state else { return None };
        self.state = State::Done;
        Some(queues.give_up(id, T::CANCELLED_BY_DROP))
    }

    fn release(left: Option<Left>) {
        if let Some(orphan) = left {
            release(orphan);
        }
    }
}

impl<T: Operation> Drop for Op<T> {
    #[inline]
    fn drop(&mut self) {
        if let State::Submitted(id) = self.state {
            give_up(&self.ring, id, T::CANCELLED_BY_DROP);
        }
    }
}
