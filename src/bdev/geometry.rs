//! What shape a block device has: its blocks, and the limits that the layer keeps for it.
//!
//! Stated once by a module, checked at registration, asked by `channel` and `split` for every I/O.

use std::ops::Range;

use super::{Error, Result};
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

    /// True if the module takes `blocks` from `lba` on as they are.
    #[inline(always)]
    pub(super) fn takes_whole(&self, lba: u64, blocks: u64) -> bool {
        (self.max_io_blocks == 0 || blocks <= u64::from(self.max_io_blocks))
            && (self.optimal_io_boundary == 0 || {
                let boundary = u64::from(self.optimal_io_boundary);
                lba / boundary == (lba + blocks - 1) / boundary
            })
    }

    /// How many of `blocks` from `lba` on make the next I/O that the module takes.
    pub(super) fn first_piece(&self, lba: u64, blocks: u64) -> u64 {
        let mut piece = blocks;
        if self.max_io_blocks != 0 {
            piece = piece.min(self.max_io_blocks.into());
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

    #[test]
    fn pieces_cover_the_range_and_each_is_taken_whole() {
        for boundary in [0, 1, 3, 8, 16] {
            for max in [0, 1, 5, 8, 64] {
                let g = Geometry::new(512, 100).with_max_io_blocks(max).with_optimal_io_boundary(boundary);
                for lba in 0..20 {
                    for blocks in 1..40 {
                        let (mut at, mut pieces) = (lba, 0);
                        while at < lba + blocks {
                            let piece = g.first_piece(at, lba + blocks - at);
                            assert!(g.takes_whole(at, piece), "{g:?} {at}+{piece}");
                            at += piece;
                            pieces += 1;
                        }
                        assert_eq!(at, lba + blocks);
                        assert_eq!(pieces == 1, g.takes_whole(lba, blocks));
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
        let bad = [
            Geometry::new(0, 1),
            Geometry::new(512, 0),
            Geometry::new(512, u64::MAX),
            Geometry::new(512, 1 << 55),
            Geometry::new(512, 1).with_buffer_align(3),
            Geometry::new(512, 1).with_buffer_align(8192),
            Geometry::new(512, 1).with_buffer_align(4096),
        ];
        for g in bad {
            assert!(matches!(g.validate(), Err(Error::BadGeometry { .. })), "{g:?}");
        }
        Geometry::new(520, 1 << 40).with_buffer_align(8).validate().unwrap();
    }
}
