//! One core's free lists of buffers.
//!
//! Getting a buffer and dropping it on the same core moves one slot between a list and its owner: plain loads and
//! stores. The lists themselves, and the ways back to them, are in `shared`; a buffer's bookkeeping is in `slot`.
#![expect(unsafe_code, reason = "free lists of raw slots, and a pool that outlives its handles")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::ALIGN;
use super::DmaChunk;
use super::bytes::{DmaBuf, LEN_MAX};
use super::mapping::Mapping;
use super::returns::Returns;
use super::shared::{CLASSES, Chunk, Large, Local, Shared, retire, retire_share, this_thread};
use super::slot::{LARGE, Slot};
use crate::sys::sync::atomic::Ordering::Relaxed;

/// A free list grows by as much as it has, within these bounds, so that small programs stay small and a busy list
/// needs few mappings.
pub(super) const GROW_MIN: usize = 256 << 10;
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
    /// No buffer is that long, however many are free.
    #[error("a buffer of {len} bytes is too long: ask for at most {max}, and do the i/o in parts")]
    TooLong {
        /// Bytes asked for.
        len: usize,
        /// The longest buffer there is.
        max: usize,
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
    /// [`AllocError::Dry`] at the limit; [`AllocError::TooLong`] from 2 GiB on; [`AllocError::Os`] if the kernel has no memory.
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

    /// Whether the chunk is one of this pool's.
    #[inline(always)]
    pub(crate) fn has(&self, chunk: DmaChunk) -> bool {
        chunk.pool == self.shared.as_ptr().cast()
    }

    /// The memory of the chunk with this number, for as long as the pool lives. A device is told of it: from now on its
    /// pages must stay where they are.
    pub(crate) fn pin_chunk(&self, number: u32) -> Option<(NonNull<u8>, usize)> {
        let chunks = self.lists().chunks.borrow();
        chunks.get(number as usize).map(|chunk| chunk.memory.pin())
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
                None => self
                    .grow(class, len)
                    .or_else(|e| (class + 1..CLASSES).find_map(|larger| self.lists().pop(larger)).ok_or(e)),
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
        let number = local.chunks.borrow().len();
        let slots: Box<[Slot]> = (0..bytes / size)
            .map(|i| {
                // SAFETY: `i * size` is less than the mapping's length.
                let start = unsafe { memory.start().add(i * size) };
                Slot::new(self.shared, start, size, class as u8).in_chunk(number)
            })
            .collect();
        let count = slots.len();
        let slots = NonNull::from(Box::leak(slots));
        for i in (0..count).rev() {
            // SAFETY: `i` is within the slice.
            local.push(unsafe { slots.cast::<Slot>().add(i) });
        }
        local.chunks.borrow_mut().push(Chunk { slots, memory });
        local.class_bytes[class].set(local.class_bytes[class].get() + bytes);
        Ok(local.pop(class).expect("the list was just grown"))
    }

    fn map_large(&self, len: usize) -> Result<NonNull<Slot>, AllocError> {
        if len > LEN_MAX {
            return Err(AllocError::TooLong { len, max: LEN_MAX });
        }
        let bytes = len.next_multiple_of(ALIGN);
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

/// The free list for `len` bytes; `CLASSES` or more means too large for any.
#[inline(always)]
pub(super) fn class_of(len: usize) -> usize {
    // The bits of the last byte's page number: 1..=4096 is class 0, 4097..=8192 class 1, ..=16384 class 2.
    (usize::BITS - (len.saturating_sub(1) / ALIGN).leading_zeros()) as usize
}
