//! What a pool says of itself, and the reserve.

use std::iter::Sum;

use super::ALIGN;
use super::config::PageBytes;
use super::idle::walk;
use super::pool::DmaPool;
use super::shared::CLASSES;

/// What one pool holds and has done, from [`DmaPool::stats`]. The sum of several is what all of them do.
///
/// ```
/// use reactor::sys::dma::{DmaPool, DmaStats};
///
/// # reactor::app::Builder::new().pin(false).run(async || {
/// let all = reactor::on_every_core(async || DmaPool::local().stats()).await;
/// let total: DmaStats = all.into_iter().flatten().sum();
/// assert_eq!(total.in_use, 0, "no buffer is out on any core");
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DmaStats {
    /// Buffers out at this moment, those lent to other cores among them.
    pub in_use: usize,
    /// Bytes of address space that the pool has, of its own and leased.
    pub mapped_bytes: usize,
    /// The same by the kind of their pages.
    pub pages: PageBytes,
    /// The most that `mapped_bytes` has been.
    pub peak_bytes: usize,
    /// Bytes that the pool may have of its own.
    pub limit_bytes: usize,
    /// Bytes that it has from the reserve.
    pub leased_bytes: usize,
    /// Buffers handed out since the pool was made.
    pub allocated: u64,
    /// Buffers that came back from other cores.
    pub returned_remotely: u64,
    /// Allocations that ended with an error.
    pub refused: u64,
    /// Callers that wait for a buffer at this moment.
    pub waiting: usize,
    /// Callers that had to wait since the pool was made.
    pub waited: u64,
    /// Chunks, and buffers above 4 MiB, that were taken from the reserve.
    pub taken: u64,
    /// Chunks that were given back to it, for others or for want of use.
    pub given: u64,
    /// Single buffers of what is leased here that others got, and
    pub lent: u64,
    /// single buffers of others that were got here.
    pub borrowed: u64,
}

/// What a reserve holds and has done, from [`DmaReserve::stats`](super::DmaReserve::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReserveStats {
    /// Bytes that cores may have from the reserve in all.
    pub limit_bytes: usize,
    /// Bytes that it has from the kernel, leased or idle.
    pub mapped_bytes: usize,
    /// The same by the kind of their pages.
    pub pages: PageBytes,
    /// Bytes that cores have.
    pub leased_bytes: usize,
    /// The most that `mapped_bytes` has been.
    pub peak_bytes: usize,
    /// Chunks, and buffers above 4 MiB, that cores have taken since the reserve was made.
    pub taken: u64,
    /// Those that they have given back.
    pub given: u64,
    /// Single buffers that one core has lent to another.
    pub lent: u64,
    /// Cores that wait at this moment.
    pub waiting: usize,
    /// How often a core had to.
    pub waited: u64,
}

/// Buffers of one size in a pool, from [`DmaPool::classes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DmaClass {
    /// The longest buffer of this class; shorter ones are taken from it, down to half its length.
    pub buffer_bytes: usize,
    /// How many there are.
    pub buffers: usize,
    /// How many of them are out.
    pub in_use: usize,
}

impl DmaPool {
    /// What the pool holds and has done. Buffers that other cores dropped are taken home first.
    #[must_use]
    pub fn stats(&self) -> DmaStats {
        self.come_home();
        let local = self.lists();
        let counts = &local.recall.counts;
        DmaStats {
            in_use: local.in_use(),
            mapped_bytes: local.mapped(),
            pages: local.pages.get(),
            peak_bytes: local.peak.get(),
            limit_bytes: local.limit.get(),
            leased_bytes: local.leased.get(),
            allocated: local.allocated.get(),
            returned_remotely: local.returned.get(),
            refused: local.refused.get(),
            waiting: local.waiting.count(),
            waited: local.waiting.total(),
            taken: counts.taken.get(),
            given: counts.given.get(),
            lent: counts.lent.get(),
            borrowed: counts.borrowed.get(),
        }
    }

    /// The pool's buffers by their size: 4 KiB, 8 KiB, … 4 MiB. Longer ones are mapped one by one and belong to no class. Walks
    /// all that is idle.
    #[must_use]
    pub fn classes(&self) -> [DmaClass; CLASSES] {
        self.come_home();
        let local = self.lists();
        std::array::from_fn(|class| {
            let buffer_bytes = ALIGN << class;
            let buffers = local.class_bytes[class].get() / buffer_bytes;
            let idle = walk(&local.free[class]).count() + walk(&local.recall.aside()[class]).count();
            DmaClass { buffer_bytes, buffers, in_use: buffers - idle }
        })
    }
}

impl Sum for DmaStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            in_use: sum.in_use + one.in_use,
            mapped_bytes: sum.mapped_bytes + one.mapped_bytes,
            pages: PageBytes {
                plain: sum.pages.plain + one.pages.plain,
                transparent: sum.pages.transparent + one.pages.transparent,
                huge: sum.pages.huge + one.pages.huge,
            },
            peak_bytes: sum.peak_bytes + one.peak_bytes,
            limit_bytes: sum.limit_bytes + one.limit_bytes,
            leased_bytes: sum.leased_bytes + one.leased_bytes,
            allocated: sum.allocated + one.allocated,
            returned_remotely: sum.returned_remotely + one.returned_remotely,
            refused: sum.refused + one.refused,
            waiting: sum.waiting + one.waiting,
            waited: sum.waited + one.waited,
            taken: sum.taken + one.taken,
            given: sum.given + one.given,
            lent: sum.lent + one.lent,
            borrowed: sum.borrowed + one.borrowed,
        })
    }
}
