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

#[cfg(feature = "nvme")]
impl super::DmaAny {
    #[inline(always)]
    pub(crate) fn chunk(&self) -> DmaChunk {
        self.0.chunk()
    }

    /// The addresses of its bytes, for a kernel or a controller of software, which will be told of them.
    #[inline(always)]
    pub(crate) fn expose(&self) -> std::ops::Range<u64> {
        let start = self.0.start().as_ptr().expose_provenance() as u64;
        start..start + self.0.extent.len() as u64
    }
}

#[cfg(feature = "nvme")]
impl super::DmaAny {
    /// Where devices see its bytes that have an IOMMU.
    #[inline(always)]
    pub(crate) fn seen(&self) -> std::ops::Range<u64> {
        // Its provenance was exposed when it was mapped.
        let start = self.0.slot().seen + self.0.extent.start() as u64;
        start..start + self.0.extent.len() as u64
    }
}
