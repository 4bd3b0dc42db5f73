//! An allocator that counts, so that a bench can hold "no allocation per operation" to its word.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Needs no destructor and no allocation: the allocator itself may use it.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    LIVE_BYTES.set(LIVE_BYTES.get() + bytes as i64);
}

fn uncount(bytes: usize) {
    LIVE_BYTES.set(LIVE_BYTES.get() - bytes as i64);
}

// SAFETY: every method passes its arguments to `System` unchanged and returns what it returned.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        uncount(layout.size());
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        uncount(layout.size());
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// How often this thread allocates during `run`.
pub async fn allocations_by(run: impl AsyncFnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    run().await;
    ALLOCATIONS.get() - before
}

/// Bytes that this thread has allocated and not freed. What it frees for others counts against its own.
#[allow(dead_code, reason = "each bench uses its part")]
pub fn live_bytes() -> i64 {
    LIVE_BYTES.get()
}
