//! An I/O that was checked, on its way: at the door, and then by the module, or by the layer's own hand.

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Channel, Inner};
use crate::bdev::admission::{Admission, Admitted, Waiting};
use crate::bdev::request::{Buffer, Outcome, Taken};
use crate::bdev::submitting::{Own, Rich, Way};
use crate::bdev::timing::Stamp;
use crate::bdev::{Error, Io, Op, Result};
use crate::sys::dma::DmaAny;

/// Carrying out when the device lets the I/O in. The operations that must be fast look for themselves whether the device is open, and
/// `begin`.
impl Inner {
    /// Carries out an I/O that was checked, its buffer where the device can reach it.
    pub(super) fn run(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Entering<'_> {
        self.run_by(Way::of(self.takes_whole(op, lba, blocks)), op, lba, blocks, buffer)
    }

    /// The same, with a buffer at `address`.
    pub(super) fn run_at(
        &self,
        address: usize,
        op: Op,
        lba: u64,
        blocks: u64,
        buffer: Buffer,
    ) -> Entering<'_> {
        self.run_by(self.way_at(address, op, lba, blocks), op, lba, blocks, buffer)
    }

    /// Carries out an I/O that was checked, by the module or by the layer.
    pub(super) fn run_by(&self, way: Way, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Entering<'_> {
        if self.device.is_open() {
            Entering::In(self.begin_by(way, op, lba, blocks, buffer))
        } else if self.device.is_only_timed() {
            Entering::Timed(self.timed_by(way, op, lba, blocks, buffer))
        } else {
            Entering::Waiting(self, Waiting::new(self, op, lba, blocks, buffer), way, self.stamp())
        }
    }

    /// Checks and carries out an I/O that has more than blocks and a buffer. All that it has comes back, also if it is refused.
    pub(super) async fn carry(&self, io: Io) -> (Option<Box<Error>>, Taken) {
        let let_in = async |way| {
            if !self.device.is_open() && !self.device.is_only_timed() {
                Admission::of(self, &io).await?;
            }
            Ok(way)
        };
        let (stamp, op) = (self.stamp(), io.op());
        let way = match self.way(&io) {
            Ok(way) => let_in(way).await,
            Err(e) => Err(e),
        };
        match way {
            Ok(way) => {
                self.take_turn().await;
                let outcome = Rich::new(self, io, way).await;
                self.took(stamp, op);
                outcome
            }
            Err(e) => {
                let request = io.request().clone();
                io.done(Err(e)).accept();
                let (error, buffer) = request.take_answer();
                let taken = request.extra.take(buffer);
                self.traffic.keep(&request);
                (error, taken)
            }
        }
    }

    /// An I/O to fill, for [`carry`](Self::carry).
    pub(super) fn io(&self, op: Op, range: Range<u64>, buffer: Buffer) -> Io {
        let blocks = range.end.saturating_sub(range.start);
        let request = self.traffic.take();
        // What was checked of the I/O that was in it before.
        request.fits.set(0);
        Io::start(request, op, range.start, blocks, buffer)
    }
}

/// Carrying out what was let in, or is done by who holds the device himself.
impl Inner {
    #[inline(always)]
    pub(in crate::bdev) fn begin(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Run<'_> {
        self.begin_by(Way::of(self.takes_whole(op, lba, blocks)), op, lba, blocks, buffer)
    }

    /// The same, with a buffer at `address`.
    #[inline(always)]
    pub(super) fn begin_at(&self, address: usize, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Run<'_> {
        self.begin_by(self.way_at(address, op, lba, blocks), op, lba, blocks, buffer)
    }

