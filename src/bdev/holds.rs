//! Blocks that are held: which, and who waits for them.
//!
//! A part of `device`'s [`Life`](super::device::Life). `quiesce` puts holds and lifts them; `admission` asks.

use std::ops::Range;
use std::task::{Context, Poll, Waker};

use super::device::Device;
use super::traffic::overlap;
use super::{Error, Op, Result};
use crate::sys::wait_list::{Key, Verdict, WaitList};

/// What is held of a device, and the I/Os that wait.
#[derive(Default)]
pub(super) struct Holds {
    held: Vec<Hold>,
    next: u64,
    /// In order of arrival. Told together when something has changed, and each looks again.
    waiting: WaitList<()>,
}

struct Hold {
    number: u64,
    /// Without them, everything.
    blocks: Option<Range<u64>>,
    stops: Stops,
}

/// What a hold has wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stops {
    All,
    /// What [changes](Op::is_change) blocks.
    Changes,
}

impl Holds {
    pub(super) fn add(&mut self, blocks: Option<Range<u64>>, stops: Stops) -> u64 {
        self.next += 1;
        self.held.push(Hold { number: self.next, blocks, stops });
        self.next
    }

    /// Lifts a hold. Returns whether none is left.
    pub(super) fn lift(&mut self, number: u64) -> bool {
        self.held.retain(|hold| hold.number != number);
        self.held.is_empty()
    }

    /// Those who wait, to be woken with the lock free.
    #[must_use]
    pub(super) fn release(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while !self.waiting.is_empty() {
            wakers.extend(self.waiting.settle_front(Verdict::Ended));
        }
        wakers
    }

    /// Whether an older hold has some of the blocks of this one. Those that stop changes alone are for an operation in flight, which
    /// whoever holds waits for anyway.
    fn is_behind(&self, number: u64) -> bool {
        let meets = |a: &Option<Range<u64>>, b: &Option<Range<u64>>| match (a, b) {
            (Some(a), Some(b)) => overlap(a, b),
            _ => true,
        };
        let own = self.held.iter().find(|hold| hold.number == number);
        let is_older = |hold: &&Hold| hold.number < number && hold.stops == Stops::All;
        own.is_some_and(|own| self.held.iter().filter(is_older).any(|hold| meets(&hold.blocks, &own.blocks)))
    }

    /// Whether an `op` over `blocks`, or about none, must wait.
    fn stop(&self, op: Op, blocks: Option<&Range<u64>>) -> bool {
        let meets = |hold: &&Hold| match (&hold.blocks, blocks) {
            (None, _) => true,
            (Some(held), Some(blocks)) => overlap(held, blocks),
            (Some(_), None) => false,
        };
        self.held.iter().filter(meets).any(|hold| hold.stops == Stops::All || op.is_change())
    }
}

impl Device {
    /// Lets an `op` over `blocks`, or about none, in, or has it wait in `place`.
    pub(super) fn poll_admitted(
        &self,
        op: Op,
        blocks: Option<&Range<u64>>,
        place: &mut Option<Key>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        self.poll_in_line(|holds| holds.stop(op, blocks), place, cx)
    }

    /// Waits in `place` for older holds of the same blocks.
    pub(super) fn poll_alone(
        &self,
        number: u64,
        place: &mut Option<Key>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        self.poll_in_line(|holds| holds.is_behind(number), place, cx)
    }

    /// Waits in `place` for the end, for who waits for something else that may never come.
    pub(super) fn poll_removed(&self, place: &mut Option<Key>, cx: &mut Context<'_>) -> Poll<Error> {
        self.poll_in_line(|_| true, place, cx)
            .map(|refused| refused.expect_err("it waits unless it is refused"))
    }

    fn poll_in_line(
        &self,
        must_wait: impl FnOnce(&Holds) -> bool,
        place: &mut Option<Key>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        // Cloned before the lock, and what it replaces is dropped behind it: both may run foreign code.
        let mut waker = Some(cx.waker().clone());
        let mut removed = None;
        let mut life = self.life();
        if let Some(key) = place.take() {
            if let Some(Poll::Pending) = life.holds.waiting.poll(&key, cx.waker(), &mut waker) {
                *place = Some(key);
                drop(life);
                return Poll::Pending;
            }
            removed = Some(life.holds.waiting.remove(key));
        }
        let answer = if self.is_removed() {
            Poll::Ready(Err(Error::Removed))
        } else if must_wait(&life.holds) {
            *place = waker.take().map(|waker| life.holds.waiting.push_back((), waker));
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        };
        drop(life);
        drop(removed);
        answer
    }

    pub(super) fn leave_line(&self, place: Key) {
        let removed = self.life().holds.waiting.remove(place);
        drop(removed);
    }
}
