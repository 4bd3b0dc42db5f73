//! Operations that change, compare or search blocks, and the flush.

use std::ops::Range;

use super::Channel;
use super::run::ended;
use crate::bdev::request::Taken;
use crate::bdev::submitting::Way;
use crate::bdev::{Error, Op, Result};
use crate::sys::dma::DmaBytes;

impl Channel {
    /// Makes every write that has completed on any channel durable.
    ///
    /// # Errors
    /// What the device says.
    pub async fn flush(&self) -> Result<()> {
        ended(self.0.run(Op::Flush, 0, 0, None).await)
    }

    /// Makes `blocks` read as zeroes: by writes where the module has no better way.
    ///
    /// # Errors
    /// As [`write`](Channel::write).
    pub async fn write_zeroes(&self, blocks: Range<u64>) -> Result<()> {
        let inner = &*self.0;
        let count = inner.check(Op::WriteZeroes, &blocks)?;
        if inner.supported.get().has(Op::WriteZeroes) {
            match ended(inner.run(Op::WriteZeroes, blocks.start, count, None).await) {
                // What lies below the module turns out not to have it.
                Err(Error::Unsupported { .. }) => {}
                result => return result,
            }
        }
        ended(inner.run_by(Way::Layer, Op::WriteZeroes, blocks.start, count, None).await)
    }

    /// Gives `blocks` up: the device may forget what they hold.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the module cannot; otherwise as [`write`](Channel::write).
    pub async fn unmap(&self, blocks: Range<u64>) -> Result<()> {
        let count = self.0.check(Op::Unmap, &blocks)?;
        ended(self.0.run(Op::Unmap, blocks.start, count, None).await)
    }

    /// Compares the blocks from `lba` on with `data`, whole blocks of it: by reading them where the module has no better way.
    ///
    /// # Errors
    /// [`Error::Miscompare`] with the first block that differs; [`Error::BadLength`], [`Error::OutOfRange`]; what the device says.
    pub async fn compare(&self, lba: u64, data: impl Into<DmaBytes>) -> Result<()> {
        let data = data.into();
        let count = self.0.whole_blocks(data.len())?;
        let io = self.0.io(Op::Compare, lba..lba.saturating_add(count), Some(data.into()));
        self.0.carry(io).await.0.map_or(Ok(()), |e| Err(*e))
    }

    /// Writes `data` from `lba` on if the blocks there hold what is `expected`, which is as long.
    ///
    /// It is one step for everybody who changes the device, on any core: of two that expect the same, one writes, and a plain write
    /// comes before all of it or after. Where the module has no such operation the layer reads, compares and writes, with whatever
    /// changes these blocks held back. I/O pays nothing for that while nobody does this. Who does waits for the writes to these blocks
    /// that are in flight, so do not wait for it before you have awaited your own; if several cores have channels, each of them has to
    /// turn once, and something is allocated.
    ///
    /// It is no step for those who change the medium past the device: one opened under another name, by another process, or
    /// a write whose future was dropped and that the device goes on with. Wait for those by
    /// [`quiesce_range`](crate::bdev::Descriptor::quiesce_range).
    ///
    /// ```
    /// use reactor::bdev::{self, Access, Error};
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
    /// let channel = disk.channel()?;
    /// let free = channel.read(0..1).await?.freeze();
    /// let mut mine = channel.alloc(512).await?;
    /// mine.fill(7);
    /// let mine = mine.freeze();
    /// channel.compare_and_write(0, free.clone(), mine.clone()).await?;
    /// let again = channel.compare_and_write(0, free, mine).await;
    /// assert!(matches!(again, Err(Error::Miscompare { lba: 0 })));
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Miscompare`] with the first block that differs, and nothing is written; [`Error::BadLength`] also for more than
    /// the module does in one step; otherwise as [`write`](Channel::write).
    pub async fn compare_and_write(
        &self,
        lba: u64,
        expected: impl Into<DmaBytes>,
        data: impl Into<DmaBytes>,
    ) -> Result<()> {
        let (mut expected, mut data) = (expected.into(), data.into());
        let inner = &*self.0;
        let count = inner.whole_blocks(data.len())?;
        inner.check_len(count, expected.len())?;
        let is_aligned = [&expected, &data].iter().all(|bytes| inner.is_aligned(bytes.as_ptr().addr()));
        if !is_aligned && inner.supported.get().has(Op::CompareAndWrite) {
            [expected, data] = inner.aligned([expected, data]).await?;
        }
        let io = inner.io(Op::CompareAndWrite, lba..lba.saturating_add(count), Some(data.into()));
        io.request().extra.aside.set(Some(expected.into()));
        inner.carry(io).await.0.map_or(Ok(()), |e| Err(*e))
    }

    /// Copies the blocks `from` to as many from `to` on, as if all were read before any is written, should they overlap: by reads and
    /// writes where the module has no better way.
    ///
    /// # Errors
    /// As [`write`](Channel::write).
    pub async fn copy(&self, from: Range<u64>, to: u64) -> Result<()> {
        let count = self.0.check(Op::Copy, &from)?;
        let io = self.0.io(Op::Copy, to..to.saturating_add(count), None);
        io.request().extra.value.set(from.start);
        self.0.carry(io).await.0.map_or(Ok(()), |e| Err(*e))
    }

    /// The first block from `lba` on that may hold anything but zeroes, if there is one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the module cannot tell; [`Error::EmptyRange`] from the end of the device on; what the device says.
    pub async fn seek_data(&self, lba: u64) -> Result<Option<u64>> {
        self.seek(Op::SeekData, lba).await
    }

    /// The first block from `lba` on that is known to read as zeroes, if there is one. Beyond the end of the device there is none.
    ///
    /// # Errors
    /// As [`seek_data`](Channel::seek_data).
    pub async fn seek_hole(&self, lba: u64) -> Result<Option<u64>> {
        self.seek(Op::SeekHole, lba).await
    }

    async fn seek(&self, op: Op, lba: u64) -> Result<Option<u64>> {
        let end = self.0.device.block_count();
        let io = self.0.io(op, lba..end, None);
        match self.0.carry(io).await {
            (Some(e), _) => Err(*e),
            (None, Taken { value, .. }) => Ok((lba..end).contains(&value).then_some(value)),
        }
    }
}
