//! What both receivers do with what they read: await it, drain it, end.

use super::tail::{Park, Tail};
use crate::{sync::error::TryRecvError, sys::sync::hint};
use std::task::{Context, Poll, ready};

/// How often a receiver looks again for a message whose position is claimed: its sender is a few instructions from done,
/// unless its thread was preempted, and then other tasks go first.
const SPINS: usize = if cfg!(all(test, loom)) { 1 } else { 64 };

/// The one reading side of a queue.
pub(super) trait Reader {
    type Item;

    /// Takes the next message if it is written.
    fn pop(&mut self) -> Option<Self::Item>;

    /// Called after one or more `pop`, before the receiver returns: there is room for those who wait for it.
    fn popped(&mut self) {}

    /// The position that `pop` reads next.
    fn position(&self) -> usize;

    fn tail(&self) -> &Tail;

    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(crate::task::budget::proceed(cx));
        if let Some(value) = self.pop() {
            return Poll::Ready(Some(value));
        }
        self.poll_pop_slow(cx)
    }

    fn poll_pop_slow(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        for _ in 0..SPINS {
            match self.tail().park(self.position(), cx.waker()) {
                Park::Waiting => return Poll::Pending,
                Park::Ended => return Poll::Ready(None),
                Park::Moved => {}
            }
            if let Some(value) = self.pop() {
                return Poll::Ready(Some(value));
            }
            hint::spin_loop();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.poll_pop(cx);
        if let Poll::Ready(Some(_)) = polled {
            self.popped();
        }
        polled
    }

    fn poll_recv_many(&mut self, cx: &mut Context<'_>, out: &mut Vec<Self::Item>, max: usize) -> Poll<usize> {
        if max == 0 {
            return Poll::Ready(0);
        }
        self.poll_pop(cx).map(|first| {
            let Some(first) = first else { return 0 };
            out.push(first);
            1 + self.pop_many(out, max - 1)
        })
    }

    /// Takes at most `max` messages that are written, after one that was popped; returns how many.
    fn pop_many(&mut self, out: &mut Vec<Self::Item>, max: usize) -> usize {
        let mut count = 0;
        while count < max {
            let Some(value) = self.pop() else { break };
            out.push(value);
            count += 1;
        }
        self.popped();
        count
    }

    #[inline]
    fn try_recv(&mut self) -> Result<Self::Item, TryRecvError> {
        match self.pop() {
            Some(value) => {
                self.popped();
                Ok(value)
            }
            // The end is the end only at the position that was just found unwritten.
            None if self.tail().is_ended_at(self.position()) => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Drops everything in the queue, which the caller has closed, waiting for the senders that had claimed a position
    /// before: a message left behind would be kept alive by the senders, who may wait for its drop.
    fn drain(&mut self) {
        loop {
            while self.pop().is_some() {}
            if self.tail().load().position() == self.position() {
                return;
            }
            hint::spin_loop();
        }
    }
}
