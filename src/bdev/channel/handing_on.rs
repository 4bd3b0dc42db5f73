//! An I/O on its way from one module to the device below: checked, let in, then whole or in pieces.
//!
//! Written by hand for what `submitting` says: it is on the path of every I/O once per layer. It is kept small, because it is moved into
//! the future of the module above; and a device that answers at once leaves nothing there.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Inner;
use crate::bdev::admission::Admission;
use crate::bdev::slots::Running;
use crate::bdev::split::Split;
use crate::bdev::submitting::Submitting;
use crate::bdev::{Done, Io};

/// An I/O that a module hands on. Yields the answer.
#[must_use]
pub(super) struct HandingOn<'c> {
    inner: &'c Inner,
    stage: Stage<'c>,
}

enum Stage<'c> {
    /// Not polled yet; without the `Io`, answered at the first poll, or the module panicked.
    Start(Option<Io>),
    Whole(Submitting<'c>),
    LongWay(Running<'c>),
}

impl<'c> HandingOn<'c> {
    #[inline(always)]
    pub(super) fn new(inner: &'c Inner, io: Io) -> Self {
        Self { inner, stage: Stage::Start(Some(io)) }
    }

    /// The first poll, which for many devices is the last.
    #[inline(always)]
    fn start(&mut self, io: Io, cx: &mut Context<'_>) -> Poll<Done> {
        if let Err(e) = self.inner.check_io(&io) {
            return Poll::Ready(io.done(Err(e)));
        }
        if !self.inner.takes_whole(io.op(), io.lba(), io.blocks()) || !self.inner.device.is_open() {
            return self.start_long_way(io, cx);
        }
        match Submitting::begin(self.inner, io, cx) {
            Ok(done) => Poll::Ready(done),
            Err(whole) => {
                self.stage = Stage::Whole(whole);
                Poll::Pending
            }
        }
    }

    #[cold]
    fn start_long_way(&mut self, io: Io, cx: &mut Context<'_>) -> Poll<Done> {
        match self.inner.long_way.run(go_long_way(self.inner, io), cx) {
            Ok(done) => Poll::Ready(done),
            Err(running) => {
                self.stage = Stage::LongWay(running);
                Poll::Pending
            }
        }
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        match &mut self.stage {
            Stage::Whole(whole) => Pin::new(whole).poll(cx),
            Stage::LongWay(running) => running.poll(cx),
            Stage::Start(_) => panic!("an i/o was polled after it completed"),
        }
    }
}

/// By the door if the device is not open, and in pieces if it is too large: in memory of the channel's, used again for the next.
async fn go_long_way(inner: &Inner, mut io: Io) -> Done {
    let (op, lba, blocks) = (io.op(), io.lba(), io.blocks());
    if !inner.device.is_open() {
        if let Err(e) = Admission::new(inner, op, lba, blocks).await {
            return io.done(Err(e));
        }
    }
    if inner.takes_whole(op, lba, blocks) {
        let (mut io, mut whole) = (Some(io), None);
        return poll_fn(|cx| match (io.take(), &mut whole) {
            (Some(io), _) => match Submitting::begin(inner, io, cx) {
                Ok(done) => Poll::Ready(done),
                Err(begun) => {
                    whole = Some(begun);
                    Poll::Pending
                }
            },
            (None, Some(whole)) => Pin::new(whole).poll(cx),
            (None, None) => panic!("an i/o was polled after it completed"),
        })
        .await;
    }
    let (error, buffer) = Split::new(inner, op, lba, blocks, io.take_buffer()).await;
    io.put_buffer(buffer);
    io.done(error.map_or(Ok(()), |e| Err(*e)))
}

impl Future for HandingOn<'_> {
    type Output = Done;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let this = &mut *self;
        if let Stage::Start(io) = &mut this.stage {
            if let Some(io) = io.take() {
                return this.start(io, cx);
            }
        }
        this.go_on(cx)
    }
}
