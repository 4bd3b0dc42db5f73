//! The io_uring driver: one ring per core, operations as futures, buffers kept until the kernel has answered.
//!
//! [`Ring`] is what a core polls and flushes once per turn; its methods make the operations' futures (`ops`), which put
//! what the kernel may touch into a slot of `inflight`. Knows no block device.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use reactor::uring::{Fd, Ring};
//! let ring = Ring::current()?;
//! let file = Fd::from(std::fs::File::open("data")?);
//! let (read, page) = ring.read_at(&file, vec![0; 4096], 0).await;
//! println!("{:?}", &page[..read?]);
//! # Ok(())
//! # }
//! ```

mod at_once;
mod buf;
mod buffers;
#[cfg(feature = "nvme")]
pub(crate) mod command;
mod completion;
mod config;
mod dma;
mod door;
mod error;
mod fd;
mod features;
mod files;
mod groups;
mod iopoll;
mod line;
mod link;
mod op;
mod ops;
mod probe;
mod provided;
mod queues;
mod ring;
mod signal;
mod slice;
mod stream;
mod workers;

pub use buf::{BufResult, IoBuf, IoBufMut};
pub use buffers::BufferTable;
pub use completion::Counters;
pub use config::{Config, Setup, SubmissionThread};
pub use error::{CoreGone, Error};
pub use fd::Fd;
pub use features::Features;
pub use link::{Chain, Link};
pub use ops::accept::AcceptStream;
pub use ops::poll::ReadyStream;
pub use ops::recv::RecvStream;
pub use ops::timeout::TickStream;
pub use ops::{Accept, Bufs, Enclosed, Lent, Received, RecvOp, SendOp, SendZeroCopy};
pub use probe::Probe;
pub use provided::{RecvBuf, RecvPool};
pub use ring::Ring;
pub use slice::Slice;
pub use stream::Answers;

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;
