//! Device memory as operations take it. `buffers` keeps it registered with the ring of its core.

#![expect(unsafe_code, reason = "promises that a buffer's memory stays put while the value moves")]

use super::{IoBuf, IoBufMut};
use crate::sys::dma::{DmaBuf, DmaBytes, DmaChunk};

// SAFETY: the bytes lie in a pool's mapping, which stays while the buffer does; they are initialised, and owned by it.
unsafe impl IoBuf for DmaBuf {
    #[inline]
    fn as_ptr(&self) -> *const u8 {
        self[..].as_ptr()
    }
    #[inline]
    fn len(&self) -> usize {
        self[..].len()
    }
    #[inline]
    fn chunk(&self) -> Option<DmaChunk> {
        Some(self.chunk())
    }
}

// SAFETY: as above, and no other buffer overlaps it.
unsafe impl IoBufMut for DmaBuf {
    #[inline]
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self[..].as_mut_ptr()
    }
}

// SAFETY: as for `DmaBuf`; frozen bytes have no writer while anybody shares them.
unsafe impl IoBuf for DmaBytes {
    #[inline]
    fn as_ptr(&self) -> *const u8 {
        self[..].as_ptr()
    }
    #[inline]
    fn len(&self) -> usize {
        self[..].len()
    }
    #[inline]
    fn chunk(&self) -> Option<DmaChunk> {
        Some(self.chunk())
    }
}
