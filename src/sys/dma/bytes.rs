//! The two handles on a buffer: [`DmaBuf`], one writer's, and [`DmaBytes`], many readers'.
//!
//! Both are a range of one `slot`, which counts them; the last one gives the slot back to its pool.
#![expect(unsafe_code, reason = "slices over pool memory")]
mod any;
mod home;

use std::fmt;
use std::ops::{Bound, Deref, DerefMut, RangeBounds};
use std::process;
use std::ptr::NonNull;
use std::slice;

use super::shared::release;
use super::slot::Slot;
use crate::sys::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The longest buffer in bytes: what one system call can transfer is less.
pub(super) const LEN_MAX: usize = (1 << 31) - 1;

/// An owned buffer for devices, from a [`DmaPool`](super::DmaPool).
///
/// As it comes from the pool it starts on a boundary of [`ALIGN`](super::ALIGN) bytes. It dereferences to its bytes, and may be sent to and
/// dropped on any thread; dropped on the core it came from it costs no atomic operation.
pub struct DmaBuf(Span);

/// Bytes of a buffer that nobody writes any more. A clone shares them, and so does a [`slice`](DmaBytes::slice).
///
/// Sharing is counted with one atomic operation; the only holder drops it without.
#[derive(Clone)]
pub struct DmaBytes(Span);

/// Either of the two, for who passes buffers on without using them.
pub(crate) struct DmaAny(Span);

/// A share of a slot and the part of it that is meant. Two words, so that it travels in registers: in three it went
/// through memory at every step of an I/O, which took longer than all the rest.
///
/// # Invariants
/// The extent lies in the memory of `slot`, of which this is one of `shares`. A writable span overlaps no other.
struct Span {
    slot: NonNull<Slot>,
    extent: Extent,
}

/// Where a span begins in its slot (32 bits), whether it may be written (one bit), how long it is (31 bits).
#[derive(Clone, Copy)]
struct Extent(u64);

impl Extent {
    const WRITABLE: u64 = 1 << 31;

    #[inline(always)]
    fn new(start: usize, len: usize, is_writable: bool) -> Self {
        debug_assert!(start <= u32::MAX as usize && len <= LEN_MAX);
        Self((start as u64) << 32 | if is_writable { Self::WRITABLE } else { 0 } | len as u64)
    }

    #[inline(always)]
    fn start(self) -> usize {
        (self.0 >> 32) as usize
    }

    #[inline(always)]
    fn len(self) -> usize {
        (self.0 & (Self::WRITABLE - 1)) as usize
    }

    #[inline(always)]
    fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// The part from `at` on, of `len` bytes.
    fn part(self, at: usize, len: usize) -> Self {
        Self::new(self.start() + at, len, self.is_writable())
    }
}

// SAFETY: a span owns its bytes or shares them read-only, the slot's count is atomic, and `release` works from any
// thread.
unsafe impl Send for Span {}
// SAFETY: `&Span` only reads: the count, and bytes that have no writer while they are borrowed.
unsafe impl Sync for Span {}

impl DmaBuf {
    /// # Safety
    /// `slot` is the caller's, with one share, and has at least `len` bytes.
    #[inline(always)]
    pub(super) unsafe fn from_slot(slot: NonNull<Slot>, len: usize) -> Self {
        Self(Span { slot, extent: Extent::new(0, len, true) })
    }

    /// Ends writing: from here on the bytes can be shared.
    #[inline]
    #[must_use]
    pub fn freeze(self) -> DmaBytes {
        self.0.into_bytes()
    }

    /// Shortens the buffer to `len` bytes; does nothing if it is not longer.
    pub fn truncate(&mut self, len: usize) {
        self.0.extent = self.0.extent.part(0, self.len().min(len));
    }

    /// Splits off the first `at` bytes; `self` keeps the rest. The memory goes home when both are gone.
    ///
    /// # Panics
    /// If the buffer is shorter than `at`.
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> DmaBuf {
        assert!(at <= self.len(), "split of a buffer of {} bytes at {at}", self.len());
        let mut front = self.0.share();
        front.extent = self.0.extent.part(0, at);
        self.0.extent = self.0.extent.part(at, self.len() - at);
        DmaBuf(front)
    }

    /// Joins what [`split_to`](DmaBuf::split_to) split: `rest` directly after `self`.
    ///
    /// # Errors
    /// Both back, if they are not neighbours in one buffer.
    pub fn unsplit(mut self, rest: DmaBuf) -> Result<DmaBuf, (DmaBuf, DmaBuf)> {
        let end = self.0.extent.start() + self.len();
        if self.0.slot != rest.0.slot || end != rest.0.extent.start() {
            return Err((self, rest));
        }
        self.0.extent = self.0.extent.part(0, self.len() + rest.len());
        Ok(self)
    }
}

impl DmaBytes {
    /// The bytes in `range`, shared. Nothing is copied.
    ///
    /// A slice that does not start on a device's alignment is copied before it is written to the device.
    ///
    /// # Panics
    /// If the range is not within the bytes.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> DmaBytes {
        let start = match range.start_bound() {
            Bound::Included(n) => *n,
            Bound::Excluded(n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(n) => n.saturating_add(1),
            Bound::Excluded(n) => *n,
            Bound::Unbounded => self.len(),
        };
        assert!(start <= end && end <= self.len(), "slice {start}..{end} of {} bytes", self.len());
        let mut span = self.0.share();
        span.extent = self.0.extent.part(start, end - start);
        DmaBytes(span)
    }

    /// The buffer to write again, if nobody else shares it.
    ///
    /// # Errors
    /// The bytes back, if somebody does.
    pub fn try_into_buf(self) -> Result<DmaBuf, DmaBytes> {
        if self.0.is_only() { Ok(self.0.into_buf()) } else { Err(self) }
    }
}

