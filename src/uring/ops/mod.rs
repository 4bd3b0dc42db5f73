//! The operations, each as a method of [`Ring`](super::Ring) that makes its future.

pub(crate) mod codes;
mod extent;
mod names;
mod nop;
mod open;
mod poll;
mod rw;
mod splice;
mod statx;
mod sync;
mod vectored;
