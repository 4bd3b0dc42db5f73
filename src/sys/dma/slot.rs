//! The bookkeeping of one buffer, kept beside the buffer's memory and never in it.
//!
//! Owned by a chunk of `pool`; `bytes` counts the shares in it, `returns` and the free lists link it.

use std::ptr::{self, NonNull};

use super::shared::Shared;
use super::table::ChunkNumber;
use crate::sys::sync::atomic::{AtomicPtr, AtomicUsize};

/// One buffer of a pool.
///
/// # Invariants
/// `start` is the first of the mapped bytes that belong to this slot alone: as many as its class has, or all of its large mapping, for as long as the pool is alive. The
/// pool is alive while any slot of it is out.
pub(super) struct Slot {
    pub(super) pool: NonNull<Shared>,
    pub(super) start: NonNull<u8>,
    /// Where devices see `start`.
    #[cfg_attr(not(feature = "nvme"), expect(dead_code, reason = "there are no devices"))]
    pub(super) seen: u64,
    /// Index of the free list it returns to, or [`LARGE`].
    pub(super) class: u8,
    /// Number of the pool's chunk that the memory lies in, or [`NO_CHUNK`].
    pub(super) chunk: ChunkNumber,
    /// How many `DmaBuf` and `DmaBytes` share the buffer; 1 while it lies in a free list.
    pub(super) shares: AtomicUsize,
    /// The next slot of the list that this one is in: a free list or the return stack. Only whoever owns the slot
    /// writes it, so Relaxed is enough; the list heads order it.
    pub(super) next: AtomicPtr<Slot>,
}

/// The class of a buffer too large for the free lists: mapped on its own and unmapped when returned.
pub(super) const LARGE: u8 = u8::MAX;

/// The number of what lies in no chunk.
pub(super) const NO_CHUNK: ChunkNumber = ChunkNumber::NONE;

impl Slot {
    /// A slot over the bytes at `start`, which devices see at `seen`.
    pub(super) fn new(pool: NonNull<Shared>, start: NonNull<u8>, seen: u64, class: u8) -> Self {
        let (shares, next) = (AtomicUsize::new(1), AtomicPtr::new(ptr::null_mut()));
        Self { pool, start, seen, class, chunk: NO_CHUNK, shares, next }
    }

    /// The same slot as part of the pool's chunk `number`.
    pub(super) fn in_chunk(self, number: ChunkNumber) -> Self {
        Self { chunk: number, ..self }
    }
}
