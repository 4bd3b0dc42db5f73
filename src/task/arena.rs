//! Task memory: per core and class of sizes a ring of chunks, so that spawning reuses memory instead of calling the allocator.
//!
//! ```text
//!  ring of a class    front ──► chunks with room … ──► full chunks … ──► (front)
//!  alloc              pops a free block of the front; once that is full ① it becomes the last, and the next the front
//!  free               pushes to the task's own chunk; one that was full ② moves behind the front, one that is empty ③ leaves
//! ```
//!
//! ① `alloc_slow` · ② ③ `free_slow`. Neither searches. Empty chunks serve any class; beyond a reserve they go back to the allocator.
#![expect(unsafe_code, reason = "chunks are linked in rings")]

use super::{
    chunk::{self, Block, CLASSES, Chunk, LARGE, Own},
    header::Header,
    home::Home,
};
use crate::sys::sync::Arc;
use std::{
    cell::Cell,
    ptr::{NonNull, null_mut},
};

/// Empty chunks that a core keeps while it is awake, 8 MiB of them: bursts that follow each other pay the allocator and the
/// kernel's page faults once. With 1 MiB, bursts of 100,000 tasks took 36 ns a task instead of 12.
const RESERVE_MAX: usize = 128;
/// Those that it keeps in its sleep, 1 MiB of them.
const RESERVE_ASLEEP_MAX: usize = 16;

/// The chunks of one core.
pub(super) struct Arena {
    /// By class, the front of its ring or null. But for `LARGE`, the front counts one use, so that it is never empty.
    rings: [Cell<*mut Chunk>; CLASSES],
    /// Empty chunks, linked by `next`.
    reserve: Cell<*mut Chunk>,
    reserve_len: Cell<usize>,
    /// The rings stay as they are, whatever is freed.
    is_frozen: Cell<bool>,
}

/// The owner's part of a chunk.
///
/// # Safety
/// The chunk is one of the calling core's.
#[inline]
unsafe fn own<'a>(chunk: NonNull<Chunk>) -> &'a Own {
    // SAFETY: the caller's promise.
    unsafe { &(*chunk.as_ptr()).own }
}

impl Arena {
    pub(super) fn new() -> Self {
        Self {
            rings: [const { Cell::new(null_mut()) }; CLASSES],
            reserve: Cell::new(null_mut()),
            reserve_len: Cell::new(0),
            is_frozen: Cell::new(false),
        }
    }

    /// Memory for a task of `home`, which must be put there, table first, before anything else is asked of the arena.
    #[inline]
    pub(super) fn alloc(&self, home: NonNull<Home>, block: Block) -> NonNull<u8> {
        if let Some(front) = NonNull::new(self.rings[usize::from(block.class)].get()) {
            // SAFETY: chunks in the rings are ours.
            if let Some(block) = unsafe { own(front) }.take() {
                return block;
            }
        }
        self.alloc_slow(home, block)
    }

    /// The front has no free block, or there is none.
    #[cold]
    #[inline(never)]
    fn alloc_slow(&self, home: NonNull<Home>, block: Block) -> NonNull<u8> {
        let ring = &self.rings[usize::from(block.class)];
        loop {
            if let Some(front) = NonNull::new(ring.get()).filter(|_| usize::from(block.class) != LARGE) {
                // SAFETY: chunks in the rings are ours.
                let own_front = unsafe { own(front) };
                // SAFETY: as above.
                if own_front.has_room() || unsafe { Chunk::carve(front) } {
                    return own_front.take().expect("there is room");
                }
                own_front.is_full.set(true);
                own_front.used.set(own_front.used.get() - 1);
                // SAFETY: as above: a ring's links are never null.
                let next = unsafe { NonNull::new_unchecked(own_front.next.get()) };
                // SAFETY: as above.
                let own_next = unsafe { own(next) };
                if !own_next.is_full.get() {
                    own_next.used.set(own_next.used.get() + 1);
                    ring.set(next.as_ptr());
                    continue;
                }
            }
            let is_large = usize::from(block.class) == LARGE;
            let chunk = Chunk::new(home, block, if is_large { None } else { self.pop_reserve() });
            self.link_last(ring, chunk);
            ring.set(chunk.as_ptr());
            // SAFETY: just made.
            let own_chunk = unsafe { own(chunk) };
            if is_large {
                // SAFETY: as above.
                unsafe { Chunk::carve(chunk) };
                own_chunk.is_full.set(true);
                return own_chunk.take().expect("a fresh chunk has a block");
            }
            own_chunk.used.set(1);
        }
    }

    /// Takes back the memory of a task.
    ///
    /// # Safety
    /// The task is this core's, and its header has been dropped.
    #[inline]
    pub(super) unsafe fn free(&self, task: NonNull<Header>) {
        // SAFETY: the caller's promise.
        let (chunk, own) = unsafe { chunk::own(task) };
        // SAFETY: as above.
        unsafe { own.put(task.cast()) };
        if own.used.get() == 0 || own.is_full.get() {
            self.free_slow(chunk);
        }
    }

