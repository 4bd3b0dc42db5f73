//! One value from one core to another, or to a thread that turns no reactor.
//!
//! The machine that both sides share stands in `cell`; here are its two handles. For two tasks of the same core,
//! [`local::oneshot`](super::local::oneshot) needs no atomics.

mod cell;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use super::error::{Closed, TryRecvError};
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

/// A channel for one value; one allocation for both sides.
///
/// ```
/// # use reactor::sync::oneshot;
/// let (tx, rx) = oneshot::channel();
/// std::thread::spawn(move || tx.send(7));
/// assert_eq!(rx.blocking_recv(), Ok(7));
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = cell::pair();
    (Sender { side: sender }, Receiver { side: receiver })
}

/// Sends the value, from any thread. Dropped without sending, it gives the receiver [`Closed`].
pub struct Sender<T> {
    side: cell::SenderSide<T>,
}

/// Receives the value, on any thread: a future of `Result<T, Closed>`.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    side: cell::ReceiverSide<T>,
}

impl<T> Sender<T> {
    /// Sends `value` and wakes the receiver if it waits.
    ///
    /// # Errors
    /// The value, if the receiver is gone or closed.
    #[inline]
    pub fn send(self, value: T) -> Result<(), T> {
        self.side.send(value)
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.side.is_closed()
    }

    /// Waits until the receiver is gone or closed. Nothing happens if the future is dropped.
    pub fn closed(&mut self) -> impl Future<Output = ()> + '_ {
        poll_fn(|cx| self.poll_closed(cx))
    }

    /// As [`closed`](Self::closed), for hand-written futures.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.side.poll_closed(cx)
    }
}

impl<T> Receiver<T> {
    /// The value, if it was sent.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] or, if it will not come or was taken, [`TryRecvError::Closed`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.side.try_recv()
    }

    /// Refuses a value that was not sent yet and tells the sender; one that was sent can still be received.
    pub fn close(&mut self) {
        self.side.close();
    }

    /// Blocks the calling thread until the value is there: for threads that turn no reactor. A task awaits instead.
    ///
    /// # Errors
    /// [`Closed`] if the sender is gone without sending.
    ///
    /// # Panics
    /// On a reactor, which must not wait for itself.
    #[track_caller]
    pub fn blocking_recv(self) -> Result<T, Closed> {
        crate::reactor::context::forbid_blocking("oneshot::Receiver::blocking_recv");
        crate::sys::blocking::block_on(self)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.side.poll_recv(cx)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oneshot::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oneshot::Receiver")
    }
}
