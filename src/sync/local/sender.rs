//! The sending sides of the local channels: the bounded one waits for room, the unbounded one never does.

use super::chan::Chan;
use crate::sync::{
    error::{Closed, SendError, TryAcquireError, TrySendError},
    permits::Permits,
    wait_list::Key,
};
use futures::sink::Sink;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Sends on a bounded channel of this core. Also a [`Sink`].
pub struct Sender<T> {
    chan: Rc<Chan<T>>,
    /// The line for `poll_ready`, and whether it has got a place that `start_send` will use.
    place: Option<Key>,
    reserved: bool,
}

impl<T> Sender<T> {
    pub(super) fn new(chan: Rc<Chan<T>>) -> Self {
        chan.add_sender();
        Self { chan, place: None, reserved: false }
    }

    fn room(&self) -> &Permits {
        self.chan.room().expect("a bounded channel counts its room")
    }

    /// Sends `value`, waiting in line while the channel is full.
    ///
    /// Dropping the future before it is ready drops the value unsent; room that was granted meanwhile goes to the next.
    ///
    /// # Errors
    /// [`SendError`] with the value once the receiver is gone or closed.
    pub fn send(&self, value: T) -> Sending<'_, T> {
        Sending { sender: self, value: Some(value), place: None }
    }

    /// Sends `value` if there is room and nobody waits for it.
    ///
    /// # Errors
    /// [`TrySendError`] with the value.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.room().try_acquire(1) {
            Ok(()) => self.chan.push(value).map_err(TrySendError::Closed),
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(value)),
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(value)),
        }
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(self.chan.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut place = self.place.take();
        self.room().cancel(&mut place);
        if self.reserved {
            self.room().release(1);
        }
        self.chan.drop_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local::Sender")
    }
}

/// Made by [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sending<'a, T> {
    sender: &'a Sender<T>,
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
        let acquired = ready!(this.sender.room().poll_acquire(&mut this.place, 1, cx));
        let value = this.value.take().expect("polled again after it was ready");
        Poll::Ready(match acquired {
            Ok(()) => this.sender.chan.push(value).map_err(SendError),
            Err(Closed) => Err(SendError(value)),
        })
    }
}

impl<T> Drop for Sending<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.place.is_some() {
            self.sender.room().cancel(&mut self.place);
        }
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local::Sending")
    }
}

impl<T> Sink<T> for Sender<T> {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let this = &mut *self;
        if !this.reserved {
            let room = this.chan.room().expect("a bounded channel counts its room");
            ready!(room.poll_acquire(&mut this.place, 1, cx))?;
            this.reserved = true;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Closed> {
        assert!(self.reserved, "start_send needs a poll_ready that was ready before each item");
        self.reserved = false;
        self.chan.push(value).map_err(|_| Closed)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }
}

/// Sends on an unbounded channel of this core; never waits. Also a [`Sink`].
pub struct UnboundedSender<T> {
    chan: Rc<Chan<T>>,
}

impl<T> UnboundedSender<T> {
    pub(super) fn new(chan: Rc<Chan<T>>) -> Self {
        chan.add_sender();
        Self { chan }
    }

    /// Sends `value`.
    ///
    /// # Errors
    /// [`SendError`] with the value once the receiver is gone or closed.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.chan.push(value).map_err(SendError)
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
    }
}

impl<T> Clone for UnboundedSender<T> {
    fn clone(&self) -> Self {
        Self::new(self.chan.clone())
    }
}

impl<T> Drop for UnboundedSender<T> {
    fn drop(&mut self) {
        self.chan.drop_sender();
    }
}

impl<T> fmt::Debug for UnboundedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local::UnboundedSender")
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
