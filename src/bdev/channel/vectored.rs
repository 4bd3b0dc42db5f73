//! Reading into and writing from several buffers at once.

use std::ops::Range;

use super::Channel;
use crate::bdev::request::Segments;
use crate::bdev::{Error, Op, ReadVectoredError, Result};
use crate::sys::dma::{DmaBuf, DmaBytes};

impl Channel {
    /// Reads `blocks` into `bufs`, one after the other, and gives them back. Each has whole blocks, and together they have as many as
    /// are read.
    ///
    /// Goes to the module as one I/O if it takes [as many buffers](crate::bdev::Geometry::max_segments), else as one for each.
    ///
    /// # Errors
    /// [`Error::BadLength`]; otherwise as [`read_into`](Channel::read_into). The buffers come back with the error.
    pub async fn read_vectored(
        &self,
        blocks: Range<u64>,
        bufs: Vec<DmaBuf>,
    ) -> Result<Vec<DmaBuf>, ReadVectoredError> {
        let count = bufs.len();
        let io = self.0.io(Op::Read, blocks, None);
        io.request().extra.segments.set(Segments::Read(bufs));
        let (error, taken) = self.0.carry(io).await;
        let bufs = match taken.segments {
            Segments::Read(bufs) => bufs,
            _ => Vec::new(),
        };
        match error {
            None if bufs.len() == count => Ok(bufs),
            None => Err(ReadVectoredError { error: self.0.lost_buffer(), bufs }),
            Some(error) => Err(ReadVectoredError { error: *error, bufs }),
        }
    }

    /// Writes `list`, one after the other, from block `lba` on. Each has whole blocks.
    ///
    /// # Errors
    /// As [`write`](Channel::write).
    pub async fn write_vectored(&self, lba: u64, list: Vec<DmaBytes>) -> Result<()> {
        let blocks = list.iter().map(|data| self.0.whole_blocks(data.len())).sum::<Result<u64>>()?;
        let io = self.0.io(Op::Write, lba..lba.saturating_add(blocks), None);
        io.request().extra.segments.set(Segments::Write(list));
        self.0.carry(io).await.0.map_or(Ok(()), |e: Box<Error>| Err(*e))
    }
}
