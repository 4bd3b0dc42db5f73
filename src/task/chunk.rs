//! A chunk: the memory of many tasks of about one size, or of a single large one.
//!
//! ```text
//!  0                64               128                                    64 KiB - 16
//!  │ home, orphans  │ free, used, …  │ block │ block │ block │ … never used │
//!    read by anyone   the owner's      ▲ a task, or a free block: null and a link
//! ```
//!
//! Chunks are aligned to their size, so that a task's address leads to its chunk, and the chunk to the core. A block begins with
//! the task's table of functions or with null: that is how the living are told from the free when the core ends. From then on a
//! chunk belongs to its orphans: the last of them takes it down, on whatever thread.
#![expect(unsafe_code, reason = "raw blocks: an intrusive free list, reached by address arithmetic")]

use super::{header::Header, home::Home};
use crate::sys::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::AcqRel},
};
use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    ptr::{NonNull, null, null_mut},
};

/// What chunks are aligned to.
const CHUNK: usize = 1 << 16;
/// Leaves room for the allocator's own bookkeeping, so that aligned chunks lie side by side.
const CHUNK_BYTES: usize = CHUNK - 16;
const CHUNK_LAYOUT: Layout = match Layout::from_size_align(CHUNK_BYTES, CHUNK) {
    Ok(layout) => layout,
    Err(_) => panic!("a chunk's layout is valid"),
};
/// Where the blocks begin. A multiple of what they are aligned to.
const HEAD: usize = size_of::<Chunk>().next_multiple_of(ALIGN_MAX);
/// Tasks aligned to more have a chunk of their own.
const ALIGN_MAX: usize = 128;
/// Small blocks are multiples of this: what a header is aligned to.
const GRAIN: usize = align_of::<Header>();
const SMALL_MAX: usize = 1024;
/// Blocks above `SMALL_MAX` are multiples of this.
const COARSE_GRAIN: usize = 128;
/// Larger tasks have a chunk of their own: of these, eight fit in one.
const LARGEST: usize = (CHUNK_BYTES - HEAD) / 8 / COARSE_GRAIN * COARSE_GRAIN;
/// The class of the tasks that have a chunk of their own.
pub(super) const LARGE: usize = (SMALL_MAX / GRAIN) + (LARGEST - SMALL_MAX) / COARSE_GRAIN + 1;
/// How many classes there are.
pub(super) const CLASSES: usize = LARGE + 1;
/// So many blocks that were never used become free at a time: a page's worth or two.
const CARVED_MAX: u32 = 64;

/// Memory that a task needs, worked out at compile time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) class: u16,
    /// Where the first block of the chunk stands.
    first: u32,
    bytes: u32,
}

impl Block {
    /// For values of `T`, which begin with a header.
    pub(super) const fn of<T>() -> Self {
        let (size, align) = (size_of::<T>(), align_of::<T>());
        assert!(size < 1 << 31, "a task is smaller than 2 GiB: box the future's parts");
        assert!(align <= CHUNK / 2, "a task is aligned to 32 KiB at most: box the future's parts");
        let (class, first, bytes) = if size > LARGEST || align > ALIGN_MAX {
            (LARGE, HEAD.next_multiple_of(align), size)
        } else if size > SMALL_MAX {
            let grains = (size - SMALL_MAX).div_ceil(COARSE_GRAIN);
            (SMALL_MAX / GRAIN + grains, HEAD, SMALL_MAX + grains * COARSE_GRAIN)
        } else {
            // A multiple of `T`'s alignment, as every type's size is.
            (size.div_ceil(GRAIN), HEAD, size.next_multiple_of(GRAIN))
        };
        Self { class: class as u16, first: first as u32, bytes: bytes as u32 }
    }
}

/// A block without a task: where the task would have its table of functions stands null.
#[repr(C)]
struct FreeBlock {
    vtable: *const (),
    next: *mut FreeBlock,
}

/// Head of a chunk.
///
/// # Invariants
/// From `first` to `fresh` there are whole blocks, of which `used` hold a task (or are about to), and those in `free` do not.
#[repr(C)]
pub(super) struct Chunk {
    pub(super) shared: Shared,
    pub(super) own: Own,
}

/// Never changes but where said, so that senders elsewhere do not wait for a line that the owner writes to.
#[repr(C, align(64))]
pub(super) struct Shared {
    home: NonNull<Home>,
    /// After the core's end, its orphans' share of the home. Written just before.
    kept: Cell<Option<Arc<Home>>>,
    /// After the core's end: tasks that are left.
    orphans: AtomicUsize,
    layout: Layout,
    /// Lets loom see that the memory goes back after the last orphan.
    #[cfg(all(test, loom))]
    memory: crate::sys::sync::UnsafeCell<()>,
}

