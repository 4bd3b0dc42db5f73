//! I/Os that a module does not take as they are: larger than it takes, across its boundary, or in several buffers. They become
//! several that are in flight together.
//!
//! `emulate` comes here when [`Geometry::takes_whole`](super::Geometry) says no. The pieces share the caller's buffers:
//! split, not copied.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::channel::Inner;
use super::request::{Buffer, Outcome};
use super::submitting::Own;
use super::{Error, Op};
use crate::sys::dma::{DmaAny, DmaBuf};

/// Pieces of one I/O in flight at a time, SPDK's number. Enough to keep a device busy, few enough to poll through.
const WINDOW: usize = 32;

/// An I/O in pieces, a window of them at a time. After an error no further window starts.
///
/// Yields result and buffer; that of a read comes back whole unless a device kept a part of it.
#[must_use]
pub(super) struct Split<'c> {
    inner: &'c Inner,
    op: Op,
    /// The blocks that no piece covers yet.
    lba: u64,
    end: u64,
    rest: Buffer,
    /// What completed windows gave back.
    filled: Buffer,
    /// The buffers of a vectored I/O: up to `done` those that are complete, from `next` on those that no piece has begun.
    list: Vec<Buffer>,
    next: usize,
    done: usize,
    error: Option<Box<Error>>,
    window: Vec<Piece<'c>>,
}

/// One piece of a window.
pub(super) enum Piece<'c> {
    /// And whether it is the last of its buffer.
    Running(Own<'c>, bool),
    Over(Outcome, bool),
}

/// Vectors of earlier windows, for their capacity.
pub(super) type Spare = RefCell<Vec<Vec<Piece<'static>>>>;

impl<'c> Split<'c> {
    /// `blocks` from `lba` on, and the one buffer that they have, if any. Counted by whoever splits.
    pub(super) fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, rest: Buffer) -> Self {
        let window = reuse(inner.spare_windows.borrow_mut().pop().unwrap_or_default());
        Self {
            inner,
            op,
            lba,
            end: lba + blocks,
            rest,
            filled: None,
            list: Vec::new(),
            next: 0,
            done: 0,
            error: None,
            window,
        }
    }

    /// The same in several buffers, each of whole blocks, `blocks` in all.
    pub(super) fn vectored(inner: &'c Inner, op: Op, lba: u64, blocks: u64, list: Vec<Buffer>) -> Self {
        let mut split = Self::new(inner, op, lba, blocks, None);
        split.list = list;
        split
    }

    /// The buffers of a vectored I/O once it is over. None stands for one that a device kept a part of.
    pub(super) fn take_list(&mut self) -> Vec<Buffer> {
        mem::take(&mut self.list)
    }

    fn fill_window(&mut self) {
        while self.lba < self.end && self.window.len() < WINDOW {
            if self.rest.is_none() && self.next < self.list.len() {
                self.rest = self.list[self.next].take();
                self.next += 1;
            }
            // Zeroes and unmaps bring no buffer.
            let left = match &self.rest {
                Some(rest) => rest.place().1 as u64 / u64::from(self.inner.geometry.block_size),
                None => self.end - self.lba,
            };
            let blocks = self.inner.geometry.first_piece(self.op, self.lba, left);
            let is_last = blocks == left;
            let part = if is_last {
                self.rest.take()
            } else {
                front(self.op, &mut self.rest, self.inner.bytes(blocks))
            };
            let own = Own::piece(self.inner, self.op, self.lba, blocks, part);
            self.window.push(Piece::Running(own, is_last));
            self.lba += blocks;
        }
    }

    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = false;
        for piece in &mut self.window {
            if let Piece::Running(own, is_last) = piece {
                match Pin::new(own).poll(cx) {
                    Poll::Ready(outcome) => *piece = Piece::Over(outcome, *is_last),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    }

    fn empty_window(&mut self) {
        for piece in self.window.drain(..) {
            let Piece::Over((error, part), is_last) = piece else {
                unreachable!("the window was polled until it was over")
            };
            self.error = self.error.take().or(error);
            self.filled = join(self.filled.take(), part);
            if is_last && self.done < self.list.len() {
                self.list[self.done] = self.filled.take();
                self.done += 1;
            }
        }
    }

    /// What was not begun joins what was filled.
    fn gather(&mut self) -> Outcome {
        let whole = join(self.filled.take(), self.rest.take());
        if self.list.is_empty() {
            return (self.error.take(), whole);
        }
        if whole.is_some() && self.done < self.list.len() {
            self.list[self.done] = whole;
        }
        (self.error.take(), None)
    }
}

impl Future for Split<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if this.window.is_empty() {
                this.fill_window();
            }
            if this.poll_window(cx).is_pending() {
                return Poll::Pending;
            }
            this.empty_window();
            if this.lba == this.end || this.error.is_some() {
                break;
            }
        }
        Poll::Ready(this.gather())
    }
}

impl Drop for Split<'_> {
    fn drop(&mut self) {
        let window = reuse(mem::take(&mut self.window));
        self.inner.spare_windows.borrow_mut().push(window);
    }
}

/// An empty vector with the same memory for pieces of another lifetime: collecting in place keeps the allocation.
fn reuse<'b>(mut pieces: Vec<Piece<'_>>) -> Vec<Piece<'b>> {
    pieces.clear();
    pieces.into_iter().map(|_| unreachable!("the vector was cleared")).collect()
}

/// Takes the first `bytes` of what an I/O carries.
pub(super) fn front(op: Op, rest: &mut Buffer, bytes: usize) -> Buffer {
    let all = rest.take()?;
    if op == Op::Write {
        let data = all.into_bytes();
        let part = data.slice(..bytes);
        *rest = Some(data.slice(bytes..).into());
        return Some(part.into());
    }
    let mut buf = all.into_buf()?;
    let part = buf.split_to(bytes);
    *rest = Some(buf.into());
    Some(part.into())
}

/// Puts `part` behind what was filled so far. Parts that do not join belong to a read whose buffer a device kept in
/// part: they are dropped. The data of a write need not come back.
pub(super) fn join(filled: Buffer, part: Buffer) -> Buffer {
    let part = part.and_then(DmaAny::into_buf);
    let joined = match (filled.and_then(DmaAny::into_buf), part) {
        (Some(filled), Some(part)) => DmaBuf::unsplit(filled, part).ok(),
        (filled, part) => filled.or(part),
    };
    joined.map(DmaAny::from)
}
