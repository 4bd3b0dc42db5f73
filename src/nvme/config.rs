//! How a controller is to be driven, and what that came to.

use super::spec::Arbitration;
use std::time::Duration;

/// How a controller is to be driven.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Entries of each I/O queue, of which one stays free: commands on their way at a time, less one. The controller's own limit
    /// counts as well. 2 to 32,768.
    pub queue_entries: u16,
    /// How long an admin command may take. After that the controller is reset.
    pub admin_timeout: Duration,
    /// How long an I/O command may take, once the controller has it; up to half as much again may pass until that is noticed. Then it
    /// is aborted, and ends with [`Error::TimedOut`](super::Error::TimedOut); if the controller does not abort it within a quarter
    /// to half of this, the controller is reset.
    pub command_timeout: Duration,
    /// How often a command that a reset cut off is sent again, before it ends with a status that is
    /// [retryable](super::spec::Status::is_retryable). It may have been done: with more than none, commands that must not be done twice
    /// (zone appends, compares and writes of one's own) are not safe. Fused commands are not sent again.
    pub retries: u8,
    /// How often a reset is tried before the controller is given up, which ends all I/O with [`Error::Failed`](super::Error::Failed).
    pub reset_tries: u32,
    /// How often the controller is looked at: whether it is there, has failed, or has something to tell.
    pub watch_period: Duration,
    /// How long the controller waits for a sign of life before it takes its host for dead; none if it is not to.
    pub keep_alive: Option<Duration>,
    /// Whether cores that [may sleep](crate::Mode) do so until the controller interrupts them, if it can. If not they stay awake while
    /// commands are on their way.
    pub interrupts: bool,
    /// Has the controller take commands by weight, and gives queues this priority; if it has that (CAP.AMS).
    pub arbitration: Option<Weights>,
    /// How long the end of a core waits for commands before it disables the controller.
    pub end_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_entries: 1024,
            admin_timeout: Duration::from_secs(60),
            command_timeout: Duration::from_secs(30),
            retries: 0,
            reset_tries: 3,
            watch_period: Duration::from_millis(200),
            keep_alive: None,
            interrupts: true,
            arbitration: None,
            end_patience: Duration::from_secs(5),
        }
    }
}

/// Weighted round robin with urgent priority (Base 2.0 §3.4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// How many commands are taken of each priority in turn.
    pub weights: Arbitration,
    /// Of the queue pairs: 0 is urgent, 1 high, 2 medium, 3 low.
    pub priority: u8,
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
