//! Memory that a driver and a device share word by word: queues, and lists of pointers.
//!
//! Both write it while the other may read, so it is seen as atomics alone, and whoever uses it needs no `unsafe`.
#![expect(unsafe_code, reason = "mapped pages seen as a slice of atomics")]

use super::Mapping;
use std::io;
use std::slice;
use std::sync::Arc;
// No model shares memory with a device, and loom's atomics have another form.
use std::sync::atomic::AtomicU64;

/// Zeroed pages. A clone is the same memory.
#[derive(Clone, Debug)]
pub(crate) struct DmaWords(Arc<Mapping>);

impl DmaWords {
    /// At least `bytes`, on a page boundary.
    ///
    /// # Errors
    /// As [`Mapping::zeroed`]; with devices, that they cannot see so much.
    pub(crate) fn zeroed(bytes: usize) -> io::Result<Self> {
        let mapping = Mapping::zeroed(bytes.next_multiple_of(4096))?.show()?;
        Ok(Self(Arc::new(mapping)))
    }

    /// Where devices see it that have an IOMMU.
    pub(crate) fn seen(&self) -> u64 {
        self.0.seen()
    }

    /// All of it.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is as long, page-aligned, zeroed by the kernel, and lives as long as `self`. It is this module's
        // alone, which gives out nothing but atomics.
        unsafe { slice::from_raw_parts(self.0.start().as_ptr().cast(), self.0.len() / 8) }
    }

    /// Where it is, for a device that sees memory where the process does.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn address(&self) -> u64 {
        self.0.start().as_ptr().expose_provenance() as u64
    }
}
