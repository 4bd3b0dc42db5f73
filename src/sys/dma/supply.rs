//! Where slots come from once a free list is empty: new memory within the limit, a larger buffer, or memory that lies
//! idle in another class.
//!
//! ```text
//!   free list ─ empty ─► map a chunk ─ at the limit ─► a larger idle buffer ─ none ─► chunks idle as a whole ─ none ─► dry
//! ```
//!
//! The last step keeps a pool that was once full of 4 KiB buffers from refusing 1 MiB for ever. It needs to know which
//! chunks are idle. Counting that with every buffer would cost every I/O, so it is counted when the step is first taken,
//! one walk over the idle slots, and kept up for as long as somebody waits.
#![expect(unsafe_code, reason = "slots are made over mapped memory and reached through raw pointers")]

use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::ALIGN;
use super::bytes::LEN_MAX;
use super::error::AllocError;
use super::mapping::Mapping;
use super::shared::{CLASSES, Large, Local, Shared};
use super::slot::{LARGE, Slot};
use crate::sys::sync::atomic::Ordering::Relaxed;

/// A free list grows by as much as it has, within these bounds, so that small programs stay small and a busy list
/// needs few mappings.
pub(super) const GROW_MIN: usize = 256 << 10;
const GROW_MAX: usize = 4 << 20;

/// Slots of one class and the memory they divide.
pub(super) struct Chunk {
    slots: Slots,
    memory: Mapping,
    class: usize,
    /// How many of the slots lie in the free list; kept up while [`Idle::is_counted`].
    idle: Cell<usize>,
}

/// A leaked box, raw because the slots are reached through pointers of their own.
struct Slots(NonNull<[Slot]>);

impl Chunk {
    /// As [`Mapping::pin`].
    pub(super) fn pin(&self) -> (NonNull<u8>, usize) {
        self.memory.pin()
    }

    fn is_idle(&self) -> bool {
        self.idle.get() == self.count()
    }

    fn count(&self) -> usize {
        self.slots.0.len()
    }

