//! Which memory may be lent to the kernel: owned buffers that stay where they are.
//!
//! Implemented here for what `std` has, by `sys::dma` for device memory; asked by the operations in `ops`.

#![expect(unsafe_code, reason = "the traits promise that a buffer's memory stays put while the value moves")]

use super::Slice;
use crate::sys::dma::DmaChunk;
use std::io;
use std::ops::RangeBounds;
use std::rc::Rc;
use std::sync::Arc;

/// What an operation on an owned buffer yields: how many bytes, and the buffer again, in success and in failure.
pub type BufResult<B> = (io::Result<usize>, B);

/// A buffer that the kernel may read from.
///
/// # Safety
/// From the first call of [`as_ptr`](Self::as_ptr) until the value is dropped or used mutably, the `len` bytes at the
/// pointer stay allocated, initialised and unchanged, wherever the value itself is moved meanwhile, and both methods
/// answer the same.
pub unsafe trait IoBuf: 'static {
    /// The first byte.
    fn as_ptr(&self) -> *const u8;

    /// How many bytes there are, all of them initialised.
    fn len(&self) -> usize;

    /// Whether there is no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The chunk of a pool that the bytes lie in: a ring may have it registered.
    #[doc(hidden)]
    #[inline]
    fn chunk(&self) -> Option<DmaChunk> {
        None
    }

    /// The part of the buffer in `range`, which an operation takes like a buffer of its own.
    ///
    /// ```
    /// use reactor::uring::IoBuf;
    /// let rest = vec![1, 2, 3, 4].slice(2..);
    /// assert_eq!(rest.len(), 2);
    /// assert_eq!(rest.into_inner(), [1, 2, 3, 4]);
    /// ```
    ///
    /// # Panics
    /// If the range is not within the buffer.
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self>
    where
        Self: Sized,
    {
        Slice::new(self, range)
    }
}

/// A buffer that the kernel may write to: as with [`std::io::Read`], the whole of its length.
///
/// # Safety
/// As for [`IoBuf`]; besides, nobody else may read or write the bytes while the value exists, and any byte may be written.
pub unsafe trait IoBufMut: IoBuf {
    /// The first byte.
    fn as_mut_ptr(&mut self) -> *mut u8;
}

/// For owners of one heap allocation that moves of the owner leave alone.
macro_rules! heap {
    ($($buffer:ty),*; shared: $($shared:ty),*) => {
        $(
            // SAFETY: the bytes are on the heap, initialised up to `len`, and owned by the value.
            unsafe impl IoBuf for $buffer {
                fn as_ptr(&self) -> *const u8 {
                    self[..].as_ptr()
                }
                fn len(&self) -> usize {
                    self[..].len()
                }
            }
            // SAFETY: as above, and the value is their only owner.
            unsafe impl IoBufMut for $buffer {
                fn as_mut_ptr(&mut self) -> *mut u8 {
                    self[..].as_mut_ptr()
                }
            }
        )*
        $(
            // SAFETY: the bytes are on the heap or static, never change (there is no other way to them), and live as long
            // as this owner.
            unsafe impl IoBuf for $shared {
                fn as_ptr(&self) -> *const u8 {
                    self[..].as_ptr()
                }
                fn len(&self) -> usize {
                    self[..].len()
                }
            }
        )*
    };
}

heap!(Vec<u8>, Box<[u8]>, &'static mut [u8]; shared: Rc<[u8]>, Arc<[u8]>, &'static [u8]);

// SAFETY: the bytes are static and never change.
unsafe impl IoBuf for &'static str {
    fn as_ptr(&self) -> *const u8 {
        str::as_ptr(self)
    }
    fn len(&self) -> usize {
        str::len(self)
    }
}

// SAFETY: a string's bytes are those of its `Vec<u8>`.
unsafe impl IoBuf for String {
    fn as_ptr(&self) -> *const u8 {
        str::as_ptr(self)
    }
    fn len(&self) -> usize {
        str::len(self)
    }
}
