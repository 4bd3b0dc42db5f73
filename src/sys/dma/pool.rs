//! One core's free lists of buffers.
//!
//! Getting a buffer and dropping it on the same core moves one slot between a list and its owner: plain loads and
//! stores. What is dropped elsewhere comes home through `returns`. The memory of a slot is described in `slot`.
#![expect(unsafe_code, reason = "free lists of raw slots, and a pool that outlives its handles")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use super::bytes::DmaBuf;
use super::mapping::Mapping;
use super::returns::{Pushed, Returns};
use super::slot::{LARGE, Slot};
use super::ALIGN;
use crate::sys::sync::atomic::Ordering::Relaxed;

/// Free lists: 4 KiB, 8 KiB, … 4 MiB. Larger buffers are mapped one by one.
const CLASSES: usize = 11;
/// A free list grows by as much as it has, within these bounds, so that small programs stay small and a busy list
/// needs few mappings.
const GROW_MIN: usize = 256 << 10;
const GROW_MAX: usize = 4 << 20;
/// Address space of one core's pool unless told otherwise. Pages cost memory only once they are written.
const LIMIT_DEFAULT: usize = 1 << 30;

/// Why there is no buffer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// The pool has reached its limit and every buffer that would do is in use. One comes free when somebody drops one.
    #[error(
        "the dma pool is dry: {len} bytes wanted, {mapped} of at most {limit} bytes mapped and in use; \
         drop buffers, or raise the limit with DmaPool::set_limit"
    )]
    Dry {
        /// Bytes asked for.
        len: usize,
        /// Bytes that the pool has from the kernel.
        mapped: usize,
        /// The pool's limit in bytes.
        limit: usize,
    },
    /// The kernel gave no memory.
    #[error("the kernel refused {len} bytes of buffer memory; check `ulimit -v` and the memory cgroup")]
    Os {
        /// Bytes asked for.
        len: usize,
        /// What mmap said.
        #[source]
        source: io::Error,
    },
}

impl AllocError {
    /// True if the same call can succeed once a buffer has been dropped.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        matches!(self, Self::Dry { .. })
    }
}

/// What one pool holds and has done, from [`DmaPool::stats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DmaStats {
    /// Buffers out at this moment.
    pub in_use: usize,
    /// Bytes of address space that the pool has from the kernel.
    pub mapped_bytes: usize,
    /// Bytes that `mapped_bytes` may reach.
    pub limit_bytes: usize,
    /// Buffers handed out since the pool was made.
    pub allocated: u64,
    /// Buffers that came back from other cores.
    pub returned_remotely: u64,
    /// Allocations refused because the pool was dry.
    pub refused: u64,
}

/// A handle on one core's buffers; a clone is another handle on the same.
///
/// It stays on its core, the buffers do not: see [`DmaBuf`].
///
/// ```
/// use reactor::sys::dma::DmaPool;
///
/// let pool = DmaPool::local();
/// let mut page = pool.alloc(4096)?;
/// page[..4].copy_from_slice(b"head");
/// let shared = page.freeze();
/// assert_eq!(&shared.clone()[..4], b"head");
/// # Ok::<(), reactor::sys::dma::AllocError>(())
/// ```
pub struct DmaPool {
    shared: NonNull<Shared>,
    /// `Shared::local` is the owner thread's.
    not_send: PhantomData<*const ()>,
}

/// The pool itself, on the heap until the last handle and the last buffer are gone.
///
/// # Invariants
/// `local` is touched by the thread `owner` alone, until the pool is closed and the last slot has been retired.
/// `owner` is never reused for another thread.
pub(super) struct Shared {
    owner: u64,
    returns: Returns,
    local: Local,
}

struct Local {
    free: [Cell<*mut Slot>; CLASSES],
    class_bytes: [Cell<usize>; CLASSES],
    chunks: RefCell<Vec<Chunk>>,
    handles: Cell<usize>,
    closed: Cell<bool>,
    mapped: Cell<usize>,
    limit: Cell<usize>,
    /// Buffers ever handed out, and ever taken back. Two counters, because one that goes up and down would make every
    /// allocation wait for the drop before it.
    allocated: Cell<u64>,
    taken_back: Cell<u64>,
    returned: Cell<u64>,
    refused: Cell<u64>,
}

