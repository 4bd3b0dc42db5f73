//! Why an application did not start, or did not end well.

use crate::{
    reactor::ExecutorError,
    signal,
    sys::{
        cpu::{self, PinError},
        dma::AllocError,
        eventfd,
    },
};
use std::{io, panic::Location, time::Duration};

/// Why [`Builder::run`](super::Builder::run) has no value to return. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cores asked for do not exist, or not for this process.
    #[error(transparent)]
    Cores(#[from] cpu::Error),
    /// No wake-up descriptors for the cores.
    #[error("the cores cannot be connected: {0}")]
    Doorbells(#[from] eventfd::Error),
    /// A core did not start. Those that had started were stopped again.
    #[error("core {core} did not start: {source}")]
    Core {
        /// Which core.
        core: usize,
        /// Why.
        source: CoreError,
    },
    /// The handlers of SIGINT and SIGTERM could not be installed.
    #[error("cannot watch for SIGINT and SIGTERM, `Builder::signals(false)` does without: {0}")]
    Signals(#[source] io::Error),
    /// One of `Builder::block_signals` is not for tasks to read.
    #[error(transparent)]
    BlockSignals(#[from] signal::Error),
    /// No huge pages, and `Builder::buffers` requires them.
    #[error("the cores have no memory for buffers: {0}")]
    Buffers(#[source] AllocError),
    /// `Builder::unblock_threads(0)`.
    #[error("`unblock_threads` is 0: calls of `app::unblock` would wait for ever, allow one thread at least")]
    NoUnblockThreads,
    /// The subsystems name each other in a way that has no order.
    #[error("subsystem `{name}` {problem}")]
    SubsystemOrder {
        /// The subsystem at fault.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A subsystem did not start. Those that had started were ended again.
    #[error("subsystem `{name}` did not start: {source}")]
    Subsystem {
        /// Which one.
        name: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The application was stopped: with a code other than 0, or before `main` returned.
    #[error("the application was stopped with code {code}")]
    Stopped {
        /// What [`stop`](super::stop) was given; 0 for signals.
        code: u8,
    },
    /// Shutdown took too long. What was still alive has been named on standard error as well.
    #[error("shutdown was not done within {deadline:?}, still alive: {}", .alive.join(", "))]
    Deadline {
        /// How long it was given.
        deadline: Duration,
        /// Hooks, guards, tasks and cores.
        alive: Vec<String>,
    },
    /// A shutdown hook or a subsystem's end panicked. All others have run.
    #[error("{what} panicked: {message}")]
    Panicked {
        /// Where the hook was registered, or the name of the subsystem.
        what: String,
        /// What it said.
        message: String,
    },
    /// A core's run loop panicked, and the application was stopped.
    #[error("core {core} ended in a panic of its own: {message}")]
    CorePanicked {
        /// Which core.
        core: usize,
        /// What it said.
        message: String,
    },
}

impl Error {
    /// Whether it was written to standard error when it happened.
    pub(super) fn was_said(&self) -> bool {
        matches!(self, Self::Deadline { .. } | Self::Panicked { .. } | Self::CorePanicked { .. })
    }

    pub(super) fn hook_panicked(location: &Location<'_>, message: &str) -> Self {
        Self::Panicked {
            what: format!("the shutdown hook registered at {location}"),
            message: message.into(),
        }
    }
}

/// Why one core did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// Its thread was not pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// No descriptors for it.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// No thread for it.
    #[error(
        "the system starts no thread for it, raise `ulimit -u` or the container's limit of processes: {0}"
    )]
    Thread(#[source] io::Error),
}
