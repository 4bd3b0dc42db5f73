//! What one command takes, by the controller and the namespace.

use super::super::prp::PAGE;
use super::super::spec::{
    IdentifyController, IdentifyNamespace, IdentifyNvmController, IdentifyZonedController,
};

/// What one command takes. Longer requests are [split](super::super::Channel) by these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NamespaceLimits {
    /// Bytes of data, with metadata where that stands behind each block (MDTS).
    pub transfer_bytes: u64,
    /// Reads and writes had better not cross multiples of so many blocks; 0 is not told (NOIOB).
    pub boundary_blocks: u64,
    /// Blocks of a Write Zeroes (WZSL).
    pub write_zeroes_blocks: u64,
    /// Blocks of a Verify (VSL).
    pub verify_blocks: u64,
    /// Blocks of a Write Uncorrectable (WUSL).
    pub uncorrectable_blocks: u64,
    /// Ranges of a Dataset Management (DMRL).
    pub dataset_ranges: usize,
    /// Blocks of one such range (DMRSL).
    pub dataset_range_blocks: u64,
    /// Blocks of all of them (DMSL).
    pub dataset_blocks: u64,
    /// Ranges of a Copy (MSRC).
    pub copy_ranges: usize,
    /// Blocks of one such range (MSSRL).
    pub copy_range_blocks: u64,
    /// Blocks of all of them (MCL).
    pub copy_blocks: u64,
    /// Blocks of a compare and write (NACWU, ACWU).
    pub compare_and_write_blocks: u64,
    /// Bytes of a Zone Append (ZASL).
    pub append_bytes: u64,
}

/// Blocks of one command: NLB is of 16 bits, less one.
pub(in crate::nvme) const BLOCKS_MAX: u64 = 1 << 16;

impl NamespaceLimits {
    pub(super) fn of(
        controller: &IdentifyController,
        namespace: &IdentifyNamespace,
        nvm: &IdentifyNvmController,
        zoned: &IdentifyZonedController,
        block_size: u32,
    ) -> Self {
        let transfer_bytes = controller.transfer_bytes_max(PAGE).unwrap_or(u64::MAX);
        // In smallest pages as a power of two; what cannot be expressed is no limit.
        let bytes = |shift: u8| match shift {
            0 => u64::MAX,
            shift => {
                PAGE.checked_shl(shift.into()).filter(|&bytes| bytes >> shift == PAGE).unwrap_or(u64::MAX)
            }
        };
        let blocks = |shift: u8| (bytes(shift) / u64::from(block_size)).clamp(1, BLOCKS_MAX);
        let or_all = |told: u64, all: u64| if told == 0 { all } else { told };
        let has_atomics = namespace.features.has_atomics() && namespace.atomic_compare_write.get() > 0;
        let compare_write =
            if has_atomics { namespace.atomic_compare_write } else { controller.atomic_compare_write };
        Self {
            transfer_bytes,
            boundary_blocks: namespace.io_boundary.get().into(),
            write_zeroes_blocks: blocks(nvm.write_zeroes_max),
            verify_blocks: blocks(nvm.verify_max),
            uncorrectable_blocks: blocks(nvm.write_uncorrectable_max),
            dataset_ranges: or_all(nvm.dataset_ranges_max.into(), 256) as usize,
            dataset_range_blocks: or_all(nvm.dataset_range_max.get().into(), u32::MAX.into()),
            dataset_blocks: or_all(nvm.dataset_max.get(), u64::MAX),
            copy_ranges: usize::from(namespace.copy_ranges_max) + 1,
            copy_range_blocks: u64::from(namespace.copy_range_max.get()).clamp(1, BLOCKS_MAX),
            copy_blocks: u64::from(namespace.copy_max.get()).max(1),
            compare_and_write_blocks: u64::from(compare_write.get()) + 1,
            append_bytes: bytes(zoned.append_max).min(transfer_bytes),
        }
    }
}
