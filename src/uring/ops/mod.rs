//! The operations, each as a method of [`Ring`](super::Ring) that makes its future.

pub(super) mod accept;
mod control;
mod envelope;
mod extent;
mod msg;
mod names;
mod nop;
mod open;
pub(super) mod poll;
mod receive;
pub(super) mod recv;
mod rw;
mod send;
mod send_zero_copy;
mod socket;
mod splice;
mod statx;
mod sync;
pub(super) mod timeout;
mod vectored;

pub use msg::{Bufs, Enclosed, Received};
pub use receive::RecvOp;
pub use send::SendOp;
pub use send_zero_copy::{Lent, SendZeroCopy};
pub use socket::Accept;
