//! A part of an owned buffer, lent to the kernel in place of the whole: what is left of it after a short read or write.

#![expect(unsafe_code, reason = "promises for a part what the buffer promises for the whole")]

use super::{IoBuf, IoBufMut};
use crate::sys::dma::DmaChunk;
use std::ops::{Bound, RangeBounds};

/// A range of bytes of an owned buffer, made by [`IoBuf::slice`]. Gives the buffer back with [`into_inner`](Self::into_inner).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice<B> {
    buf: B,
    begin: usize,
    end: usize,
}

impl<B: IoBuf> Slice<B> {
    pub(super) fn new(buf: B, range: impl RangeBounds<usize>) -> Self {
        let len = buf.len();
        let begin = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at.saturating_add(1),
            Bound::Excluded(&at) => at,
            Bound::Unbounded => len,
        };
        assert!(begin <= end && end <= len, "{begin}..{end} is no part of a buffer of {len} bytes");
        Self { buf, begin, end }
    }

    /// The whole buffer.
    pub fn into_inner(self) -> B {
        self.buf
    }

    /// The whole buffer, to look at.
    pub fn get_ref(&self) -> &B {
        &self.buf
    }

    /// Where the part begins in the buffer.
    pub fn begin(&self) -> usize {
        self.begin
    }

    /// Where the part ends in the buffer.
    pub fn end(&self) -> usize {
        self.end
    }
}

// SAFETY: the bytes are some of the buffer's, for which `IoBuf` promises as much; the range was checked against its length,
// which does not change as nothing here lends the buffer mutably.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    #[inline]
    fn as_ptr(&self) -> *const u8 {
        self.buf.as_ptr().wrapping_add(self.begin)
    }
    #[inline]
    fn len(&self) -> usize {
        self.end - self.begin
    }
    #[inline]
    fn chunk(&self) -> Option<DmaChunk> {
        self.buf.chunk()
    }
}

// SAFETY: as above, with what `IoBufMut` promises.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    #[inline]
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.buf.as_mut_ptr().wrapping_add(self.begin)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slice_lends_its_bytes_and_gives_the_buffer_back() {
        let mut slice = vec![0, 1, 2, 3, 4].slice(1..4);
        assert_eq!((slice.begin(), slice.end(), slice.len()), (1, 4, 3));
        assert_eq!(slice.as_ptr(), slice.get_ref()[1..].as_ptr());
        assert_eq!(slice.as_mut_ptr().cast_const(), slice.as_ptr());
        let rest = slice.slice(2..);
        assert_eq!(rest.len(), 1);
        assert_eq!(rest.as_ptr(), rest.get_ref().get_ref()[3..].as_ptr());
        assert_eq!(rest.into_inner().into_inner(), [0, 1, 2, 3, 4]);
        assert!(vec![0; 3].slice(3..).is_empty());
    }

    #[test]
    #[should_panic(expected = "2..4 is no part of a buffer of 3 bytes")]
    fn a_slice_past_the_end_is_refused() {
        let _ = vec![0; 3].slice(2..4);
    }

    #[test]
    #[should_panic(expected = "is no part of a buffer of 3 bytes")]
    fn a_bound_that_would_overflow_is_refused() {
        let _ = vec![0; 3].slice(..=usize::MAX);
    }
}
