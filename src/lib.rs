//! A thread-per-core async runtime for storage.

pub mod bdev;
mod inbox;
pub mod inflight;
pub mod reactor;
pub mod sync;
pub mod sys;
mod task;
pub mod time;
pub mod uring;
