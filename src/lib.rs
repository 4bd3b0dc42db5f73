//! A thread-per-core async runtime for storage.

pub mod app;
pub mod bdev;
mod error;
mod inbox;
mod inflight;
mod reactor;
pub mod sync;
pub mod sys;
mod task;
mod thread;
pub mod time;
pub mod uring;

pub use error::{Error, Result};
pub use reactor::{
    Core, Cores, ExecutorError, Handle, LocalExecutor, Mode, NotOnReactor, Outbox, PollFuture, Poller, PollerStats, Post,
    Spawner, Stats, TaskScope, Turn, Work, YieldNow, call_on, cores, on_every_core, poll_every_turn, post,
    spawn_balanced, spawn_local, spawn_named, spawn_on, yield_now,
};
pub use reactor_macros::{main, test};
pub use task::{AbortHandle, AbortOnDrop, JoinError, JoinHandle, Panic};
pub use thread::{LightThread, ThreadInfo, ThreadRef, ThreadStats};