    /// A chunk became empty, or is full no more.
    #[cold]
    #[inline(never)]
    fn free_slow(&self, chunk: NonNull<Chunk>) {
        if self.is_frozen.get() {
            return;
        }
        // SAFETY: the caller's chunk is ours.
        let own_chunk = unsafe { own(chunk) };
        let ring = &self.rings[usize::from(own_chunk.class)];
        self.unlink(ring, chunk);
        if own_chunk.used.get() > 0 {
            own_chunk.is_full.set(false);
            // SAFETY: the front is another, as a front is not called full.
            let second = unsafe { own(NonNull::new_unchecked(ring.get())) }.next.get();
            // SAFETY: the ring's links lead to chunks that are ours.
            unsafe { link_before(NonNull::new_unchecked(second), chunk) };
        } else if usize::from(own_chunk.class) == LARGE || self.reserve_len.get() >= RESERVE_MAX {
            // SAFETY: ours, empty, and in no ring.
            unsafe { Chunk::free(chunk) };
        } else {
            own_chunk.next.set(self.reserve.replace(chunk.as_ptr()));
            self.reserve_len.set(self.reserve_len.get() + 1);
        }
    }

    /// The core is about to sleep: what the last burst took goes back to the allocator.
    pub(super) fn trim(&self) {
        while self.reserve_len.get() > RESERVE_ASLEEP_MAX {
            if let Some(chunk) = self.pop_reserve() {
                // SAFETY: chunks in the reserve are ours, empty, and in no ring.
                unsafe { Chunk::free(chunk) };
            }
        }
    }

    fn pop_reserve(&self) -> Option<NonNull<Chunk>> {
        let chunk = NonNull::new(self.reserve.get())?;
        // SAFETY: chunks in the reserve are ours.
        self.reserve.set(unsafe { own(chunk) }.next.get());
        self.reserve_len.set(self.reserve_len.get() - 1);
        Some(chunk)
    }

    /// Puts a chunk that is in no ring before the front.
    fn link_last(&self, ring: &Cell<*mut Chunk>, chunk: NonNull<Chunk>) {
        match NonNull::new(ring.get()) {
            // SAFETY: both are ours.
            Some(front) => unsafe { link_before(front, chunk) },
            None => {
                // SAFETY: ours.
                let own_chunk = unsafe { own(chunk) };
                own_chunk.prev.set(chunk.as_ptr());
                own_chunk.next.set(chunk.as_ptr());
            }
        }
    }

    fn unlink(&self, ring: &Cell<*mut Chunk>, chunk: NonNull<Chunk>) {
        // SAFETY: the caller's chunk is ours.
        let own_chunk = unsafe { own(chunk) };
        let (prev, next) = (own_chunk.prev.get(), own_chunk.next.get());
        if next == chunk.as_ptr() {
            return ring.set(null_mut());
        }
        // SAFETY: a ring's links lead to chunks that are ours.
        unsafe {
            (*prev).own.next.set(next);
            (*next).own.prev.set(prev);
        }
        if ring.get() == chunk.as_ptr() {
            ring.set(next);
        }
    }

    /// From now on chunks neither leave nor change places: for [`for_each`](Self::for_each) with an `f` that frees.
    pub(super) fn freeze(&self) {
        self.is_frozen.set(true);
    }

    /// Lends each chunk, and how many tasks it holds. `f` may take it down.
    fn for_each_chunk(&self, mut f: impl FnMut(NonNull<Chunk>, usize)) {
        for (class, ring) in self.rings.iter().enumerate() {
            let front = ring.get();
            let mut next = NonNull::new(front);
            while let Some(chunk) = next {
                // SAFETY: chunks in the rings are ours.
                let own_chunk = unsafe { own(chunk) };
                next = NonNull::new(own_chunk.next.get()).filter(|next| next.as_ptr() != front);
                let is_counted = chunk.as_ptr() == front && class != LARGE;
                f(chunk, own_chunk.used.get() as usize - usize::from(is_counted));
            }
        }
    }

    /// Lends each task. `f` starts none, and frees some only if the arena is frozen.
    pub(super) fn for_each(&self, mut f: impl FnMut(NonNull<Header>)) {
        // SAFETY: chunks in the rings are ours, and stay.
        self.for_each_chunk(|chunk, _| unsafe { Chunk::for_each(chunk, &mut f) });
    }

    /// How many tasks there are. Takes time by the chunk.
    pub(super) fn len(&self) -> usize {
        let mut len = 0;
        self.for_each_chunk(|_, used| len += used);
        len
    }

    /// The core is gone: leaves the chunks to the tasks in them. `end` is called for each task, and may be the end of it.
    pub(super) fn hand_over(&self, home: &Arc<Home>, mut end: impl FnMut(NonNull<Header>)) {
        self.for_each_chunk(|chunk, count| {
            // SAFETY: ours until now.
            unsafe { Chunk::hand_over(chunk, count, home, &mut end) };
        });
        self.rings.iter().for_each(|ring| ring.set(null_mut()));
    }
}

/// # Safety
/// Both chunks are the calling core's, `chunk` in no ring.
unsafe fn link_before(next: NonNull<Chunk>, chunk: NonNull<Chunk>) {
    // SAFETY: the caller's promise.
    let (own_chunk, own_next) = unsafe { (own(chunk), own(next)) };
    let prev = own_next.prev.replace(chunk.as_ptr());
    own_chunk.prev.set(prev);
    own_chunk.next.set(next.as_ptr());
    // SAFETY: a ring's links lead to chunks of the same core.
    unsafe { (*prev).own.next.set(chunk.as_ptr()) };
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.for_each_chunk(|chunk, used| {
            // A core that was never ended leaves its tasks where they are: others may refer to them.
            if used == 0 {
                // SAFETY: ours and empty.
                unsafe { Chunk::free(chunk) };
            }
        });
        while let Some(chunk) = self.pop_reserve() {
            // SAFETY: as above.
            unsafe { Chunk::free(chunk) };
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "arena_tests.rs"]
mod tests;
