//! The `reactor` command: measures events and block I/O on the runtime, and looks after NVMe controllers.
//!
//! `args` says what can be asked for, `events`, `perf` and `nvme` do it, `report` is what they print and `failure` how they end.

mod args;
mod events;
mod failure;
mod in_use;
mod nvme;
mod perf;
mod progress;
mod report;

use args::{CommandLine, Job};
use clap::{CommandFactory, Parser, error::ErrorKind};
use failure::Failure;
use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (name, outcome) = match CommandLine::parse().job {
        Job::Events(args) => ("events", events::main(&args)),
        Job::Perf(args) => ("perf", perf::main(&args)),
        Job::Nvme(args) => nvme::main(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => refuse(name, message),
        Err(Failure::Run(message)) => {
            note(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Ends with what is wrong with the arguments of `job`, and code 2, as clap does.
fn refuse(job: &str, message: String) -> ! {
    let mut line = CommandLine::command();
    line.build();
    let find = |line, word| clap::Command::find_subcommand_mut(line, word).expect("a subcommand by its name");
    job.split(' ').fold(&mut line, find).error(ErrorKind::ValueValidation, message).exit()
}

/// Says something beside the report. Where nobody listens, nobody is told: `eprintln!` would panic.
fn note(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Prints a report.
fn print(report: &str) -> Result<(), Failure> {
    match writeln!(stdout(), "{report}") {
        // Who closes the pipe does not want to read it.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::at("cannot print the report", &e)),
        _ => Ok(()),
    }
}
