//! Where commands go on this core: a queue, whatever is behind it.

use super::spec::{Command, Status};
use super::{Error, Payload};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the controller answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub status: Status,
    /// Dwords 0 and 1 of the completion, by command (Base 2.0 §3.3.3.2).
    pub result: u64,
}

impl Answer {
    /// The result of a command that went well.
    ///
    /// # Errors
    /// [`Error::Status`] of one that did not.
    #[inline(always)]
    pub fn ok(self) -> Result<u64, Error> {
        if self.status.is_success() { Ok(self.result) } else { Err(Error::Status(self.status)) }
    }
}

/// What became of a command. The error is apart, so that an answer is three words without it, and nothing has to be dropped.
pub type Answered = Result<Answer, Box<Error>>;

/// The result of a command that went well.
///
/// # Errors
/// Of one that did not, or was not answered.
#[inline(always)]
pub(crate) fn ok(answered: Answered) -> Result<u64, Error> {
    match answered {
        Ok(answer) if answer.status.is_success() => Ok(answer.result),
        other => Err(error_of(other)),
    }
}

#[cold]
fn error_of(answered: Answered) -> Error {
    answered.map_or_else(|error| *error, |answer| Error::Status(answer.status))
}

/// What one command of a queue takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of data.
    pub bytes: u64,
    /// Pieces that the data may be in.
    pub segments: usize,
    /// Whether these may begin and end anywhere. If not, they meet on whole pages of memory.
    pub has_sgls: bool,
    /// Whether two commands can be fused.
    pub has_fused: bool,
}

/// A command and what it carries, made by this crate alone, which has seen to it that the one has room for what the other moves.
///
/// The command is what `Ask` makes when it is put into the queue, word by word to where the controller reads it. Made before, its eight
/// words would go through the memory of the future that sends it.
pub struct Request<Ask> {
    pub(super) ask: Ask,
    pub(super) payload: Payload,
}

impl<Ask: Fn() -> Command> Request<Ask> {
    /// The caller has checked that the payload has room for all that the command moves, and may be written if that is written.
    #[inline(always)]
    pub(crate) fn new(ask: Ask, payload: Payload) -> Self {
        Self { ask, payload }
    }
}

/// Which controller, or device node, a queue or a namespace is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin(u64);

impl Origin {
    /// Another than all before.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: a number, each once.
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// A queue of this core that takes NVMe commands. Sealed: what is sent has a device read and write memory.
pub trait Queue: Clone + sealed::Sealed + 'static {
    /// A command on its way.
    type Sent<'a, Ask: Fn() -> Command + 'a>: Future<Output = (Answered, Payload)>
    where
        Self: 'a;

    /// Sends a command, when first polled, behind those that were sent before. Yields what was answered, whatever that is, and the
    /// payload.
    ///
    /// Dropping the future leaves the command to the controller; the payload is kept until it has answered.
    ///
    /// # Errors
    /// Those of a command that was not answered: [`Error::Closed`], [`Error::Unseen`], …
    fn send<'a, Ask: Fn() -> Command + 'a>(&'a self, request: Request<Ask>) -> Self::Sent<'a, Ask>;

    /// What one command takes.
    fn limits(&self) -> Limits;

    #[doc(hidden)]
    fn origin(&self) -> Origin;
}
