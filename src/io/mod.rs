//! Streams of bytes over owned buffers: what code that reads and writes asks for, whatever it reads and writes.
//!
//! [`ReadOwned`] and [`WriteOwned`] are implemented by the streams of [`net`](crate::net). A buffer goes into the operation and
//! comes back with its result, so that the kernel may use it while nobody else can.

mod read;
mod write;

pub use crate::uring::{BufResult, IoBuf, IoBufMut, Slice};
pub use read::ReadOwned;
pub use write::WriteOwned;