/// What only the owning core touches.
#[repr(C, align(64))]
pub(super) struct Own {
    free: Cell<*mut FreeBlock>,
    /// Tasks in this chunk, and one more while it is the one that its class allocates from.
    pub(super) used: Cell<u32>,
    /// Where the memory begins that was never used.
    fresh: Cell<u32>,
    end: u32,
    first: u32,
    bytes: u32,
    pub(super) class: u16,
    /// Known to have no free block. Set by the arena when it has looked, cleared when a block becomes free.
    pub(super) is_full: Cell<bool>,
    pub(super) prev: Cell<*mut Chunk>,
    pub(super) next: Cell<*mut Chunk>,
}

impl Chunk {
    /// A chunk for such blocks, in `reused` memory of a chunk if there is some.
    pub(super) fn new(home: NonNull<Home>, block: Block, reused: Option<NonNull<Chunk>>) -> NonNull<Self> {
        let (first, bytes) = (block.first as usize, block.bytes as usize);
        let (layout, end) = if usize::from(block.class) == LARGE {
            let layout = Layout::from_size_align(first + bytes, CHUNK).expect("checked in `Block::of`");
            (layout, layout.size())
        } else {
            (CHUNK_LAYOUT, first + (CHUNK_BYTES - first) / bytes * bytes)
        };
        let chunk = match reused {
            Some(chunk) => {
                // SAFETY: the caller's, and empty.
                unsafe { chunk.drop_in_place() };
                chunk
            }
            None => {
                // SAFETY: a layout is never zero-sized: it has a head.
                let memory = unsafe { alloc(layout) };
                NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout)).cast()
            }
        };
        let shared = Shared {
            home,
            kept: Cell::new(None),
            orphans: AtomicUsize::new(0),
            layout,
            #[cfg(all(test, loom))]
            memory: crate::sys::sync::UnsafeCell::new(()),
        };
        let own = Own {
            free: Cell::new(null_mut()),
            used: Cell::new(0),
            fresh: Cell::new(block.first),
            end: end as u32,
            first: block.first,
            bytes: block.bytes,
            class: block.class,
            is_full: Cell::new(false),
            prev: Cell::new(null_mut()),
            next: Cell::new(null_mut()),
        };
        // SAFETY: free memory of that layout.
        unsafe { chunk.write(Self { shared, own }) };
        chunk
    }
}

/// The chunk that a task stands in.
///
/// # Safety
/// The task is in the memory of a chunk.
#[inline]
unsafe fn of(task: NonNull<Header>) -> NonNull<Chunk> {
    let chunk = task.as_ptr().map_addr(|address| address & !(CHUNK - 1));
    // SAFETY: the caller's promise: chunks are aligned to `CHUNK`, and a first block begins before the second half of one.
    unsafe { NonNull::new_unchecked(chunk.cast()) }
}

/// The core that a task belongs to.
///
/// # Safety
/// The caller holds a reference to the task.
#[inline]
pub(super) unsafe fn home(task: NonNull<Header>) -> NonNull<Home> {
    // SAFETY: the caller's promise; only the part that anyone may read is looked at.
    unsafe { (&raw const (*of(task).as_ptr()).shared.home).read() }
}

/// The owner's part of a chunk, and the chunk.
///
/// # Safety
/// On the owner, and the task is in the memory of a chunk.
#[inline]
pub(super) unsafe fn own<'a>(task: NonNull<Header>) -> (NonNull<Chunk>, &'a Own) {
    // SAFETY: the caller's promise.
    let chunk = unsafe { of(task) };
    // SAFETY: as above.
    (chunk, unsafe { &(*chunk.as_ptr()).own })
}

impl Own {
    /// Takes a free block.
    #[inline]
    pub(super) fn take(&self) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.free.get())?;
        // SAFETY: blocks in the list are free and ours; `put` or `carve` wrote the link.
        self.free.set(unsafe { (*block.as_ptr()).next });
        self.used.set(self.used.get() + 1);
        Some(block.cast())
    }

    pub(super) fn has_room(&self) -> bool {
        !self.free.get().is_null()
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The block is this chunk's and holds no task any more.
    #[inline]
    pub(super) unsafe fn put(&self, block: NonNull<u8>) {
        let block = block.cast::<FreeBlock>();
        // SAFETY: the caller's promise: free memory, as long as a header at least.
        unsafe { block.write(FreeBlock { vtable: null(), next: self.free.get() }) };
        self.free.set(block.as_ptr());
        self.used.set(self.used.get() - 1);
    }
}

