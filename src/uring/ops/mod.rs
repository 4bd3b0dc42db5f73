//! The operations, each as a method of [`Ring`](super::Ring) that makes its future.

pub(crate) mod codes;
mod control;
mod envelope;
mod extent;
mod msg;
mod names;
mod nop;
mod open;
mod poll;
mod receive;
mod rw;
mod send;
mod socket;
mod splice;
mod statx;
mod sync;
mod vectored;

pub use msg::{Bufs, Enclosed, Received};
pub use receive::Recv;
pub use send::Send;
pub use socket::Accept;
