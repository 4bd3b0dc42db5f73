//! Streams of bytes over owned buffers: what code that reads and writes asks for, whatever it reads and writes.
//!
//! [`ReadOwned`] and [`WriteOwned`] are implemented by the streams of [`net`](crate::net). A buffer goes into the operation and
//! comes back with its result, so that the kernel may use it while nobody else can. [`Adapter`] makes of such a stream what other
//! libraries ask for.

mod adapter;
mod futures_io;
#[cfg(feature = "hyper")]
pub mod hyper;
mod read;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod write;

pub use crate::uring::{BufResult, IoBuf, IoBufMut, Slice};
pub use adapter::Adapter;
pub use read::ReadOwned;
pub use write::WriteOwned;
