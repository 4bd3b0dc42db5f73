//! An I/O that was checked, on its way: at the door, whole, or in pieces.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Channel, Inner};
use crate::bdev::admission::{Admitted, Waiting};
use crate::bdev::request::{Buffer, Outcome};
use crate::bdev::split::Split;
use crate::bdev::submitting::Own;
use crate::bdev::{Error, Op, Result};
use crate::sys::dma::DmaAny;

impl Inner {
    /// Carries out an I/O that was checked, when the device lets it in. The operations that must be fast look for themselves whether
    /// the device is open, and [`begin`](Self::begin).
    pub(super) fn run(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Entering<'_> {
        if self.device.is_open() {
            Entering::In(self.begin(op, lba, blocks, buffer))
        } else {
            Entering::Waiting(self, Waiting::new(self, op, lba, blocks, buffer))
        }
    }

    /// Carries out an I/O that was let in, or of who holds the device himself.
    #[inline(always)]
    pub(in crate::bdev) fn begin(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Run<'_> {
        if self.takes_whole(op, lba, blocks) {
            Run::Whole(Own::new(self, op, lba, blocks, buffer))
        } else {
            Run::Split(Split::new(self, op, lba, blocks, buffer))
        }
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
            Ok(()) => Ok(self.0.run(op, lba, blocks, buffer)),
            Err(e) => Err((e, buffer)),
        }
    }

    /// Bytes in `blocks` of this device.
    pub(in crate::bdev) fn bytes(&self, blocks: u64) -> usize {
        self.0.bytes(blocks)
    }
}

impl Inner {
    fn check_part(&self, op: Op, lba: u64, blocks: u64, buffer: &Buffer) -> Result<()> {
        if !op.has_range() {
            return Ok(());
        }
        self.check(op, &(lba..lba.saturating_add(blocks)))?;
        match buffer.as_ref().map(DmaAny::place) {
            Some((address, len)) => self.check_buffer(blocks, address, len),
            None => Ok(()),
        }
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

/// An I/O on its way, whole or in pieces.
#[must_use]
pub(in crate::bdev) enum Run<'c> {
    Whole(Own<'c>),
    Split(Split<'c>),
}

impl Future for Run<'_> {
    type Output = Outcome;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A device that answers at once would otherwise let a task keep the core.
        ready!(crate::task::budget::proceed(cx));
        match &mut *self {
            Self::Whole(own) => Pin::new(own).poll(cx),
            Self::Split(split) => Pin::new(split).poll(cx),
        }
    }
}

/// An I/O at the door, and behind it.
#[must_use]
pub(in crate::bdev) enum Entering<'c> {
    Waiting(&'c Inner, Waiting<'c>),
    In(Run<'c>),
}

impl Future for Entering<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::In(run) => return Pin::new(run).poll(cx),
                Self::Waiting(inner, waiting) => {
                    let Admitted { op, lba, blocks, buffer, result } = ready!(waiting.poll(cx));
                    if let Err(e) = result {
                        return Poll::Ready((Some(Box::new(e)), buffer));
                    }
                    *self = Self::In(inner.begin(op, lba, blocks, buffer));
                }
            }
        }
    }
}
