//! What a software controller is like, and what its namespaces are like.

use super::super::spec::Version;

/// What a software controller is like.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SoftConfig {
    /// Blocks of its first namespace.
    pub blocks: u64,
    /// Bytes of a block of that, as a power of two: 9 to 16.
    pub block_shift: u8,
    /// Entries of its largest queue.
    pub queue_entries: u32,
    /// The most of one transfer, in pages as a power of two; 0 is no limit.
    pub transfer_max: u8,
    /// How many I/O queues of either kind it gives, 1 to 64.
    pub queues: u16,
    /// Interrupt vectors, up to 64. None: its queues are polled.
    pub vectors: u16,
    /// Whether commands may point to data by SGLs.
    pub has_sgl: bool,
    /// Whether it takes doorbells from memory (Doorbell Buffer Config).
    pub has_shadow_doorbells: bool,
    /// Whether it looks at those by itself, and wants no doorbell rung.
    pub polls_shadow_doorbells: bool,
    /// Whether a command that points where the driver has shown no buffer is a panic. It costs time: with debug assertions alone.
    pub is_strict: bool,
    /// What it says it keeps to.
    pub version: Version,
}

impl Default for SoftConfig {
    fn default() -> Self {
        Self {
            blocks: 2048,
            block_shift: 9,
            queue_entries: 1024,
            transfer_max: 0,
            queues: 16,
            vectors: 0,
            has_sgl: true,
            has_shadow_doorbells: false,
            polls_shadow_doorbells: false,
            is_strict: cfg!(debug_assertions),
            version: Version::new(2, 0, 0),
        }
    }
}

impl SoftConfig {
    pub(super) fn validate(&self) {
        assert!((9..=16).contains(&self.block_shift) && self.blocks > 0, "{self:?}");
        assert!((2..=1 << 16).contains(&self.queue_entries), "{self:?}");
        assert!((1..=64).contains(&self.queues) && self.vectors <= 64, "{self:?}");
    }

    pub(super) fn namespace(&self) -> SoftNamespace {
        SoftNamespace::new(self.blocks, self.block_shift)
    }
}

/// What a namespace of a software controller is like.
///
/// ```
/// use reactor::nvme::soft::{SoftController, SoftNamespace};
/// let device = SoftController::default();
/// let mut protected = SoftNamespace::new(256, 12);
/// (protected.metadata_bytes, protected.protection) = (8, 1);
/// assert_eq!(device.add_namespace(protected), 2);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SoftNamespace {
    /// How many blocks it has.
    pub blocks: u64,
    /// Bytes of a block, as a power of two: 9 to 16.
    pub block_shift: u8,
    /// Bytes of metadata of a block.
    pub metadata_bytes: u16,
    /// Metadata stands behind each block's data, not apart.
    pub is_extended: bool,
    /// The type of protection information, 1 to 3; 0 is none. It takes 8 bytes of metadata.
    pub protection: u8,
    /// Protection information stands first in the metadata, not last.
    pub is_protection_first: bool,
    /// NOIOB: what I/O should not cross, in blocks; 0 is not told.
    pub io_boundary: u16,
    /// Zones, of a zoned namespace.
    pub zones: Option<SoftZones>,
    /// ANA group; 0 takes the namespace's identifier.
    pub ana_group: u32,
}

/// The zones of a namespace.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SoftZones {
    /// Blocks from one zone to the next.
    pub zone_blocks: u64,
    /// Blocks of a zone that can be written.
    pub capacity: u64,
    /// Zones that may be open; 0 is no limit.
    pub open_max: u32,
    /// Zones that may be open or closed; 0 is no limit.
    pub active_max: u32,
    /// Whether reads may cross zones.
    pub reads_cross: bool,
}

impl SoftNamespace {
    /// So many blocks of 1 shifted left by `block_shift` bytes, and nothing else.
    pub fn new(blocks: u64, block_shift: u8) -> Self {
        Self {
            blocks,
            block_shift,
            metadata_bytes: 0,
            is_extended: false,
            protection: 0,
            is_protection_first: false,
            io_boundary: 0,
            zones: None,
            ana_group: 0,
        }
    }

    pub(super) fn validate(&self) {
        assert!((9..=16).contains(&self.block_shift) && self.blocks > 0, "{self:?}");
        assert!(self.protection <= 3 && (self.protection == 0 || self.metadata_bytes >= 8), "{self:?}");
        assert!(self.metadata_bytes % 4 == 0, "metadata in doublewords: {self:?}");
        if let Some(zones) = self.zones {
            assert!(self.protection == 0, "zones here have no protection: {self:?}");
            assert!(zones.capacity > 0 && zones.capacity <= zones.zone_blocks, "{self:?}");
            assert!(self.blocks % zones.zone_blocks == 0, "whole zones: {self:?}");
        }
    }
}

impl SoftZones {
    /// Zones of so many blocks, all of which can be written, and any number of which may be open.
    pub fn new(zone_blocks: u64) -> Self {
        Self { zone_blocks, capacity: zone_blocks, open_max: 0, active_max: 0, reads_cross: true }
    }
}
