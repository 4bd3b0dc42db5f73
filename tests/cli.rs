//! The `reactor` command as its users meet it: exit codes, messages, and JSON that scripts read.
//!
//! Speed is not asserted: these run beside each other, on machines that have other things to do.

#[path = "cli/command.rs"]
mod command;
#[path = "cli/events.rs"]
mod events;
#[cfg(feature = "testing")]
#[path = "cli/nvme.rs"]
mod nvme;
#[path = "cli/perf.rs"]
mod perf;
