//! Where slots come from once a free list is empty: new memory within the limit, the reserve, a larger buffer, or memory that
//! lies idle in another class.
//!
//! ```text
//!   free list ─ empty ─► map a chunk ─ at the limit ─► the reserve ─ dry ─► a larger idle buffer ─ none ─► chunks idle as a whole ─ none ─► dry
//! ```
//!
//! The last step keeps a pool that was once full of 4 KiB buffers from refusing 1 MiB for ever; `idle` knows which chunks are
//! idle.
#![expect(unsafe_code, reason = "slots are made over mapped memory and reached through raw pointers")]

use std::cell::Cell;
use std::ptr::NonNull;

use super::ALIGN;
use super::bytes::LEN_MAX;
use super::error::AllocError;
use super::lease::Memory;
use super::mapping::{self, Mapping};
use super::shared::{CLASSES, Large, Local, Shared};
use super::slot::{LARGE, Slot};
use super::table::ChunkNumber;

/// A free list grows by as much as it has, within these bounds, so that small programs stay small and a busy list
/// needs few mappings.
pub(super) const GROW_MIN: usize = 256 << 10;
pub(super) const CHUNK_MAX: usize = 4 << 20;

/// Slots of one class and the memory they divide.
pub(super) struct Chunk {
    slots: Slots,
    memory: Memory,
    class: usize,
    /// How many of the slots lie in the lists; kept up while that is counted.
    pub(super) idle: Cell<usize>,
}

/// A leaked box, raw because the slots are reached through pointers of their own.
struct Slots(NonNull<[Slot]>);

impl Chunk {
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The slots end here.
    pub(super) fn into_memory(self) -> Memory {
        self.memory
    }

    pub(super) fn class(&self) -> usize {
        self.class
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.get() == self.count()
    }

    pub(super) fn count(&self) -> usize {
        self.slots.0.len()
    }

