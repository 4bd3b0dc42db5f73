//! Channels between tasks of one core: no atomics, `!Send`.
//!
//! Their cross-core twins are [`mpsc`](super::mpsc) and [`oneshot`](super::oneshot), with the same words for the same
//! things.

mod chan;
pub mod oneshot;
mod receiver;
mod sender;

#[cfg(all(test, not(loom)))]
mod tests;

pub use receiver::Receiver;
pub use sender::{Sender, Sending, UnboundedSender};

/// A channel that holds at most `capacity` messages; senders wait in line for room.
///
/// ```
/// # use reactor::sync::local;
/// let (tx, mut rx) = local::channel(1);
/// tx.try_send("head")?;
/// assert!(tx.try_send("tail").is_err());
/// assert_eq!(rx.try_recv(), Ok("head"));
/// # Ok::<(), reactor::sync::TrySendError<&str>>(())
/// ```
///
/// # Panics
/// If `capacity` is 0.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel needs room for one message at least");
    let chan = chan::Chan::new(Some(capacity));
    (Sender::new(chan.clone()), Receiver::new(chan))
}

/// A channel without a bound: sending never waits.
pub fn unbounded<T>() -> (UnboundedSender<T>, Receiver<T>) {
    let chan = chan::Chan::new(None);
    (UnboundedSender::new(chan.clone()), Receiver::new(chan))
}
