//! The operations, each as a method of [`Ring`](super::Ring) that makes its future.

mod nop;
mod open;
mod poll;
mod rw;
mod statx;
mod sync;
