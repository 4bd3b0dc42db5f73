//! A pool of equal buffers out of which the kernel takes one when something has arrived (`IORING_REGISTER_PBUF_RING`, Linux
//! 5.19), so that ten thousand idle connections need no buffer each.
//!
//! Where the kernel has no such rings, `ops::recv` takes the buffers out itself, when a socket is readable. Streams that find the
//! pool empty wait in `line` for what comes back.

#![expect(unsafe_code, reason = "lends memory to the kernel by writing its address into a shared ring")]

use super::{IoBuf, IoBufMut, Ring};
use crate::sys::dma::Mapping;
use io_uring::types::BufRingEntry;
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::Waker;

/// Buffers to receive into, shared by the [streams](super::Ring::recv_stream) of one ring. Clones share; the memory goes with the
/// last stream, buffer and clone.
#[derive(Clone)]
pub struct RecvPool(Rc<Pool>);

/// # Invariants
/// Each buffer is in exactly one place: in the kernel's ring or `free`, with an operation, or in a [`RecvBuf`].
struct Pool {
    ring: Weak<Ring>,
    memory: Mapping,
    /// The ring through which the kernel gets the buffers, and its number.
    shared: Option<(Mapping, u16)>,
    size: usize,
    count: u16,
    /// Where the shared ring goes on.
    tail: Cell<u16>,
    /// Those that no operation has, without a shared ring.
    free: RefCell<Vec<u16>>,
    /// How many buffers have come back so far.
    returned: Cell<u64>,
    line: RefCell<super::line::Line>,
}

/// Most buffers in a ring (`IORING_REGISTER_PBUF_RING`).
const COUNT_MAX: u16 = 1 << 15;

impl Ring {
    /// Makes a pool of `count` buffers of `size` bytes for [`recv_stream`](Self::recv_stream) on this ring. The count is rounded up
    /// to a power of two. Memory is used as it is first received into.
    ///
    /// # Errors
    /// `EINVAL` if there are no buffers, more than 32,768, or none of 1 to 2³¹ − 1 bytes; `ENOMEM`.
    pub fn recv_pool(self: &Rc<Self>, count: u16, size: usize) -> io::Result<RecvPool> {
        if !(1..=COUNT_MAX).contains(&count) || !(1..=i32::MAX as usize).contains(&size) {
            return Err(Errno::INVAL.into());
        }
        let count = count.next_power_of_two();
        let memory = Mapping::zeroed(usize::from(count) * size)?;
        let entries = Mapping::zeroed(usize::from(count) * size_of::<BufRingEntry>())?;
        // SAFETY: a mapping is page-aligned and has room for the entries. The pool keeps it until nothing that names the group is
        // in flight: every such operation holds the pool.
        let group = unsafe { self.queues().register_group(entries.start(), count) };
        let pool = Pool {
            ring: Rc::downgrade(self),
            memory,
            shared: group.map(|group| (entries, group)),
            size,
            count,
            tail: Cell::new(0),
            free: RefCell::new(Vec::with_capacity(usize::from(count))),
            returned: Cell::new(0),
            line: RefCell::default(),
        };
        (0..count).for_each(|id| pool.put(id));
        Ok(RecvPool(Rc::new(pool)))
    }
}

impl Pool {
    fn start(&self, id: u16) -> NonNull<u8> {
        assert!(id < self.count, "buffer {id} of {}", self.count);
        // SAFETY: the mapping holds `count` buffers of `size` bytes.
        unsafe { self.memory.start().add(usize::from(id) * self.size) }
    }

    /// Gives a buffer that is nowhere else to the kernel, or keeps it.
    fn put(&self, id: u16) {
        let Some((entries, _)) = &self.shared else {
            self.free.borrow_mut().push(id);
            return;
        };
        let tail = self.tail.get();
        let first = entries.start().cast::<BufRingEntry>();
        // SAFETY: within the ring, whose `count` is a power of two. The kernel does not look at an entry from the tail on, and
        // at most `count` buffers are in the ring, so this one is ours. The tail itself lies in a part of the first entry that
        // the setters leave alone.
        let entry = unsafe { first.add(usize::from(tail & (self.count - 1))).as_mut() };
        entry.set_addr(self.start(id).as_ptr() as u64);
        entry.set_len(self.size as u32);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the first entry is valid; the tail in it is aligned, and written by nobody but this thread.
        let shared = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(first.as_ptr()).cast_mut()) };
        // Release: publishes the entry to the kernel's acquiring load of the tail.
        shared.store(self.tail.get(), Ordering::Release);
    }
}

