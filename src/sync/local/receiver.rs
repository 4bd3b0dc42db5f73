//! The receiving side of a local channel, bounded or not.

use super::chan::Chan;
use crate::sync::error::TryRecvError;
use futures::stream::Stream;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Receives what the senders of this core send, in the order sent. A [`Stream`] that ends when no sender is left.
///
/// Dropping it drops what is queued and fails every sender, those that wait included.
pub struct Receiver<T> {
    chan: Rc<Chan<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(chan: Rc<Chan<T>>) -> Self {
        Self { chan }
    }

    /// The next message, or `None` once no sender is left or [`close`](Self::close) was called, and nothing is queued.
    ///
    /// Dropping the future loses no message.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// Moves up to `max` messages to the end of `out`, waiting for the first; returns how many, 0 only at the end or if
    /// `max` is 0.
    ///
    /// Dropping the future loses no message.
    pub fn recv_many<'a>(&'a mut self, out: &'a mut Vec<T>, max: usize) -> impl Future<Output = usize> + 'a {
        poll_fn(move |cx| {
            ready!(crate::task::budget::proceed(cx));
            let count = self.chan.pop_many(out, max);
            if count == 0 && max > 0 {
                ready!(self.chan.poll_empty(cx));
            }
            Poll::Ready(count)
        })
    }

    /// The next message, if one is queued.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] or, if none will come, [`TryRecvError::Closed`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.chan.pop() {
            Some(value) => Ok(value),
            None if self.chan.is_ended() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// As [`recv`](Self::recv), for hand-written futures.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        ready!(crate::task::budget::proceed(cx));
        match self.chan.pop() {
            Some(value) => Poll::Ready(Some(value)),
            None => self.chan.poll_empty(cx).map(|()| None),
        }
    }

    /// Fails every sender from now on; what is queued can still be received.
    pub fn close(&mut self) {
        self.chan.close();
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.chan.abandon();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local::Receiver")
    }
}