/// Slots of one class and the memory they divide. Only kept to be dropped.
struct Chunk {
    /// A leaked box, raw because the slots are reached through pointers of their own.
    slots: NonNull<[Slot]>,
    _memory: Mapping,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: leaked in `grow`; chunks are dropped with the pool, after the last use of a slot.
        drop(unsafe { Box::from_raw(self.slots.as_ptr()) });
    }
}

/// A buffer of its own, for class [`LARGE`]: `slot` comes first so that its address is the box's.
#[repr(C)]
struct Large {
    slot: Slot,
    memory: Mapping,
}

impl DmaPool {
    /// A pool of the calling thread's own, apart from [`DmaPool::local`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(LIMIT_DEFAULT)
    }

    /// A pool that maps at most `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        let shared = Box::new(Shared {
            owner: this_thread(),
            returns: Returns::new(),
            local: Local {
                free: [const { Cell::new(ptr::null_mut()) }; CLASSES],
                class_bytes: [const { Cell::new(0) }; CLASSES],
                chunks: RefCell::default(),
                handles: Cell::new(1),
                closed: Cell::new(false),
                mapped: Cell::new(0),
                limit: Cell::new(limit),
                allocated: Cell::new(0),
                taken_back: Cell::new(0),
                returned: Cell::new(0),
                refused: Cell::new(0),
            },
        });
        Self { shared: NonNull::from(Box::leak(shared)), not_send: PhantomData }
    }

    /// The pool that the calling core's channels draw from, made on first use.
    #[must_use]
    pub fn local() -> Self {
        thread_local! { static LOCAL: DmaPool = DmaPool::new(); }
        // While the thread's locals are being dropped there is no shared pool any more: one of the caller's own then.
        LOCAL.try_with(Self::clone).unwrap_or_else(|_| Self::new())
    }

    /// A buffer of `len` bytes, on a boundary of [`ALIGN`] bytes.
    ///
    /// What stands in it is what this process last had there, or zeroes: see the [module](super).
    ///
    /// # Errors
    /// [`AllocError::Dry`] at the limit; [`AllocError::Os`] if the kernel has no memory.
    #[inline]
    pub fn alloc(&self, len: usize) -> Result<DmaBuf, AllocError> {
        let class = class_of(len);
        if class < CLASSES {
            if let Some(slot) = self.lists().pop(class) {
                // SAFETY: popped, so it is ours; its memory is at least the class size, which is at least `len`.
                return Ok(unsafe { self.hand_out(slot, len) });
            }
        }
        self.alloc_slow(class, len)
    }

    /// Lets the pool map `bytes` in all from now on. Below what it has, it keeps that and grows no more.
    pub fn set_limit(&self, bytes: usize) {
        self.lists().limit.set(bytes);
    }

    /// What the pool holds and has done. Buffers that other cores dropped are taken home first.
    #[must_use]
    pub fn stats(&self) -> DmaStats {
        self.take_returned();
        let local = self.lists();
        DmaStats {
            in_use: local.in_use(),
            mapped_bytes: local.mapped.get(),
            limit_bytes: local.limit.get(),
            allocated: local.allocated.get(),
            returned_remotely: local.returned.get(),
            refused: local.refused.get(),
        }
    }

    #[inline(always)]
    fn shared(&self) -> &Shared {
        // SAFETY: the pool lives until it is closed, and it is not closed while this handle exists.
        unsafe { self.shared.as_ref() }
    }

    #[inline(always)]
    fn lists(&self) -> &Local {
        // The handle is !Send, so this is the owner.
        &self.shared().local
    }

    /// # Safety
    /// `slot` is the caller's and has at least `len` bytes.
    #[inline(always)]
    unsafe fn hand_out(&self, slot: NonNull<Slot>, len: usize) -> DmaBuf {
        let local = self.lists();
        local.allocated.set(local.allocated.get() + 1);
        // SAFETY: the caller's promise; a slot at rest has one share, which becomes this buffer's.
        unsafe { DmaBuf::from_slot(slot, len) }
    }

    #[cold]
    fn alloc_slow(&self, class: usize, len: usize) -> Result<DmaBuf, AllocError> {
        self.take_returned();
        let slot = if class < CLASSES {
            match self.lists().pop(class) {
                Some(slot) => Ok(slot),
                // At the limit, a larger buffer that lies idle is better than none.
                None => self.grow(class, len).or_else(|e| {
                    (class + 1..CLASSES).find_map(|larger| self.lists().pop(larger)).ok_or(e)
                }),
            }
        } else {
            self.map_large(len)
        };
        match slot {
            // SAFETY: it was just popped or made, for `len` bytes or more.
            Ok(slot) => Ok(unsafe { self.hand_out(slot, len) }),
            Err(e) => {
                let local = self.lists();
                local.refused.set(local.refused.get() + 1);
                Err(e)
            }
        }
    }

    /// Maps `bytes` for a request of `len`, within the limit.
    fn map(&self, bytes: usize, len: usize) -> Result<Mapping, AllocError> {
        let local = self.lists();
        let (mapped, limit) = (local.mapped.get(), local.limit.get());
        if mapped.checked_add(bytes).is_none_or(|sum| sum > limit) {
            return Err(AllocError::Dry { len, mapped, limit });
        }
        let memory = Mapping::zeroed(bytes).map_err(|source| AllocError::Os { len, source })?;
        local.mapped.set(mapped + bytes);
        Ok(memory)
    }

    /// Gives the free list `class` another chunk and returns one slot of it.
    fn grow(&self, class: usize, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let local = self.lists();
        let size = ALIGN << class;
        let room = local.limit.get().saturating_sub(local.mapped.get()) / size * size;
        let wanted = local.class_bytes[class].get().clamp(GROW_MIN, GROW_MAX).max(size);
        let bytes = wanted.min(room).max(size);
        let memory = self.map(bytes, len)?;
        let slots: Box<[Slot]> = (0..bytes / size)
            .map(|i| {
                // SAFETY: `i * size` is less than the mapping's length.
                let start = unsafe { memory.start().add(i * size) };
                Slot::new(self.shared, start, size, class as u8)
            })
            .collect();
        let count = slots.len();
        let slots = NonNull::from(Box::leak(slots));
        for i in (0..count).rev() {
            // SAFETY: `i` is within the slice.
            local.push(unsafe { slots.cast::<Slot>().add(i) });
        }
        local.chunks.borrow_mut().push(Chunk { slots, _memory: memory });
        local.class_bytes[class].set(local.class_bytes[class].get() + bytes);
        Ok(local.pop(class).expect("the list was just grown"))
    }

    fn map_large(&self, len: usize) -> Result<NonNull<Slot>, AllocError> {
        let (mapped, limit) = (self.lists().mapped.get(), self.lists().limit.get());
        let bytes = len.checked_next_multiple_of(ALIGN).ok_or(AllocError::Dry { len, mapped, limit })?;
        let memory = self.map(bytes, len)?;
        let slot = Slot::new(self.shared, memory.start(), bytes, LARGE);
        Ok(NonNull::from(Box::leak(Box::new(Large { slot, memory }))).cast())
    }

    /// Takes home what other cores have dropped.
    fn take_returned(&self) {
        let mut list = self.shared().returns.take_all();
        while let Some(slot) = NonNull::new(list) {
            // SAFETY: taking the stack made its slots ours; `next` is read before the slot is given away.
            unsafe {
                list = slot.as_ref().next.load(Relaxed);
                self.lists().put(slot);
            }
            self.lists().returned.set(self.lists().returned.get() + 1);
        }
    }
}

