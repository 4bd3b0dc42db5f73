//! Reading and writing blocks, with buffers from this core's pool or the caller's.

use std::ops::Range;

use super::Channel;
use super::run::ended;
use crate::bdev::error::LengthExpected;
use crate::bdev::{Error, Op, ReadIntoError, Result};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

impl Channel {
    /// Reads `blocks` (half-open) into one buffer from this core's pool, for which it waits while the pool is dry.
    ///
    /// # Errors
    /// [`Error::EmptyRange`], [`Error::OutOfRange`]; [`Error::NoBuffer`] if the pool can never have a buffer that long; what
    /// the device says.
    #[inline]
    pub async fn read(&self, blocks: Range<u64>) -> Result<DmaBuf> {
        let count = self.0.check(Op::Read, &blocks)?;
        let bytes = self.0.bytes(count);
        let buf = match self.0.pool.alloc_idle(bytes) {
            Some(buf) => buf,
            None => self.0.buffer_for(&blocks, bytes).await?,
        };
        let outcome = if self.0.device.is_open() {
            self.0.begin(Op::Read, blocks.start, count, Some(buf.into())).await
        } else {
            self.0.run(Op::Read, blocks.start, count, Some(buf.into())).await
        };
        match outcome {
            (None, Some(buf)) => buf.into_buf().ok_or_else(|| self.0.lost_buffer()),
            (Some(e), _) => Err(*e),
            (None, None) => Err(self.0.lost_buffer()),
        }
    }

    /// Reads `blocks` into `buf`, whose length is theirs, and gives it back.
    ///
    /// # Errors
    /// As [`read`](Channel::read), and [`Error::BadLength`], [`Error::Misaligned`]; the buffer comes back with the error.
    #[inline]
    pub async fn read_into(&self, blocks: Range<u64>, buf: DmaBuf) -> Result<DmaBuf, ReadIntoError> {
        let checked = self.0.check(Op::Read, &blocks).and_then(|count| {
            self.0.check_buffer(count, buf.as_ptr().addr(), buf.len())?;
            Ok(count)
        });
        let count = match checked {
            Ok(count) => count,
            Err(error) => return Err(ReadIntoError { error, buf: Some(buf) }),
        };
        let (error, buffer) = if self.0.device.is_open() {
            self.0.begin(Op::Read, blocks.start, count, Some(buf.into())).await
        } else {
            self.0.run(Op::Read, blocks.start, count, Some(buf.into())).await
        };
        let buf = buffer.and_then(DmaAny::into_buf);
        match (error, buf) {
            (None, Some(buf)) => Ok(buf),
            (None, None) => Err(ReadIntoError { error: self.0.lost_buffer(), buf: None }),
            (Some(error), buf) => Err(ReadIntoError { error: *error, buf }),
        }
    }

    /// Writes `data`, whole blocks of it, from block `lba` on. To try again after an error, keep a clone.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::BadLength`], [`Error::Misaligned`], [`Error::OutOfRange`]; what the device says.
    #[inline]
    pub async fn write(&self, lba: u64, data: impl Into<DmaBytes>) -> Result<()> {
        let data = data.into();
        let size = self.0.geometry.block_size;
        let count = data.len() as u64 / u64::from(size);
        if data.is_empty() || data.len() as u64 % u64::from(size) != 0 {
            return Err(Error::BadLength { len: data.len(), expected: LengthExpected::Blocks(size) });
        }
        self.0.check(Op::Write, &(lba..lba.saturating_add(count)))?;
        self.0.check_buffer(count, data.as_ptr().addr(), data.len())?;
        if self.0.device.is_open() {
            return ended(self.0.begin(Op::Write, lba, count, Some(data.into())).await);
        }
        ended(self.0.run(Op::Write, lba, count, Some(data.into())).await)
    }

    /// A buffer of `len` bytes from the pool that this channel reads into. Waits while the pool is dry, in order: see
    /// [`DmaPool::alloc`].
    ///
    /// # Errors
    /// [`Error::NoBuffer`] if the pool can never have a buffer that long.
    #[inline]
    pub async fn alloc(&self, len: usize) -> Result<DmaBuf> {
        Ok(self.0.pool.alloc(len).await?)
    }

    /// A buffer as from [`alloc`](Channel::alloc), now or not at all.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] also if the pool is dry.
    #[inline]
    pub fn try_alloc(&self, len: usize) -> Result<DmaBuf> {
        Ok(self.0.pool.try_alloc(len)?)
    }
}
