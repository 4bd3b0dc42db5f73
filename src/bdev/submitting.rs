//! One I/O given to a module: the future that `channel`, `split` and stacked modules await.
//!
//! Starts the module's future on the first poll, drives it in its slot afterwards, and ends when the module answers or
//! loses the I/O. See the drawing in `io`.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::channel::Inner;
use super::io::{Buffer, Io, Request, State};
use super::slots::Running;
use super::{Done, Op, Result};

/// An I/O of the layer's own, in a request from the channel's store. Yields result and buffer.
#[must_use]
pub(super) struct Own<'c>(Submitting<'c>);

/// An I/O that a module hands on to the device below it. Yields the answer.
#[must_use]
pub(super) struct Submitting<'c> {
    inner: &'c Inner,
    request: Rc<Request>,
    /// 1 for the layer's own, one more per module in between.
    depth: usize,
    stage: Stage<'c>,
}

enum Stage<'c> {
    Start(Io),
    Running(Running<'c>),
    Over,
}

impl<'c> Submitting<'c> {
    #[inline]
    pub(super) fn new(inner: &'c Inner, io: Io) -> Self {
        let request = io.request().clone();
        let depth = request.enter();
        Self { inner, request, depth, stage: Stage::Start(io) }
    }

    /// Polls until answered (`Some`) or lost (`None`).
    #[inline]
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done>> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Start(io) => match self.inner.submitter.start(io, cx) {
                Ok(done) => return Poll::Ready(Some(self.check(done))),
                Err(running) => self.stage = Stage::Running(running),
            },
            Stage::Running(mut running) => match running.poll(cx) {
                Poll::Ready(done) => return Poll::Ready(Some(self.check(done))),
                Poll::Pending => self.stage = Stage::Running(running),
            },
            Stage::Over => panic!("an i/o was polled after it completed"),
        }
        // The module waits. If it waits for an I/O that it has lost, it would wait for ever.
        if self.request.state() == State::Lost {
            self.stage = Stage::Over;
            return Poll::Ready(None);
        }
        self.request.register(self.depth, cx.waker());
        Poll::Pending
    }

    #[inline(always)]
    fn check(&self, done: Done) -> Done {
        assert!(
            done.is_for(&self.request),
            "{}: submit was given {:?} and returned {done:?}, the answer to another i/o",
            self.inner.name(),
            self.request
        );
        done
    }
}

impl Future for Submitting<'_> {
    type Output = Done;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        self.poll_answer(cx).map(|done| done.unwrap_or_else(|| Done::found(self.request.clone())))
    }
}

impl Drop for Submitting<'_> {
    #[inline]
    fn drop(&mut self) {
        // First, so that a future dropped below does not wake the task that drops it.
        self.request.leave(self.depth);
        if !matches!(self.stage, Stage::Over) {
            // Given up: the module's future goes, and the `Io` with it unless the module put it elsewhere.
            self.stage = Stage::Over;
            if self.depth == 1 && self.request.state() == State::Lost {
                drop(self.request.take_answer());
            }
        }
        if self.depth == 1 {
            self.inner.keep_request(&self.request);
        }
    }
}

impl<'c> Own<'c> {
    #[inline]
    pub(super) fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Self {
        Self(Submitting::new(inner, Io::start(inner.take_request(), op, lba, blocks, buffer)))
    }
}

impl Future for Own<'_> {
    type Output = (Result<()>, Buffer);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_answer(cx).map(|done| {
            if let Some(done) = done {
                done.accept();
            }
            self.0.request.take_answer()
        })
    }
}
