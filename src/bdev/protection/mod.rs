//! Protection information: 8 bytes of a block's metadata by which damaged data, and data of another block, are found out.
//!
//! | bytes | field | says |
//! |---|---|---|
//! | 0..2 | guard | the CRC-16 (T10 DIF, polynomial 0x8BB7) of the data, and of the metadata before these 8 bytes |
//! | 2..4 | application tag | what the application likes; 0xFFFF: nothing of the block is checked |
//! | 4..8 | reference tag | the block's number, its low 32 bits |
//!
//! All are big-endian. This is the format with 16-bit guards of the NVM Command Set 1.0, §5.2, and of T10's DIF; the formats with
//! guards of 32 and 64 bits would be further kinds of [`Protector::guard`]. A block that was never written, or was given up, has all
//! bits set in its 8 bytes, so that reading it succeeds.
//!
//! **Who makes it and who checks it.** The device checks, on every read and write, what [`Protection`] says. Where metadata is
//! [interleaved](super::Metadata::interleaved), a write brings it, made by a [`Protector`], as in SPDK and for NVMe commands with PRACT
//! cleared. Where it is separate, a write may bring it likewise; a write without metadata has the device make it, and a read without
//! metadata has it checked all the same, as for commands with PRACT set. Zeroes that are written have it made for them.
//!
//! What [verifies](super::modules::Verify) any device needs none of this; a [`Part`](super::modules::Part) counts reference tags from its own start.

mod protector;
#[cfg(all(test, not(loom)))]
mod tests;

pub use protector::Protector;

use std::fmt;

use super::{Error, Result};

/// Bytes of protection information in a block's metadata.
pub(super) const TUPLE_BYTES: usize = 8;

/// An application tag that has nothing of its block checked.
const ESCAPE: u16 = 0xffff;

/// What the reference tags of protected blocks mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtectionType {
    /// The low 32 bits of the block's number.
    Type1,
    /// A number that grows with each block from one that the command brings. This layer's commands bring the number of their first
    /// block, as SPDK's do, so that it is as type 1 here.
    Type2,
    /// Anything: it is not checked, and a block escapes its checks only if its reference tag has all bits set as well.
    Type3,
}

/// Which fields of the protection information there are to be right, and where in the metadata it is.
///
/// ```
/// use reactor::bdev::{Protection, ProtectionType};
///
/// let protection = Protection::new(ProtectionType::Type1);
/// assert!(protection.checks_guard && protection.checks_reference && !protection.is_first);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Protection {
    /// What its reference tags mean.
    pub kind: ProtectionType,
    /// True if it is the first 8 bytes of the metadata; otherwise it is the last.
    pub is_first: bool,
    /// Whether guards are checked.
    pub checks_guard: bool,
    /// Whether reference tags are checked. Those of type 3 never are.
    pub checks_reference: bool,
    /// The application tag of what the device makes.
    pub application: u16,
    /// The bits of [`application`](Self::application) that every block's tag must have. Zero: it is not checked.
    pub application_mask: u16,
}

impl Protection {
    /// In the last 8 bytes, its guard checked, and its reference tag where the type has one.
    #[must_use]
    pub const fn new(kind: ProtectionType) -> Self {
        Self {
            kind,
            is_first: false,
            checks_guard: true,
            checks_reference: !matches!(kind, ProtectionType::Type3),
            application: 0,
            application_mask: 0,
        }
    }

    /// The same in the first 8 bytes of the metadata, or in the last.
    #[must_use]
    pub const fn with_first(mut self, is_first: bool) -> Self {
        self.is_first = is_first;
        self
    }

    /// The same with these checks.
    #[must_use]
    pub const fn with_checks(mut self, guard: bool, reference: bool) -> Self {
        self.checks_guard = guard;
        self.checks_reference = reference;
        self
    }

    /// The same with an application tag, of which the bits of `mask` are checked.
    #[must_use]
    pub const fn with_application(mut self, tag: u16, mask: u16) -> Self {
        self.application = tag;
        self.application_mask = mask;
        self
    }

    /// Whether a block's tags say which block of the device it is.
    pub(super) const fn names_blocks(&self) -> bool {
        self.checks_reference && !matches!(self.kind, ProtectionType::Type3)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |reason: &str| Err(Error::BadGeometry { reason: reason.to_owned() });
        if self.kind == ProtectionType::Type3 && self.checks_reference {
            return wrong(
                "reference tags of type 3 mean nothing that could be checked: take type 1, or leave them",
            );
        }
        if self.application == ESCAPE {
            return wrong("an application tag of 0xffff has nothing checked: give another");
        }
        Ok(())
    }
}

/// A field of the protection information, in [`Error::Protection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The checksum: the data are not what was written.
    Guard,
    /// The application's own.
    Application,
    /// The block's number: the data are those of another block.
    Reference,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guard => "guard",
            Self::Application => "application tag",
            Self::Reference => "reference tag",
        })
    }
}

/// The 8 bytes, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtectionTuple {
    /// The checksum.
    pub guard: u16,
    /// The application's own.
    pub application: u16,
    /// The block's number.
    pub reference: u32,
}

impl ProtectionTuple {
    /// That of a block which was never written, or given up.
    pub const UNWRITTEN: Self = Self { guard: u16::MAX, application: ESCAPE, reference: u32::MAX };

    /// Reads it as it lies in metadata.
    #[must_use]
    pub const fn from_bytes(b: [u8; TUPLE_BYTES]) -> Self {
        Self {
            guard: u16::from_be_bytes([b[0], b[1]]),
            application: u16::from_be_bytes([b[2], b[3]]),
            reference: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// As it lies in metadata.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; TUPLE_BYTES] {
        let ([a, b], [c, d]) = (self.guard.to_be_bytes(), self.application.to_be_bytes());
        let [e, f, g, h] = self.reference.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }
}
