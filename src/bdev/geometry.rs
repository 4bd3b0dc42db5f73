//! What shape a block device has: its blocks, and the limits that the layer keeps for it.
//!
//! Stated once by a module, checked at registration, asked by `channel` and `split` for every I/O.

use std::ops::Range;

use super::{Error, Metadata, Op, Result, ZoneShape};
use crate::sys::dma;

/// Blocks, their size, and what an I/O may look like when it reaches the module.
///
/// ```
/// use reactor::bdev::Geometry;
///
/// let g = Geometry::new(512, 2048).with_max_io_blocks(256);
/// assert_eq!(g.len_bytes(), 1 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Geometry {
    /// Bytes in a block: the unit of every range and length.
    pub block_size: u32,
    /// Blocks on the device.
    pub block_count: u64,
    /// The largest I/O that the module takes, in blocks; the layer splits larger ones. Zero: any size.
    pub max_io_blocks: u32,
    /// Blocks at whose multiples the layer splits, such as a stripe. Zero: none.
    pub optimal_io_boundary: u32,
    /// What a buffer's address must be a multiple of, at most [`dma::ALIGN`]. Whole buffers always are.
    pub buffer_align: u32,
    /// The most buffers of one read or write that the module takes as a list; the layer takes longer lists apart. At 1, the usual
    /// number, it never sees a list.
    pub max_segments: u32,
    /// The largest unmap in blocks. Zero: any size.
    pub max_unmap_blocks: u32,
    /// The largest write of zeroes in blocks. Zero: any size.
    pub max_write_zeroes_blocks: u32,
    /// The largest copy in blocks. Zero: any size.
    pub max_copy_blocks: u32,
    /// The largest compare-and-write that the module does as one step, in blocks. Zero: any size.
    pub atomic_compare_blocks: u32,
    /// Blocks that are best written together, at multiples of so many: smaller writes cost the device more. At least 1.
    pub write_unit: u32,
    /// Bytes that the device itself handles as one, a multiple of the block size.
    pub physical_block_size: u32,
    /// Bytes beside the data of each block, if there are any.
    pub metadata: Option<Metadata>,
    /// The zones, if it has them.
    pub zones: Option<ZoneShape>,
    /// True if a write is durable only after a flush.
    pub write_cache: bool,
    /// True if reads return what was written. A null device does not keep it.
    pub keeps_data: bool,
    /// True if nothing can be written, whatever the caller's access.
    pub read_only: bool,
}

impl Geometry {
    /// A device of `block_count` blocks of `block_size` bytes, without limits or cache.
    #[must_use]
    pub const fn new(block_size: u32, block_count: u64) -> Self {
        Self {
            block_size,
            block_count,
            max_io_blocks: 0,
            optimal_io_boundary: 0,
            buffer_align: 1,
            max_segments: 1,
            max_unmap_blocks: 0,
            max_write_zeroes_blocks: 0,
            max_copy_blocks: 0,
            atomic_compare_blocks: 0,
            write_unit: 1,
            physical_block_size: block_size,
            metadata: None,
            zones: None,
            write_cache: false,
            keeps_data: true,
            read_only: false,
        }
    }

    /// The same with a largest I/O.
    #[must_use]
    pub const fn with_max_io_blocks(mut self, blocks: u32) -> Self {
        self.max_io_blocks = blocks;
        self
    }

    /// The same with a boundary that no I/O crosses.
    #[must_use]
    pub const fn with_optimal_io_boundary(mut self, blocks: u32) -> Self {
        self.optimal_io_boundary = blocks;
        self
    }

    /// The same with an alignment of buffer addresses in bytes.
    #[must_use]
    pub const fn with_buffer_align(mut self, bytes: u32) -> Self {
        self.buffer_align = bytes;
        self
    }

    /// The same with a longest list of buffers.
    #[must_use]
    pub const fn with_max_segments(mut self, segments: u32) -> Self {
        self.max_segments = segments;
        self
    }

    /// The same with a largest unmap.
    #[must_use]
    pub const fn with_max_unmap_blocks(mut self, blocks: u32) -> Self {
        self.max_unmap_blocks = blocks;
        self
    }

    /// The same with a largest write of zeroes.
    #[must_use]
    pub const fn with_max_write_zeroes_blocks(mut self, blocks: u32) -> Self {
        self.max_write_zeroes_blocks = blocks;
        self
    }

    /// The same with a largest copy.
    #[must_use]
    pub const fn with_max_copy_blocks(mut self, blocks: u32) -> Self {
        self.max_copy_blocks = blocks;
        self
    }