    /// The same of a device that takes the time of its I/O.
    #[inline(always)]
    pub(super) fn begin_timed_at(
        &self,
        address: usize,
        op: Op,
        lba: u64,
        blocks: u64,
        buffer: Buffer,
    ) -> Timed<'_> {
        self.timed_by(self.way_at(address, op, lba, blocks), op, lba, blocks, buffer)
    }

    #[inline(always)]
    fn timed_by(&self, way: Way, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Timed<'_> {
        let stamp = self.stamp();
        Timed { inner: self, run: self.begin_by(way, op, lba, blocks, buffer), op, stamp }
    }

    #[inline(always)]
    fn begin_by(&self, way: Way, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Run<'_> {
        Run(Own::new(self, op, lba, blocks, buffer, way))
    }

    #[inline(always)]
    fn way_at(&self, address: usize, op: Op, lba: u64, blocks: u64) -> Way {
        Way::of(self.is_aligned(address) && self.takes_whole(op, lba, blocks))
    }

    /// Has the module carry out a piece of a larger I/O that has more than blocks and a buffer.
    pub(in crate::bdev) async fn go(&self, io: Io) -> (Option<Box<Error>>, Taken) {
        self.take_turn().await;
        Rich::piece(self, io).await
    }

    /// A device that answers at once would otherwise let a task keep the core.
    pub(in crate::bdev) async fn take_turn(&self) {
        poll_fn(crate::task::budget::proceed).await;
    }
}

impl Channel {
    /// Begins an I/O of a module's own, or says why not and gives the buffer back.
    pub(in crate::bdev) fn begin(
        &self,
        op: Op,
        lba: u64,
        blocks: u64,
        buffer: Buffer,
    ) -> Result<Entering<'_>, (Error, Buffer)> {
        match self.0.check_part(op, lba, blocks, &buffer) {
            Ok(way) => Ok(self.0.run_by(way, op, lba, blocks, buffer)),
            Err(e) => Err((e, buffer)),
        }
    }

    /// Bytes in `blocks` of this device.
    pub(in crate::bdev) fn bytes(&self, blocks: u64) -> usize {
        self.0.bytes(blocks)
    }
}

impl Inner {
    fn check_part(&self, op: Op, lba: u64, blocks: u64, buffer: &Buffer) -> Result<Way> {
        if !op.has_range() {
            return Ok(Way::Module);
        }
        self.check(op, &(lba..lba.saturating_add(blocks)))?;
        if let Some((_, len)) = buffer.as_ref().map(DmaAny::place) {
            self.check_len(blocks, len)?;
        }
        let is_native = matches!(op, Op::Read | Op::Write) || self.supported.get().has(op);
        Ok(Way::of(is_native && !self.is_misaligned(buffer) && self.takes_whole(op, lba, blocks)))
    }
}

/// The outcome of an I/O whose buffer nobody wants back.
#[inline(always)]
pub(super) fn ended((error, _): Outcome) -> Result<()> {
    match error {
        None => Ok(()),
        Some(e) => Err(*e),
    }
}

/// An I/O on its way.
#[must_use]
pub(in crate::bdev) struct Run<'c>(Own<'c>);

impl Future for Run<'_> {
    type Output = Outcome;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A device that answers at once would otherwise let a task keep the core.
        ready!(crate::task::budget::proceed(cx));
        Pin::new(&mut self.0).poll(cx)
    }
}

/// The same, of a device that takes the time.
#[must_use]
pub(in crate::bdev) struct Timed<'c> {
    inner: &'c Inner,
    run: Run<'c>,
    op: Op,
    stamp: Stamp,
}

impl Future for Timed<'_> {
    type Output = Outcome;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.run).poll(cx));
        self.inner.took(self.stamp, self.op);
        Poll::Ready(outcome)
    }
}

/// An I/O at the door, and behind it.
#[must_use]
pub(in crate::bdev) enum Entering<'c> {
    Waiting(&'c Inner, Waiting<'c>, Way, Stamp),
    In(Run<'c>),
    /// The same, of a device that was not open.
    Timed(Timed<'c>),
}

impl Future for Entering<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::In(run) => return Pin::new(run).poll(cx),
                Self::Timed(timed) => return Pin::new(timed).poll(cx),
                Self::Waiting(inner, waiting, way, stamp) => {
                    let Admitted { op, lba, blocks, buffer, result } = ready!(waiting.poll(cx));
                    if let Err(e) = result {
                        return Poll::Ready((Some(Box::new(e)), buffer));
                    }
                    let run = inner.begin_by(*way, op, lba, blocks, buffer);
                    *self = Self::Timed(Timed { inner, run, op, stamp: *stamp });
                }
            }
        }
    }
}
