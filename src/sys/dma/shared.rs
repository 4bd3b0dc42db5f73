//! The pool behind its handles: one core's lists, and how a slot finds its way back to them.
//!
//! `pool` takes slots out, `bytes` gives the last share of one back through [`release`]. Where slots come from when a list
//! is empty is in `supply`, who waits for them in `waiting`.
#![expect(unsafe_code, reason = "free lists of raw slots, and a pool that outlives its handles")]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::config::{HugePages, PageBytes};
use super::idle::Idle;
use super::lease::Memory;
use super::pool::DmaPool;
use super::recall::Recall;
use super::returns::{Pushed, Returns};
use super::slot::{LARGE, Slot};
use super::table::Table;
use super::waiting::Waiting;
use crate::sys::sync::atomic::Ordering::Relaxed;

/// Free lists: 4 KiB, 8 KiB, … 4 MiB. Larger buffers are mapped one by one.
pub(super) const CLASSES: usize = 11;

/// The pool itself, on the heap until the last handle and the last buffer are gone.
///
/// # Invariants
/// `local` is touched by the thread `owner` alone, until the pool is closed and the last slot has been retired.
/// `owner` is never reused for another thread.
pub(super) struct Shared {
    pub(super) owner: u64,
    pub(super) returns: Returns,
    pub(super) local: Local,
}

pub(super) struct Local {
    pub(super) free: [Cell<*mut Slot>; CLASSES],
    pub(super) class_bytes: [Cell<usize>; CLASSES],
    pub(super) chunks: RefCell<Table>,
    pub(super) idle: Idle,
    /// Slots in all chunks, and large buffers out.
    pub(super) slots: Cell<usize>,
    pub(super) larges: Cell<usize>,
    pub(super) handles: Cell<usize>,
    /// Open, nobody waits, here or for what is leased: buffers come and go without a look at anything else.
    pub(super) is_plain: Cell<bool>,
    pub(super) closed: Cell<bool>,
    /// Where there is more, and whether others wait for what is leased.
    pub(super) recall: Recall,
    pub(super) waiting: Waiting,
    /// What there is of memory, of which `leased` is the reserve's.
    pub(super) pages: Cell<PageBytes>,
    pub(super) leased: Cell<usize>,
    pub(super) peak: Cell<usize>,
    /// Of the pool's own.
    pub(super) limit: Cell<usize>,
    pub(super) huge_pages: Cell<HugePages>,
    /// Buffers ever handed out, and ever taken back. Two counters, because one that goes up and down would make every
    /// allocation wait for the drop before it.
    pub(super) allocated: Cell<u64>,
    pub(super) taken_back: Cell<u64>,
    pub(super) returned: Cell<u64>,
    pub(super) refused: Cell<u64>,
}

/// A buffer of its own, for class [`LARGE`]: `slot` comes first so that its address is the box's.
#[repr(C)]
pub(super) struct Large {
    pub(super) slot: Slot,
    pub(super) memory: Memory,
}

impl Local {
    pub(super) fn in_use(&self) -> usize {
        (self.allocated.get() - self.taken_back.get()) as usize
    }

    #[inline(always)]
    pub(super) fn pop(&self, class: usize) -> Option<NonNull<Slot>> {
        let head = &self.free[class];
        let slot = NonNull::new(head.get())?;
        // SAFETY: what is in a free list is a live slot of this pool that nobody else has.
        head.set(unsafe { slot.as_ref() }.next.load(Relaxed));
        Some(slot)
    }

    #[inline(always)]
    pub(super) fn push(&self, slot: NonNull<Slot>) {
        // SAFETY: the caller gives up a live slot of this pool.
        let slot_ref = unsafe { slot.as_ref() };
        let head = &self.free[usize::from(slot_ref.class)];
        slot_ref.next.store(head.get(), Relaxed);
        head.set(slot.as_ptr());
    }

    /// Takes back a slot that was out.
    ///
    /// # Safety
    /// The caller owns `slot`, a live slot of this pool, gives it up, and is on the owner's thread.
    #[inline(always)]
    pub(super) unsafe fn put(&self, slot: NonNull<Slot>) {
        self.taken_back.set(self.taken_back.get() + 1);
        // SAFETY: the caller's promise.
        if unsafe { slot.as_ref() }.class == LARGE {
            // SAFETY: the caller's promise.
            unsafe { self.end_large(slot) };
        } else {
            self.push(slot);
        }
    }

