//! Why a controller is not there, or did not do what it was asked.

use super::spec::Status;
use std::{io, time::Duration};

/// A command or a controller failed. The messages say what would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The controller answered with an error.
    #[error("the controller refused: {0}")]
    Status(Status),
    /// The blocks are not all within the namespace.
    #[error("blocks {lba}..{} are not within the namespace's {size}", u128::from(*lba) + u128::from(*blocks))]
    OutOfRange {
        /// The first.
        lba: u64,
        /// How many.
        blocks: u64,
        /// How many the namespace has.
        size: u64,
    },
    /// The buffer is no number of blocks, or empty.
    #[error("a buffer of {len} bytes is no positive number of blocks of {block_size} bytes")]
    WrongLength {
        /// Its bytes.
        len: usize,
        /// Those of a block.
        block_size: u32,
    },
    /// More than one command takes.
    #[error("{len} bytes are more than the {max} that one command takes: split the transfer")]
    TooLarge {
        /// What was asked.
        len: u64,
        /// What can be.
        max: u64,
    },
    /// The buffer begins where no device can.
    #[error("a buffer that does not begin on a multiple of 4 bytes: take one as it comes from the pool")]
    Misaligned,
    /// The blocks' metadata has another length.
    #[error(
        "{len} bytes of metadata where the blocks have {needed}: bring a buffer of that length, or have the controller make it (PRACT)"
    )]
    Metadata {
        /// Its bytes.
        len: u64,
        /// Those of the blocks.
        needed: u64,
    },
    /// Several buffers do not meet where one command can go on.
    #[error(
        "the controller takes no SGLs, and its buffers meet neither on whole pages of memory nor on whole blocks: copy them into one"
    )]
    Scattered,
    /// A payload is more than a command can point to.
    #[error("the buffers are longer, or more, than one command can point to: split them")]
    TooLong,
    /// The controller would write to bytes that are shared.
    #[error("the controller would write to frozen bytes: bring a `DmaBuf`")]
    Frozen,
    /// A raw command moves more than its payload has.
    #[error("the command moves {needed} bytes, and its payload has {len}")]
    Payload {
        /// Its bytes.
        len: u64,
        /// Those that the command moves.
        needed: u64,
    },
    /// A copy would read what it writes.
    #[error("blocks would be read that are written by the same copy: copy in steps that do not overlap")]
    Overlap,
    /// No zone starts there.
    #[error("no zone starts at block {lba}: they start at multiples of {blocks}")]
    NoZone {
        /// Where it was to start.
        lba: u64,
        /// Blocks of a zone.
        blocks: u64,
    },
    /// The namespace was detached, or formatted.
    #[error("the namespace was detached or formatted since: ask the controller for it anew")]
    NamespaceGone,
    /// It does not answer any more.
    #[error("the controller is gone: its registers read as all ones (was it removed, or its power cut?)")]
    Removed,
    /// CSTS.CFS is set.
    #[error("the controller reports a fatal error (CSTS.CFS): reset it, or replace it")]
    Fatal,
    /// CSTS.RDY did not follow CC.EN in time.
    #[error("the controller did not become {} within {waited:?}, which is what it says it needs (CAP.TO)",
        if *.ready { "ready" } else { "disabled" })]
    NotReady {
        /// What was waited for.
        ready: bool,
        /// How long.
        waited: Duration,
    },
    /// An admin command was not answered in time.
    #[error("the controller did not answer an admin command within {0:?}")]
    AdminTimeout(Duration),
    /// A command was late, and the controller has aborted it.
    #[error(
        "the controller did not answer within {0:?}, and has aborted the command when asked to: try it again"
    )]
    TimedOut(Duration),
    /// The controller was reset and did not come back.
    #[error("the controller was given up: it did not come back from a reset; attach it anew, or replace it")]
    Failed,
    /// The controller is none that this driver knows to drive.
    #[error("the controller cannot be driven: {0}")]
    Unsupported(&'static str),
    /// Somebody has attached it already.
    #[error("the controller is attached already: use a clone of that `Controller`, or close it first")]
    Busy,
    /// The controller, or this namespace's queue pair, was closed.
    #[error("the controller has been closed")]
    Closed,
    /// There is no such namespace.
    #[error("there is no active namespace {0}")]
    NoNamespace(u32),
    /// All of the controller's queue pairs are in use.
    #[error(
        "the controller allows {0} queue pairs, and other cores have them all: use it on fewer cores, or by their queue pairs (`Controller::cores`)"
    )]
    NoQueue(u16),
    /// The buffer is in memory that the controller cannot reach.
    #[error("the controller cannot reach the buffer's memory: take one of a pool that was made known to it")]
    Unseen,
    /// The kernel's driver, where it is that which the command goes to, did not pass it on.
    #[error("{}", super::passthru::why(.0))]
    Kernel(#[source] io::Error),
    /// The kernel's device that it goes by cannot be opened.
    #[error(transparent)]
    Open(#[from] Box<super::passthru::OpenError>),
    /// No memory for queues.
    #[error("no memory for queues")]
    Memory(#[source] io::Error),
    /// No buffer for what the controller answers.
    #[error(transparent)]
    Buffer(#[from] crate::sys::dma::AllocError),
    /// No descriptor for the core to wait by.
    #[error(transparent)]
    EventFd(#[from] crate::sys::eventfd::Error),
}