    /// The same with a largest compare-and-write.
    #[must_use]
    pub const fn with_atomic_compare_blocks(mut self, blocks: u32) -> Self {
        self.atomic_compare_blocks = blocks;
        self
    }

    /// The same with blocks that are best written together.
    #[must_use]
    pub const fn with_write_unit(mut self, blocks: u32) -> Self {
        self.write_unit = blocks;
        self
    }

    /// The same with a size of what the device itself handles as one.
    #[must_use]
    pub const fn with_physical_block_size(mut self, bytes: u32) -> Self {
        self.physical_block_size = bytes;
        self
    }

    /// The same with or without metadata.
    #[must_use]
    pub const fn with_metadata(mut self, metadata: Option<Metadata>) -> Self {
        self.metadata = metadata;
        self
    }

    /// The same with or without zones.
    #[must_use]
    pub const fn with_zones(mut self, zones: Option<ZoneShape>) -> Self {
        self.zones = zones;
        self
    }

    /// The same with or without a volatile write cache.
    #[must_use]
    pub const fn with_write_cache(mut self, write_cache: bool) -> Self {
        self.write_cache = write_cache;
        self
    }

    /// The same, keeping what is written or not.
    #[must_use]
    pub const fn with_keeps_data(mut self, keeps_data: bool) -> Self {
        self.keeps_data = keeps_data;
        self
    }

