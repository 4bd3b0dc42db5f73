//! What can go wrong with a block device, named for what the caller can do about it.

use std::io;
use std::ops::Range;
use std::time::Duration;

use super::{Op, Tag, ZoneState};
use crate::NotOnReactor;
use crate::sys::dma::{AllocError, DmaBuf};

/// The block layer's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the block layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody registered the name, and it is no spec.
    #[error(
        "no block device is named {name:?}: register it first, or write what is to be made, such as ram:64M or file:PATH"
    )]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// A name, an alias or a UUID that is taken or cannot be one.
    #[error("{name:?} cannot be registered: {reason}")]
    BadName {
        /// The name offered.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A string that begins like a spec and is none.
    #[error("bad block device {spec:?}, at {}: {reason}", Place(.spec, .at))]
    BadSpec {
        /// The string as given.
        spec: String,
        /// Which bytes of it are wrong; none at its end where something is missing.
        at: Range<usize>,
        /// What to write instead.
        reason: String,
    },
    /// A line of a configuration that cannot be done.
    #[error("line {line} of the configuration")]
    BadConfig {
        /// Its number, from 1 on.
        line: usize,
        /// Why not.
        #[source]
        source: Box<Error>,
    },
    /// A module looked at a device, to see whether it has a use for it, and failed.
    #[error("the module {module} cannot examine {name:?}: {reason}")]
    Examine {
        /// The device.
        name: String,
        /// The module.
        module: &'static str,
        /// What it said.
        reason: String,
    },
    /// A module that cannot be added, or did not end well.
    #[error("the module {module}: {reason}")]
    Module {
        /// Its name.
        module: String,
        /// What it said, or what to do.
        reason: String,
    },
    /// A module states a shape that cannot be.
    #[error("bad geometry: {reason}")]
    BadGeometry {
        /// What is wrong.
        reason: String,
    },
    /// Another descriptor has the device open for writing, or has it claimed.
    #[error("{name:?} is {}", busy(.by.as_deref()))]
    Busy {
        /// The device.
        name: String,
        /// Who has a [claim](super::Claim) on it, and what for, or what else keeps it busy. None: somebody who writes.
        by: Option<String>,
    },
    /// A change asked of what was opened, or can only be, read-only.
    #[error(
        "{name:?} is read-only here: open it with Access::ReadWrite, and make sure that what lies below is writable"
    )]
    ReadOnly {
        /// The device.
        name: String,
    },
    /// An I/O of no blocks, or one whose end lies before its start.
    #[error("blocks {start}..{end} are none: an I/O covers at least one block")]
    EmptyRange {
        /// The first block.
        start: u64,
        /// The block after the last.
        end: u64,
    },
    /// Blocks that the device does not have.
    #[error("blocks {start}..{end} reach past the end: the device has blocks 0..{block_count}")]
    OutOfRange {
        /// The first block.
        start: u64,
        /// The block after the last.
        end: u64,
        /// How many blocks there are.
        block_count: u64,
    },
    /// A buffer whose length is not that of the blocks.
    #[error("a buffer of {len} bytes does not fit: {expected}")]
    BadLength {
        /// Bytes in the buffer.
        len: usize,
        /// What would fit.
        expected: LengthExpected,
    },
    /// The blocks do not hold what they were compared with.
    #[error("block {lba} does not hold what it was compared with")]
    Miscompare {
        /// The first block that differs, or the first of the I/O where the device does not say.
        lba: u64,
    },
    /// A block that begins no zone, where one must.
    #[error("block {lba} begins no zone: {}", zones_of(*zone_blocks))]
    NoZone {
        /// The block.
        lba: u64,
        /// Blocks from one zone to the next; zero if the device has none.
        zone_blocks: u64,
    },
    /// What a zone does not allow.
    #[error(
        "the zone from block {start} on, {state:?} and written up to {write_pointer}, refuses that: {reason}"
    )]
    Zone {
        /// The zone's first block.
        start: u64,
        /// The next block that a write goes to.
        write_pointer: u64,
        /// Its state.
        state: ZoneState,
        /// What it would have to be like, or what to do.
        reason: &'static str,
    },
    /// A block that reads back as something else than was written.
    #[error(
        "block {lba} is corrupt: its checksum was {expected:#010x} when it was written and is {found:#010x}"
    )]
    Corrupt {
        /// The block.
        lba: u64,
        /// The checksum of what was written, a CRC-32C.
        expected: u32,
        /// That of what was read.
        found: u32,
    },
    /// A block's protection information is not what the block, its place or its device asks for: damaged on its way, or that of
    /// another block. Linux says EILSEQ, and NVMe has a status for each tag.
    #[error("block {lba}: its {tag} should be {expected:#x} and is {found:#x}")]
    Protection {
        /// The block, the first that is wrong, as the device that found it counts.
        lba: u64,
        /// What is wrong.
        tag: Tag,
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A member of a mirror that cannot be meant.
    #[error("member {member} of the mirror: {reason}")]
    NoMember {
        /// Its number, from 0 on.
        member: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A limit that would stop all I/O, or is none.
    #[error(
        "{limit} of {given} cannot be a limit: give at least {least} and at most {most}, None for no limit, or quiesce the device to \
         stop its I/O"
    )]
    BadLimit {
        /// Which of [`Limits`](super::Limits).
        limit: &'static str,
        /// What it was to be.
        given: u64,
        /// What it can be at least.
        least: u64,
        /// And at most.
        most: u64,
    },
    /// A time from one sample to the next that leaves none in between.
    #[error(
        "queue depth cannot be sampled every {given:?}: give at least {least:?}, or None to sample no more"
    )]
    BadPeriod {
        /// What it was to be.
        given: Duration,
        /// What it can be at least.
        least: Duration,
    },
    /// A key that cannot be one.
    #[error("the key cannot be used: {reason}")]
    BadKey {
        /// What is wrong with it. Never the key.
        reason: String,
    },
    /// A disk without a partition table that can be believed.
    #[error("{name:?} has no partition table that can be believed: {reason}")]
    NoPartitions {
        /// The disk.
        name: String,
        /// What is wrong with what is there.
        reason: String,
        /// True if there was a table once.
        is_damaged: bool,
    },
    /// A partition table without the partition that was asked for.
    #[error("{name:?} has no one partition {wanted}: {reason}")]
    NoPartition {
        /// The disk.
        name: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        reason: String,
    },
    /// The device keeps no metadata beside its blocks, or keeps it within them.
    #[error("the block device has no metadata beside its blocks: read and write the blocks alone")]
    NoMetadata,
    /// The device is gone.
    #[error("the block device was removed")]
    Removed,
    /// Given up before it was answered.
    #[error("the i/o was aborted before it completed")]
    Aborted,
    /// The device could not read or write its medium.
    #[error("the medium failed")]
    Media,
    /// What lies below is full.
    #[error("no space left below the block device")]
    NoSpace,
    /// The module has no such operation, and the layer cannot do it by others.
    #[error("{} cannot {op}", named(module))]
    Unsupported {
        /// What was asked for.
        op: Op,
        /// Who cannot: the module that refused, however deep it lies. Empty on its way there.
        module: &'static str,
    },
    /// A channel was asked for outside of a reactor.
    #[error(transparent)]
    NotOnReactor(#[from] NotOnReactor),
    /// No buffer for the I/O, nor will there be one: a pool that is merely dry is waited for, except by
    /// [`Channel::try_alloc`](super::Channel::try_alloc).
    #[error(transparent)]
    NoBuffer(#[from] AllocError),
    /// What the operating system said.
    #[error("{context}")]
    Os {
        /// What was being done, and to what.
        context: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// What the operating system answered to an I/O.
    #[error("the i/o failed below")]
    Io(#[source] io::Error),
}

impl Error {
    /// [`Error::Unsupported`] as a module answers it; the layer adds the module's name.
    #[must_use]
    pub const fn unsupported(op: Op) -> Self {
        Self::Unsupported { op, module: "" }
    }
}

fn busy(by: Option<&str>) -> String {
    match by {
        None => "open for writing elsewhere: drop that descriptor first, or open it read-only".to_owned(),
        Some(by) => format!("in use by {by}: end that first, or open it read-only"),
    }
}

fn zones_of(blocks: u64) -> String {
    match blocks {
        0 => "the device has none".to_owned(),
        _ => format!("they begin at multiples of {blocks}"),
    }
}

fn named(module: &str) -> String {
    if module.is_empty() { "this block device".to_owned() } else { format!("this block device ({module})") }
}

/// Which length of buffer would have fitted, in [`Error::BadLength`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LengthExpected {
    /// Exactly so many bytes.
    Exactly(u64),
    /// Whole blocks of so many bytes, at least one.
    Blocks(u32),
    /// So many bytes at most, for what the device does as one step.
    AtMost(u64),
}

impl std::fmt::Display for LengthExpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(f, "the range takes {bytes} bytes"),
            Self::AtMost(bytes) => write!(f, "the device does at most {bytes} bytes of this in one step"),
            Self::Blocks(size) => write!(f, "it must be whole blocks of {size} bytes, at least one"),
        }
    }
}

