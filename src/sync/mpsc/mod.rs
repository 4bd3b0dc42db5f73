//! Channels from tasks and threads anywhere to one receiver: bounded by a ring, or unbounded in linked blocks.
//!
//! `tail` is the one word on which senders, a waiting receiver and the end of the channel meet; `array` and `blocks` keep
//! the messages; `line` lets the senders of a full channel wait in order; `bounded` and `unbounded` are the handles. With
//! one producer only, [`spsc`](super::spsc) is faster.

mod array;
mod blocks;
mod bounded;
mod line;
mod reader;
mod tail;

mod unbounded;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use bounded::{Receiver, Sender, Sending, channel};
pub use unbounded::{UnboundedReceiver, UnboundedSender, unbounded};