impl RecvPool {
    /// How many buffers there are.
    pub fn count(&self) -> usize {
        self.0.count.into()
    }

    /// The size of each in bytes.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Whether the pool is for operations on `ring`.
    pub(super) fn is_of(&self, ring: &Rc<Ring>) -> bool {
        self.0.ring.as_ptr() == Rc::as_ptr(ring)
    }

    /// The number by which entries name the pool, if the kernel takes the buffers out.
    pub(super) fn group(&self) -> Option<u16> {
        self.0.shared.as_ref().map(|(_, group)| *group)
    }

    /// Takes a buffer out, if the kernel does not and there is one: its number, first byte and length.
    pub(super) fn take(&self) -> Option<(u16, *mut u8, u32)> {
        let id = self.0.free.borrow_mut().pop()?;
        Some((id, self.0.start(id).as_ptr(), self.0.size as u32))
    }

    /// The buffer `id` with `len` bytes in it, that an operation has just answered with.
    pub(super) fn received(&self, id: u16, len: usize) -> RecvBuf {
        assert!(id < self.0.count && len <= self.0.size, "{len} bytes in buffer {id} of {self:?}");
        RecvBuf { pool: self.clone(), id, len }
    }

    /// Puts a buffer back that nobody uses any more, and calls who has waited longest.
    pub(super) fn give_back(&self, id: u16) {
        self.0.put(id);
        self.0.returned.set(self.0.returned.get() + 1);
        self.call_next();
    }

    /// How many buffers have come back so far.
    pub(super) fn returned(&self) -> u64 {
        self.0.returned.get()
    }

    /// Whether one who comes now need not wait: nobody does, and since he saw `returned` something has come back, or lies here.
    pub(super) fn has_room(&self, returned: u64) -> bool {
        let is_there = match self.0.shared {
            Some(_) => self.returned() != returned,
            None => !self.0.free.borrow().is_empty(),
        };
        is_there && self.0.line.borrow().is_empty()
    }

    /// Gets in line, or back to the place of an earlier `ticket`.
    pub(super) fn wait(&self, ticket: Option<u64>, waker: &Waker) -> u64 {
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = waker.clone();
        self.0.line.borrow_mut().enter(ticket, waker)
    }

    /// Whether the ticket is still in line. If so, it is `waker` that will be called.
    pub(super) fn waits(&self, ticket: u64, waker: &Waker) -> bool {
        let found = self.0.line.borrow().will_wake(ticket, waker);
        if found == Some(false) {
            let waker = waker.clone();
            let _displaced = self.0.line.borrow_mut().renew(ticket, waker);
        }
        found.is_some()
    }

    /// The ticket is no longer needed: out of the line, or its call goes to the next.
    pub(super) fn leave(&self, ticket: u64) {
        let waker = self.0.line.borrow_mut().remove(ticket);
        if waker.is_none() {
            self.call_next();
        }
    }

    fn call_next(&self) {
        let waker = self.0.line.borrow_mut().pop();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // A ring that is ending forgets the group by itself, and no operation names it any more.
        if let (Some((_, group)), Some(ring)) = (&self.shared, self.ring.upgrade()) {
            ring.queues().unregister_group(*group);
        }
    }
}

impl fmt::Debug for RecvPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvPool")
            .field("count", &self.0.count)
            .field("size", &self.0.size)
            .field("is_shared", &self.0.shared.is_some())
            .finish()
    }
}

/// What has been received: the bytes, in a buffer of a [`RecvPool`], to which it returns when dropped. A forgotten one is lost to
/// the pool, no more.
pub struct RecvBuf {
    pool: RecvPool,
    id: u16,
    len: usize,
}

impl Deref for RecvBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer has at least `len` bytes, all of them written at least once: with zeroes, when they were mapped. It is
        // ours alone until `drop` puts it back, and the pool keeps the memory.
        unsafe { std::slice::from_raw_parts(self.pool.0.start(self.id).as_ptr(), self.len) }
    }
}

impl DerefMut for RecvBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pool.0.start(self.id).as_ptr(), self.len) }
    }
}

// SAFETY: the bytes lie in the pool's mapping and belong to the value until it is dropped, wherever it moves.
unsafe impl IoBuf for RecvBuf {
    fn as_ptr(&self) -> *const u8 {
        self[..].as_ptr()
    }
    fn len(&self) -> usize {
        self.len
    }
}

// SAFETY: as above; no other buffer overlaps it.
unsafe impl IoBufMut for RecvBuf {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self[..].as_mut_ptr()
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBuf").field("id", &self.id).field("len", &self.len).finish()
    }
}