impl Default for DmaPool {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for DmaPool {
    fn clone(&self) -> Self {
        let handles = &self.lists().handles;
        handles.set(handles.get() + 1);
        Self { shared: self.shared, not_send: PhantomData }
    }
}

impl Drop for DmaPool {
    fn drop(&mut self) {
        let local = self.lists();
        local.handles.set(local.handles.get() - 1);
        if local.handles.get() > 0 {
            return;
        }
        local.closed.set(true);
        let mut list = self.shared().returns.close(local.in_use());
        let pool = self.shared;
        while let Some(slot) = NonNull::new(list) {
            // SAFETY: as in take_returned; and each slot of the stack counts among those that `close` was told of.
            unsafe {
                list = slot.as_ref().next.load(Relaxed);
                retire(pool, slot);
            }
        }
        // SAFETY: the closer's own share, dropped once.
        unsafe { retire_share(pool) };
    }
}

impl fmt::Debug for DmaPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DmaPool").field("stats", &self.stats()).finish()
    }
}

impl Local {
    fn in_use(&self) -> usize {
        (self.allocated.get() - self.taken_back.get()) as usize
    }

    #[inline(always)]
    fn pop(&self, class: usize) -> Option<NonNull<Slot>> {
        let head = &self.free[class];
        let slot = NonNull::new(head.get())?;
        // SAFETY: what is in a free list is a live slot of this pool that nobody else has.
        head.set(unsafe { slot.as_ref() }.next.load(Relaxed));
        Some(slot)
    }

