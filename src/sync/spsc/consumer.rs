//! The consuming half of the ring: at once, awaited, in batches, or as a `Stream`.

use super::{ring::Reader, wait::Side};
use crate::sync::error::TryRecvError;
use futures::stream::Stream;
use std::{
    cell::Cell,
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Receives from the one [`Producer`](super::Producer), on any thread. `Send`, `!Sync`. A [`Stream`] that ends when the
/// producer is gone.
///
/// Dropping it drops what is in the ring and fails the producer, also if that waits.
pub struct Consumer<T> {
    reader: Reader<T>,
    not_sync: PhantomData<Cell<()>>,
}

impl<T> Consumer<T> {
    pub(super) fn new(reader: Reader<T>) -> Self {
        Self { reader, not_sync: PhantomData }
    }

    /// The next message, or `None` once the producer is gone or [`close`](Self::close) was called, and the ring is empty.
    ///
    /// Dropping the future loses no message.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// As [`recv`](Self::recv), for hand-written futures.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // None, in either case, if there is nothing to read.
        let _some = ready!(self.reader.poll_some(cx));
        let value = self.reader.read();
        self.reader.publish();
        Poll::Ready(value)
    }

    /// Moves up to `max` messages to the end of `out` at the price of one, waiting for the first; returns how many, 0 only
    /// at the end or if `max` is 0.
    ///
    /// Dropping the future loses no message.
    pub fn recv_many<'a>(&'a mut self, out: &'a mut Vec<T>, max: usize) -> impl Future<Output = usize> + 'a {
        poll_fn(move |cx| {
            if max > 0 {
                let _some = ready!(self.reader.poll_some(cx));
            }
            Poll::Ready(self.try_recv_many(out, max))
        })
    }

    /// As [`recv_many`](Self::recv_many) for what is there: moves up to `max` messages to the end of `out` and returns how
    /// many.
    #[inline]
    pub fn try_recv_many(&mut self, out: &mut Vec<T>, max: usize) -> usize {
        let count = self.reader.look().min(max);
        let reader = &mut self.reader;
        out.extend((0..count).map_while(|_| reader.read()));
        self.reader.publish();
        count
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] or, if none will come, [`TryRecvError::Closed`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.reader.look() == 0 {
            // Asked first: what was published before the end is found after it.
            let ended = self.reader.is_ended();
            if self.reader.look() == 0 {
                return Err(if ended { TryRecvError::Closed } else { TryRecvError::Empty });
            }
        }
        let value = self.reader.read().ok_or(TryRecvError::Empty);
        self.reader.publish();
        value
    }

    /// Fails the producer from now on; what is in the ring can still be received.
    pub fn close(&mut self) {
        self.reader.close();
    }
}

impl<T> Stream for Consumer<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spsc::Consumer")
    }
}
