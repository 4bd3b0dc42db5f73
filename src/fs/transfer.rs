//! Reading and writing with one owned buffer, once or until all of it has gone.

use super::{
    File, Incomplete,
    alignment::{Asked, explained},
};
use crate::uring::{BufResult, IoBuf, IoBufMut};
use std::{future::Future, io, ops::ControlFlow};

impl File {
    /// Reads at byte `offset` into `buf`, at most its whole length, and yields how many bytes came: fewer at the end of the file, or
    /// as the kernel likes; never more than 2 GiB − 4 KiB at once.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered.
    ///
    /// # Errors
    /// Those of `pread(2)`, with their OS code and the buffer; `EINVAL` also for an offset beyond `i64::MAX`;
    /// [`Misaligned`](super::Misaligned).
    #[inline]
    pub fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> impl Future<Output = BufResult<B>> + use<B> {
        let asked = Asked::new(self, &buf, offset);
        let read = self.ring.read_at(&self.fd, buf, offset);
        async {
            let (result, buf) = read.await;
            (explained(asked, result).await, buf)
        }
    }

    /// Writes `buf` at byte `offset` and yields how many bytes went: possibly fewer than all, never more than 2 GiB − 4 KiB at
    /// once.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered; whether anything was written is then unknown.
    ///
    /// # Errors
    /// Those of `pwrite(2)`, with their OS code and the buffer; `EINVAL` also for an offset beyond `i64::MAX`;
    /// [`Misaligned`](super::Misaligned).
    #[inline]
    pub fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> impl Future<Output = BufResult<B>> + use<B> {
        let asked = Asked::new(self, &buf, offset);
        let write = self.ring.write_at(&self.fd, buf, offset);
        async {
            let (result, buf) = write.await;
            (explained(asked, result).await, buf)
        }
    }

    /// Reads at byte `offset` until `buf` is full.
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// # let file = reactor::fs::File::open("/proc/version").await?;
    /// let (read, buf) = file.read_exact_at(vec![0; 5], 0).await;
    /// read?;
    /// assert_eq!(buf, b"Linux");
    /// let (read, _) = file.read_exact_at(vec![0; 1 << 20], 0).await;
    /// assert!(read.unwrap_err().done > 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Dropping the future keeps the buffer until the kernel has answered.
    ///
    /// # Errors
    /// [`Incomplete`], and the buffer: with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file ends before, with those of
    /// [`read_at`](Self::read_at) otherwise.
    pub fn read_exact_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = (Result<(), Incomplete>, B)> + use<B> {
        let progress = Progress::new(Way::In, buf.len(), self);
        let (first, file) = (self.read_at(buf, offset), self.clone());
        // In pieces from the second on: a part of a buffer is a larger thing to carry than the whole.
        complete(first, progress, async move |buf: B, done| {
            let rest = file.read_at(buf.slice(done..), offset.saturating_add(done as u64)).await;
            (rest.0, rest.1.into_inner())
        })
    }

    /// Writes all of `buf` at byte `offset`.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered; how much was written is then unknown.
    ///
    /// # Errors
    /// [`Incomplete`], and the buffer: with [`WriteZero`](io::ErrorKind::WriteZero) if the kernel takes no more, with those of
    /// [`write_at`](Self::write_at) otherwise, `ENOSPC` for one.
    pub fn write_all_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = (Result<(), Incomplete>, B)> + use<B> {
        let progress = Progress::new(Way::Out, buf.len(), self);
        let (first, file) = (self.write_at(buf, offset), self.clone());
        complete(first, progress, async move |buf: B, done| {
            let rest = file.write_at(buf.slice(done..), offset.saturating_add(done as u64)).await;
            (rest.0, rest.1.into_inner())
        })
    }
}

/// Goes on after the `first` step until the transfer is over: `again` takes the step after so many bytes.
pub(super) async fn complete<B>(
    first: impl Future<Output = (io::Result<usize>, B)>,
    mut progress: Progress,
    again: impl AsyncFn(B, usize) -> (io::Result<usize>, B),
) -> (Result<(), Incomplete>, B) {
    let (mut result, mut buf) = first.await;
    loop {
        match progress.step(result) {
            ControlFlow::Break(ended) => return (ended, buf),
            ControlFlow::Continue(done) => (result, buf) = again(buf, done).await,
        }
    }
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// How far a transfer in several steps has come.
pub(super) struct Progress {
    way: Way,
    done: usize,
    len: usize,
    is_direct: bool,
}

/// Direct reads stop between sectors nowhere but at the end of the file; going on from there would be misaligned.
const SECTOR_MIN: usize = 512;

impl Progress {
    pub(super) fn new(way: Way, len: usize, file: &File) -> Self {
        Self { way, done: 0, len, is_direct: file.is_direct() }
    }

    /// Counts a step's result: either all is over, or it goes on after so many bytes.
    fn step(&mut self, result: io::Result<usize>) -> ControlFlow<Result<(), Incomplete>, usize> {
        let count = match result {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return ControlFlow::Continue(self.done);
            }
            Err(source) => return ControlFlow::Break(Err(Incomplete { done: self.done, source })),
        };
        self.done += count;
        if self.done == self.len {
            return ControlFlow::Break(Ok(()));
        }
        let is_end = count == 0 || self.way == Way::In && self.is_direct && count % SECTOR_MIN != 0;
        if !is_end {
            return ControlFlow::Continue(self.done);
        }
        let kind = match self.way {
            Way::In => io::ErrorKind::UnexpectedEof,
            Way::Out => io::ErrorKind::WriteZero,
        };
        ControlFlow::Break(Err(Incomplete { done: self.done, source: kind.into() }))
    }
}
