//! Reading and writing blocks, with buffers from this core's pool or the caller's.

use std::ops::Range;

use super::Channel;
use super::run::ended;
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
        } else if self.0.device.is_only_timed() {
            let address = buf.as_ptr().addr();
            self.0.begin_timed_at(address, Op::Read, blocks.start, count, Some(buf.into())).await
        } else {
            self.0.run(Op::Read, blocks.start, count, Some(buf.into())).await
        };
        match outcome {
            (None, Some(buf)) => buf.into_buf().ok_or_else(|| self.0.lost_buffer()),
            (Some(e), _) => Err(*e),
            (None, None) => Err(self.0.lost_buffer()),
        }
    }

    /// Reads `blocks` into `buf`, whose length is theirs, and gives it back. A part of a buffer that begins where the device does
    /// not reach is read by way of another, and copied.
    ///
    /// # Errors
    /// As [`read`](Channel::read), and [`Error::BadLength`]; the buffer comes back with the error.
    #[inline]
    pub async fn read_into(&self, blocks: Range<u64>, buf: DmaBuf) -> Result<DmaBuf, ReadIntoError> {
        let checked: Result<u64, Error> = self.0.check(Op::Read, &blocks).and_then(|count| {
            self.0.check_len(count, buf.len())?;
            Ok(count)
        });
        let count = match checked {
            Ok(count) => count,
            Err(e) => return Err(ReadIntoError { error: Box::new(e), buf: Some(buf) }),
        };
        let (address, buf) = (buf.as_ptr().addr(), Some(buf.into()));
        let (error, buffer) = if self.0.device.is_open() {
            self.0.begin_at(address, Op::Read, blocks.start, count, buf).await
        } else if self.0.device.is_only_timed() {
            self.0.begin_timed_at(address, Op::Read, blocks.start, count, buf).await
        } else {
            self.0.run_at(address, Op::Read, blocks.start, count, buf).await
        };
        let buf = buffer.and_then(DmaAny::into_buf);
        match (error, buf) {
            (None, Some(buf)) => Ok(buf),
            (None, None) => Err(ReadIntoError { error: Box::new(self.0.lost_buffer()), buf: None }),
            (Some(error), buf) => Err(ReadIntoError { error, buf }),
        }
    }

    /// Writes `data`, whole blocks of it, from block `lba` on. To try again after an error, keep a clone. A slice that begins where
    /// the device does not reach is copied first.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::BadLength`], [`Error::OutOfRange`]; what the device says.
    #[inline]
    pub async fn write(&self, lba: u64, data: impl Into<DmaBytes>) -> Result<()> {
        let data = data.into();
        let count = self.0.whole_blocks(data.len())?;
        self.0.check(Op::Write, &(lba..lba.saturating_add(count)))?;
        let (address, data) = (data.as_ptr().addr(), Some(data.into()));
        if self.0.device.is_open() {
            return ended(self.0.begin_at(address, Op::Write, lba, count, data).await);
        }
        if self.0.device.is_only_timed() {
            return ended(self.0.begin_timed_at(address, Op::Write, lba, count, data).await);
        }
        ended(self.0.run_at(address, Op::Write, lba, count, data).await)
    }

    /// A buffer of `len` bytes from the pool that this channel reads into. Waits while the pool is dry, in order: see
    /// [`DmaPool::alloc`](crate::sys::dma::DmaPool::alloc).
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
