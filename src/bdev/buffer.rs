//! A buffer for an I/O that the layer allocates: waited for while the pool is dry, but not on a device that is gone.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::channel::Inner;
use super::{Geometry, Result};
use crate::sys::dma::{Alloc, DmaBuf};
use crate::sys::wait_list::Key;

/// Waits for the buffer of an I/O over `blocks`, which were checked.
#[must_use]
pub(super) struct BufferFor<'c> {
    inner: &'c Inner,
    alloc: Alloc<'c>,
    blocks: Range<u64>,
    /// Among those who are told of the end.
    place: Option<Key>,
}

impl Inner {
    /// For who has found the free list empty.
    #[cold]
    #[inline(never)]
    pub(super) fn buffer_for(&self, blocks: &Range<u64>, bytes: usize) -> BufferFor<'_> {
        BufferFor { inner: self, alloc: self.pool.alloc(bytes), blocks: blocks.clone(), place: None }
    }
}

impl BufferFor<'_> {
    /// The pool is dry: buffers that a module never gives back must not keep those who wait from hearing that it is gone.
    fn poll_removed(&mut self, cx: &mut Context<'_>) -> Poll<Result<DmaBuf>> {
        self.inner.device.poll_removed(&mut self.place, cx).map(Err)
    }

    /// Much may have happened while it waited.
    fn check_again(&mut self, place: Key) -> Result<()> {
        self.inner.device.leave_line(place);
        Geometry::check(&self.blocks, self.inner.device.block_count()).map(drop)
    }
}

impl Future for BufferFor<'_> {
    type Output = Result<DmaBuf>;

    #[cold]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match Pin::new(&mut this.alloc).poll(cx) {
            Poll::Ready(answer) => {
                if let Some(place) = this.place.take() {
                    this.check_again(place)?;
                }
                Poll::Ready(Ok(answer?))
            }
            Poll::Pending => this.poll_removed(cx),
        }
    }
}

impl Drop for BufferFor<'_> {
    #[cold]
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.inner.device.leave_line(place);
        }
    }
}
