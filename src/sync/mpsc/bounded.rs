//! The handles of the bounded channel.

use super::{
    array::{Array, ArrayReader, array},
    reader::Reader,
};
use crate::{
    sync::{
        error::{Closed, SendError, TryRecvError, TrySendError},
        wait_list::Key,
    },
    sys::sync::Arc,
};
use futures::{sink::Sink, stream::Stream};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Mutex as Exclusive,
    task::{Context, Poll, ready},
};

/// A channel that holds at most `capacity` messages; senders wait in line for room.
///
/// ```
/// # use reactor::sync::mpsc;
/// let (tx, mut rx) = mpsc::channel(1);
/// std::thread::spawn(move || tx.try_send("head"));
/// # while rx.try_recv() != Ok("head") {}
/// ```
///
/// # Panics
/// If `capacity` is 0, or so large that it cannot be allocated.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel needs room for one message at least");
    let (array, reader) = array(capacity);
    (Sender { array, sink: Exclusive::new(Buffer::EMPTY) }, Receiver { reader })
}

/// Sends on a bounded channel, from any thread. Also a [`Sink`].
pub struct Sender<T> {
    array: Arc<Array<T>>,
    /// Reached through `&mut self` only and so never locked; the type keeps `Sender: Sync` for any `T: Send`.
    sink: Exclusive<Buffer<T>>,
}

/// The message that `start_send` found no room for, and its place in line.
struct Buffer<T> {
    value: Option<T>,
    place: Option<Key>,
}

impl<T> Buffer<T> {
    const EMPTY: Self = Self { value: None, place: None };
}

// The kept message is moved, never pinned.
impl<T> Unpin for Sender<T> {}

impl<T> Sender<T> {
    /// Sends `value`, waiting in line while the channel is full.
    ///
    /// Dropping the future before it is ready drops the value unsent; a turn that had come goes to the next in line.
    ///
    /// # Errors
    /// [`SendError`] with the value once the receiver is gone or closed.
    #[inline]
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending { array: &self.array, value: Some(value), place: None }
    }

    /// Sends `value` if there is room and nobody waits for it.
    ///
    /// # Errors
    /// [`TrySendError`] with the value.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.array.push(value, false)
    }

    /// Sends as many of `values`, from the front, as there is room for while nobody waits for it, at the price of one
    /// message. Returns how many.
    ///
    /// # Errors
    /// [`Closed`] once the receiver is gone or closed; `values` is unchanged.
    pub fn try_send_many(&self, values: &mut Vec<T>) -> Result<usize, Closed> {
        self.array.push_many(values)
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.array.tail().load().is_closed()
    }

    /// How many messages the channel holds at most.
    pub fn capacity(&self) -> usize {
        self.array.capacity()
    }

    /// Sends what `start_send` found no room for.
    fn poll_buffered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let Buffer { value, place } = self.sink.get_mut().expect("never locked");
        if value.is_none() {
            return Poll::Ready(Ok(()));
        }
        self.array.line().poll_send(&self.array, value, place, cx).map_err(|_| Closed)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.array.tail().add_sender();
        Self { array: self.array.clone(), sink: Exclusive::new(Buffer::EMPTY) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Ok(buffer) = self.sink.get_mut() {
            self.array.line().leave(&self.array, &mut buffer.place);
        }
        self.array.tail().drop_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mpsc::Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// Made by [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sending<'a, T> {
    array: &'a Array<T>,
    value: Option<T>,
    place: Option<Key>,
}

// The value is moved, never pinned.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.array.line().poll_send(this.array, &mut this.value, &mut this.place, cx)
    }
}

impl<T> Drop for Sending<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.place.is_some() {
            self.array.line().leave(self.array, &mut self.place);
        }
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::Sending")
    }
}

/// What is fed is sent at once if there is room; one message more is kept in the sender until it is flushed.
impl<T> Sink<T> for Sender<T> {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        ready!(crate::task::budget::proceed(cx));
        self.poll_buffered(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Closed> {
        match self.try_send(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Closed),
            Err(TrySendError::Full(value)) => {
                let buffer = self.sink.get_mut().expect("never locked");
                assert!(
                    buffer.value.is_none(),
                    "start_send needs a poll_ready that was ready before each item"
                );
                buffer.value = Some(value);
                Ok(())
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll_buffered(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll_buffered(cx)
    }
}

/// Receives what the senders send, in the order in which they got room. A [`Stream`] that ends when no sender is left.
///
/// Dropping it drops what is queued and fails every sender, those that wait included.
pub struct Receiver<T> {
    reader: ArrayReader<T>,
}

impl<T> Receiver<T> {
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

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mpsc::Receiver")
    }
}