    #[inline(always)]
    fn push(&self, slot: NonNull<Slot>) {
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
    unsafe fn put(&self, slot: NonNull<Slot>) {
        self.taken_back.set(self.taken_back.get() + 1);
        // SAFETY: the caller's promise.
        let (class, len) = unsafe { (slot.as_ref().class, slot.as_ref().len) };
        if class == LARGE {
            self.mapped.set(self.mapped.get() - len);
            // SAFETY: the caller's promise.
            unsafe { free_large(slot) };
        } else {
            self.push(slot);
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
    if shared.owner == this_thread() && !shared.local.closed.get() {
        // SAFETY: the caller's promise, and this is the owner's thread.
        unsafe { shared.local.put(slot) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { release_elsewhere(pool, slot) };
    }
}

/// # Safety
/// As [`release`], for a pool that is closed or another thread's.
#[cold]
unsafe fn release_elsewhere(pool: NonNull<Shared>, slot: NonNull<Slot>) {
    // SAFETY: the pool is alive while this slot is out, and the slot is the caller's to give.
    let pushed = unsafe { pool.as_ref().returns.push(slot) };
    if pushed == Pushed::Closed {
        // SAFETY: push left the slot with us, and `close` has counted it.
        unsafe { retire(pool, slot) };
    }
}

/// # Safety
/// `pool` is closed and `slot` is a slot of it that the caller owns and gives up.
unsafe fn retire(pool: NonNull<Shared>, slot: NonNull<Slot>) {
    // SAFETY: the caller's promise.
    unsafe {
        if slot.as_ref().class == LARGE {
            free_large(slot);
        }
        retire_share(pool);
    }
}

/// # Safety
/// `pool` is closed and the caller gives up one of the shares that `close` counted.
unsafe fn retire_share(pool: NonNull<Shared>) {
    // SAFETY: the share that the caller gives up keeps the pool alive until here.
    if unsafe { pool.as_ref() }.returns.retire() {
        // SAFETY: made by Box::leak in `with_limit`, and this was the last share.
        drop(unsafe { Box::from_raw(pool.as_ptr()) });
    }
}

/// # Safety
/// `slot` is the caller's, of class [`LARGE`].
unsafe fn free_large(slot: NonNull<Slot>) {
    // SAFETY: slots of this class stand first in a leaked `Large`.
    let large = unsafe { Box::from_raw(slot.cast::<Large>().as_ptr()) };
    let Large { slot: _, memory } = *large;
    drop(memory);
}

/// The free list for `len` bytes; `CLASSES` or more means too large for any.
#[inline(always)]
fn class_of(len: usize) -> usize {
    // The bits of the last byte's page number: 1..=4096 is class 0, 4097..=8192 class 1, ..=16384 class 2.
    (usize::BITS - (len.saturating_sub(1) / ALIGN).leading_zeros()) as usize
}

/// A number for the calling thread that no other thread ever gets.
#[inline(always)]
fn this_thread() -> u64 {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_length_gets_the_smallest_class_that_holds_it() {
        for (len, class) in [(0, 0), (1, 0), (4096, 0), (4097, 1), (8192, 1), (8193, 2), (16384, 2), (16385, 3)] {
            assert_eq!(class_of(len), class, "{len}");
        }
        assert_eq!(class_of(4 << 20), CLASSES - 1);
        assert_eq!(class_of((4 << 20) + 1), CLASSES);
    }

    #[test]
    fn a_dropped_buffer_is_the_next_one_handed_out() {
        let pool = DmaPool::new();
        let first = pool.alloc(4096).unwrap().as_ptr();
        for _ in 0..100 {
            assert_eq!(pool.alloc(4096).unwrap().as_ptr(), first);
        }
        assert_eq!(pool.stats().mapped_bytes, GROW_MIN);
    }

    #[test]
    fn fresh_buffers_of_every_size_are_aligned_zeroed_and_apart() {
        let pool = DmaPool::new();
        let mut held = Vec::new();
        for len in [0, 1, 512, 4096, 4097, 100_000, 1 << 20, 4 << 20, (4 << 20) + 1, 20 << 20] {
            let mut buf = pool.alloc(len).unwrap();
            assert_eq!(buf.len(), len);
            assert_eq!(buf.as_ptr().addr() % ALIGN, 0);
            assert!(buf.iter().all(|b| *b == 0));
            buf.fill(held.len() as u8 + 1);
            held.push(buf);
        }
        for (i, buf) in held.iter().enumerate() {
            assert!(buf.iter().all(|b| *b == i as u8 + 1));
        }
        assert_eq!(pool.stats().in_use, held.len());
        drop(held);
        assert_eq!(pool.stats().in_use, 0);
    }

    #[test]
    fn a_pool_at_its_limit_says_dry_until_a_buffer_is_dropped() {
        let pool = DmaPool::with_limit(10 * 4096);
        let mut held: Vec<_> = (0..10).map(|_| pool.alloc(4096).unwrap()).collect();
        let e = pool.alloc(1).unwrap_err();
        assert!(e.is_dry());
        assert!(e.to_string().contains("set_limit"), "{e}");
        held.pop();
        assert!(pool.alloc(1).is_ok());
        assert!(pool.alloc(8192).unwrap_err().is_dry());
        assert_eq!(pool.stats().refused, 2);
    }

    #[test]
    fn at_the_limit_a_larger_idle_buffer_serves() {
        let pool = DmaPool::with_limit(64 << 10);
        drop(pool.alloc(64 << 10).unwrap());
        assert!(pool.alloc(100).is_ok());
    }

    #[test]
    fn large_buffers_count_against_the_limit_only_while_they_live() {
        let pool = DmaPool::with_limit(8 << 20);
        for _ in 0..10 {
            let held = pool.alloc(5 << 20).unwrap();
            assert!(pool.alloc(5 << 20).unwrap_err().is_dry());
            drop(held);
        }
        assert!(pool.alloc(usize::MAX).unwrap_err().is_dry());
    }

    #[test]
    fn buffers_dropped_on_another_thread_come_home() {
        let pool = DmaPool::with_limit(16 * 4096);
        for _ in 0..10 {
            let bufs: Vec<_> = (0..16).map(|_| pool.alloc(4096).unwrap()).collect();
            std::thread::spawn(move || drop(bufs)).join().unwrap();
        }
        assert_eq!(pool.stats(), DmaStats {
            in_use: 0,
            mapped_bytes: 16 * 4096,
            limit_bytes: 16 * 4096,
            allocated: 160,
            returned_remotely: 160,
            refused: 0,
        });
    }

    #[test]
    fn buffers_outlive_their_pool_and_their_thread() {
        let (mut small, large) = std::thread::spawn(|| {
            let pool = DmaPool::new();
            let early = pool.alloc(4096).unwrap();
            let bufs = (pool.alloc(4096).unwrap(), pool.alloc(5 << 20).unwrap());
            drop(pool);
            drop(early);
            bufs
        })
        .join()
        .unwrap();
        small.fill(7);
        assert_eq!(large[large.len() - 1], 0);
        drop(large);
        assert!(small.iter().all(|b| *b == 7));
    }
}