/// What the owner does with a chunk as a whole.
///
/// # Safety
/// For all of them: on the owner, and the chunk is one of its own.
impl Chunk {
    /// Makes blocks that were never used free, to be taken in order of address. `false` if there are none.
    pub(super) unsafe fn carve(chunk: NonNull<Self>) -> bool {
        // SAFETY: the caller's promise.
        let own = unsafe { &(*chunk.as_ptr()).own };
        let count = ((own.end - own.fresh.get()) / own.bytes).min(CARVED_MAX);
        for index in (0..count).rev() {
            let offset = (own.fresh.get() + index * own.bytes) as usize;
            // SAFETY: between `fresh` and `end`: memory of this chunk that nobody uses.
            unsafe {
                let block = chunk.cast::<u8>().add(offset).cast::<FreeBlock>();
                block.write(FreeBlock { vtable: null(), next: own.free.get() });
                own.free.set(block.as_ptr());
            }
        }
        own.fresh.set(own.fresh.get() + count * own.bytes);
        count > 0
    }

    /// Lends each task. `f` may free it, and others.
    pub(super) unsafe fn for_each(chunk: NonNull<Self>, f: &mut dyn FnMut(NonNull<Header>)) {
        // SAFETY: the caller's promise; the copies keep clear of the chunk should `f` give it away with its last task.
        let (first, fresh, bytes) = unsafe {
            ((*chunk.as_ptr()).own.first, (*chunk.as_ptr()).own.fresh.get(), (*chunk.as_ptr()).own.bytes)
        };
        for offset in (first..fresh).step_by(bytes as usize) {
            // SAFETY: below `fresh`: a block of this chunk.
            let block = unsafe { chunk.cast::<u8>().add(offset as usize) };
            // SAFETY: a block begins with a task's table, which never changes, or with null.
            if !unsafe { block.cast::<*const ()>().read() }.is_null() {
                f(block.cast());
            }
        }
    }

    /// Leaves the chunk to its `count` tasks, if any; `end` is called for each, and may be the end of it.
    pub(super) unsafe fn hand_over(
        chunk: NonNull<Self>,
        count: usize,
        home: &Arc<Home>,
        end: &mut dyn FnMut(NonNull<Header>),
    ) {
        if count > 0 {
            // SAFETY: the caller's promise; no task is an orphan yet.
            let shared = unsafe { &(*chunk.as_ptr()).shared };
            shared.kept.set(Some(home.clone()));
            // One more, so that the chunk outlives this call. AcqRel for loom's sake: nobody else looks before `end`.
            shared.orphans.fetch_add(count + 1, AcqRel);
            // SAFETY: the caller's promise; with one orphan more than there are, it stays.
            unsafe { Self::for_each(chunk, end) };
            // SAFETY: the one more.
            unsafe { Self::release(chunk) };
        } else {
            // SAFETY: no task is left.
            unsafe { Self::free(chunk) };
        }
    }

    /// One orphan less, on any thread.
    unsafe fn release(chunk: NonNull<Self>) {
        // SAFETY: the caller's promise.
        let shared = unsafe { &(*chunk.as_ptr()).shared };
        #[cfg(all(test, loom))]
        shared.memory.with(|_| ());
        // AcqRel: what others did to their tasks comes before the memory goes.
        if shared.orphans.fetch_sub(1, AcqRel) == 1 {
            let kept = shared.kept.take();
            // SAFETY: nobody is left.
            unsafe { Self::free(chunk) };
            // Perhaps the last of the core.
            drop(kept);
        }
    }

    /// Gives an empty chunk's memory back.
    pub(super) unsafe fn free(chunk: NonNull<Self>) {
        // SAFETY: the caller's promise.
        let layout = unsafe { (*chunk.as_ptr()).shared.layout };
        #[cfg(all(test, loom))]
        // SAFETY: as above.
        unsafe { &(*chunk.as_ptr()).shared }.memory.with_mut(|_| ());
        // SAFETY: as above, and nobody looks at it any more.
        unsafe { chunk.drop_in_place() };
        // SAFETY: `Chunk::new` used the same layout.
        unsafe { dealloc(chunk.as_ptr().cast(), layout) };
    }
}

/// Gives up the memory of a task whose core is gone, on any thread.
///
/// # Safety
/// The task was handed over, and its header has been dropped.
pub(super) unsafe fn free_orphan(task: NonNull<Header>) {
    // SAFETY: the caller's promise: one of the chunk's orphans, which ends here.
    unsafe { Chunk::release(of(task)) };
}
