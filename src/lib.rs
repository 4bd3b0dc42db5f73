//! A thread-per-core async runtime for storage: SPDK's event framework in the shape that Rust can check.
//!
//! Each core runs a [`LocalExecutor`] whose turn takes events from other cores, calls [`Poller`]s, reaps devices' completions,
//! fires timers and polls tasks. A program starts with [`#[reactor::main]`](main) or [`app::Builder`].
//!
//! | to | use |
//! |---|---|
//! | start a task here, on another core, wherever there is room | [`spawn_local`], [`spawn_on`] and [`call_on`], [`spawn_balanced`] |
//! | send a closure to a core; with back pressure; from any thread | [`post`], [`Outbox`], [`Handle`] |
//! | be called every turn, or every so often | [`Poller`] |
//! | wait for time, values, each other | [`time`], [`sync`] |
//! | read and write block devices, or write one | [`bdev`] |
//! | read and write files | [`fs`] |
//! | talk over sockets; read and write any stream | [`net`], [`io`] |
//! | ask the core's ring itself | [`uring`] |
//! | call what blocks; end in order; hear of SIGHUP | [`app::unblock`], [`app::on_shutdown`], [`signal`] |
//! | live in somebody else's event loop | [`LocalExecutor`] |
//!
//! ```
//! use reactor::bdev::{self, Access};
//!
//! #[reactor::main]
//! async fn main() -> reactor::Result<()> {
//!     let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
//!     let channel = disk.channel()?;
//!     let mut page = channel.read(0..8).await?;
//!     page[..4].copy_from_slice(b"head");
//!     channel.write(0, page.freeze()).await?;
//!     Ok(channel.flush().await?)
//! }
//! ```
//!
//! What needs a reactor says so by name: [`NotOnReactor`]. What may be relied on stands in `ARCHITECTURE.md`.

pub mod app;
pub mod bdev;
mod error;
pub mod fs;
mod inbox;
mod inflight;
pub mod io;
pub mod metrics;
pub mod net;
#[cfg(feature = "nvme")]
pub mod nvme;
mod reactor;
pub mod signal;
pub mod sync;
pub mod sys;
mod task;
mod thread;
pub mod time;
mod unblock;
pub mod uring;

pub use error::{Error, Result};
pub use reactor::{
    Core, Cores, ExecutorError, Handle, LocalExecutor, Mode, NotOnReactor, Outbox, PollFuture, Poller,
    PollerStats, Post, Spawner, Stats, TaskScope, Turn, Work, YieldNow, call_on, cores, on_every_core,
    poll_every_turn, post, spawn_balanced, spawn_local, spawn_named, spawn_on, yield_now,
};
pub use reactor_macros::{main, test};
pub use task::{AbortHandle, AbortOnDrop, JoinError, JoinHandle, Panic};
pub use thread::{LightThread, ThreadInfo, ThreadRef, ThreadStats};

/// The README's example, held to compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
