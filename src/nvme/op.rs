//! The future of one command: queued on first poll, ready with its answer, its buffer kept from harm when dropped.

use super::device::Device;
use super::qpair::{Answer, Held, QueuePair};
use super::spec::Command;
use crate::inflight::{Id, Orphan, Polled};
use crate::sys::dma::DmaAny;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A command on its pair. Yields the answer, none if the pair is closed, and the buffer.
#[must_use = "commands are queued when first polled"]
pub(super) struct Op<'a, D: Device> {
    pair: &'a QueuePair<D>,
    state: State,
}

enum State {
    New(Command, Held),
    Submitted(Id),
    Done,
}

impl<'a, D: Device> Op<'a, D> {
    /// `data` is what the command's data pointer is to lead to.
    #[inline(always)]
    pub(super) fn new(pair: &'a QueuePair<D>, command: Command, data: Option<DmaAny>) -> Self {
        Self { pair, state: State::New(command, data) }
    }

    #[inline(always)]
    fn submit(&mut self, command: Command, held: Held, cx: &Context<'_>) -> Poll<(Option<Answer>, Held)> {
        let data = match &held {
            None => 0..0,
            Some(buffer) => self.pair.link().device().see(buffer),
        };
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = cx.waker().clone();
        let mut queues = self.pair.queues();
        if queues.is_over() {
            drop(queues);
            return Poll::Ready((None, held));
        }
        self.state = State::Submitted(queues.start(command, data, held, waker));
        Poll::Pending
    }

    #[cold]
    fn renew(&mut self, id: Id, cx: &mut Context<'_>) -> Poll<(Option<Answer>, Held)> {
        let waker = cx.waker().clone();
        let renewed = self.pair.queues().ops().renew(id, waker);
        match renewed {
            Ok(_displaced) => Poll::Pending,
            // The answer has come meanwhile.
            Err(_waker) => {
                let polled = self.pair.queues().ops().poll(id, cx.waker());
                let Polled::Ready(held, answer) = polled else { unreachable!("the answer has come") };
                self.state = State::Done;
                Poll::Ready((Some(answer), held))
            }
        }
    }
}

/// Nothing is pinned: what the device touches is the buffer's memory, not the buffer.
impl<D: Device> Unpin for Op<'_, D> {}

impl<D: Device> Future for Op<'_, D> {
    type Output = (Option<Answer>, Held);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Submitted(id) = self.state {
            let polled = self.pair.queues().ops().poll(id, cx.waker());
            return match polled {
                Polled::Ready(held, answer) => {
                    self.state = State::Done;
                    Poll::Ready((Some(answer), held))
                }
                Polled::Pending => Poll::Pending,
                Polled::Stale => self.renew(id, cx),
            };
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::New(command, held) => self.submit(command, held, cx),
            _ => panic!("a command was polled after it had finished"),
        }
    }
}

impl<D: Device> Drop for Op<'_, D> {
    #[inline]
    fn drop(&mut self) {
        if let State::Submitted(id) = self.state {
            give_up(self.pair, id);
        }
    }
}

/// The device may be at the buffer: the slot keeps it until the answer.
#[cold]
fn give_up<D: Device>(pair: &QueuePair<D>, id: Id) {
    let orphan = pair.queues().give_up(id);
    match orphan {
        Orphan::Unsubmitted(held, waker) => drop((held, waker)),
        Orphan::InFlight(waker) => drop(waker),
        Orphan::Answered(held, _) => drop(held),
    }
}
