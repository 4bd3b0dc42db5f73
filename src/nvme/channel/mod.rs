//! A channel: a namespace to read and write, over a queue of this core.

use super::prp::BYTES_MAX;
use super::spec::{Command, DatasetAttributes, DatasetRange};
use super::{Error, Namespace, Payload, Queue};
use crate::sys::dma::{DmaBuf, DmaBytes, DmaPool};
use std::fmt;
use std::ops::Range;
use zerocopy::IntoBytes;

/// A [`Namespace`] over a [`Queue`] of this core.
///
/// Commands are handed over when the core's turn ends, and wait in order while the queue is full. Dropping a future leaves its command
/// to the controller; the buffer is kept until that has answered.
#[derive(Clone)]
pub struct Channel<Q> {
    namespace: Namespace,
    queue: Q,
    block_shift: u32,
    /// Bytes of one command.
    transfer_max: u64,
}

/// Blocks of a command without data, which no other limit counts for.
const BLOCKS_MAX: u64 = 1 << 16;

impl<Q: Queue> Channel<Q> {
    /// The namespace over this queue, which is to be one of its controller's.
    pub fn new(namespace: Namespace, queue: Q) -> Self {
        let transfer_max = queue.limits().bytes.min(BYTES_MAX);
        Self { block_shift: namespace.block_shift(), namespace, queue, transfer_max }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The queue.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// The most bytes of one read or write.
    pub fn transfer_max(&self) -> u64 {
        self.transfer_max
    }

    /// Fills `buf` with the blocks from `lba` on.
    ///
    /// # Errors
    /// [`Error::WrongLength`], [`Error::Misaligned`], [`Error::TooLarge`], [`Error::OutOfRange`] before the controller is asked; what it
    /// answers as [`Error::Status`]; [`Error::Closed`]. The buffer comes back in any case.
    pub async fn read(&self, lba: u64, buf: DmaBuf) -> (Result<(), Error>, DmaBuf) {
        match self.blocks_of(lba, &buf) {
            Err(error) => (Err(error), buf),
            Ok(blocks) => {
                let command = Command::read(self.namespace.id(), lba, blocks);
                let (answer, payload) = self.queue.send(command, buf.into()).await;
                let buf = payload.into_buf().expect("the buffer comes back");
                (answer.and_then(|answer| answer.ok().map(drop)), buf)
            }
        }
    }

    /// Writes `bytes` to the blocks from `lba` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self, lba: u64, bytes: DmaBytes) -> Result<(), Error> {
        let blocks = self.blocks_of(lba, &bytes)?;
        self.ask(Command::write(self.namespace.id(), lba, blocks), bytes.into()).await
    }

    /// Has all that was written and completed survive a loss of power.
    ///
    /// # Errors
    /// What the controller answers; [`Error::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.ask(Command::flush(self.namespace.id()), Payload::None).await
    }

    /// Has `blocks` read as zeroes, without a transfer.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::TooLarge`] for more than 65,536 blocks; what the controller answers; [`Error::Closed`].
    pub async fn write_zeroes(&self, blocks: Range<u64>) -> Result<(), Error> {
        let count = self.check(blocks.start, blocks.end.saturating_sub(blocks.start))?;
        self.ask(Command::write_zeroes(self.namespace.id(), blocks.start, count), Payload::None).await
    }

    /// Tells that nobody needs what is in `blocks`; what they read as is up to the namespace.
    ///
    /// # Errors
    /// As [`write_zeroes`](Self::write_zeroes), and [`Error::Buffer`].
    pub async fn deallocate(&self, blocks: Range<u64>) -> Result<(), Error> {
        let count = self.check(blocks.start, blocks.end.saturating_sub(blocks.start))?;
        let range = DatasetRange::new(blocks.start, count);
        let mut ranges = DmaPool::local().alloc(size_of::<DatasetRange>()).await?;
        ranges.copy_from_slice(range.as_bytes());
        let attributes = DatasetAttributes::default().with_deallocates(true);
        self.ask(Command::dataset_management(self.namespace.id(), 1, attributes), ranges.into()).await
    }

    async fn ask(&self, command: Command, payload: Payload) -> Result<(), Error> {
        let (answer, _payload) = self.queue.send(command, payload).await;
        answer?.ok().map(drop)
    }

    #[inline(always)]
    fn blocks_of(&self, lba: u64, buf: &[u8]) -> Result<u32, Error> {
        let len = buf.len() as u64;
        if len & ((1 << self.block_shift) - 1) != 0 || len == 0 {
            return Err(Error::WrongLength { len: buf.len(), block_size: self.namespace.block_size() });
        }
        if buf.as_ptr().addr() % 4 != 0 {
            return Err(Error::Misaligned);
        }
        if len > self.transfer_max {
            return Err(Error::TooLarge { len, max: self.transfer_max });
        }
        self.check(lba, len >> self.block_shift)
    }

    #[inline(always)]
    fn check(&self, lba: u64, blocks: u64) -> Result<u32, Error> {
        let size = self.namespace.size();
        if blocks == 0 || blocks > size || lba > size - blocks {
            return Err(Error::OutOfRange { lba, blocks, size });
        }
        if blocks > BLOCKS_MAX {
            let bytes = |blocks: u64| blocks << self.block_shift;
            return Err(Error::TooLarge { len: bytes(blocks), max: bytes(BLOCKS_MAX) });
        }
        Ok(blocks as u32)
    }
}

impl<Q> fmt::Debug for Channel<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
