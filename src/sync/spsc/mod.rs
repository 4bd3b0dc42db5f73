//! A ring from one producer to one consumer on another core: the fast path for typed messages.
//!
//! The two halves of the unsafe ring stand in `ring`; [`Producer`] and [`Consumer`] make futures, a `Sink` and a
//! `Stream` of them. A message costs each side one atomic read-modify-write; a batch costs one in all, so what comes in
//! bulk goes by [`Producer::try_send_many`] or `SinkExt::send_all`, and [`Consumer::recv_many`].

mod consumer;
mod producer;
mod ring;
mod wait;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use consumer::Consumer;
pub use producer::{Producer, Sending};

/// A ring that holds at most `capacity` messages.
///
/// ```
/// # use reactor::sync::spsc;
/// let (mut tx, mut rx) = spsc::channel(64);
/// std::thread::spawn(move || tx.try_send_many(&mut (0..10)));
/// # let mut received = 0;
/// # while received < 10 { received += rx.try_recv().is_ok() as i32; }
/// ```
///
/// # Panics
/// If `capacity` is 0, or so large that the ring cannot be allocated.
pub fn channel<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a channel needs room for one message at least");
    let (writer, reader) = ring::ring(capacity);
    (Producer::new(writer), Consumer::new(reader))
}
