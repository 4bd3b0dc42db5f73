//! An I/O on its way from one module to the device below: checked, let in, and carried out.
//!
//! Written by hand for what `submitting` says: it is on the path of every I/O once per layer. It is kept small, because it is moved into
//! the future of the module above; and a device that answers at once leaves nothing there.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Inner;
use crate::bdev::admission::Admission;
use crate::bdev::slots::Running;
use crate::bdev::submitting::{Submitting, Way};
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
    Begun(Submitting<'c>),
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
        let way = match self.inner.way(&io) {
            Ok(way) => way,
            Err(e) => return Poll::Ready(io.done(Err(e))),
        };
        if !self.inner.device.is_open() {
            return self.start_long_way(io, way, cx);
        }
        match Submitting::begin(self.inner, io, way, cx) {
            Ok(done) => Poll::Ready(done),
            Err(begun) => {
                self.stage = Stage::Begun(begun);
                Poll::Pending
            }
        }
    }

    #[cold]
    fn start_long_way(&mut self, io: Io, way: Way, cx: &mut Context<'_>) -> Poll<Done> {
        match self.inner.long_way.run(|| go_long_way(self.inner, io, way), cx) {
            Ok(done) => Poll::Ready(done),
            Err(running) => {
                self.stage = Stage::LongWay(running);
                Poll::Pending
            }
        }
    }

    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        match &mut self.stage {
            Stage::Begun(begun) => Pin::new(begun).poll(cx),
            Stage::LongWay(running) => running.poll(cx),
            Stage::Start(_) => panic!("an i/o was polled after it completed"),
        }
    }
}

/// By the door of a device that is not open: in memory of the channel's, used again for the next.
async fn go_long_way(inner: &Inner, io: Io, way: Way) -> Done {
    let (stamp, op) = (inner.stamp(), io.op());
    if let Err(e) = Admission::of(inner, &io).await {
        return io.done(Err(e));
    }
    let (mut io, mut begun) = (Some(io), None);
    let done = poll_fn(|cx| match (io.take(), &mut begun) {
        (Some(io), _) => match Submitting::begin(inner, io, way, cx) {
            Ok(done) => Poll::Ready(done),
            Err(waits) => {
                begun = Some(waits);
                Poll::Pending
            }
        },
        (None, Some(begun)) => Pin::new(begun).poll(cx),
        (None, None) => panic!("an i/o was polled after it completed"),
    })
    .await;
    inner.took(stamp, op);
    done
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
