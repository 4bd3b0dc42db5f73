//! `reactor nvme`: lists NVMe controllers, says what they are and how they are, and measures them.
//!
//! `args` says what can be asked for, `target` gets to the controller. What one says of itself is asked in `identify` and `smart`, and put into
//! fields in `controller`, `namespace` and `health`; `list` asks the kernel alone. `perf` is the job of `reactor perf`, on queue pairs.

pub(crate) mod args;
mod controller;
mod field;
mod health;
mod identify;
mod list;
mod namespace;
mod perf;
mod smart;
mod target;

#[cfg(test)]
mod tests;

use crate::failure::Failure;
use args::Job;

/// Does the job. Returns what the command line calls it, too.
pub(crate) fn main(args: &args::Nvme) -> (&'static str, Result<(), Failure>) {
    match &args.job {
        Job::List(args) => ("nvme list", list::main(args)),
        Job::Identify(args) => ("nvme identify", identify::main(args)),
        Job::Smart(args) => ("nvme smart", smart::main(args)),
        Job::Perf(args) => ("nvme perf", perf::main(args)),
    }
}
