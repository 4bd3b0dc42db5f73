//! A channel: a namespace to read and write, over a queue of this core.
//!
//! Here stand its making and the way that most I/O takes: one buffer, one command. What needs more is in rooms of its own: `data` has
//! reads and writes with all that they may have, `fused` compares and writes as one, `ranges` is for commands without data,
//! `reservations` and `zones` for namespaces that have such things, `raw` for any command. Requests are `cut` into what one command
//! takes, and `run`.

mod cut;
mod data;
mod fused;
mod options;
mod ranges;
mod raw;
mod reservations;
mod run;
mod zones;

pub use options::IoOptions;
pub use reservations::{Registrant, Reservations};

use super::namespace::BLOCKS_MAX;
use super::queue::{Request, ok};
use super::spec::{Command, IoOpcode};
use super::{Error, Limits, Namespace, Payload, Queue};
use crate::sys::dma::{DmaBuf, DmaBytes};
use std::fmt;

/// A [`Namespace`] over a [`Queue`] of this core.
///
/// Requests may be of any length: what is more than one command takes becomes several, on their way together. Commands are handed over
/// when the core's turn ends, and wait in order while the queue is full.
///
/// ```
/// use reactor::nvme::{Channel, Error, IoOptions, Payload, Queue};
/// use reactor::sys::dma::DmaPool;
///
/// /// Puts a record of a head and a body, unless the blocks have changed since they were read.
/// async fn put<Q: Queue>(disk: &Channel<Q>, lba: u64, known: Payload, head: u8) -> Result<(), Error> {
///     let pool = DmaPool::local();
///     let mut bufs = vec![pool.alloc(512).await?, pool.alloc(3584).await?];
///     bufs[0].fill(head);
///     disk.compare_and_write(lba, known, bufs, IoOptions::new()).await?;
///     disk.flush().await
/// }
/// ```
///
/// # Cancellation
/// Any future may be dropped, or forgotten, at any time. Its commands are the controller's then, which may or may not do them; their
/// buffers are kept until it has answered.
///
/// # Errors
/// What cannot be asked is refused before the controller hears of it: [`Error::OutOfRange`], [`Error::WrongLength`],
/// [`Error::Misaligned`], … What the controller answers is [`Error::Status`]. Of a request in several commands the first error, by
/// block, is told; the others may have been done or not. Buffers come back in any case.
#[derive(Clone)]
pub struct Channel<Q> {
    namespace: Namespace,
    queue: Q,
    limits: Limits,
    /// The most bytes that go the short way; 0 if none do.
    short_max: u64,
    /// Bytes of a block, as a power of two, where anything goes the short way.
    block_shift: u32,
    /// Nothing that goes the short way crosses multiples of so many blocks, as a power of two.
    boundary_shift: u32,
}

impl<Q: Queue> Channel<Q> {
    /// The namespace over this queue.
    ///
    /// # Panics
    /// If the queue is not of the controller, or of the opened device node, that the namespace is from: the blocks of another's may be
    /// larger than the buffers.
    pub fn new(namespace: Namespace, queue: Q) -> Self {
        assert!(
            namespace.origin() == queue.origin(),
            "namespace {} is another controller's than the queue",
            namespace.id()
        );
        let (limits, format) = (queue.limits(), namespace.format());
        let boundary = namespace.limits().boundary_blocks;
        let is_plain = format.metadata_size == 0 && namespace.zones().is_none();
        let boundary_shift = match boundary {
            0 => Some(63),
            blocks => blocks.is_power_of_two().then(|| blocks.trailing_zeros()),
        };
        let block_shift = format.block_size.trailing_zeros();
        let transfer = limits.bytes.min(namespace.limits().transfer_bytes).min(BLOCKS_MAX << block_shift);
        let short_max = if is_plain && boundary_shift.is_some() { transfer } else { 0 };
        let boundary_shift = boundary_shift.unwrap_or(0);
        Self { namespace, queue, limits, short_max, block_shift, boundary_shift }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The queue.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// The most bytes of data of one command. Requests may be longer.
    pub fn transfer_max(&self) -> u64 {
        self.limits.bytes.min(self.namespace.limits().transfer_bytes)
    }

    /// Fills `buf` with the blocks from `lba` on. For formats with metadata behind each block it is of both.
    ///
    /// # Errors
    /// As [above](Self#errors); [`Error::Metadata`] if the blocks have metadata apart, for which [`read_with`](Self::read_with) takes a
    /// buffer.
    pub async fn read(&self, lba: u64, buf: DmaBuf) -> (Result<(), Error>, DmaBuf) {
        let Some(command) = self.short(IoOpcode::READ, lba, buf.len()) else {
            return Box::pin(self.read_long(lba, buf)).await;
        };
        let (answer, payload) = self.queue.send(Request::new(command, buf.into())).await;
        let buf = payload.into_buf().expect("the buffer comes back");
        (ok(answer).map(drop), buf)
    }

    /// Writes `bytes` to the blocks from `lba` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self, lba: u64, bytes: DmaBytes) -> Result<(), Error> {
        let Some(command) = self.short(IoOpcode::WRITE, lba, bytes.len()) else {
            return Box::pin(self.transfer(IoOpcode::WRITE, lba, bytes.into(), IoOptions::new())).await.0;
        };
        self.ask(command, bytes.into()).await.map(drop)
    }

    /// Has all that was written and completed survive a loss of power.
    ///
    /// # Errors
    /// What the controller answers; [`Error::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        let id = self.namespace.id();
        self.ask(move || Command::flush(id), Payload::None).await.map(drop)
    }

    /// The command, if all of it goes the short way and nothing is wrong with it.
    #[inline(always)]
    fn short(&self, opcode: IoOpcode, lba: u64, len: usize) -> Option<impl Fn() -> Command + use<Q>> {
        let (len, size) = (len as u64, self.namespace.size());
        let blocks = len >> self.block_shift;
        let is_whole = blocks << self.block_shift == len && len <= self.short_max;
        if !is_whole || blocks == 0 || blocks > size || lba > size - blocks {
            return None;
        }
        let crosses = (lba ^ (lba + (blocks - 1))) >> self.boundary_shift != 0;
        let (id, blocks) = (self.namespace.id(), blocks as u32);
        (!crosses).then_some(move || Command::of_blocks(opcode, id, lba, blocks))
    }

    /// Sends one command and yields its result. What it carries is dropped.
    #[inline(always)]
    async fn ask(&self, command: impl Fn() -> Command, payload: Payload) -> Result<u64, Error> {
        let (answer, _payload) = self.queue.send(Request::new(command, payload)).await;
        ok(answer)
    }

    /// How many commands that write may be on their way together: zones are written in order, and commands are done in any.
    fn window(&self, most: usize) -> usize {
        if self.namespace.zones().is_some() { 1 } else { most }
    }

    /// # Errors
    /// If the blocks are none, or not all within the namespace.
    fn check(&self, lba: u64, blocks: u64) -> Result<(), Error> {
        let size = self.namespace.size();
        if size == 0 {
            return Err(Error::NamespaceGone);
        }
        if blocks == 0 || blocks > size || lba > size - blocks {
            return Err(Error::OutOfRange { lba, blocks, size });
        }
        Ok(())
    }
}

impl<Q> fmt::Debug for Channel<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