impl Span {
    #[inline(always)]
    fn slot(&self) -> &Slot {
        // SAFETY: a share keeps the slot, and the slot keeps the pool that it lies in.
        unsafe { self.slot.as_ref() }
    }

    #[inline(always)]
    fn start(&self) -> NonNull<u8> {
        // SAFETY: by the invariants the extent lies within the slot's memory.
        unsafe { self.slot().start.add(self.extent.start()) }
    }

    #[inline(always)]
    fn into_bytes(mut self) -> DmaBytes {
        self.extent = Extent(self.extent.0 & !Extent::WRITABLE);
        DmaBytes(self)
    }

    /// The caller is the only one with a share.
    fn into_buf(mut self) -> DmaBuf {
        self.extent = Extent(self.extent.0 | Extent::WRITABLE);
        DmaBuf(self)
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        // SAFETY: by the invariants the range is mapped and initialised (zeroes at first), and nobody writes it: a
        // `DmaBuf` is borrowed here, and `DmaBytes` are never written.
        unsafe { slice::from_raw_parts(self.start().as_ptr(), self.extent.len()) }
    }

    /// True if no other span has a share of the slot.
    fn is_only(&self) -> bool {
        // Acquire: pairs with the Release of the shares dropped before, whose reads come before what we do next.
        self.slot().shares.load(Acquire) == 1
    }

    /// Another span over the same bytes. The caller keeps `DmaBuf`s apart.
    fn share(&self) -> Span {
        // Relaxed: a new share is made from one that exists.
        let shares = self.slot().shares.fetch_add(1, Relaxed);
        if shares > isize::MAX as usize {
            // Only a loop of `mem::forget` gets here; as `Arc`, stop before the count wraps.
            process::abort();
        }
        Span { slot: self.slot, extent: self.extent }
    }
}

impl Clone for Span {
    fn clone(&self) -> Self {
        self.share()
    }
}

impl Drop for Span {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_only() {
            // Release: our use of the bytes comes before the last holder's Acquire below or in `is_only`.
            if self.slot().shares.fetch_sub(1, Release) != 1 {
                return;
            }
            // The others went in between: a slot goes home with one share. The load is the Acquire to their Release.
            self.slot().shares.load(Acquire);
            self.slot().shares.store(1, Relaxed);
        }
        // SAFETY: this was the last share, and the count stands at 1.
        unsafe { release(self.slot) };
    }
}

impl Deref for DmaBuf {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl DerefMut for DmaBuf {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; no span overlaps a `DmaBuf`'s, and this one is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.0.start().as_ptr(), self.0.extent.len()) }
    }
}

impl Deref for DmaBytes {
    type Target = [u8];
    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for DmaBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for DmaBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl AsRef<[u8]> for DmaBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<DmaBuf> for DmaAny {
    #[inline(always)]
    fn from(buf: DmaBuf) -> Self {
        Self(buf.0)
    }
}

impl From<DmaBytes> for DmaAny {
    #[inline(always)]
    fn from(bytes: DmaBytes) -> Self {
        Self(bytes.0)
    }
}

impl From<DmaBuf> for DmaBytes {
    #[inline]
    fn from(buf: DmaBuf) -> Self {
        buf.freeze()
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBuf({} bytes)", self.len())
    }
}

impl fmt::Debug for DmaAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.0.extent.is_writable() { "DmaBuf" } else { "DmaBytes" };
        write!(f, "{name}({} bytes)", self.0.extent.len())
    }
}

impl fmt::Debug for DmaBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBytes({} bytes)", self.len())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::DmaPool;

    #[test]
    fn the_last_share_returns_the_buffer() {
        let pool = DmaPool::new();
        let bytes = pool.try_alloc(4096).unwrap().freeze();
        let half = bytes.slice(2048..);
        let clone = bytes.clone();
        drop(bytes);
        drop(clone);
        assert_eq!((pool.stats().in_use, half.len()), (1, 2048));
        drop(half);
        assert_eq!(pool.stats().in_use, 0);
    }

    #[test]
    fn bytes_become_a_buffer_again_only_when_unshared() {
        let pool = DmaPool::new();
        let bytes = pool.try_alloc(100).unwrap().freeze();
        let other = bytes.clone();
        let bytes = bytes.try_into_buf().unwrap_err();
        drop(other);
        bytes.try_into_buf().unwrap().fill(1);
    }

    #[test]
    fn split_parts_are_apart_and_join_again() {
        let pool = DmaPool::new();
        let mut rest = pool.try_alloc(300).unwrap();
        let mut first = rest.split_to(100);
        let mut second = rest.split_to(100);
        first.fill(1);
        second.fill(2);
        rest.fill(3);
        let (first, rest) = first.unsplit(rest).unwrap_err();
        let whole = first.unsplit(second).unwrap().unsplit(rest).unwrap();
        assert_eq!([whole[99], whole[100], whole[299], whole.len() as u8], [1, 2, 3, 44]);
        drop(whole);
        assert_eq!(pool.stats().in_use, 0);
    }

    #[test]
    fn shares_dropped_on_many_threads_return_the_buffer_once() {
        let pool = DmaPool::new();
        for _ in 0..50 {
            let bytes = pool.try_alloc(4096).unwrap().freeze();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let bytes = bytes.clone();
                    std::thread::spawn(move || assert_eq!(bytes.clone().len(), 4096))
                })
                .collect();
            drop(bytes);
            threads.into_iter().for_each(|t| t.join().unwrap());
        }
        assert_eq!((pool.stats().in_use, pool.stats().mapped_bytes), (0, 256 << 10));
    }
}
