//! The commands of the NVM Command Set: what I/O queues of most namespaces take.

use super::{Command, IoOpcode};
use zerocopy::little_endian::{U16, U32, U64};

bits! {
    /// Dword 12 of reads, writes and their kin (NVM Command Set 1.0 §3.2.4, §3.2.6).
    IoControl(u32) {
        /// DEAC: written zeroes may be deallocated, of Write Zeroes alone.
        may_deallocate / with_may_deallocate: 25;
        /// FUA: on the media itself, past the volatile write cache.
        is_forced / with_forced: 30;
        /// LR: with less effort than usual to recover errors.
        has_limited_retry / with_limited_retry: 31;
        => fields {
            /// NLB: blocks, less one.
            nlb / with_nlb: 0, 16;
            /// DTYPE: the kind of directive.
            directive / with_directive: 20, 4;
            /// PRINFO: what to do with protection information: PRACT, then which of guard, application and reference tag to check.
            protection / with_protection: 26, 4;
        }
    }
}

impl Command {
    /// Reads `blocks` from `lba` on (NVM Command Set 1.0 §3.2.4).
    ///
    /// # Panics
    /// If `blocks` is 0 or above 65,536; this is true of all commands here.
    #[must_use]
    #[inline(always)]
    pub const fn read(nsid: u32, lba: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::READ, nsid, lba, blocks)
    }

    /// Writes `blocks` from `lba` on (NVM Command Set 1.0 §3.2.6).
    #[must_use]
    #[inline(always)]
    pub const fn write(nsid: u32, lba: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::WRITE, nsid, lba, blocks)
    }

    /// Compares `blocks` from `lba` on with the data (NVM Command Set 1.0 §3.2.1).
    #[must_use]
    pub const fn compare(nsid: u32, lba: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::COMPARE, nsid, lba, blocks)
    }

    /// Has `blocks` from `lba` on read as zeroes (NVM Command Set 1.0 §3.2.8).
    #[must_use]
    pub const fn write_zeroes(nsid: u32, lba: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::WRITE_ZEROES, nsid, lba, blocks)
    }

    /// Has reads of `blocks` from `lba` on fail until they are written again (NVM Command Set 1.0 §3.2.7).
    #[must_use]
    pub const fn write_uncorrectable(nsid: u32, lba: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::WRITE_UNCORRECTABLE, nsid, lba, blocks)
    }

    /// Checks that `blocks` from `lba` on can be read, without a transfer (NVM Command Set 1.0 §3.2.5).
    #[must_use]
    pub const fn verify(nsid: u32, lba: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::VERIFY, nsid, lba, blocks)
    }

    /// Has all that was written and completed survive a loss of power (Base 2.0 §7.1).
    #[must_use]
    #[inline(always)]
    pub const fn flush(nsid: u32) -> Self {
        Self::io(IoOpcode::FLUSH, nsid, [0; 6])
    }

    /// Tells of `ranges` [`DatasetRange`]s, which are its data (NVM Command Set 1.0 §3.2.3).
    ///
    /// # Panics
    /// If `ranges` is 0 or above 256.
    #[must_use]
    pub const fn dataset_management(nsid: u32, ranges: u32, attributes: DatasetAttributes) -> Self {
        assert!(ranges >= 1 && ranges <= 256, "a command takes 1 to 256 ranges");
        Self::io(IoOpcode::DATASET_MANAGEMENT, nsid, [ranges - 1, attributes.bits(), 0, 0, 0, 0])
    }

    /// Copies `ranges` [`CopyRange`]s, which are its data, to `lba` and on (NVM Command Set 1.0 §3.2.2, descriptor format 0).
    ///
    /// # Panics
    /// If `ranges` is 0 or above 256.
    #[must_use]
    pub const fn copy(nsid: u32, lba: u64, ranges: u32) -> Self {
        assert!(ranges >= 1 && ranges <= 256, "a command takes 1 to 256 ranges");
        Self::io(IoOpcode::COPY, nsid, [lba as u32, (lba >> 32) as u32, ranges - 1, 0, 0, 0])
    }

    #[inline(always)]
    pub(in super::super) const fn of_blocks(opcode: IoOpcode, nsid: u32, lba: u64, blocks: u32) -> Self {
        assert!(blocks >= 1 && blocks <= 1 << 16, "a command takes 1 to 65,536 blocks");
        Self::io(opcode, nsid, [lba as u32, (lba >> 32) as u32, blocks - 1, 0, 0, 0])
    }

    /// SLBA: the first block of a read, a write and their kin.
    #[inline]
    pub const fn start_lba(&self) -> u64 {
        self.cdw10_11()
    }

    /// NLB: how many blocks a read, a write and their kin have.
    #[inline]
    pub const fn block_count(&self) -> u32 {
        self.io_control().nlb() + 1
    }

    /// NR: how many ranges a Dataset Management has, or a Copy.
    pub const fn range_count(&self) -> u32 {
        let dword = if self.opcode() == IoOpcode::COPY.0 { self.cdw(12) } else { self.cdw(10) };
        (dword & 0xff) + 1
    }

    /// Dword 12 of reads, writes and their kin.
    #[inline]
    pub const fn io_control(&self) -> IoControl {
        IoControl::from_bits(self.cdw(12))
    }

    /// With the tags of protection information in Dwords 14 and 15: the reference tag of the first block, the application tag, and
    /// which of its bits are checked; for a guard of 16 bits and no storage tag (NVM Command Set 1.0 §5.2.1.1).
    #[must_use]
    #[inline(always)]
    pub const fn with_tags(self, reference: u32, application: u16, application_mask: u16) -> Self {
        self.with_cdw(14, reference).with_cdw(15, application as u32 | (application_mask as u32) << 16)
    }

    /// With another Dword 12.
    #[must_use]
    pub const fn with_io_control(self, control: IoControl) -> Self {
        self.with_cdw(12, control.bits())
    }
}

