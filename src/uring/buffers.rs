//! The ring's table of registered buffers: the memory of its core's [`DmaPool`], chunk by chunk.
//!
//! A chunk is entered when a buffer of it first goes to the ring, under the chunk's own number, so that finding the entry of a
//! buffer is a comparison and a load. From then on the kernel need not look up and pin its pages for each operation. Other pools'
//! buffers, buffers mapped by themselves (above 4 MiB), and those of chunks that the kernel refused go the ordinary way.
//!
//! The ring keeps the pool. A dry pool may give back a chunk of which no buffer is out, and with it none in an operation: its entry
//! is of no use any more, as numbers are not given twice, and is emptied when the next chunk is entered, so that the kernel lets the
//! pages go. It lets all of them go when the ring ends.

use super::Features;
use crate::sys::dma::{ChunkNumber, DmaChunk, DmaPool};
use io_uring::Submitter;
use std::cell::Cell;
use std::ptr;

/// Chunks of a pool that can be entered. With the pool's usual limit of 1 GiB there are fewer.
const CHUNKS_MAX: u32 = 1024;

/// Which chunks are in the table, each at its place in the pool's.
pub(super) struct Buffers {
    pool: DmaPool,
    chunks: Box<[Cell<Entry>]>,
    count: Cell<BufferTable>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Of the chunk that this is about. One with another number has its place when it has ended.
    number: ChunkNumber,
    /// Bytes that the kernel knows of; none if it knows nothing of it, or would not.
    registered: u32,
}

const EMPTY: Entry = Entry { number: ChunkNumber::NONE, registered: 0 };

/// What of its core's [`DmaPool`] a ring has registered.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BufferTable {
    /// Chunks in the table.
    pub chunks: u32,
    /// Their bytes, which stay in memory while the ring lives and count against the memlock limit of unprivileged processes.
    pub bytes: usize,
    /// Chunks that the kernel would not take, for want of lockable memory (`ulimit -l`) or of the table itself. Their buffers work
    /// all the same, the kernel pinning their pages for each operation.
    pub refused: u32,
}

impl Buffers {
    /// Makes the table, empty, for the calling thread's pool. Before Linux 5.19 there is none.
    pub(super) fn new(ring: &Submitter<'_>, features: Features) -> Self {
        let chunks =
            if features.contains(Features::BUFFER_TABLE) && has_table(ring) { CHUNKS_MAX } else { 0 };
        Self {
            pool: DmaPool::local(),
            chunks: vec![Cell::new(EMPTY); chunks as usize].into(),
            count: Cell::default(),
        }
    }

    /// The entry that `chunk` lies in. `enter` is asked, once, to enter it under a number, and to empty the entries of others.
    #[inline]
    pub(super) fn entry(&self, chunk: DmaChunk, enter: impl Fn(u32, *mut u8, usize) -> bool) -> Option<u16> {
        if !self.pool.has(chunk) {
            return None;
        }
        let entry = self.chunks.get(chunk.number.place() as usize)?;
        if entry.get().number != chunk.number {
            self.try_enter(chunk.number, entry, enter);
        }
        let is_registered = entry.get().number == chunk.number && entry.get().registered > 0;
        is_registered.then_some(chunk.number.place() as u16)
    }

    #[cold]
    fn try_enter(
        &self,
        number: ChunkNumber,
        entry: &Cell<Entry>,
        enter: impl Fn(u32, *mut u8, usize) -> bool,
    ) {
        let Some((start, len)) = self.pool.pin_chunk(number) else { return };
        self.drop_ended(&enter);
        if entry.get().registered > 0 {
            // The kernel would not let go of the one before.
            return;
        }
        let mut count = self.count.get();
        let mut registered = 0;
        if enter(number.place(), start.as_ptr(), len) {
            registered = len as u32;
            count.chunks += 1;
            count.bytes += len;
        } else {
            count.refused += 1;
        }
        entry.set(Entry { number, registered });
        self.count.set(count);
    }

    /// Empties the entries of chunks that have given their memory back.
    fn drop_ended(&self, enter: impl Fn(u32, *mut u8, usize) -> bool) {
        for (place, entry) in (0..).zip(&self.chunks) {
            let Entry { number, registered } = entry.get();
            // One that stays entered keeps its pages, and is tried again with the next chunk.
            if registered > 0 && self.pool.is_ended(number) && enter(place, ptr::null_mut(), 0) {
                entry.set(EMPTY);
                let mut count = self.count.get();
                count.chunks -= 1;
                count.bytes -= registered as usize;
                self.count.set(count);
            }
        }
    }

    /// `others`, and the table if there is one.
    pub(super) fn features(&self, others: Features) -> Features {
        others | Features::BUFFER_TABLE.when(!self.chunks.is_empty())
    }

    pub(super) fn count(&self) -> BufferTable {
        self.count.get()
    }
}

/// Makes the table in the kernel, and says whether it has one.
pub(super) fn has_table(ring: &Submitter<'_>) -> bool {
    ring.register_buffers_sparse(CHUNKS_MAX).is_ok()
}
