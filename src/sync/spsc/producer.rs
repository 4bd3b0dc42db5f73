//! The producing half of the ring: at once, awaited, in batches, or as a `Sink`.

use super::{ring::Writer, wait::Side};
use crate::sync::error::{Closed, SendError, TrySendError};
use futures::sink::Sink;
use std::{
    cell::Cell,
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Sends to the one [`Consumer`](super::Consumer), from any thread. `Send`, `!Sync`, not `Clone`.
///
/// As a [`Sink`] it hands over what was fed when it is flushed, when it is full and when it is dropped.
pub struct Producer<T> {
    writer: Writer<T>,
    not_sync: PhantomData<Cell<()>>,
}

impl<T> Producer<T> {
    pub(super) fn new(writer: Writer<T>) -> Self {
        Self { writer, not_sync: PhantomData }
    }

    /// Sends `value` if there is room.
    ///
    /// # Errors
    /// [`TrySendError`] with the value.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        match self.writer.write(value) {
            Err(value) if self.is_closed() => Err(TrySendError::Closed(value)),
            Err(value) => Err(TrySendError::Full(value)),
            Ok(()) => self.publish_last().map_err(|SendError(value)| TrySendError::Closed(value)),
        }
    }

    /// Sends from `values` what there is room for, at the price of one message. Returns how many.
    ///
    /// ```
    /// # use reactor::sync::spsc;
    /// let (mut tx, _rx) = spsc::channel(4);
    /// let mut values = 0..;
    /// assert_eq!(tx.try_send_many(&mut values), Ok(4));
    /// assert_eq!(values.next(), Some(4));
    /// ```
    ///
    /// # Errors
    /// [`Closed`] if the consumer is gone or closed; what was taken from `values` by this call is dropped.
    #[inline]
    pub fn try_send_many(&mut self, values: &mut impl Iterator<Item = T>) -> Result<usize, Closed> {
        if self.is_closed() {
            return Err(Closed);
        }
        let mut sent = 0;
        while self.writer.look() > 0 {
            let Some(value) = values.next() else { break };
            let written = self.writer.write(value);
            debug_assert!(written.is_ok(), "there was room");
            sent += 1;
        }
        self.flush()?;
        Ok(sent)
    }

    /// Sends `value`, waiting while the ring is full.
    ///
    /// Dropping the future before it is ready drops the value unsent.
    ///
    /// # Errors
    /// [`SendError`] with the value once the consumer is gone or closed.
    #[inline]
    pub fn send(&mut self, value: T) -> Sending<'_, T> {
        Sending { producer: self, value: Some(value) }
    }

    /// Waits until there is room; returns for how many messages, without looking for more than it finds first.
    ///
    /// # Errors
    /// [`Closed`] once the consumer is gone or closed.
    pub fn ready(&mut self) -> impl Future<Output = Result<usize, Closed>> + '_ {
        poll_fn(|cx| self.poll_room(cx))
    }

    /// As [`ready`](Self::ready), for hand-written futures.
    #[inline]
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        if self.writer.known() == 0 {
            // What was fed must be seen before this side waits for it to be consumed.
            self.flush()?;
        }
        self.writer.poll_some(cx)
    }

    /// Whether the consumer is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    /// How many messages the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.writer.capacity()
    }

    /// Hands over what was written, the last value included, or takes that back.
    #[inline]
    fn publish_last(&mut self) -> Result<(), SendError<T>> {
        match self.writer.publish() {
            Ok(()) => Ok(()),
            Err(()) => Err(SendError(self.take_back_last())),
        }
    }

    #[cold]
    fn take_back_last(&mut self) -> T {
        let last = self.writer.unwrite().expect("the value was written and not handed over");
        self.drop_unpublished();
        last
    }

    fn flush(&mut self) -> Result<(), Closed> {
        self.writer.publish().map_err(|()| {
            self.drop_unpublished();
            Closed
        })
    }

    fn drop_unpublished(&mut self) {
        while self.writer.unwrite().is_some() {}
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("spsc::Producer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// Made by [`Producer::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sending<'a, T> {
    producer: &'a mut Producer<T>,
    value: Option<T>,
}

// The value is moved, never pinned.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let room = ready!(this.producer.poll_room(cx));
        let value = this.value.take().expect("polled again after it was ready");
        Poll::Ready(match room {
            Err(Closed) => Err(SendError(value)),
            Ok(_) => match this.producer.writer.write(value) {
                Ok(()) => this.producer.publish_last(),
                Err(value) => Err(SendError(value)),
            },
        })
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spsc::Sending")
    }
}

impl<T> Sink<T> for Producer<T> {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll_room(cx).map_ok(|_| ())
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Closed> {
        let written = self.writer.write(value);
        assert!(written.is_ok(), "start_send needs a poll_ready that was ready before each item");
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(self.flush())
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(self.flush())
    }
}