    fn slot_bytes(&self) -> usize {
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

/// What lies idle, by chunk.
#[derive(Default)]
pub(super) struct Idle {
    is_counted: Cell<bool>,
    /// Bytes of the chunks that are idle as a whole.
    bytes: Cell<usize>,
}

impl Idle {
    /// From now on buffers come and go uncounted.
    pub(super) fn forget(&self) {
        self.is_counted.set(false);
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
        if needed > limit && !has_one() {
            return Err(AllocError::OverLimit { len, needed, limit });
        }
        Ok(())
    }

    /// What is said of `len` bytes when they would have to be waited for.
    pub(super) fn dry(&self, len: usize) -> AllocError {
        AllocError::Dry { len, mapped: self.mapped.get(), limit: self.limit.get() }
    }

    fn map_for(&self, pool: NonNull<Shared>, class: usize, len: usize) -> Result<NonNull<Slot>, AllocError> {
        if class < CLASSES { self.grow(pool, class, len) } else { self.map_large(pool, len) }
    }

    /// Maps `bytes` for a request of `len`, within the limit.
    fn map(&self, bytes: usize, len: usize) -> Result<Mapping, AllocError> {
        let (mapped, limit) = (self.mapped.get(), self.limit.get());
        if mapped.checked_add(bytes).is_none_or(|sum| sum > limit) {
            return Err(self.dry(len));
        }
        let memory = Mapping::zeroed(bytes).map_err(|source| AllocError::Os { len, source })?;
        self.mapped.set(mapped + bytes);
        Ok(memory)
    }

    /// Gives the free list `class` another chunk and returns one slot of it.
    fn grow(&self, pool: NonNull<Shared>, class: usize, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let size = ALIGN << class;
        let room = self.limit.get().saturating_sub(self.mapped.get()) / size * size;
        let wanted = self.class_bytes[class].get().clamp(GROW_MIN, GROW_MAX).max(size);
        let memory = self.map(wanted.min(room).max(size), len)?;
        // Numbers are not used again: whoever knows a chunk by its number shall not take another for it.
        let number = self.chunks.borrow().len();
        let chunk = self.carve(pool, number, memory, class);
        self.chunks.borrow_mut().push(Some(chunk));
        Ok(self.pop_counted(class).expect("the list was just grown"))
    }

    /// Divides `memory` into slots of `class`, all of them idle.
    fn carve(&self, pool: NonNull<Shared>, number: usize, memory: Mapping, class: usize) -> Chunk {
        let size = ALIGN << class;
        let slots: Box<[Slot]> = (0..memory.len() / size)
            .map(|i| {
                // SAFETY: `i * size` is less than the mapping's length.
                let start = unsafe { memory.start().add(i * size) };
                Slot::new(pool, start, size, class as u8).in_chunk(number)
            })
            .collect();
        let count = slots.len();
        let slots = NonNull::from(Box::leak(slots));
        for i in (0..count).rev() {
            // SAFETY: `i` is within the slice.
            self.push(unsafe { slots.cast::<Slot>().add(i) });
        }
        let chunk = Chunk { slots: Slots(slots), memory, class, idle: Cell::new(count) };
        self.slots.set(self.slots.get() + count);
        self.class_bytes[class].set(self.class_bytes[class].get() + chunk.slot_bytes());
        self.idle.bytes.set(self.idle.bytes.get() + chunk.memory.len());
        chunk
    }

    fn map_large(&self, pool: NonNull<Shared>, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let bytes = len.next_multiple_of(ALIGN);
        let memory = self.map(bytes, len)?;
        let slot = Slot::new(pool, memory.start(), bytes, LARGE);
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
        if !self.idle.is_counted.get() {
            self.count_idle();
        }
        let short = (self.mapped.get() + needed).saturating_sub(self.limit.get());
        if self.idle.bytes.get() < short {
            return false;
        }
        let fits = |chunk: &Chunk| chunk.is_idle() && chunk.memory.len() % needed == 0;
        let found = self.chunks.borrow().iter().position(|chunk| chunk.as_ref().is_some_and(fits));
        match found {
            Some(number) if class < CLASSES => {
                let memory = self.take_apart(|n| n == number).pop().expect("the chunk was just found");
                let chunk = self.carve(pool, number, memory, class);
                self.chunks.borrow_mut()[number] = Some(chunk);
            }
            _ => {
                let mut freed = 0;
                let unmapped = self.take_apart(|number| {
                    let wanted = freed < short;
                    if wanted {
                        let chunks = self.chunks.borrow();
                        freed += chunks[number].as_ref().map_or(0, |chunk| chunk.memory.len());
                    }
                    wanted
                });
                drop(unmapped);
                self.mapped.set(self.mapped.get() - freed);
            }
        }
        true
    }

    /// Ends those idle chunks whose number `choose` takes, in order, and returns their memory.
    fn take_apart(&self, mut choose: impl FnMut(usize) -> bool) -> Vec<Mapping> {
        let count = self.chunks.borrow().len();
        let is_idle = |number: &usize| self.chunks.borrow()[*number].as_ref().is_some_and(Chunk::is_idle);
        let chosen: Vec<usize> = (0..count).filter(is_idle).filter(|&number| choose(number)).collect();
        let ended: Vec<Chunk> =
            chosen.iter().filter_map(|&number| self.chunks.borrow_mut()[number].take()).collect();
        for class in 0..CLASSES {
            if ended.iter().any(|chunk| chunk.class == class) {
                // A chunk that was taken out of the table is one that ends.
                self.unlink(class, &self.chunks.borrow());
            }
        }
        ended
            .into_iter()
            .map(|chunk| {
                self.slots.set(self.slots.get() - chunk.count());
                let bytes = &self.class_bytes[chunk.class];
                bytes.set(bytes.get() - chunk.slot_bytes());
                self.idle.bytes.set(self.idle.bytes.get() - chunk.memory.len());
                chunk.memory
            })
            .collect()
    }

    /// Takes the slots out of a free list whose chunk is no longer in `chunks`.
    fn unlink(&self, class: usize, chunks: &[Option<Chunk>]) {
        let mut rest = self.free[class].replace(ptr::null_mut());
        let mut last: Option<NonNull<Slot>> = None;
        while let Some(slot) = NonNull::new(rest) {
            // SAFETY: what was in the free list is a live slot that nobody else has.
            let slot_ref = unsafe { slot.as_ref() };
            rest = slot_ref.next.load(Relaxed);
            if chunks[slot_ref.chunk as usize].is_none() {
                continue;
            }
            slot_ref.next.store(ptr::null_mut(), Relaxed);
            match last.replace(slot) {
                None => self.free[class].set(slot.as_ptr()),
                // SAFETY: as above.
                Some(last) => unsafe { last.as_ref() }.next.store(slot.as_ptr(), Relaxed),
            }
        }
    }

    fn count_idle(&self) {
        let chunks = self.chunks.borrow();
        chunks.iter().flatten().for_each(|chunk| chunk.idle.set(0));
        for head in &self.free {
            let mut next = head.get();
            while let Some(slot) = NonNull::new(next) {
                // SAFETY: what is in a free list is a live slot of this pool.
                let slot = unsafe { slot.as_ref() };
                let chunk = chunks[slot.chunk as usize].as_ref().expect("a slot's chunk is in the table");
                chunk.idle.set(chunk.idle.get() + 1);
                next = slot.next.load(Relaxed);
            }
        }
        let idle = chunks.iter().flatten().filter(|chunk| chunk.is_idle());
        self.idle.bytes.set(idle.map(|chunk| chunk.memory.len()).sum());
        // While nobody waits, buffers come and go uncounted.
        self.idle.is_counted.set(!self.is_plain.get());
    }

    /// [`pop`](Local::pop), counted.
    fn pop_counted(&self, class: usize) -> Option<NonNull<Slot>> {
        let slot = self.pop(class)?;
        if self.idle.is_counted.get() {
            // SAFETY: just popped, so it is a live slot of ours.
            self.count(unsafe { slot.as_ref() }, |idle| idle - 1);
        }
        Some(slot)
    }

    /// [`put`](Local::put), counted.
    ///
    /// # Safety
    /// As `put`.
    pub(super) unsafe fn put_counted(&self, slot: NonNull<Slot>) {
        // SAFETY: the caller's promise.
        let slot_ref = unsafe { slot.as_ref() };
        if self.idle.is_counted.get() && slot_ref.class != LARGE {
            self.count(slot_ref, |idle| idle + 1);
        }
        // SAFETY: the caller's promise.
        unsafe { self.put(slot) };
    }

    fn count(&self, slot: &Slot, change: impl FnOnce(usize) -> usize) {
        let chunks = self.chunks.borrow();
        let chunk = chunks[slot.chunk as usize].as_ref().expect("a slot's chunk is in the table");
        let (was_idle, len) = (chunk.is_idle(), chunk.memory.len());
        chunk.idle.set(change(chunk.idle.get()));
        let bytes = self.idle.bytes.get();
        match (was_idle, chunk.is_idle()) {
            (true, false) => self.idle.bytes.set(bytes - len),
            (false, true) => self.idle.bytes.set(bytes + len),
            _ => {}
        }
    }
}

/// What a buffer of `len` bytes takes.
fn bytes_of(class: usize, len: usize) -> usize {
    if class < CLASSES { ALIGN << class } else { len.next_multiple_of(ALIGN) }
}
