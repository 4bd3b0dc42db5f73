//! The handles of the unbounded channel.

use super::{
    blocks::{Blocks, BlocksReader, blocks},
    reader::Reader,
};
use crate::{
    sync::error::{Closed, SendError, TryRecvError},
    sys::sync::Arc,
};
use futures::{sink::Sink, stream::Stream};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A channel without a bound: sending never waits.
///
/// ```
/// # use reactor::sync::mpsc;
/// let (tx, mut rx) = mpsc::unbounded();
/// tx.send(1)?;
/// assert_eq!(rx.try_recv(), Ok(1));
/// # Ok::<(), reactor::sync::SendError<i32>>(())
/// ```
pub fn unbounded<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let (blocks, reader) = blocks();
    (UnboundedSender { blocks }, UnboundedReceiver { reader })
}

/// Sends on an unbounded channel, from any thread; never waits. Also a [`Sink`].
pub struct UnboundedSender<T> {
    blocks: Arc<Blocks<T>>,
}

impl<T> UnboundedSender<T> {
    /// Sends `value`. Allocates once for many messages, and only while the receiver is behind.
    ///
    /// # Errors
    /// [`SendError`] with the value once the receiver is gone or closed.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.blocks.push(value).map_err(SendError)
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.blocks.tail().load().is_closed()
    }
}

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> Self {
        self.blocks.tail().add_sender();
        Self { blocks: self.blocks.clone() }
    }
}

impl<T> Drop for UnboundedSender<T> {
    fn drop(&mut self) {
        self.blocks.tail().drop_sender();
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::UnboundedSender")
    }
}

impl<T> Sink<T> for UnboundedSender<T> {
    type Error = Closed;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        ready!(crate::task::budget::proceed(cx));
        Poll::Ready(if self.is_closed() { Err(Closed) } else { Ok(()) })
    }

    fn start_send(self: Pin<&mut Self>, value: T) -> Result<(), Closed> {
        self.send(value).map_err(|_| Closed)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }
}

/// Receives what the senders send, in order. A [`Stream`] that ends when no sender is left.
///
/// Dropping it drops what is queued and fails every sender.
pub struct UnboundedReceiver<T> {
    reader: BlocksReader<T>,
}

impl<T> UnboundedReceiver<T> {
    /// The next message, or `None` once no sender is left or [`close`](Self::close) was called, and nothing is queued.
    ///
    /// Dropping the future loses no message.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// As [`recv`](Self::recv), for hand-written futures.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.reader.poll_recv(cx)
    }

    /// Moves up to `max` messages to the end of `out`, waiting for the first; returns how many, 0 only at the end or if
    /// `max` is 0.
    ///
    /// Dropping the future loses no message.
    pub fn recv_many<'a>(&'a mut self, out: &'a mut Vec<T>, max: usize) -> impl Future<Output = usize> + 'a {
        poll_fn(move |cx| self.reader.poll_recv_many(cx, out, max))
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] or, if none will come, [`TryRecvError::Closed`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.reader.try_recv()
    }

    /// Fails every sender from now on; what is queued can still be received.
    pub fn close(&mut self) {
        self.reader.close();
    }
}

impl<T> Stream for UnboundedReceiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T> fmt::Debug for UnboundedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::UnboundedReceiver")
    }
}
