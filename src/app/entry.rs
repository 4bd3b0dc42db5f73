//! What the attributes call: `#[reactor::main]` and `#[reactor::test]`.

use super::{Builder, run::run_to_end};
use crate::reactor::context;
use std::process::{ExitCode, Termination};

/// Runs a program's `main` and returns its exit code: that of [`stop`](super::stop) if it is not 0, else what the value of `main`
/// says. What went wrong is said on standard error, and is code 1 where there is no other.
///
/// # Panics
/// As [`Builder::run`].
#[track_caller]
pub fn main_entry<T: Termination>(mut builder: Builder, main: impl AsyncFnOnce() -> T) -> ExitCode {
    context::forbid_blocking("app::main_entry");
    let name = builder.name_or_program();
    builder.is_process = true;
    let ended = match builder.resolve_cores().and_then(|ids| run_to_end(builder, ids, main, |_| ())) {
        Ok(ended) => ended.resume_panic(),
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Says an error of `main`, whatever the code.
    let reported = ended.value.map(Termination::report);
    for error in ended.errors.iter().filter(|error| !error.was_said()) {
        eprintln!("{name}: {error}");
    }
    match (ended.code.unwrap_or(0), reported) {
        (0, Some(code)) if ended.errors.is_empty() => code,
        (0, _) if !ended.errors.is_empty() => ExitCode::FAILURE,
        (code, _) => code.into(),
    }
}

/// Runs a test: on cores that are not pinned and deaf to signals, unless `builder` says otherwise.
///
/// # Panics
/// With the panic of `test`; with the message of what went wrong around it; if the application was stopped before the test
/// returned.
#[track_caller]
pub fn test_entry<T>(builder: Builder, test: impl AsyncFnOnce() -> T) -> T {
    match builder.for_test().run(test) {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
