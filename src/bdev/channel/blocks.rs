//! Operations on blocks that bring no data: flush, zero, give up.

use std::ops::Range;

use super::Channel;
use super::run::ended;
use crate::bdev::{Op, Result};

impl Channel {
    /// Makes every write that has completed on any channel durable.
    ///
    /// # Errors
    /// What the device says.
    pub async fn flush(&self) -> Result<()> {
        ended(self.0.run(Op::Flush, 0, 0, None).await)
    }

    /// Makes `blocks` read as zeroes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the module cannot; otherwise as [`write`](Channel::write).
    pub async fn write_zeroes(&self, blocks: Range<u64>) -> Result<()> {
        let count = self.0.check(Op::WriteZeroes, &blocks)?;
        ended(self.0.run(Op::WriteZeroes, blocks.start, count, None).await)
    }

    /// Gives `blocks` up: the device may forget what they hold.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the module cannot; otherwise as [`write`](Channel::write).
    pub async fn unmap(&self, blocks: Range<u64>) -> Result<()> {
        let count = self.0.check(Op::Unmap, &blocks)?;
        ended(self.0.run(Op::Unmap, blocks.start, count, None).await)
    }
}
