//! Task memory: per-core free lists by size, so that spawning reuses memory instead of calling the allocator.
//!
//! Each block comes from the global allocator on its own and may go back there from any thread, which is what happens to the
//! few that outlive their core.
#![expect(unsafe_code, reason = "raw blocks: an intrusive free list")]

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    ptr::{NonNull, null_mut},
};

/// Blocks are multiples of this, and aligned to it.
const GRAIN: usize = 16;
/// Larger tasks go to the global allocator each time.
const LARGEST: usize = 2048;
const _: () = assert!(LARGEST / GRAIN <= u8::MAX as usize);
const CLASSES: usize = LARGEST / GRAIN + 1;
/// A class keeps at most this many bytes of free blocks: enough for the working set of a busy core, not for a burst.
const KEPT_BYTES_MAX: usize = 4 << 20;

struct FreeBlock {
    next: *mut FreeBlock,
}

struct Class {
    first: Cell<*mut FreeBlock>,
    count: Cell<usize>,
}

/// Free lists of one core.
pub(super) struct Arena {
    classes: Box<[Class]>,
}

/// The layout that a block for `wanted` really has.
const fn block_layout(wanted: Layout) -> Layout {
    if wanted.size() > LARGEST || wanted.align() > GRAIN {
        return wanted;
    }
    match Layout::from_size_align(wanted.size().next_multiple_of(GRAIN), GRAIN) {
        Ok(layout) => layout,
        Err(_) => wanted,
    }
}

/// A layout and the free list that serves it, worked out at compile time.
#[derive(Clone, Copy)]
pub(super) struct Block {
    layout: Layout,
    class: Option<u8>,
}

impl Block {
    /// For values of `T`.
    pub(super) const fn of<T>() -> Self {
        let layout = Layout::new::<T>();
        let is_small = layout.size() <= LARGEST && layout.align() <= GRAIN;
        Self { layout, class: if is_small { Some(layout.size().div_ceil(GRAIN) as u8) } else { None } }
    }
}

impl Arena {
    pub(super) fn new() -> Self {
        let class = |_| Class { first: Cell::new(null_mut()), count: Cell::new(0) };
        Self { classes: (0..CLASSES).map(class).collect() }
    }

    /// Memory for `wanted`, which is not zero-sized.
    #[inline]
    pub(super) fn alloc(&self, wanted: Block) -> NonNull<u8> {
        if let Some(class) = wanted.class {
            let class = &self.classes[usize::from(class)];
            if let Some(block) = NonNull::new(class.first.get()) {
                // SAFETY: blocks in the list are free and ours; `free` wrote the link.
                class.first.set(unsafe { block.read().next });
                class.count.set(class.count.get() - 1);
                return block.cast();
            }
        }
        alloc_block(wanted.layout)
    }

    /// Takes back what `alloc` (of this or any arena) gave for `wanted`.
    ///
    /// # Safety
    /// The block is not used afterwards.
    #[inline]
    pub(super) unsafe fn free(&self, block: NonNull<u8>, wanted: Block) {
        if let Some(index) = wanted.class {
            let class = &self.classes[usize::from(index)];
            let count = class.count.get();
            if count * usize::from(index) * GRAIN < KEPT_BYTES_MAX {
                let block = block.cast::<FreeBlock>();
                // SAFETY: the block is free, at least `GRAIN` long and aligned to it.
                unsafe { block.write(FreeBlock { next: class.first.get() }) };
                class.first.set(block.as_ptr());
                class.count.set(count + 1);
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { free_block(block, wanted) };
    }
}

#[cold]
fn alloc_block(layout: Layout) -> NonNull<u8> {
    let layout = block_layout(layout);
    // SAFETY: a task is never zero-sized: it has a header.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives a block back to the global allocator, on any thread.
///
/// # Safety
/// `block` came from an arena's `alloc(wanted)` and is not used afterwards.
pub(super) unsafe fn free_block(block: NonNull<u8>, wanted: Block) {
    // SAFETY: the caller's promise; `alloc_block` used the same layout.
    unsafe { dealloc(block.as_ptr(), block_layout(wanted.layout)) };
}

impl Drop for Arena {
    fn drop(&mut self) {
        for (index, class) in self.classes.iter().enumerate() {
            let layout = Layout::from_size_align(index * GRAIN, GRAIN).expect("a class layout is valid");
            let mut next = class.first.get();
            while let Some(block) = NonNull::new(next) {
                // SAFETY: the list owns its blocks; each has its class's layout.
                next = unsafe { block.read().next };
                // SAFETY: as above.
                unsafe { dealloc(block.as_ptr().cast(), layout) };
            }
        }
    }
}
