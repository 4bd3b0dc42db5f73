//! I/Os larger than a module takes, or across its boundary: several that are in flight together.
//!
//! `channel` comes here when [`Geometry::takes_whole`](super::Geometry) says no. The pieces share the caller's buffer:
//! split, not copied.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::channel::Inner;
use super::request::Buffer;
use super::submitting::Own;
use super::{Op, Result};
use crate::sys::dma::DmaBuf;

/// Pieces of one I/O in flight at a time, SPDK's number. Enough to keep a device busy, few enough to poll through.
const WINDOW: usize = 32;

/// An I/O in pieces, a window of them at a time. After an error no further window starts.
///
/// Yields result and buffer; that of a read comes back whole unless a device kept a part of it.
#[must_use]
pub(super) struct Split<'c> {
    inner: &'c Inner,
    op: Op,
    blocks: u64,
    /// The blocks that no piece covers yet.
    lba: u64,
    end: u64,
    rest: Buffer,
    /// What completed windows gave back.
    filled: Buffer,
    outcome: Result<()>,
    window: Vec<Piece<'c>>,
    is_over: bool,
}

/// One piece of a window.
pub(super) enum Piece<'c> {
    Running(Own<'c>),
    Over(Result<()>, Buffer),
}

/// Vectors of earlier windows, for their capacity.
pub(super) type Spare = RefCell<Vec<Vec<Piece<'static>>>>;

impl<'c> Split<'c> {
    #[cold]
    pub(super) fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, rest: Buffer) -> Self {
        inner.counters.begin();
        let window = reuse(inner.spare_windows.borrow_mut().pop().unwrap_or_default());
        let (filled, outcome) = (Buffer::None, Ok(()));
        Self { inner, op, blocks, lba, end: lba + blocks, rest, filled, outcome, window, is_over: false }
    }

    fn fill_window(&mut self) {
        while self.lba < self.end && self.window.len() < WINDOW {
            let blocks = self.inner.geometry.first_piece(self.lba, self.end - self.lba);
            let part = front(&mut self.rest, self.inner.bytes(blocks));
            self.window.push(Piece::Running(Own::piece(self.inner, self.op, self.lba, blocks, part)));
            self.lba += blocks;
        }
    }

    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = false;
        for piece in &mut self.window {
            if let Piece::Running(own) = piece {
                match Pin::new(own).poll(cx) {
                    Poll::Ready((result, buffer)) => *piece = Piece::Over(result, buffer),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    }

    fn empty_window(&mut self) {
        for piece in self.window.drain(..) {
            let Piece::Over(result, part) = piece else {
                unreachable!("the window was polled until it was over")
            };
            if self.outcome.is_ok() {
                self.outcome = result;
            }
            self.filled = join(mem::take(&mut self.filled), part);
        }
    }
}

impl Future for Split<'_> {
    type Output = (Result<()>, Buffer);

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
            if this.lba == this.end || this.outcome.is_err() {
                break;
            }
        }
        this.is_over = true;
        let outcome = mem::replace(&mut this.outcome, Ok(()));
        this.inner.counters.complete(this.op, this.inner.bytes(this.blocks) as u64, outcome.is_ok());
        Poll::Ready((outcome, join(mem::take(&mut this.filled), mem::take(&mut this.rest))))
    }
}

impl Drop for Split<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.counters.give_up();
        }
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
fn front(buffer: &mut Buffer, bytes: usize) -> Buffer {
    match buffer {
        Buffer::None => Buffer::None,
        Buffer::Read(buf) => Buffer::Read(buf.split_to(bytes)),
        Buffer::Write(data) => {
            let part = data.slice(..bytes);
            *data = data.slice(bytes..);
            Buffer::Write(part)
        }
    }
}

/// Puts `part` behind what was filled so far. Parts that do not join belong to a read whose buffer a device kept in
/// part: they are dropped.
fn join(filled: Buffer, part: Buffer) -> Buffer {
    match (filled, part) {
        (Buffer::None, Buffer::Read(part)) => Buffer::Read(part),
        (Buffer::Read(filled), Buffer::Read(part)) => {
            DmaBuf::unsplit(filled, part).map_or(Buffer::None, Buffer::Read)
        }
        (filled, _) => filled,
    }
}
