//! Reading into and writing from memory that is the caller's own, wherever it lies.
//!
//! The device never sees it: a buffer from the pool goes between, so that dropping the future is as safe as ever.

use std::ops::Range;

use super::Channel;
use super::run::ended;
use crate::bdev::{Op, Result};
use crate::sys::dma::DmaAny;

/// Bytes that travel through one buffer: as long as a pool's largest shared ones, so that long transfers do not drain it.
const PIECE: u64 = 256 << 10;

impl Channel {
    /// Reads `blocks` into `memory`, whose length is theirs. It costs a copy; [`read`](Channel::read) does not.
    ///
    /// Dropping the future leaves any part of `memory` read.
    ///
    /// # Errors
    /// [`Error::BadLength`](crate::bdev::Error::BadLength); otherwise as [`read`](Channel::read).
    pub async fn read_to(&self, blocks: Range<u64>, memory: &mut [u8]) -> Result<()> {
        let count = self.0.check(Op::Read, &blocks)?;
        self.0.check_len(count, memory.len())?;
        for (lba, memory) in (blocks.start..).step_by(self.step()).zip(memory.chunks_mut(self.piece())) {
            let buf = self.0.pool.alloc(memory.len()).await?;
            match self.0.run(Op::Read, lba, self.0.whole_blocks(memory.len())?, Some(buf.into())).await {
                (None, buf) => {
                    let buf = buf.and_then(DmaAny::into_buf).ok_or_else(|| self.0.lost_buffer())?;
                    memory.copy_from_slice(&buf);
                }
                (Some(e), _) => return Err(*e),
            }
        }
        Ok(())
    }

    /// Writes `memory`, whole blocks of it, from block `lba` on. It costs a copy; [`write`](Channel::write) does not.
    ///
    /// Dropping the future leaves any part of it written.
    ///
    /// # Errors
    /// As [`write`](Channel::write), and [`Error::NoBuffer`](crate::bdev::Error::NoBuffer) as for a read.
    pub async fn write_from(&self, lba: u64, memory: &[u8]) -> Result<()> {
        let count = self.0.whole_blocks(memory.len())?;
        self.0.check(Op::Write, &(lba..lba.saturating_add(count)))?;
        for (lba, memory) in (lba..).step_by(self.step()).zip(memory.chunks(self.piece())) {
            let mut buf = self.0.pool.alloc(memory.len()).await?;
            buf.copy_from_slice(memory);
            let blocks = self.0.whole_blocks(memory.len())?;
            ended(self.0.run(Op::Write, lba, blocks, Some(buf.into())).await)?;
        }
        Ok(())
    }

    /// Blocks that travel at a time, at least one.
    fn step(&self) -> usize {
        (PIECE / u64::from(self.0.geometry.block_size)).max(1) as usize
    }

    /// The same in bytes.
    fn piece(&self) -> usize {
        self.0.bytes(self.step() as u64)
    }
}
