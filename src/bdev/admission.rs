//! Being let in: what an I/O does that finds its device's word not zero.
//!
//! The word is looked at once, when the I/O begins, with nothing in between that could wait: see [`Device::state`]. What finds it set
//! comes here. It waits for the limits of the device first, in the `gate` of its channel, and then, in the poll in which it begins,
//! asks with the lock of `device` taken: it is refused if the device was removed, and waits in order while its blocks are held.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::channel::Inner;
use super::gate::Ticket;
use super::limiter::Use;
use super::request::Buffer;
use super::{Geometry, Io, Op, Result};
use crate::sys::wait_list::Key;

/// Waits until an I/O may begin. It must begin in the poll that says so.
#[must_use]
pub(super) struct Admission<'c> {
    inner: &'c Inner,
    op: Op,
    /// The blocks it is about, if it is about blocks.
    blocks: Option<Range<u64>>,
    /// What it counts for at the limits. None once it was let in by them.
    using: Option<Use>,
    ticket: Option<Ticket>,
    place: Option<Key>,
}

impl<'c> Admission<'c> {
    fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, using: Option<Use>) -> Self {
        let blocks = op.has_range().then(|| lba..lba.saturating_add(blocks));
        Self { inner, op, blocks, using, ticket: None, place: None }
    }

    pub(super) fn of(inner: &'c Inner, io: &Io) -> Self {
        let using = Use::of_io(io, inner.bytes(io.blocks()));
        Self::new(inner, io.op(), io.lba(), io.blocks(), using)
    }
}

impl Future for Admission<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { inner, op, blocks, using, ticket, place } = &mut *self;
        let has_waited = place.is_some() || ticket.is_some();
        if let Some(limited) = *using {
            ready!(inner.poll_limits(limited, ticket, cx))?;
            *using = None;
        }
        if place.is_some() || inner.device.is_barred() {
            ready!(inner.device.poll_admitted(*op, blocks.as_ref(), place, cx))?;
        }
        // The device may have shrunk meanwhile.
        if let Some(blocks) = blocks.as_ref().filter(|_| has_waited) {
            Geometry::check(blocks, inner.device.block_count())?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inner.leave_limits(ticket);
        }
        if let Some(place) = self.place.take() {
            self.inner.device.leave_line(place);
        }
    }
}

/// An I/O of the channel's own that waits to be let in, with what it brings.
#[must_use]
pub(super) struct Waiting<'c> {
    admission: Admission<'c>,
    op: Op,
    lba: u64,
    blocks: u64,
    buffer: Buffer,
}

/// What becomes of a [`Waiting`].
pub(super) struct Admitted {
    pub(super) op: Op,
    pub(super) lba: u64,
    pub(super) blocks: u64,
    pub(super) buffer: Buffer,
    pub(super) result: Result<()>,
}

impl<'c> Waiting<'c> {
    #[cold]
    pub(super) fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Self {
        let using = Use::of(op, inner.bytes(blocks));
        Self { admission: Admission::new(inner, op, lba, blocks, using), op, lba, blocks, buffer }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Admitted> {
        let result = ready!(Pin::new(&mut self.admission).poll(cx));
        let Self { op, lba, blocks, .. } = *self;
        Poll::Ready(Admitted { op, lba, blocks, buffer: self.buffer.take(), result })
    }
}
