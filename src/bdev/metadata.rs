//! Bytes that each block has beside its data, and where they are.

use super::protection::TUPLE_BYTES;
use super::{Error, Protection, Result};

/// Bytes that each block has beside its data.
///
/// *Separate* metadata has a buffer of its own, that of [`read_with_metadata`](super::Channel::read_with_metadata) and
/// [`write_with_metadata`](super::Channel::write_with_metadata) (NVMe: MPTR; DIX). *Interleaved* metadata follows the data of each
/// block in the same buffer, and counts in [`Geometry::block_size`](super::Geometry::block_size) (NVMe: extended LBA; DIF): it is
/// read, written, compared and copied with the block.
///
/// ```
/// use reactor::bdev::{Geometry, Metadata, Protection, ProtectionType};
///
/// let protected = Metadata::interleaved(8).with_protection(Protection::new(ProtectionType::Type1));
/// let shape = Geometry::new(520, 2048).with_metadata(Some(protected));
/// assert_eq!(shape.data_size(), 512);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// How many.
    pub bytes: u32,
    /// True if they follow the data in the same buffer.
    pub interleaved: bool,
    /// What 8 of them are, if they protect the block.
    pub protection: Option<Protection>,
}

impl Metadata {
    /// So many bytes with a buffer of their own.
    #[must_use]
    pub const fn separate(bytes: u32) -> Self {
        Self { bytes, interleaved: false, protection: None }
    }

    /// So many bytes behind the data of each block, in the same buffer.
    #[must_use]
    pub const fn interleaved(bytes: u32) -> Self {
        Self { bytes, interleaved: true, protection: None }
    }

    /// The same with protection information in 8 of them.
    #[must_use]
    pub const fn with_protection(mut self, protection: Protection) -> Self {
        self.protection = Some(protection);
        self
    }

    /// The same without a claim of what is in them.
    #[must_use]
    pub const fn without_protection(mut self) -> Self {
        self.protection = None;
        self
    }

    /// Checks what a module states of blocks of `block_size`.
    pub(super) fn validate(&self, block_size: u32) -> Result<()> {
        let Self { bytes, interleaved, protection } = *self;
        let wrong = |reason: String| Err(Error::BadGeometry { reason });
        if bytes == 0 || interleaved && bytes >= block_size {
            return wrong(format!("{bytes} bytes of metadata leave no data in blocks of {block_size}"));
        }
        let Some(protection) = protection else { return Ok(()) };
        if (bytes as usize) < TUPLE_BYTES {
            return wrong(format!(
                "protection information takes {TUPLE_BYTES} bytes of metadata, and there are {bytes}"
            ));
        }
        protection.validate()
    }
}