    /// # Safety
    /// As `put`, for class [`LARGE`].
    #[cold]
    unsafe fn end_large(&self, slot: NonNull<Slot>) {
        // SAFETY: the caller's promise.
        let memory = unsafe { into_memory(slot) };
        self.larges.set(self.larges.get() - 1);
        self.unmap(memory);
    }

    /// Open, and nobody waits: from now on there is nothing to look at.
    pub(super) fn settle(&self) {
        let is_plain = !self.closed.get() && !self.waiting.is_waited() && !self.recall.is_recalled();
        self.is_plain.set(is_plain);
        if is_plain {
            self.idle.forget();
        }
    }
}

/// Gives `slot` back to its pool, from whatever thread.
///
/// # Safety
/// The caller owns the last share of `slot`, whose count is back at 1, and gives it up.
#[inline(always)]
pub(super) unsafe fn release(slot: NonNull<Slot>) {
    // SAFETY: the pool is alive while one of its slots is out.
    let pool = unsafe { slot.as_ref() }.pool;
    // SAFETY: as above.
    let shared = unsafe { pool.as_ref() };
    if shared.owner == this_thread() && shared.local.is_plain.get() {
        // SAFETY: the caller's promise, and this is the owner's thread.
        unsafe { shared.local.put(slot) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { release_slow(pool, slot) };
    }
}

/// # Safety
/// As [`release`], for a pool that is waited for, closed or another thread's.
#[cold]
unsafe fn release_slow(pool: NonNull<Shared>, slot: NonNull<Slot>) {
    // SAFETY: the pool is alive while this slot is out.
    let shared = unsafe { pool.as_ref() };
    if shared.owner == this_thread() && !shared.local.closed.get() {
        // SAFETY: this is the owner's thread, and the pool is open. The handle keeps it open while others are woken, who may
        // drop all of theirs.
        let handle = unsafe { DmaPool::another(pool) };
        // SAFETY: the caller's promise, and this is the owner's thread.
        unsafe { shared.local.put_counted(slot) };
        handle.serve(None);
        return;
    }
    // SAFETY: the slot is the caller's to give.
    match unsafe { shared.returns.push(slot) } {
        // From here on the pool may be gone.
        Pushed::Kept(None) => {}
        Pushed::Kept(Some(waiter)) => waiter.wake(),
        // SAFETY: push left the slot with us, and `close` has counted it.
        Pushed::Closed => unsafe { retire(pool, slot) },
    }
}

/// # Safety
/// `pool` is closed and `slot` is a slot of it that the caller owns and gives up.
pub(super) unsafe fn retire(pool: NonNull<Shared>, slot: NonNull<Slot>) {
    // SAFETY: the caller's promise.
    unsafe {
        if slot.as_ref().class == LARGE {
            drop(into_memory(slot));
        }
        retire_share(pool);
    }
}

/// # Safety
/// `pool` is closed and the caller gives up one of the shares that `close` counted.
pub(super) unsafe fn retire_share(pool: NonNull<Shared>) {
    // SAFETY: the share that the caller gives up keeps the pool alive until here.
    if unsafe { pool.as_ref() }.returns.retire() {
        // SAFETY: made by Box::leak in `with_limit`, and this was the last share.
        drop(unsafe { Box::from_raw(pool.as_ptr()) });
    }
}

/// # Safety
/// `slot` is the caller's, of class [`LARGE`].
unsafe fn into_memory(slot: NonNull<Slot>) -> Memory {
    // SAFETY: slots of this class stand first in a leaked `Large`.
    let large = unsafe { Box::from_raw(slot.cast::<Large>().as_ptr()) };
    large.memory
}

/// A number for the calling thread that no other thread ever gets.
#[inline(always)]
pub(super) fn this_thread() -> u64 {
    // Identity only, so it is std's in loom's models too.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! { static NUMBER: Cell<u64> = const { Cell::new(0) }; }
    #[cold]
    fn assign(number: &Cell<u64>) -> u64 {
        number.set(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        number.get()
    }
    NUMBER.with(|number| match number.get() {
        0 => assign(number),
        n => n,
    })
}
