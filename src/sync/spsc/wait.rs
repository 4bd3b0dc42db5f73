//! How either side of the ring waits for the other.
//!
//! A look at the other side's word takes its cache line away from the side that writes it, and so the side that is ahead would slow
//! the other down message by message, only to find one message at a time. A side that has caught up in a stream therefore keeps off
//! for a moment, as long as some crossings of a line, and finds many at its next look; other tasks run meanwhile.
//!
//! ```text
//!              known: ready                    more than STREAM since the last time
//!   poll ──▶ keeps off? ──no──▶ look ──nothing──▶ keep off, in the run queue
//!                ▲                 └─────────────────▶ park (few messages: latency counts)
//!                └──────────── next poll ◀────────────┘
//! ```

use crate::sync::error::Closed;
use std::{
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

/// So many messages from one fruitless look to the next are a stream: a cache line of small ones.
const STREAM: usize = 8;

/// Some two crossings of a line between two virtual cores where it is slow (400 ns there and back here), ten where it is fast: it
/// doubles what goes through the ring one at a time where lines are fast, and adds a third where they are slow.
const KEEP_OFF: Duration = Duration::from_micros(1);

/// What a side that wants to wait is told.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Park {
    /// Nothing has changed; the waker will be woken.
    Waiting,
    /// The other side has moved: there is something now.
    Moved,
    /// The other side is gone or closed.
    Ended,
}

/// A side of the ring. What it waits for is values for the one, room for the other.
pub(super) trait Side {
    /// How many there are that it knows of.
    fn known(&self) -> usize;

    /// The same after a look at the other side's word, if it knew of none.
    fn look(&mut self) -> usize;

    /// How many it has used so far. Wraps.
    fn used(&self) -> usize;

    fn pace(&mut self) -> &mut Pace;

    /// Waits for the other side's word to move: to be called when a look found none.
    fn park(&mut self, waker: &Waker) -> Park;

    /// Ready with how many there are, or if none will come. Spends one unit of the budget.
    #[inline]
    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        ready!(crate::task::budget::proceed(cx));
        match self.known() {
            0 => self.poll_more(cx),
            known => Poll::Ready(Ok(known)),
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        if self.pace().keeps_off() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match self.look() {
                0 => {}
                found => return Poll::Ready(Ok(found)),
            }
            let used = self.used();
            if self.pace().is_ahead(used) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.park(cx.waker()) {
                Park::Waiting => return Poll::Pending,
                Park::Moved => {}
                Park::Ended => return Poll::Ready(Err(Closed)),
            }
        }
    }
}

/// When a side looks again that is ahead of the other.
#[derive(Default)]
pub(super) struct Pace {
    /// What it had used when a look last found nothing.
    used: usize,
    /// When it found nothing in a stream.
    since: Option<Instant>,
}

impl Pace {
    /// Whether it is too early to look.
    fn keeps_off(&mut self) -> bool {
        let is_early = self.since.is_some_and(|since| since.elapsed() < KEEP_OFF);
        if !is_early {
            self.since = None;
        }
        is_early
    }

    /// A look found nothing: whether to keep off for a while, instead of waiting to be woken.
    fn is_ahead(&mut self, used: usize) -> bool {
        let is_stream = used.wrapping_sub(self.used) >= STREAM;
        self.used = used;
        if is_stream {
            self.since = Some(Instant::now());
        }
        is_stream
    }
}
