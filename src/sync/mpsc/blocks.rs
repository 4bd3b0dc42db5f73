//! The unbounded queue: blocks of slots, linked; each sender claims a slot, the last of a block links the next one.
//!
//! ```text
//!   position = block number × LAP + offset      offset < SLOTS: a slot      offset = SLOTS: the next block is being linked
//!
//!   reader ─▶ [f f f ·]──next──▶ [f f · · ]──next──▶ null
//!                                      ▲ tail word, and the block it is in
//! ```
//!
//! One allocation serves [`SLOTS`] messages, and none while the receiver keeps up: the block that it has read last is kept
//! for the next sender that needs one.

#![expect(
    unsafe_code,
    reason = "blocks are shared through raw pointers; slots are handed over by their flags"
)]

use super::{
    reader::Reader,
    tail::{Tail, Word},
};
use crate::sys::sync::{
    Arc, CachePadded, UnsafeCell,
    atomic::{AtomicBool, AtomicPtr, Ordering},
    hint,
};
use std::{
    mem::MaybeUninit,
    ptr::{self, NonNull},
};

/// Positions in a block, a power of two; small in models, so that they cross from block to block.
const LAP: usize = if cfg!(all(test, loom)) { 2 } else { 32 };
/// Slots in a block. The last position of a block is that of linking the next.
const SLOTS: usize = LAP - 1;

/// # Invariants
/// - `block` is the block of the tail's position, except while that position's offset is `SLOTS`.
/// - A block lives until the reader has read all its slots, which it does after the sender of the last slot has linked the
///   next block and written its message: no sender touches the block after that.
/// - Once the reader is dropped the tail is closed and no sender touches any block.
pub(super) struct Blocks<T> {
    ends: CachePadded<Ends<T>>,
    /// A block that nobody uses, to be used next.
    spare: AtomicPtr<Block<T>>,
}

struct Ends<T> {
    tail: Tail,
    block: AtomicPtr<Block<T>>,
}

struct Block<T> {
    slots: [Slot<T>; SLOTS],
    next: AtomicPtr<Block<T>>,
}

/// # Invariants
/// The value is the claimant's until `full` is set, then the reader's.
struct Slot<T> {
    full: AtomicBool,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// The one side that reads.
pub(super) struct BlocksReader<T> {
    blocks: Arc<Blocks<T>>,
    block: NonNull<Block<T>>,
    head: usize,
}

// SAFETY: positions and flags hand each slot from one side to the other; values change threads, hence `T: Send`.
unsafe impl<T: Send> Send for Blocks<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Blocks<T> {}
// SAFETY: the reader's block is touched through the reader only as far as the slots are its own.
unsafe impl<T: Send> Send for BlocksReader<T> {}

pub(super) fn blocks<T>() -> (Arc<Blocks<T>>, BlocksReader<T>) {
    let block = NonNull::from(Box::leak(Block::new()));
    let blocks = Arc::new(Blocks {
        ends: CachePadded(Ends { tail: Tail::new(), block: AtomicPtr::new(block.as_ptr()) }),
        spare: AtomicPtr::new(ptr::null_mut()),
    });
    (blocks.clone(), BlocksReader { blocks, block, head: 0 })
}

impl<T> Block<T> {
    fn new() -> Box<Self> {
        let slot = |_| Slot { full: AtomicBool::new(false), value: UnsafeCell::new(MaybeUninit::uninit()) };
        Box::new(Self { slots: std::array::from_fn(slot), next: AtomicPtr::new(ptr::null_mut()) })
    }
}

impl<T> Blocks<T> {
    /// Appends `value` and wakes the receiver if it waits. Fails if the receiver has closed.
    #[inline]
    pub(super) fn push(&self, value: T) -> Result<(), T> {
        let mut word = self.ends.tail.load();
        let mut next = None;
        loop {
            if word.is_closed() {
                self.keep_spare(next);
                return Err(value);
            }
            let offset = word.position() % LAP;
            if offset == SLOTS {
                // Another sender is linking the next block, a few instructions from done.
                hint::spin_loop();
                word = self.ends.tail.load();
                continue;
            }
            // Acquire: pairs with the Release in `link`. Used only if the claim shows that it is the word's block.
            let block = self.ends.block.load(Ordering::Acquire);
            if offset + 1 == SLOTS && next.is_none() {
                next = Some(self.take_spare());
            }
            match self.ends.tail.claim(word, Tail::wrap(word.position() + 1)) {
                Ok(()) => {
                    // SAFETY: the claim succeeded, so the word had not moved and `block` is its block; the slot at
                    // `offset` is not written yet, so the reader has not passed and the block lives.
                    let block = unsafe { &*block };
                    if offset + 1 == SLOTS {
                        next = self.link(block, next);
                    }
                    self.write(block, offset, value, word);
                    self.keep_spare(next);
                    return Ok(());
                }
                Err(now) => word = now,
            }
        }
    }

