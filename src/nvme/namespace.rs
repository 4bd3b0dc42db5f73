//! A namespace: blocks to read and write, by the queue pair of the core.

use super::Error;
use super::controller::Inner;
use super::device::Device;
use super::op::Op;
use super::prp::{BYTES_MAX, PAGE};
use super::qpair::Answer;
use super::spec::{Command, DatasetAttributes, DatasetRange, IdentifyNamespace};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes, DmaPool};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use zerocopy::IntoBytes;

/// A namespace of a [`Controller`](super::Controller), on its core. It keeps the controller attached.
///
/// Commands are handed over when the core's turn ends, and wait in order while the queue is full. Dropping a future leaves its command
/// to the controller; the buffer is kept until that has answered.
pub struct Namespace<D: Device> {
    controller: Rc<Inner<D>>,
    id: u32,
    size: u64,
    block_shift: u32,
    /// Bytes of one command.
    transfer_max: u64,
}

/// Blocks of a command without data, which no other limit counts for.
const BLOCKS_MAX: u64 = 1 << 16;

impl<D: Device> Namespace<D> {
    pub(super) fn new(
        controller: Rc<Inner<D>>,
        id: u32,
        identity: &IdentifyNamespace,
    ) -> Result<Self, Error> {
        if !identity.is_active() {
            return Err(Error::NoNamespace(id));
        }
        let format = identity.current_format().ok_or(Error::Unsupported("its format is not in its list"))?;
        if format.metadata_bytes.get() > 0 {
            return Err(Error::Unsupported("its blocks have metadata: format it without"));
        }
        let block_bytes = format
            .block_bytes()
            .filter(|&bytes| bytes <= 1 << 16)
            .ok_or(Error::Unsupported("its blocks are below 512 bytes or above 64 KiB"))?;
        let of_controller = controller.identity().transfer_bytes_max(PAGE).unwrap_or(BYTES_MAX);
        let transfer_max = of_controller.min(BYTES_MAX);
        if u64::from(block_bytes) > transfer_max {
            return Err(Error::Unsupported("one of its blocks is more than it transfers (MDTS)"));
        }
        let block_shift = block_bytes.trailing_zeros();
        Ok(Self { controller, id, size: identity.size.get(), block_shift, transfer_max })
    }

    /// Its identifier.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How many blocks it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u32 {
        1 << self.block_shift
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
                let command = Command::read(self.id, lba, blocks);
                let (answer, held) = Op::new(self.controller.io(), command, Some(buf.into())).await;
                let buf = held.and_then(DmaAny::into_buf).expect("the buffer comes back");
                (finish(answer), buf)
            }
        }
    }

    /// Writes `bytes` to the blocks from `lba` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self, lba: u64, bytes: DmaBytes) -> Result<(), Error> {
        let blocks = self.blocks_of(lba, &bytes)?;
        self.ask(Command::write(self.id, lba, blocks), Some(bytes.into())).await
    }

    /// Has all that was written and completed survive a loss of power.
    ///
    /// # Errors
    /// What the controller answers; [`Error::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.ask(Command::flush(self.id), None).await
    }

    /// Has `blocks` read as zeroes, without a transfer.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::TooLarge`] for more than 65,536 blocks; what the controller answers; [`Error::Closed`].
    pub async fn write_zeroes(&self, blocks: Range<u64>) -> Result<(), Error> {
        let count = self.check(blocks.start, blocks.end.saturating_sub(blocks.start))?;
        self.ask(Command::write_zeroes(self.id, blocks.start, count), None).await
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
        self.ask(Command::dataset_management(self.id, 1, attributes), Some(ranges.into())).await
    }

    async fn ask(&self, command: Command, data: Option<DmaAny>) -> Result<(), Error> {
        let (answer, _held) = Op::new(self.controller.io(), command, data).await;
        finish(answer)
    }

    #[inline(always)]
    fn blocks_of(&self, lba: u64, buf: &[u8]) -> Result<u32, Error> {
        let len = buf.len() as u64;
        if len & (u64::from(self.block_size()) - 1) != 0 || len == 0 {
            return Err(Error::WrongLength { len: buf.len(), block_size: self.block_size() });
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
        if blocks == 0 || blocks > self.size || lba > self.size - blocks {
            return Err(Error::OutOfRange { lba, blocks, size: self.size });
        }
        if blocks > BLOCKS_MAX {
            let bytes = |blocks: u64| blocks << self.block_shift;
            return Err(Error::TooLarge { len: bytes(blocks), max: bytes(BLOCKS_MAX) });
        }
        Ok(blocks as u32)
    }
}

#[inline(always)]
fn finish(answer: Option<Answer>) -> Result<(), Error> {
    match answer {
        Some(answer) if answer.status.is_success() => Ok(()),
        Some(answer) => Err(Error::Status(answer.status)),
        None => Err(Error::Closed),
    }
}

impl<D: Device> fmt::Debug for Namespace<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("id", &self.id)
            .field("size", &self.size)
            .field("block_size", &self.block_size())
            .finish_non_exhaustive()
    }
}