    /// The same, writable or not.
    #[must_use]
    pub const fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Bytes on the device.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.block_count * self.block_size as u64
    }

    /// Bytes of data in a block: what is left of it without interleaved metadata.
    #[must_use]
    pub const fn data_size(&self) -> u32 {
        match self.metadata {
            Some(Metadata { bytes, interleaved: true, .. }) => self.block_size - bytes,
            _ => self.block_size,
        }
    }

    /// The metadata that is part of the blocks, if there is any: whoever hands blocks on hands it on.
    pub(super) fn metadata_within(&self) -> Option<Metadata> {
        self.metadata.filter(|metadata| metadata.interleaved)
    }

    /// Checks what a module states, at registration.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] with what is wrong.
    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::BadGeometry { reason });
        if self.block_size == 0 || self.block_count == 0 {
            return wrong(format!("{} blocks of {} bytes hold nothing", self.block_count, self.block_size));
        }
        if self.block_count.checked_mul(self.block_size.into()).is_none_or(|n| n > i64::MAX as u64) {
            return wrong(format!("{} blocks of {} bytes exceed 2^63", self.block_count, self.block_size));
        }
        if !self.buffer_align.is_power_of_two() || self.buffer_align as usize > dma::ALIGN {
            return wrong(format!(
                "buffer alignment {} is no power of two up to {}",
                self.buffer_align,
                dma::ALIGN
            ));
        }
        let step = u64::from(self.block_size) % u64::from(self.buffer_align);
        if step != 0 {
            return wrong(format!(
                "blocks of {} bytes break the buffer alignment of {} when an I/O is split",
                self.block_size, self.buffer_align
            ));
        }
        if self.max_segments == 0 || self.write_unit == 0 {
            return wrong("a list has at least one buffer, and a write at least one block".to_owned());
        }
        if self.physical_block_size % self.block_size != 0 {
            return wrong(format!(
                "{} bytes that are handled as one are not whole blocks of {}",
                self.physical_block_size, self.block_size
            ));
        }
        if let Some(metadata) = self.metadata {
            metadata.validate(self.block_size)?;
        }
        if self.zones.is_some_and(|zones| zones.blocks == 0 || zones.blocks > self.block_count) {
            return wrong(format!("{:?} on {} blocks", self.zones, self.block_count));
        }
        Ok(())
    }

    /// Blocks in `range` if it lies on a device of `block_count` blocks.
    #[inline]
    pub(super) fn check(range: &Range<u64>, block_count: u64) -> Result<u64> {
        // The order matters: `end` is compared first, so nothing here can overflow.
        if range.end <= block_count && range.start < range.end {
            return Ok(range.end - range.start);
        }
        Err(if range.start >= range.end {
            Error::EmptyRange { start: range.start, end: range.end }
        } else {
            Error::OutOfRange { start: range.start, end: range.end, block_count }
        })
    }

    /// The most blocks of one `op`; zero for any number.
    #[inline(always)]
    const fn max_blocks(&self, op: Op) -> u32 {
        match op {
            Op::WriteZeroes => self.max_write_zeroes_blocks,
            Op::Unmap => self.max_unmap_blocks,
            Op::Copy => self.max_copy_blocks,
            _ => self.max_io_blocks,
        }
    }

    /// True if the module takes `op` on `blocks` from `lba` on as they are.
    #[inline(always)]
    pub(super) fn takes_whole(&self, op: Op, lba: u64, blocks: u64) -> bool {
        let max = u64::from(self.max_blocks(op));
        (max == 0 || blocks <= max)
            && (self.optimal_io_boundary == 0 || {
                let boundary = u64::from(self.optimal_io_boundary);
                lba / boundary == (lba + blocks - 1) / boundary
            })
    }

    /// How many of `blocks` from `lba` on make the next `op` that the module takes.
    pub(super) fn first_piece(&self, op: Op, lba: u64, blocks: u64) -> u64 {
        let mut piece = blocks;
        let max = self.max_blocks(op);
        if max != 0 {
            piece = piece.min(max.into());
        }
        if self.optimal_io_boundary != 0 {
            let boundary = u64::from(self.optimal_io_boundary);
            piece = piece.min(boundary - lba % boundary);
        }
        piece
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::bdev::{Protection, ProtectionType};

    #[test]
    fn pieces_cover_the_range_and_each_is_taken_whole() {
        const OPS: [Op; 3] = [Op::Read, Op::WriteZeroes, Op::Unmap];
        for boundary in [0, 1, 3, 8, 16] {
            for (max, op) in [0, 1, 5, 8, 64].into_iter().flat_map(|max| OPS.map(|op| (max, op))) {
                let g = Geometry::new(512, 100).with_optimal_io_boundary(boundary);
                let g = match op {
                    Op::WriteZeroes => g.with_max_write_zeroes_blocks(max),
                    Op::Unmap => g.with_max_unmap_blocks(max),
                    _ => g.with_max_io_blocks(max),
                };
                for lba in 0..20 {
                    for blocks in 1..40 {
                        let (mut at, mut pieces) = (lba, 0);
                        while at < lba + blocks {
                            let piece = g.first_piece(op, at, lba + blocks - at);
                            assert!(g.takes_whole(op, at, piece), "{g:?} {at}+{piece}");
                            at += piece;
                            pieces += 1;
                        }
                        assert_eq!(at, lba + blocks);
                        assert_eq!(pieces == 1, g.takes_whole(op, lba, blocks));
                    }
                }
            }
        }
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
    fn ranges_at_the_edges_are_told_apart() {
        let check = |range| Geometry::check(&range, 100);
        assert_eq!(check(0..100).unwrap(), 100);
        assert!(matches!(check(5..5), Err(Error::EmptyRange { .. })));
        assert!(matches!(check(6..5), Err(Error::EmptyRange { .. })));
        assert!(matches!(check(99..101), Err(Error::OutOfRange { .. })));
        assert!(matches!(check(u64::MAX - 1..u64::MAX), Err(Error::OutOfRange { .. })));
        assert!(matches!(check(0..u64::MAX), Err(Error::OutOfRange { .. })));
        assert!(matches!(check(u64::MAX..u64::MAX), Err(Error::EmptyRange { .. })));
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let protected = |bytes, protection: Protection| {
            Geometry::new(512, 1).with_metadata(Some(Metadata::separate(bytes).with_protection(protection)))
        };
        let bad = [
            Geometry::new(0, 1),
            Geometry::new(512, 0),
            Geometry::new(512, u64::MAX),
            Geometry::new(512, 1 << 55),
            Geometry::new(512, 1).with_buffer_align(3),
            Geometry::new(512, 1).with_buffer_align(8192),
            Geometry::new(512, 1).with_buffer_align(4096),
            Geometry::new(512, 1).with_max_segments(0),
            Geometry::new(512, 1).with_write_unit(0),
            Geometry::new(512, 1).with_physical_block_size(513),
            Geometry::new(512, 1).with_metadata(Some(Metadata::interleaved(512))),
            Geometry::new(512, 1).with_metadata(Some(Metadata::separate(0))),
            protected(4, Protection::new(ProtectionType::Type1)),
            protected(8, Protection::new(ProtectionType::Type3).with_checks(true, true)),
            protected(8, Protection::new(ProtectionType::Type1).with_application(0xffff, 0)),
            Geometry::new(512, 1).with_zones(Some(ZoneShape { blocks: 2, ..ZoneShape::default() })),
            Geometry::new(512, 1).with_zones(Some(ZoneShape::default())),
        ];
        for g in bad {
            assert!(matches!(g.validate(), Err(Error::BadGeometry { .. })), "{g:?}");
        }
        Geometry::new(520, 1 << 40).with_buffer_align(8).validate().unwrap();
    }
}