/// Where in a spec something is wrong, in [`Error::BadSpec`].
struct Place<'e>(&'e str, &'e Range<usize>);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // From there on to the end: a single word may stand there more than once.
        match self.0.get(self.1.start..) {
            Some(rest) if !rest.is_empty() => write!(f, "{rest:?}"),
            _ => write!(f, "its end"),
        }
    }
}

/// A failed read into the caller's buffer, which comes back with it.
///
/// `?` turns it into its [`Error`] where the buffer is not wanted.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ReadIntoError {
    /// Why it failed. Boxed, as callers copy the whole of a result before they look at it.
    #[source]
    pub error: Box<Error>,
    /// The buffer, with undefined content; none if it is still with the device.
    pub buf: Option<DmaBuf>,
}

impl From<ReadIntoError> for Error {
    fn from(e: ReadIntoError) -> Self {
        *e.error
    }
}

/// A failed read into the caller's buffers, which come back with it.
///
/// `?` turns it into its [`Error`] where the buffers are not wanted.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ReadVectoredError {
    /// Why it failed.
    #[source]
    pub error: Error,
    /// The buffers, with undefined content and in their order, but those that are still with the device.
    pub bufs: Vec<DmaBuf>,
}

impl From<ReadVectoredError> for Error {
    fn from(e: ReadVectoredError) -> Self {
        e.error
    }
}
