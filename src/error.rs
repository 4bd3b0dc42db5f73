//! What a whole program returns, and the error of calls that need a reactor.

use crate::task::JoinError;
use std::io;

/// A call that needs a reactor was made on a thread that is not turning one.
///
/// Tasks, pollers, events and hooks run on a reactor. Other threads go through a [`Handle`](crate::Handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{what}` needs a reactor, and this thread is not turning one: call it from a task, poller or event \
     (see `#[reactor::main]`), or use a `Handle` from other threads"
)]
pub struct NotOnReactor {
    /// The call.
    pub what: &'static str,
}

impl NotOnReactor {
    /// Ends a call that cannot return an error.
    #[cold]
    #[track_caller]
    pub(crate) fn panic(what: &'static str) -> ! {
        panic!("{}", Self { what })
    }
}

/// Anything that can end a program's `main`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A task gave no result.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A reactor was needed.
    #[error(transparent)]
    NotOnReactor(#[from] NotOnReactor),
    /// A core could not be set up.
    #[error(transparent)]
    Executor(#[from] crate::reactor::ExecutorError),
    /// An application did not start, or did not end well.
    #[error(transparent)]
    App(#[from] crate::app::Error),
    /// Something of the program's own.
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// The result of a program's `main`.
pub type Result<T, E = Error> = std::result::Result<T, E>;
