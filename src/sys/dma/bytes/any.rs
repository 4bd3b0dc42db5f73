//! Buffers of either kind, for who passes them on: taken apart, cut and joined again without being looked at.

use super::{DmaAny, DmaBuf, DmaBytes};

impl DmaAny {
    /// The buffer, if it is one.
    #[inline(always)]
    pub(crate) fn into_buf(self) -> Option<DmaBuf> {
        self.0.extent.is_writable().then(|| DmaBuf(self.0))
    }

    /// The bytes; a buffer is frozen.
    #[inline(always)]
    pub(crate) fn into_bytes(self) -> DmaBytes {
        self.0.into_bytes()
    }

    /// Address and length.
    #[inline(always)]
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.0.start().as_ptr().addr(), self.0.extent.len())
    }
}

#[cfg(feature = "nvme")]
impl DmaAny {
    /// How many bytes it has.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.0.extent.len()
    }

    /// Whether a device may write it.
    pub(crate) fn is_writable(&self) -> bool {
        self.0.extent.is_writable()
    }

    /// Splits off the first `at` bytes; `self` keeps the rest. Both are of the kind that it was.
    ///
    /// # Panics
    /// If it is shorter than `at`.
    pub(crate) fn split_to(&mut self, at: usize) -> Self {
        let len = self.len();
        assert!(at <= len, "split of {len} bytes at {at}");
        let mut front = self.0.share();
        front.extent = self.0.extent.part(0, at);
        self.0.extent = self.0.extent.part(at, len - at);
        Self(front)
    }

    /// Joins what [`split_to`](Self::split_to) split.
    ///
    /// # Panics
    /// If `rest` is not what was directly behind it, of the same kind.
    pub(crate) fn unsplit(&mut self, rest: Self) {
        let (extent, behind) = (self.0.extent, rest.0.extent);
        let is_behind = self.0.slot == rest.0.slot && extent.start() + extent.len() == behind.start();
        assert!(
            is_behind && extent.is_writable() == behind.is_writable(),
            "{self:?} and {rest:?} are no neighbours"
        );
        self.0.extent = extent.part(0, extent.len() + behind.len());
    }
}
