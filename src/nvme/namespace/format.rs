//! What the blocks of a namespace are like: their sizes, their metadata and its protection.

use super::super::Error;
use super::super::spec::{ExtendedFormat, IdentifyNamespace};

/// What the blocks of a namespace are like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Format {
    /// Bytes of data of a block, a power of two.
    pub block_size: u32,
    /// Bytes of metadata of a block.
    pub metadata_size: u32,
    /// Whether the metadata of each block stands behind its data, in the same buffer. If not it has one of its own.
    pub is_extended: bool,
    /// The protection information in the metadata.
    pub protection: Option<ProtectionFormat>,
}

/// Protection information: which of its tags mean what, and where it is (NVM Command Set 1.0 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProtectionFormat {
    /// 1, 2 or 3.
    pub kind: u8,
    /// Whether it stands first in the metadata, not last.
    pub is_first: bool,
    /// What its guard is.
    pub guard: Guard,
}

/// The checksum in protection information (NVM Command Set 1.0 §5.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// A CRC of 16 bits: 8 bytes of protection information.
    Crc16,
    /// A CRC of 32 bits: 16 bytes.
    Crc32,
    /// A CRC of 64 bits: 16 bytes.
    Crc64,
}

impl ProtectionFormat {
    /// Bytes of protection information of a block.
    #[must_use]
    pub const fn size(&self) -> u32 {
        match self.guard {
            Guard::Crc16 => 8,
            Guard::Crc32 | Guard::Crc64 => 16,
        }
    }
}

impl Format {
    /// The format in use, of which `extended` says the rest.
    pub(super) fn of(identity: &IdentifyNamespace, extended: &[ExtendedFormat; 64]) -> Result<Self, Error> {
        let format = identity.current_format().ok_or(Error::Unsupported("its format is not in its list"))?;
        let block_size = format
            .block_bytes()
            .filter(|&bytes| bytes <= 1 << 16)
            .ok_or(Error::Unsupported("its blocks are below 512 bytes or above 64 KiB"))?;
        let metadata_size = u32::from(format.metadata_bytes.get());
        if metadata_size % 4 != 0 {
            return Err(Error::Unsupported("its metadata is no multiple of 4 bytes"));
        }
        let index = identity.format.index(usize::from(identity.formats_max) + 1);
        let protection = match identity.protection.kind() {
            0 => None,
            kind @ 1..=3 => {
                let guard = match extended[index].guard() {
                    0 => Guard::Crc16,
                    1 => Guard::Crc32,
                    2 => Guard::Crc64,
                    _ => return Err(Error::Unsupported("its guard is of no kind that there is")),
                };
                Some(ProtectionFormat { kind, is_first: identity.protection.is_first(), guard })
            }
            _ => return Err(Error::Unsupported("its protection is of no type that there is")),
        };
        if protection.is_some_and(|protection| metadata_size < protection.size()) {
            return Err(Error::Unsupported("its metadata has no room for its protection information"));
        }
        let is_extended = metadata_size > 0 && identity.format.extends_blocks();
        Ok(Self { block_size, metadata_size, is_extended, protection })
    }
}
