//! Reading and writing blocks together with the bytes that a device keeps beside them.
//!
//! Only where they have a buffer of their own: [interleaved](crate::bdev::Metadata::interleaved) ones are part of the blocks, and
//! of what `data` reads and writes.

use std::ops::Range;

use super::Channel;
use crate::bdev::error::LengthExpected;
use crate::bdev::{Error, Metadata, Op, Result};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

impl Channel {
    /// Reads `blocks`, and beside them their metadata: [`Metadata::bytes`] for each.
    ///
    /// # Errors
    /// [`Error::NoMetadata`] if the device has none with a buffer of its own; otherwise as [`read`](Channel::read).
    pub async fn read_with_metadata(&self, blocks: Range<u64>) -> Result<(DmaBuf, DmaBuf)> {
        let count = self.0.check(Op::Read, &blocks)?;
        let (len, aside_len) = (self.0.bytes(count), self.metadata_len(count)?);
        // One allocation: who holds one buffer and waits for another may wait for himself.
        let start = len.next_multiple_of(crate::sys::dma::ALIGN);
        let mut both = self.alloc(start + aside_len).await?;
        let mut buf = both.split_to(start);
        buf.truncate(len);
        let io = self.0.io(Op::Read, blocks, Some(buf.into()));
        io.request().extra.aside.set(Some(both.into()));
        match self.0.carry(io).await {
            (Some(e), _) => Err(*e),
            (None, taken) => {
                let buf = |buffer: Option<DmaAny>| buffer.and_then(DmaAny::into_buf);
                buf(taken.buffer).zip(buf(taken.aside)).ok_or_else(|| self.0.lost_buffer())
            }
        }
    }

    /// Writes `data`, whole blocks of it, from block `lba` on, and `metadata` beside them.
    ///
    /// # Errors
    /// [`Error::NoMetadata`] if the device has none with a buffer of its own; [`Error::BadLength`] of either; otherwise as
    /// [`write`](Channel::write).
    pub async fn write_with_metadata(
        &self,
        lba: u64,
        data: impl Into<DmaBytes>,
        metadata: impl Into<DmaBytes>,
    ) -> Result<()> {
        let (data, metadata) = (data.into(), metadata.into());
        let count = self.0.whole_blocks(data.len())?;
        let bytes = self.metadata_len(count)?;
        if metadata.len() != bytes {
            let expected = LengthExpected::Exactly(bytes as u64);
            return Err(Error::BadLength { len: metadata.len(), expected });
        }
        let io = self.0.io(Op::Write, lba..lba.saturating_add(count), Some(data.into()));
        io.request().extra.aside.set(Some(metadata.into()));
        self.0.carry(io).await.0.map_or(Ok(()), |e| Err(*e))
    }

    fn metadata_len(&self, blocks: u64) -> Result<usize> {
        match self.0.geometry.metadata {
            Some(Metadata { bytes, interleaved: false, .. }) => Ok(blocks as usize * bytes as usize),
            _ => Err(Error::NoMetadata),
        }
    }
}
