//! An I/O that was checked, on its way: whole, or in pieces.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Inner;
use crate::bdev::request::{Buffer, Outcome};
use crate::bdev::split::Split;
use crate::bdev::submitting::Own;
use crate::bdev::{Op, Result};

impl Inner {
    /// Carries out an I/O that was checked.
    #[inline(always)]
    pub(super) fn run(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Run<'_> {
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

/// An I/O on its way, whole or in pieces.
pub(super) enum Run<'c> {
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
