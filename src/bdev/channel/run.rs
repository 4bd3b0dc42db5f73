//! An I/O that was checked, on its way: at the door, whole, or in pieces.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Inner;
use crate::bdev::admission::{Admitted, Waiting};
use crate::bdev::request::{Buffer, Outcome};
use crate::bdev::split::Split;
use crate::bdev::submitting::Own;
use crate::bdev::{Op, Result};

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

/// The outcome of an I/O whose buffer nobody wants back.
#[inline(always)]
pub(super) fn ended((error, _): Outcome) -> Result<()> {
    match error {
        None => Ok(()),
        Some(e) => Err(*e),
    }
}

/// An I/O on its way.
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
pub(super) enum Entering<'c> {
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
