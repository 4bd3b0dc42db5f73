//! Blocks lent out as memory, to be changed in place and given back: SPDK's zero-copy start and end.
//!
//! The memory is the pool's, which devices reach: where one transfers by itself, as files and NVMe do, nothing is copied on the way,
//! neither here nor there. A RAM disk copies once each way. It could lend its own memory only as what safe code cannot hold: a slice whose
//! bytes another core may write meanwhile.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use super::Channel;
use crate::bdev::{Op, Result};
use crate::sys::dma::DmaBuf;

/// What lent blocks hold at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Populate {
    /// What is on the device.
    Read,
    /// Anything, for who will write all of them.
    Nothing,
}

/// Blocks of a device as memory. [`commit`](Self::commit) puts them back; dropping it changes nothing on the device.
#[must_use = "what is changed in it reaches the device by `commit`"]
pub struct Lent {
    channel: Channel,
    lba: u64,
    buf: DmaBuf,
}

impl Channel {
    /// Lends `blocks` out as memory from this core's pool.
    ///
    /// ```
    /// use reactor::bdev::{self, Access, Populate};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
    /// let channel = disk.channel()?;
    /// let mut lent = channel.lend(8..9, Populate::Read).await?;
    /// lent[0] += 1;
    /// lent.commit().await?;
    /// assert_eq!(channel.read(8..9).await?[0], 1);
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`read`](Channel::read).
    pub async fn lend(&self, blocks: Range<u64>, populate: Populate) -> Result<Lent> {
        let lba = blocks.start;
        let buf = match populate {
            Populate::Read => self.read(blocks).await?,
            Populate::Nothing => {
                let count = self.0.check(Op::Read, &blocks)?;
                self.alloc(self.0.bytes(count)).await?
            }
        };
        Ok(Lent { channel: self.clone(), lba, buf })
    }
}

impl Lent {
    /// The blocks.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.lba..self.lba + self.buf.len() as u64 / u64::from(self.channel.0.geometry.block_size)
    }

    /// Writes the blocks back.
    ///
    /// # Errors
    /// As [`Channel::write`].
    pub async fn commit(self) -> Result<()> {
        self.channel.write(self.lba, self.buf).await
    }
}

impl Deref for Lent {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buf
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buf
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("range", &self.range()).finish_non_exhaustive()
    }
}
