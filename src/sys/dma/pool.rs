//! One core's free lists of buffers.
//!
//! Getting a buffer and dropping it on the same core moves one slot between a list and its owner: plain loads and
//! stores. The lists themselves, and the ways back to them, are in `shared`; where slots come from when a list is empty
//! in `supply`; who waits for one in `waiting`; a buffer's bookkeeping is in `slot`.
#![expect(unsafe_code, reason = "free lists of raw slots, and a pool that outlives its handles")]

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use super::DmaChunk;
use super::bytes::DmaBuf;
use super::config::HugePages;
use super::error::AllocError;
use super::recall::Recall;
use super::returns::Returns;
use super::shared::{CLASSES, Local, Shared, retire, retire_share, this_thread};
use super::slot::Slot;
use super::supply::class_of;
use super::table::ChunkNumber;
use super::waiting::{Alloc, Waiting};
use crate::sys::sync::atomic::Ordering::Relaxed;

/// Address space of one core's pool unless told otherwise. Pages cost memory only once they are written.
const LIMIT_DEFAULT: usize = 1 << 30;

thread_local! { static LOCAL: OnceCell<DmaPool> = const { OnceCell::new() }; }

/// A handle on one core's buffers; a clone is another handle on the same.
///
/// It stays on its core, the buffers do not: see [`DmaBuf`].
///
/// ```
/// use reactor::sys::dma::DmaPool;
///
/// let pool = DmaPool::local();
/// let mut page = pool.try_alloc(4096)?;
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
                idle: Default::default(),
                slots: Cell::new(0),
                larges: Cell::new(0),
                handles: Cell::new(1),
                is_plain: Cell::new(true),
                closed: Cell::new(false),
                recall: Recall::none(),
                waiting: Waiting::default(),
                pages: Cell::default(),
                leased: Cell::new(0),
                peak: Cell::new(0),
                limit: Cell::new(limit),
                huge_pages: Cell::new(HugePages::Never),
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
        // While the thread's locals are being dropped there is no shared pool any more: one of the caller's own then.
        LOCAL.try_with(|pool| pool.get_or_init(Self::new).clone()).unwrap_or_else(|_| Self::new())
    }

    /// The calling core goes to sleep: if its pool is all idle, it gives back what it has leased.
    pub(crate) fn rest_local() {
        // As above, and then there is nothing to give.
        let _rested = LOCAL.try_with(|pool| pool.get().map(Self::rest));
    }

    /// A buffer of `len` bytes, on a boundary of [`ALIGN`](super::ALIGN) bytes. Waits while the pool is dry.
    ///
    /// Who waits is served in order of arrival, large requests and small ones alike, as buffers are dropped, on whatever
    /// thread. A task that holds buffers and waits for more may wait for itself: let each hold what one operation needs.
    /// Dropping the future passes the turn on.
    ///
    /// What stands in the buffer is what this process last had there, or zeroes: see the [module](super).
    ///
    /// ```
    /// use reactor::sys::dma::DmaPool;
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let pool = DmaPool::with_limit(4096);
    /// let only = pool.alloc(4096).await?;
    /// std::thread::spawn(move || drop(only));
    /// assert_eq!(pool.alloc(512).await?.len(), 512);
    /// # Ok::<(), reactor::sys::dma::AllocError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`AllocError::OverLimit`] if the pool may never have as much; [`AllocError::TooLong`] from 2 GiB on; [`AllocError::Os`] if
    /// the kernel has no memory.
    #[inline(always)]
    pub fn alloc(&self, len: usize) -> Alloc<'_> {
        Alloc::new(self, len)
    }

    /// A buffer as from [`alloc`](Self::alloc), now or not at all.
    ///
    /// # Errors
    /// As `alloc`, and [`AllocError::Dry`] where that would wait.
    #[inline]
    pub fn try_alloc(&self, len: usize) -> Result<DmaBuf, AllocError> {
        match self.alloc_idle(len) {
            Some(buf) => Ok(buf),
            None => self.alloc_slow(len).unwrap_or_else(|| {
                self.count_refused();
                Err(self.lists().dry(len))
            }),
        }
    }

    /// A buffer from the free list, if one lies there and nobody waits for it.
    #[inline(always)]
    pub(crate) fn alloc_idle(&self, len: usize) -> Option<DmaBuf> {
        let (class, local) = (class_of(len), self.lists());
        if class >= CLASSES || !local.is_plain.get() {
            return None;
        }
        let slot = local.pop(class)?;
        // SAFETY: popped, so it is ours; its memory is at least the class size, which is at least `len`.
        Some(unsafe { self.hand_out(slot, len) })
    }

    /// Lets the pool map `bytes` of its own from now on; what it takes from a [reserve](Self::reserve) is limited there. Below what
    /// it has, it keeps that and grows no more; who waits for a buffer that is now out of reach is told so.
    pub fn set_limit(&self, bytes: usize) {
        self.lists().limit.set(bytes);
        self.come_home();
    }

    /// Whether the chunk is one of this pool's.
    #[inline(always)]
    pub(crate) fn has(&self, chunk: DmaChunk) -> bool {
        chunk.pool == self.shared.as_ptr().cast()
    }

    /// The memory of the chunk with this number, if it is still there. A device is told of it: from now on its pages must stay
    /// where they are.
    pub(crate) fn pin_chunk(&self, number: ChunkNumber) -> Option<(NonNull<u8>, usize)> {
        self.lists().chunks.borrow().get(number).map(|chunk| chunk.memory().pin())
    }

    /// Whether the chunk with this number has given its memory back.
    pub(crate) fn is_ended(&self, number: ChunkNumber) -> bool {
        self.lists().chunks.borrow().get(number).is_none()
    }

    /// Another handle on an open pool.
    ///
    /// # Safety
    /// The pool is open and the calling thread its owner.
    pub(super) unsafe fn another(shared: NonNull<Shared>) -> Self {
        // SAFETY: the caller's promise. What follows counts the clone; the original is not the caller's to drop.
        Self::clone(&ManuallyDrop::new(Self { shared, not_send: PhantomData }))
    }

    #[inline(always)]
    pub(super) fn shared(&self) -> &Shared {
        // SAFETY: the pool lives until it is closed, and it is not closed while this handle exists.
        unsafe { self.shared.as_ref() }
    }

    pub(super) fn shared_ptr(&self) -> NonNull<Shared> {
        self.shared
    }

    #[inline(always)]
    pub(super) fn lists(&self) -> &Local {
        // The handle is !Send, so this is the owner.
        &self.shared().local
    }

    /// # Safety
    /// `slot` is the caller's and has at least `len` bytes.
    #[inline(always)]
    pub(super) unsafe fn hand_out(&self, slot: NonNull<Slot>, len: usize) -> DmaBuf {
        let local = self.lists();
        local.allocated.set(local.allocated.get() + 1);
        // SAFETY: the caller's promise; a slot at rest has one share, which becomes this buffer's.
        unsafe { DmaBuf::from_slot(slot, len) }
    }

    /// [`try_alloc`](Self::try_alloc), for a caller who may wait: `None` if it has to.
    #[cold]
    pub(super) fn alloc_slow(&self, len: usize) -> Option<Result<DmaBuf, AllocError>> {
        self.come_home();
        let local = self.lists();
        let slot = if !local.waiting.is_waited() {
            local.obtain(self.shared, len)
        } else {
            // What lies idle is promised to those who wait.
            local.check(len).and_then(|()| Err(local.dry(len)))
        };
        match slot {
            // SAFETY: it was just popped or made, for `len` bytes or more.
            Ok(slot) => Some(Ok(unsafe { self.hand_out(slot, len) })),
            Err(e) if e.is_dry() => None,
            Err(e) => {
                self.count_refused();
                Some(Err(e))
            }
        }
    }

    pub(super) fn count_refused(&self) {
        let refused = &self.lists().refused;
        refused.set(refused.get() + 1);
    }

    /// Takes home what other cores have dropped.
    pub(super) fn take_returned(&self) {
        let mut list = self.shared().returns.take_all();
        while let Some(slot) = NonNull::new(list) {
            // SAFETY: taking the stack made its slots ours; `next` is read before the slot is given away.
            unsafe {
                list = slot.as_ref().next.load(Relaxed);
                self.lists().put_counted(slot);
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
        if local.handles.get() > 1 {
            local.handles.set(local.handles.get() - 1);
            return;
        }
        // The last one, which counts until the pool is closed: others are made, and dropped, on the way there.
        // Those who wait borrow a handle: what is left are futures that were forgotten.
        local.waiting.end(self);
        self.leave();
        local.closed.set(true);
        local.settle();
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
