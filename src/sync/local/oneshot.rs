//! One value from one task to another on the same core.

use crate::sync::{
    error::{Closed, TryRecvError},
    waker_cell::WakerCell,
};
use std::{
    cell::Cell,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// A channel for one value; one allocation, no atomics.
///
/// ```
/// # use reactor::sync::local::oneshot;
/// let (tx, mut rx) = oneshot::channel();
/// tx.send(7).expect("the receiver is there");
/// assert_eq!(rx.try_recv(), Ok(7));
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        sent: Cell::new(false),
        closed: Cell::new(false),
        receiver: WakerCell::default(),
        sender: WakerCell::default(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    value: Cell<Option<T>>,
    /// The sender is done, whether it sent or not.
    sent: Cell<bool>,
    /// The receiver takes nothing any more.
    closed: Cell<bool>,
    receiver: WakerCell,
    sender: WakerCell,
}

/// Sends the value. Dropped without sending, it gives the receiver [`Closed`].
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// Receives the value: a future of `Result<T, Closed>`.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends `value`.
    ///
    /// # Errors
    /// The value, if the receiver is gone or closed.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.shared.value.set(Some(value));
        // Dropping the sender tells the receiver.
        Ok(())
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get()
    }

    /// Waits until the receiver is gone or closed. Nothing happens if the future is dropped.
    pub fn closed(&mut self) -> impl Future<Output = ()> + '_ {
        poll_fn(|cx| self.poll_closed(cx))
    }

    /// As [`closed`](Self::closed), for hand-written futures.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_closed() {
            return Poll::Ready(());
        }
        self.shared.sender.register(cx.waker());
        Poll::Pending
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender.clear();
        self.shared.sent.set(true);
        self.shared.receiver.wake();
    }
}

impl<T> Receiver<T> {
    /// The value, if it was sent.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] or, if it will not come or was taken, [`TryRecvError::Closed`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.value.take() {
            Some(value) => Ok(value),
            None if self.shared.sent.get() || self.shared.closed.get() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Refuses a value that was not sent yet and tells the sender; one that was sent can still be received.
    pub fn close(&mut self) {
        self.shared.closed.set(true);
        self.shared.sender.wake();
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(crate::task::budget::proceed(cx));
        match self.try_recv() {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(TryRecvError::Closed) => Poll::Ready(Err(Closed)),
            Err(TryRecvError::Empty) => {
                self.shared.receiver.register(cx.waker());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver.clear();
        self.close();
        drop(self.shared.value.take());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local::oneshot::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local::oneshot::Receiver")
    }
}