    pub(super) fn slot_bytes(&self) -> usize {
        self.count() * (ALIGN << self.class)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: leaked in `carve`; a chunk is dropped with the pool, after the last use of a slot, or when all its slots
        // are idle and out of the free list.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// The free list for `len` bytes; `CLASSES` or more means too large for any.
#[inline(always)]
pub(super) fn class_of(len: usize) -> usize {
    // The bits of the last byte's page number: 1..=4096 is class 0, 4097..=8192 class 1, ..=16384 class 2.
    (usize::BITS - (len.saturating_sub(1) / ALIGN).leading_zeros()) as usize
}

impl Local {
    /// A slot of at least `len` bytes, from wherever there is one.
    ///
    /// # Errors
    /// As [`DmaPool::try_alloc`](super::DmaPool::try_alloc).
    pub(super) fn obtain(&self, pool: NonNull<Shared>, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let class = class_of(len);
        if class < CLASSES {
            if let Some(slot) = self.pop_counted(class) {
                return Ok(slot);
            }
        }
        self.check(len)?;
        let dry = match self.map_for(pool, class, len) {
            Err(dry @ AllocError::Dry { .. }) => dry,
            mapped => return mapped,
        };
        // At the limit, a larger buffer that lies idle is better than none.
        if let Some(slot) = (class + 1..CLASSES).find_map(|larger| self.pop_counted(larger)) {
            return Ok(slot);
        }
        if !self.reclaim(pool, class, bytes_of(class, len)) {
            return Err(dry);
        }
        match self.free.get(class).and_then(|_| self.pop_counted(class)) {
            Some(slot) => Ok(slot),
            None => self.map_for(pool, class, len),
        }
    }

    /// Whether the pool could ever have a buffer of `len` bytes.
    pub(super) fn check(&self, len: usize) -> Result<(), AllocError> {
        if len > LEN_MAX {
            return Err(AllocError::TooLong { len, max: LEN_MAX });
        }
        let class = class_of(len);
        let (needed, limit) = (bytes_of(class, len), self.limit.get());
        // What was mapped before the limit came down still serves.
        let has_one = || self.class_bytes.iter().skip(class).any(|bytes| bytes.get() > 0);
        if mapping::needed(needed, self.huge_pages.get()) > limit
            && !self.recall.may_have(needed)
            && !has_one()
        {
            let limit = limit.max(self.recall.limit());
            return Err(AllocError::OverLimit { len, needed, limit });
        }
        Ok(())
    }

    /// What is said of `len` bytes when they would have to be waited for.
    pub(super) fn dry(&self, len: usize) -> AllocError {
        let limit = self.limit.get().saturating_add(self.recall.limit());
        AllocError::Dry { len, mapped: self.mapped(), limit }
    }

    /// Bytes that there are, own and leased.
    pub(super) fn mapped(&self) -> usize {
        let pages = self.pages.get();
        pages.plain + pages.transparent + pages.huge
    }

    /// Bytes that the pool may map of its own.
    fn room(&self) -> usize {
        self.limit.get().saturating_sub(self.mapped() - self.leased.get())
    }

    fn map_for(&self, pool: NonNull<Shared>, class: usize, len: usize) -> Result<NonNull<Slot>, AllocError> {
        if class < CLASSES { self.grow(pool, class, len) } else { self.map_large(pool, len) }
    }

    /// Memory for a request of `len`: at least `least` bytes, about `wanted`, of the pool's own or the reserve's.
    fn map(&self, least: usize, wanted: usize, len: usize) -> Result<Memory, AllocError> {
        let (wish, room) = (self.huge_pages.get(), self.room());
        let memory = if mapping::needed(least, wish) <= room {
            let mapped = Mapping::between(least, wanted, room, wish);
            Memory::own(mapped.map_err(|source| AllocError::refused(len, wish, source))?)
        } else {
            self.recall.take(least, wanted)?.ok_or_else(|| self.dry(len))?
        };
        let mut pages = self.pages.get();
        *pages.of(memory.pages()) += memory.len();
        self.pages.set(pages);
        if memory.is_leased() {
            self.leased.set(self.leased.get() + memory.len());
        }
        self.peak.set(self.peak.get().max(self.mapped()));
        Ok(memory)
    }

    /// Gives memory back where it came from.
    pub(super) fn unmap(&self, memory: Memory) {
        let mut pages = self.pages.get();
        *pages.of(memory.pages()) -= memory.len();
        self.pages.set(pages);
        if memory.is_leased() {
            self.leased.set(self.leased.get() - memory.len());
        }
        drop(memory);
    }

    /// Gives the free list `class` another chunk and returns one slot of it.
    fn grow(&self, pool: NonNull<Shared>, class: usize, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let size = ALIGN << class;
        let wanted = self.class_bytes[class].get().clamp(GROW_MIN, CHUNK_MAX).max(size);
        let memory = self.map(size, wanted, len)?;
        self.add_chunk(pool, memory, class);
        Ok(self.pop_counted(class).expect("the list was just grown"))
    }

    fn add_chunk(&self, pool: NonNull<Shared>, memory: Memory, class: usize) {
        // Numbers are not used again: whoever knows a chunk by its number shall not take another for it.
        let number = self.chunks.borrow().next_number();
        let chunk = self.carve(pool, number, memory, class);
        self.chunks.borrow_mut().insert(number, chunk);
    }

    /// Divides `memory` into slots of `class`, all of them idle.
    fn carve(&self, pool: NonNull<Shared>, number: ChunkNumber, memory: Memory, class: usize) -> Chunk {
        let size = ALIGN << class;
        let slots: Box<[Slot]> = (0..memory.len() / size)
            .map(|i| {
                // SAFETY: `i * size` is less than the mapping's length.
                let start = unsafe { memory.start().add(i * size) };
                Slot::new(pool, start, memory.seen() + (i * size) as u64, class as u8).in_chunk(number)
            })
            .collect();
        let count = slots.len();
        let slots = NonNull::from(Box::leak(slots));
        for i in (0..count).rev() {
            // SAFETY: `i` is within the slice.
            self.push(unsafe { slots.cast::<Slot>().add(i) });
        }
        let chunk = Chunk { slots: Slots(slots), memory, class, idle: Cell::new(count) };
        self.count_new(&chunk);
        chunk
    }

    fn map_large(&self, pool: NonNull<Shared>, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let bytes = len.next_multiple_of(ALIGN);
        let memory = self.map(bytes, bytes, len)?;
        let slot = Slot::new(pool, memory.start(), memory.seen(), LARGE);
        self.larges.set(self.larges.get() + 1);
        Ok(NonNull::from(Box::leak(Box::new(Large { slot, memory }))).cast())
    }

    /// Makes room for `needed` bytes out of chunks that are idle as a whole: one is divided anew if that leaves
    /// nothing over, and otherwise as many are unmapped as it takes. False if there are not enough of them.
    fn reclaim(&self, pool: NonNull<Shared>, class: usize, needed: usize) -> bool {
        // Buffers are usually all out when a pool is dry: then there is nothing to count.
        if self.slots.get() == self.in_use() - self.larges.get() {
            return false;
        }
        self.count_idle();
        let fits = |chunk: &Chunk| chunk.is_idle() && chunk.memory.len() % needed == 0;
        let found = self.chunks.borrow().iter().find(|(_, chunk)| fits(chunk)).map(|(number, _)| number);
        if let Some(found) = found.filter(|_| class < CLASSES) {
            let memory =
                self.take_apart(|number, _| number == found).pop().expect("the chunk was just found");
            self.add_chunk(pool, memory, class);
            return true;
        }
        let needed = mapping::needed(needed, self.huge_pages.get());
        // What is leased may come back in another size, if nobody else waits for it.
        let is_leased = |chunk: &Chunk| chunk.memory.is_leased();
        let own = self.mapped() - self.leased.get();
        let short = (own + needed).saturating_sub(self.limit.get());
        let (is_own, enough) = if self.idle.bytes() >= short && needed <= self.limit.get() {
            (true, short)
        } else {
            (false, needed)
        };
        let mut freed = 0;
        let ended = self.take_apart(|_, chunk| {
            let is_wanted = freed < enough && is_leased(chunk) != is_own;
            if is_wanted {
                freed += chunk.memory.len();
            }
            is_wanted
        });
        let is_any = !ended.is_empty();
        ended.into_iter().for_each(|memory| self.unmap(memory));
        is_any
    }
}

/// What a buffer of `len` bytes takes.
pub(super) fn needed(len: usize) -> usize {
    bytes_of(class_of(len), len)
}

fn bytes_of(class: usize, len: usize) -> usize {
    if class < CLASSES { ALIGN << class } else { len.next_multiple_of(ALIGN) }
}
