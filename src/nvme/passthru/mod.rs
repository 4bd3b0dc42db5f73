//! The same commands through the kernel's driver: its queues, our commands (io_uring passthrough, Linux 5.19).
//!
//! The kernel keeps the device, its namespaces, resets and time-outs, and shares it with whoever else uses it; no file system and no block
//! layer stands between. A [`Namespace`] is opened by its character device (`/dev/ng0n1`), a [`Controller`] by its own (`/dev/nvme0`);
//! both may go to any core. A [`Queue`] is one core's: a ring beside the core's ordinary one, with entries of 128 bytes, handed over
//! once per turn. A [`Channel`](super::Channel) has over it all the commands that it has over queue pairs of our own.
//!
//! ```text
//!   Channel ── Command, Payload ──▶ Queue ── nvme_uring_cmd ──▶ CommandRing ──enter──▶ the kernel's nvme driver
//!                                     └ pointers, lengths: the kernel makes PRPs or SGLs of them
//! ```
//!
//! What the controller answers is in the [`Answer`](super::Answer), errors too. What the kernel itself refuses is
//! [`Error::Kernel`](super::Error::Kernel): a command that the process may not send, a wrong namespace, a reset on the way.
//!
//! Not to be had this way: fused commands, asynchronous events (the kernel takes them; what it tells of them is in [`Namespace::changes`]), and a command's
//! abort by its sender. Dropping a future leaves the command to the device; the kernel's own time limit ends it if the device does not.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use reactor::nvme::{Channel, passthru};
//! use reactor::sys::dma::DmaPool;
//! let namespace = passthru::Namespace::open("/dev/ng0n1").await?;
//! let channel = Channel::new(namespace.description().clone(), namespace.queue()?);
//! let (read, page) = channel.read(0, DmaPool::local().alloc(4096).await?).await;
//! println!("{:?}", &page[..8]);
//! # Ok(read?)
//! # }
//! ```

mod changes;
mod controller;
mod entry;
mod error;
mod kernel;
mod namespace;
mod node;
mod queue;

pub use changes::Change;
pub use controller::Controller;
pub use error::OpenError;
pub use namespace::Namespace;
pub use queue::{Queue, Sent};

pub(super) use error::why;
