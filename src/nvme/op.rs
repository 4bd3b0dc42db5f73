//! The future of one command: queued on first poll, ready with its answer, its payload kept from harm when dropped.

use super::commands::Commands;
use super::device::Device;
use super::pair::Pair;
use super::spec::Command;
use super::{Answer, Error, Payload};
use crate::inflight::{Id, Orphan};
use std::cell::RefMut;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

type Output = (Result<Answer, Error>, Payload);

/// A command on its pair. Yields the answer, and the payload.
#[must_use = "commands are queued when first polled"]
pub struct Op<'a, D: Device> {
    pair: &'a Pair<D>,
    state: State,
}

enum State {
    New(Command, Payload),
    /// One of home's own.
    Own(Command, Payload),
    Submitted(Id),
    Done,
}

impl<'a, D: Device> Op<'a, D> {
    #[inline(always)]
    pub(super) fn new(pair: &'a Pair<D>, command: Command, payload: Payload) -> Self {
        Self { pair, state: State::New(command, payload) }
    }

    /// One of home's own, which goes before all that wait.
    pub(super) fn own(pair: &'a Pair<D>, command: Command, payload: Payload) -> Self {
        Self { pair, state: State::Own(command, payload) }
    }

    #[inline(always)]
    fn submit(&mut self, command: Command, payload: Payload, is_own: bool, cx: &Context<'_>) -> Poll<Output> {
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = cx.waker().clone();
        match self.pair.start(command, payload, is_own, waker) {
            Ok(id) => {
                self.state = State::Submitted(id);
                Poll::Pending
            }
            Err((lost, payload)) => Poll::Ready((Err(lost.error(Duration::ZERO)), payload)),
        }
    }
}

/// Nothing is pinned: what the device touches is the buffers' memory, not the payload.
impl<D: Device> Unpin for Op<'_, D> {}

impl<D: Device> Future for Op<'_, D> {
    type Output = Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        if let State::Submitted(id) = self.state {
            let (payload, done) = ready!(id.ask(|| RefMut::map(self.pair.commands(), Commands::ops), cx));
            self.state = State::Done;
            return Poll::Ready((done.into_result(), payload));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::New(command, payload) => self.submit(command, payload, false, cx),
            State::Own(command, payload) => self.submit(command, payload, true, cx),
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

/// The device may be at the payload: the slot keeps it until the answer.
#[cold]
fn give_up<D: Device>(pair: &Pair<D>, id: Id) {
    let orphan = pair.commands().ops().orphan(id);
    match orphan {
        Orphan::Unsubmitted(payload, waker) => drop((payload, waker)),
        Orphan::InFlight(waker) => drop(waker),
        Orphan::Answered(payload, _) => drop(payload),
    }
}
