//! Memory that devices read and write: aligned buffers from per-core pools.
//!
//! [`DmaBuf`] is one owner's buffer, [`DmaBytes`] the same memory frozen and shared by count, [`DmaPool`] the free
//! lists of one core that both come from and return to. Every buffer starts on a boundary of [`ALIGN`] bytes.
//!
//! # Life of a buffer
//!
//! ```text
//!              alloc                          drop on its own core: free list, no atomics
//!   free list ───────► DmaBuf ── freeze ──► DmaBytes
//!       ▲                                     drop elsewhere: return stack ─┐ one atomic operation
//!       └────────────── taken by the owner when a free list runs dry ◄──────┘
//! ```
//!
//! A pool at its limit takes from the [`DmaReserve`] that the cores of an application share. When that is dry as well,
//! [`alloc`](DmaPool::alloc) waits, in order, until enough has come back: here, or on another core that can spare it.
//! [`DmaConfig`] says how much a core has of its own and how much there is to share, [`DmaStats`], [`DmaClass`] and
//! [`ReserveStats`] what became of it.
//!
//! The pool's memory stays mapped until its last handle and its last buffer are gone, wherever they went.
//!
//! # What memory holds
//!
//! A fresh mapping is zeroes from the kernel. A reused buffer holds what this process last had in it: always
//! initialised, never another process's data, but not cleared. Who hands buffers to somebody who must not see old
//! bytes clears them first (`buf.fill(0)`).
//!
//! Memory is mapped in chunks by `mapping`, in [`HugePages`] if they are asked for.

mod bytes;
mod config;
pub(crate) mod entry;
mod error;
mod idle;
mod lease;
mod mapping;
mod pool;
mod recall;
mod reserve;
#[cfg(all(test, not(loom)))]
mod reserve_oracle;
#[cfg(all(test, not(loom)))]
mod reserve_tests;
mod returns;
mod shared;
mod slot;
mod stats;
mod supply;
mod table;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(feature = "nvme")]
mod visible;
mod waiting;
#[cfg(all(test, not(loom)))]
mod waiting_hostile;
#[cfg(all(test, not(loom)))]
mod waiting_oracle;
#[cfg(all(test, not(loom)))]
mod waiting_tests;
#[cfg(feature = "nvme")]
mod words;

pub use bytes::{DmaBuf, DmaBytes};
pub use config::{DmaConfig, HugePages, PageBytes};
pub use error::AllocError;
pub use pool::DmaPool;
pub use reserve::DmaReserve;
pub use stats::{DmaClass, DmaStats, ReserveStats};
#[cfg(feature = "nvme")]
pub use visible::Unseen;
pub use waiting::Alloc;

pub(crate) use bytes::DmaAny;

/// Names a chunk of a pool's memory. The pool is compared, never followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DmaChunk {
    pool: *const (),
    pub(crate) number: ChunkNumber,
}
pub(crate) use mapping::Mapping;
pub(crate) use table::ChunkNumber;
#[cfg(feature = "nvme")]
pub(crate) use visible::{Area, Shown, Space, are_enough, show};
#[cfg(feature = "nvme")]
pub(crate) use words::DmaWords;

/// Every [`DmaBuf`] starts on a multiple of this many bytes: what any device and any file system asks for O_DIRECT.
pub const ALIGN: usize = 4096;
