//! What a whole program returns: the errors of every room, and the program's own.

use crate::{NotOnReactor, bdev, task::JoinError};
use std::io;

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
    /// A block device said no.
    #[error(transparent)]
    Bdev(#[from] bdev::Error),
    /// Something of the program's own.
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl From<bdev::ReadIntoError> for Error {
    fn from(e: bdev::ReadIntoError) -> Self {
        bdev::Error::from(e).into()
    }
}

/// The result of a program's `main`.
pub type Result<T, E = Error> = std::result::Result<T, E>;