    /// Called by the claimant of the last slot, before it writes.
    fn link(&self, block: &Block<T>, next: Option<Box<Block<T>>>) -> Option<Box<Block<T>>> {
        let next = Box::into_raw(next.unwrap_or_else(Block::new));
        // Release: publishes the block to the Acquire in `push`.
        self.ends.block.store(next, Ordering::Release);
        self.ends.tail.skip();
        // Release: publishes the block to the reader's Acquire in `pop`.
        block.next.store(next, Ordering::Release);
        None
    }

    /// Called by the claimant of the slot. Its store to `full` is the claimant's last access to the block.
    #[inline]
    fn write(&self, block: &Block<T>, offset: usize, value: T, claimed: Word) {
        let slot = &block.slots[offset];
        // SAFETY: claimed by the caller and not full yet.
        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
        // Release: publishes the value to the Acquire in `pop`.
        slot.full.store(true, Ordering::Release);
        self.ends.tail.notify(claimed);
    }

    #[cold]
    fn take_spare(&self) -> Box<Block<T>> {
        // Acquire: pairs with the Release in `keep_spare`.
        let spare = self.spare.swap(ptr::null_mut(), Ordering::AcqRel);
        match NonNull::new(spare) {
            // SAFETY: a block in `spare` came from a `Box` and is nobody's; the swap made it ours alone.
            Some(spare) => unsafe { Box::from_raw(spare.as_ptr()) },
            None => Block::new(),
        }
    }

    /// Keeps `block`, which is empty and unlinked, if there is no spare one.
    #[inline]
    fn keep_spare(&self, block: Option<Box<Block<T>>>) {
        let Some(block) = block else { return };
        let block = Box::into_raw(block);
        // Release: what was done to the block is before what the next user does.
        let kept = self.spare.compare_exchange(ptr::null_mut(), block, Ordering::AcqRel, Ordering::Relaxed);
        if kept.is_err() {
            // SAFETY: from `Box::into_raw` above, and not shared.
            drop(unsafe { Box::from_raw(block) });
        }
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.ends.tail
    }
}

impl<T> Drop for Blocks<T> {
    fn drop(&mut self) {
        // The reader has freed the linked blocks.
        let spare = self.spare.swap(ptr::null_mut(), Ordering::Acquire);
        if let Some(spare) = NonNull::new(spare) {
            // SAFETY: as in `take_spare`.
            drop(unsafe { Box::from_raw(spare.as_ptr()) });
        }
    }
}

impl<T> BlocksReader<T> {
    /// Goes on to the next block, if it is linked.
    #[cold]
    fn next_block(&mut self) -> bool {
        // SAFETY: the reader's block lives until it goes on, below.
        // Acquire: pairs with the Release in `link`.
        let next = unsafe { self.block.as_ref() }.next.load(Ordering::Acquire);
        let Some(next) = NonNull::new(next) else { return false };
        // SAFETY: from `Box::leak` or `Box::into_raw`; all its slots are read and the next block is linked, so the senders
        // are done with it.
        let mut read = unsafe { Box::from_raw(self.block.as_ptr()) };
        self.block = next;
        self.head = Tail::wrap(self.head + 1);
        read.next = AtomicPtr::new(ptr::null_mut());
        for slot in &read.slots {
            slot.full.store(false, Ordering::Relaxed);
        }
        self.blocks.keep_spare(Some(read));
        true
    }

    pub(super) fn close(&mut self) {
        self.blocks.ends.tail.close();
    }
}

impl<T> Reader for BlocksReader<T> {
    type Item = T;

    #[inline]
    fn pop(&mut self) -> Option<T> {
        if self.head % LAP == SLOTS && !self.next_block() {
            return None;
        }
        // SAFETY: the reader's block lives until the reader goes on.
        let slot = &unsafe { self.block.as_ref() }.slots[self.head % LAP];
        // Acquire: pairs with the Release in `write`.
        if !slot.full.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: full, so the reader's; the position moves on, so it is read once.
        let value = slot.value.with(|cell| unsafe { (*cell).assume_init_read() });
        self.head = Tail::wrap(self.head + 1);
        Some(value)
    }

    fn position(&self) -> usize {
        self.head
    }

    fn tail(&self) -> &Tail {
        &self.blocks.ends.tail
    }
}

impl<T> Drop for BlocksReader<T> {
    fn drop(&mut self) {
        self.close();
        self.drain();
        // SAFETY: closed and drained: no sender has a claim, so none touches this block, which is the last.
        drop(unsafe { Box::from_raw(self.block.as_ptr()) });
    }
}
