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
use super::request::{Buffer, Outcome};
use super::submitting::Own;
use super::traffic::Place;
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
    blocks: u64,
    /// The blocks that no piece covers yet.
    lba: u64,
    end: u64,
    rest: Buffer,
    /// What completed windows gave back.
    filled: Buffer,
    error: Option<Box<Error>>,
    window: Vec<Piece<'c>>,
    is_over: bool,
    serial: u64,
    /// Among what the channel has in flight.
    place: Place,
}

/// One piece of a window.
pub(super) enum Piece<'c> {
    Running(Own<'c>),
    Over(Outcome),
}

/// Vectors of earlier windows, for their capacity.
pub(super) type Spare = RefCell<Vec<Vec<Piece<'static>>>>;

impl<'c> Split<'c> {
    #[cold]
    pub(super) fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, rest: Buffer) -> Self {
        let serial = inner.counters.begin();
        let place = inner.traffic.split(serial, op, lba..lba + blocks);
        let window = reuse(inner.spare_windows.borrow_mut().pop().unwrap_or_default());
        let (filled, error) = (None, None);
        Self {
            inner,
            op,
            blocks,
            lba,
            end: lba + blocks,
            rest,
            filled,
            error,
            window,
            is_over: false,
            serial,
            place,
        }
    }

    fn fill_window(&mut self) {
        while self.lba < self.end && self.window.len() < WINDOW {
            let blocks = self.inner.geometry.first_piece(self.op, self.lba, self.end - self.lba);
            let part = front(self.op, &mut self.rest, self.inner.bytes(blocks));
            self.window.push(Piece::Running(Own::piece(
                self.inner,
                self.serial,
                self.op,
                self.lba,
                blocks,
                part,
            )));
            self.lba += blocks;
        }
    }

    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = false;
        for piece in &mut self.window {
            if let Piece::Running(own) = piece {
                match Pin::new(own).poll(cx) {
                    Poll::Ready(outcome) => *piece = Piece::Over(outcome),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    }

    fn empty_window(&mut self) {
        for piece in self.window.drain(..) {
            let Piece::Over((error, part)) = piece else {
                unreachable!("the window was polled until it was over")
            };
            self.error = self.error.take().or(error);
            self.filled = join(self.filled.take(), part);
        }
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
        this.is_over = true;
        let error = this.error.take();
        this.inner.counters.complete(this.op, this.inner.bytes(this.blocks) as u64, error.is_none());
        Poll::Ready((error, join(this.filled.take(), this.rest.take())))
    }
}

impl Drop for Split<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.counters.give_up();
        }
        let window = reuse(mem::take(&mut self.window));
        self.inner.traffic.joined(&self.place);
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
