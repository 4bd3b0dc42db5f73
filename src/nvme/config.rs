//! How a controller is to be driven, and what that came to.

use std::time::Duration;

/// How a controller is to be driven.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Entries of each I/O queue, of which one stays free: commands on their way at a time, less one. The controller's own limit
    /// counts as well. 2 to 32,768.
    pub queue_entries: u16,
    /// How long an admin command may take.
    pub admin_timeout: Duration,
    /// How long the end of a core waits for commands before it disables the controller.
    pub end_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_entries: 1024,
            admin_timeout: Duration::from_secs(60),
            end_patience: Duration::from_secs(5),
        }
    }
}

/// What a queue pair has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Commands put into the submission queue.
    pub submitted: u64,
    /// Answers to commands.
    pub completed: u64,
    /// Answers to nothing: a command's second answer, or one with an identifier that no command has. A sound controller has none.
    pub strays: u64,
}
