//! Why a command ends without having done what was asked, and the exit code that says so.

use reactor::app;
use std::error::Error;
use std::fmt::{Display, Write};

/// An end that is not success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was asked for makes no sense. Exit code 2.
    Usage(String),
    /// It went wrong while running. Exit code 1.
    Run(String),
}

impl Failure {
    /// `error` happened to `what`.
    pub(crate) fn at(what: impl Display, error: &(dyn Error + 'static)) -> Self {
        Self::Run(format!("{what}: {}", chain(error)))
    }

    /// The application ended without a report.
    pub(crate) fn of_app(error: &app::Error) -> Self {
        match error {
            // A signal: from the beginning of the measurement on, the first one has it reported.
            app::Error::Stopped { .. } => Self::Run("interrupted before anything was measured".into()),
            error => Self::Run(chain(error)),
        }
    }
}

/// An error with its causes, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            let _infallible = write!(text, ": {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Wrapped(&'static str, std::io::Error);

    impl Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn an_early_end_is_told_from_a_failed_start() {
        let text = |error: &app::Error| match Failure::of_app(error) {
            Failure::Run(text) => text,
            Failure::Usage(text) => panic!("no usage error: {text}"),
        };
        assert_eq!(text(&app::Error::Stopped { code: 0 }), "interrupted before anything was measured");
        assert!(text(&app::Error::NoUnblockThreads).contains("allow one thread"));
    }

    #[test]
    fn causes_are_said_once() {
        let disk = || std::io::Error::other("disk on fire");
        assert_eq!(chain(&Wrapped("cannot write", disk())), "cannot write: disk on fire");
        assert_eq!(chain(&Wrapped("cannot write: disk on fire", disk())), "cannot write: disk on fire");
        assert_eq!(Failure::at("ram", &disk()), Failure::Run("ram: disk on fire".into()));
    }
}
