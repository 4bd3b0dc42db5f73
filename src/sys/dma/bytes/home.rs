//! Where a buffer's memory lies: in which chunk of which pool. Asked by drivers that have made chunks known to a device.

use super::{DmaBuf, DmaBytes, Span};
use crate::sys::dma::DmaChunk;

impl Span {
    #[inline(always)]
    fn chunk(&self) -> DmaChunk {
        DmaChunk { pool: self.slot().pool.as_ptr().cast(), number: self.slot().chunk }
    }
}

impl DmaBuf {
    #[inline(always)]
    pub(crate) fn chunk(&self) -> DmaChunk {
        self.0.chunk()
    }
}

impl DmaBytes {
    #[inline(always)]
    pub(crate) fn chunk(&self) -> DmaChunk {
        self.0.chunk()
    }
}
