//! Reading and writing with a list of owned buffers, once or until all of them have gone.

use super::{
    File, Incomplete,
    transfer::{Progress, Way, complete},
};
use crate::uring::{IoBuf, IoBufMut};
use std::{future::Future, io};

/// The bytes of all buffers together.
fn len_of<B: IoBuf>(bufs: &[B]) -> usize {
    bufs.iter().fold(0, |sum, buf| sum.saturating_add(buf.len()))
}

impl File {
    /// Reads at byte `offset` into `bufs`, one after the other, and yields how many bytes came: fewer at the end of the file, or as
    /// the kernel likes; never more than 2 GiB − 4 KiB and 1,024 buffers at once.
    ///
    /// ```
    /// # #[reactor::main]
    /// # async fn main() -> std::io::Result<()> {
    /// # let file = reactor::fs::File::open("/proc/version").await?;
    /// let (read, bufs) = file.read_vectored_at(vec![vec![0; 5], vec![0; 1]], 0).await;
    /// assert_eq!((read?, &bufs[0][..], &bufs[1][..]), (6, &b"Linux"[..], &b" "[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Dropping the future keeps the buffers until the kernel has answered.
    ///
    /// # Errors
    /// Those of `preadv(2)`, with their OS code and the buffers; `EINVAL` also for an offset beyond `i64::MAX`, and for direct I/O
    /// out of [alignment](Self::alignment).
    pub fn read_vectored_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Vec<B>)> + use<B> {
        self.ring.read_vectored_at(&self.fd, bufs, 0, offset)
    }

    /// Writes `bufs` one after the other at byte `offset` and yields how many bytes went: possibly fewer than all, never more than
    /// 2 GiB − 4 KiB and 1,024 buffers at once.
    ///
    /// Dropping the future keeps the buffers until the kernel has answered; whether anything was written is then unknown.
    ///
    /// # Errors
    /// Those of `pwritev(2)`, with their OS code and the buffers; `EINVAL` also for an offset beyond `i64::MAX`, and for direct I/O
    /// out of [alignment](Self::alignment).
    pub fn write_vectored_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Vec<B>)> + use<B> {
        self.ring.write_vectored_at(&self.fd, bufs, 0, offset)
    }

    /// Reads at byte `offset` until all of `bufs` are full, however many there are.
    ///
    /// Dropping the future keeps the buffers until the kernel has answered.
    ///
    /// # Errors
    /// [`Incomplete`], and the buffers: as for [`read_exact_at`](Self::read_exact_at).
    pub fn read_exact_vectored_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = (Result<(), Incomplete>, Vec<B>)> + use<B> {
        let progress = Progress::new(Way::In, len_of(&bufs), self);
        let (first, file) = (self.read_vectored_at(bufs, offset), self.clone());
        complete(first, progress, async move |bufs, done| {
            let at = offset.saturating_add(done as u64);
            file.ring.read_vectored_at(&file.fd, bufs, done, at).await
        })
    }

    /// Writes all of `bufs` one after the other at byte `offset`, however many there are.
    ///
    /// Dropping the future keeps the buffers until the kernel has answered; how much was written is then unknown.
    ///
    /// # Errors
    /// [`Incomplete`], and the buffers: as for [`write_all_at`](Self::write_all_at).
    pub fn write_all_vectored_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = (Result<(), Incomplete>, Vec<B>)> + use<B> {
        let progress = Progress::new(Way::Out, len_of(&bufs), self);
        let (first, file) = (self.write_vectored_at(bufs, offset), self.clone());
        complete(first, progress, async move |bufs, done| {
            let at = offset.saturating_add(done as u64);
            file.ring.write_vectored_at(&file.fd, bufs, done, at).await
        })
    }
}
