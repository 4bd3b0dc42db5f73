//! One I/O carried out in parts, on one channel or on several, all in flight together: for modules over several devices.
//!
//! Nothing is allocated once a module's [`Fans`] have seen as many parts at a time. The parts share the I/O's buffer, as in
//! `split`.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::channel::Entering;
use super::request::Outcome;
use super::split::{front, join};
use super::{Channel, Done, Error, Io};

/// Where a module's channel keeps the memory of its [`Fan`]s for the next ones.
#[derive(Default)]
pub(super) struct Fans(RefCell<Vec<Vec<Part<'static>>>>);

/// An I/O in parts. Awaited, it yields the answer: the error of the first part, in order, that failed.
///
/// Parts that were begun are waited for whatever becomes of the others.
#[must_use]
pub(super) struct Fan<'c> {
    fans: &'c Fans,
    /// None only once it is over.
    io: Option<Io>,
    parts: Vec<Part<'c>>,
}

enum Part<'c> {
    Running(Entering<'c>),
    Over(Outcome),
}

impl Fans {
    /// `io`, of which no part is on its way yet.
    pub(super) fn carry(&self, io: Io) -> Fan<'_> {
        let parts = self.0.borrow_mut().pop().unwrap_or_default();
        Fan { fans: self, io: Some(io), parts: reuse(parts) }
    }
}

impl<'c> Fan<'c> {
    /// Adds the next `blocks` of the I/O, which lie on `channel` from `lba` on. For one without blocks, such as a flush, none.
    pub(super) fn add(&mut self, channel: &'c Channel, lba: u64, blocks: u64) {
        let io = self.io.as_mut().expect("parts are added before it is over");
        let mut rest = io.take_buffer();
        let part = if rest.is_some() { front(io.op(), &mut rest, channel.bytes(blocks)) } else { None };
        io.put_buffer(rest);
        self.parts.push(match channel.begin(io.op(), lba, blocks, part) {
            Ok(run) => Part::Running(run),
            Err((e, part)) => Part::Over((Some(Box::new(e)), part)),
        });
    }
}

impl Future for Fan<'_> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let this = &mut *self;
        let mut is_over = true;
        for part in &mut this.parts {
            if let Part::Running(run) = part {
                match Pin::new(run).poll(cx) {
                    Poll::Ready(outcome) => *part = Part::Over(outcome),
                    Poll::Pending => is_over = false,
                }
            }
        }
        if !is_over {
            return Poll::Pending;
        }
        let mut io = this.io.take().expect("polled after it was over");
        let mut first: Option<Box<Error>> = None;
        let mut filled = None;
        for part in this.parts.drain(..) {
            let Part::Over((error, buffer)) = part else { unreachable!("all parts are over") };
            first = first.or(error);
            filled = join(filled, buffer);
        }
        io.put_buffer(filled);
        Poll::Ready(io.done(first.map_or(Ok(()), |e| Err(*e))))
    }
}

impl Drop for Fan<'_> {
    fn drop(&mut self) {
        // The parts first: dropped, they give up what is on its way.
        let parts = reuse(mem::take(&mut self.parts));
        self.fans.0.borrow_mut().push(parts);
    }
}

/// An empty vector with the same memory for parts of another lifetime: collecting in place keeps the allocation.
fn reuse<'b>(mut parts: Vec<Part<'_>>) -> Vec<Part<'b>> {
    parts.clear();
    parts.into_iter().map(|_| unreachable!("the vector was cleared")).collect()
}

impl fmt::Debug for Fans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fans").field("spare", &self.0.borrow().len()).finish()
    }
}
