//! A namespace: what there is to read and write, whatever leads there.

use super::Error;
use super::spec::IdentifyNamespace;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a namespace is like, on any core. Clones are the same: a size that changes is seen by all.
#[derive(Clone)]
pub struct Namespace(Arc<Description>);

struct Description {
    id: u32,
    size: AtomicU64,
    block_shift: u32,
}

impl Namespace {
    pub(super) fn new(id: u32, identity: &IdentifyNamespace) -> Result<Self, Error> {
        if !identity.is_active() {
            return Err(Error::NoNamespace(id));
        }
        let format = identity.current_format().ok_or(Error::Unsupported("its format is not in its list"))?;
        if format.metadata_bytes.get() > 0 {
            return Err(Error::Unsupported("its blocks have metadata: format it without"));
        }
        let block_bytes = format
            .block_bytes()
            .filter(|&bytes| bytes <= 1 << 16)
            .ok_or(Error::Unsupported("its blocks are below 512 bytes or above 64 KiB"))?;
        let size = AtomicU64::new(identity.size.get());
        Ok(Self(Arc::new(Description { id, size, block_shift: block_bytes.trailing_zeros() })))
    }

    /// Its identifier.
    #[inline(always)]
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// How many blocks it has.
    #[inline(always)]
    pub fn size(&self) -> u64 {
        // Relaxed: nothing else is read by it.
        self.0.size.load(Relaxed)
    }

    /// Bytes of a block.
    #[inline(always)]
    pub fn block_size(&self) -> u32 {
        1 << self.0.block_shift
    }

    #[inline(always)]
    pub(super) fn block_shift(&self) -> u32 {
        self.0.block_shift
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("id", &self.id())
            .field("size", &self.size())
            .field("block_size", &self.block_size())
            .finish()
    }
}
