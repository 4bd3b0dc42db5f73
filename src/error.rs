//! What a whole program returns: the errors of every room, and the program's own.

use crate::{NotOnReactor, bdev, fs, task::JoinError};
use std::{error::Error as _, fmt, io, iter};

/// Anything that can end a program's `main`.
///
/// `Debug`, which is what a `main` that returns it shows, says it in words as well: what happened, what to do, and what lies behind it.
#[derive(thiserror::Error)]
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.to_string();
        f.write_str(&said)?;
        for source in iter::successors(self.source(), |&error| error.source()) {
            let source = source.to_string();
            // Some messages quote what lies behind them.
            if !said.contains(&source) {
                write!(f, ": {source}")?;
                said = source;
            }
        }
        Ok(())
    }
}

impl From<bdev::ReadIntoError> for Error {
    fn from(e: bdev::ReadIntoError) -> Self {
        bdev::Error::from(e).into()
    }
}

impl From<fs::Incomplete> for Error {
    fn from(e: fs::Incomplete) -> Self {
        io::Error::from(e).into()
    }
}

/// The result of a program's `main`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A newcomer reads what to do, and why, where `main` returns the error.
    #[test]
    fn what_main_shows_is_in_words() {
        let unknown = Error::from(bdev::Error::NotFound { name: "nvme".into() });
        assert!(format!("{unknown:?}").starts_with("no block device is named \"nvme\": register it first"));
        let source = io::Error::from_raw_os_error(2);
        let missing = bdev::Error::Os { context: "cannot find it; create it first".into(), source };
        let shown = format!("{:?}", Error::from(missing));
        assert_eq!(shown, "cannot find it; create it first: No such file or directory (os error 2)");
        let quoted = io::Error::other(io::Error::other("the same"));
        assert_eq!(format!("{:?}", Error::from(quoted)), "the same");
    }
}
