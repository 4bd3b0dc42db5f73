//! The future of one command: queued on first poll, ready with its answer, its payload kept from harm when dropped.

use super::Payload;
use super::commands::{Commands, Name};
use super::device::Device;
use super::done::Lost;
use super::pair::Pair;
use super::queue::Answered;
use super::spec::Command;
use crate::inflight::{Id, Orphan};
use std::cell::RefMut;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

type Output = (Answered, Payload);

/// A command on its pair. Yields the answer, and the payload.
#[must_use = "commands are queued when first polled"]
pub struct Op<'a, D: Device, Ask> {
    pair: &'a Pair<D>,
    /// Until the command is queued; from then on the pair keeps it.
    payload: Option<Payload>,
    state: State<Ask>,
}

enum State<Ask> {
    New(Ask),
    /// One of home's own.
    Own(Ask),
    Submitted(Name),
    Done,
}

impl<'a, D: Device, Ask: Fn() -> Command> Op<'a, D, Ask> {
    /// The command that `ask` makes.
    #[inline(always)]
    pub(super) fn new(pair: &'a Pair<D>, ask: Ask, payload: Payload) -> Self {
        Self { pair, payload: Some(payload), state: State::New(ask) }
    }

    /// One of home's own, which goes before all that wait.
    pub(super) fn own(pair: &'a Pair<D>, ask: Ask, payload: Payload) -> Self {
        Self { pair, payload: Some(payload), state: State::Own(ask) }
    }

    /// Nothing is moved that something could fail behind: it would be copied to memory first, to be dropped then.
    #[inline(always)]
    fn submit(&mut self, cx: &Context<'_>) -> Poll<Output> {
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = cx.waker().clone();
        let (command, is_own) = match &self.state {
            State::New(ask) => (ask(), false),
            State::Own(ask) => (ask(), true),
            _ => panic!("a command was polled after it had finished"),
        };
        match self.pair.start(command, &mut self.payload, is_own, waker) {
            Ok(name) => {
                self.state = State::Submitted(name);
                Poll::Pending
            }
            Err(lost) => Poll::Ready(self.refuse(lost)),
        }
    }

    #[cold]
    fn refuse(&mut self, lost: Lost) -> Output {
        self.state = State::Done;
        let payload = self.payload.take().expect("it was not queued");
        (Err(Box::new(lost.error(Duration::ZERO))), payload)
    }
}

/// Nothing is pinned: what the device touches is the buffers' memory, not the payload.
impl<D: Device, Ask> Unpin for Op<'_, D, Ask> {}

impl<D: Device, Ask: Fn() -> Command> Future for Op<'_, D, Ask> {
    type Output = Output;

    /// Inlined, as its answer would be written in words and read back in vectors, which waits for the stores.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let State::Submitted(name) = self.state else { return self.submit(cx) };
        let ops = || RefMut::map(self.pair.commands(), Commands::ops);
        let (payload, done) = ready!(Id::from_bits(name).ask(ops, cx));
        self.state = State::Done;
        Poll::Ready((done.into_result(), payload))
    }
}

impl<D: Device, Ask> Drop for Op<'_, D, Ask> {
    #[inline]
    fn drop(&mut self) {
        if let State::Submitted(name) = self.state {
            give_up(self.pair, Id::from_bits(name));
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