bits! {
    /// Dword 11 of Dataset Management (NVM Command Set 1.0 §3.2.3).
    DatasetAttributes(u32) {
        /// IDR: the ranges will be read soon.
        will_be_read / with_will_be_read: 0;
        /// IDW: the ranges will be written soon.
        will_be_written / with_will_be_written: 1;
        /// AD: nobody needs what is in the ranges.
        deallocates / with_deallocates: 2;
    }
}

layout! {
    /// One range of a Dataset Management command (NVM Command Set 1.0 §3.2.3).
    DatasetRange: 16 {
        /// Context attributes: hints that a deallocation has no use for.
        0 pub attributes: U32,
        /// How many blocks.
        4 pub blocks: U32,
        /// The first.
        8 pub lba: U64,
    }
}

impl DatasetRange {
    /// So many blocks from `lba` on.
    pub const fn new(lba: u64, blocks: u32) -> Self {
        Self { attributes: U32::ZERO, blocks: U32::new(blocks), lba: U64::new(lba) }
    }
}

layout! {
    /// One source of a Copy command, in format 0 (NVM Command Set 1.0 §3.2.2).
    CopyRange: 32 {
        0 reserved0: [u8; 8],
        /// SLBA: the first block.
        8 pub lba: U64,
        /// NLB: blocks, less one.
        16 pub nlb: U16,
        18 reserved18: [u8; 6],
        /// EILBRT: the reference tag to expect first.
        24 pub reference_tag: U32,
        /// ELBAT: the application tag to expect.
        28 pub application_tag: U16,
        /// ELBATM: which of its bits.
        30 pub application_tag_mask: U16,
    }
}

impl CopyRange {
    /// So many blocks from `lba` on.
    ///
    /// # Panics
    /// If `blocks` is 0 or above 65,536.
    pub const fn new(lba: u64, blocks: u32) -> Self {
        assert!(blocks >= 1 && blocks <= 1 << 16, "a range has 1 to 65,536 blocks");
        Self {
            reserved0: [0; 8],
            lba: U64::new(lba),
            nlb: U16::new((blocks - 1) as u16),
            reserved18: [0; 6],
            reference_tag: U32::ZERO,
            application_tag: U16::ZERO,
            application_tag_mask: U16::ZERO,
        }
    }
}
