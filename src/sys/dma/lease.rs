//! The memory of a chunk or a large buffer, and whom it goes back to: the kernel, or the reserve that it was leased from.

use std::fmt;
use std::ptr::NonNull;

use super::mapping::{Mapping, Pages};
use super::reserve::DmaReserve;

/// A mapping that is unmapped, or given back, when dropped.
pub(super) struct Memory {
    /// There until the drop.
    mapping: Option<Mapping>,
    lease: Option<Lease>,
}

/// From whom, and to which of its pools.
pub(super) struct Lease {
    reserve: DmaReserve,
    member: u64,
}

impl Lease {
    pub(super) fn new(reserve: DmaReserve, member: u64) -> Self {
        Self { reserve, member }
    }
}

impl Memory {
    /// The pool's own.
    pub(super) fn own(mapping: Mapping) -> Self {
        Self { mapping: Some(mapping), lease: None }
    }

    pub(super) fn leased(mapping: Mapping, lease: Lease) -> Self {
        Self { mapping: Some(mapping), lease: Some(lease) }
    }

    fn mapping(&self) -> &Mapping {
        self.mapping.as_ref().expect("it is there until the drop")
    }

    pub(super) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.mapping().start()
    }

    pub(super) fn len(&self) -> usize {
        self.mapping().len()
    }

    pub(super) fn pages(&self) -> Pages {
        self.mapping().pages()
    }

    /// As [`Mapping::seen`].
    pub(super) fn seen(&self) -> u64 {
        self.mapping().seen()
    }

    /// As [`Mapping::pin`].
    pub(super) fn pin(&self) -> (NonNull<u8>, usize) {
        self.mapping().pin()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let (Some(mapping), Some(lease)) = (self.mapping.take(), &self.lease) {
            lease.reserve.give(lease.member, mapping);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("mapping", &self.mapping)
            .field("is_leased", &self.is_leased())
            .finish()
    }
}
