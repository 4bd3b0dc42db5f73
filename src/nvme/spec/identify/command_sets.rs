//! What Identify tells about one command set: the NVM Command Set's limits, and zones.

use zerocopy::little_endian::{U16, U32, U64};

layout! {
    /// Identify Controller of the NVM Command Set, CNS 06h, CSI 0 (NVM Command Set 1.0 §4.1.5.4).
    IdentifyNvmController: 4096 {
        /// VSL: the largest Verify, in smallest pages as a power of two; 0 is not told.
        0 pub verify_max: u8,
        /// WZSL: the largest Write Zeroes, likewise.
        1 pub write_zeroes_max: u8,
        /// WUSL: the largest Write Uncorrectable, likewise.
        2 pub write_uncorrectable_max: u8,
        /// DMRL: the most ranges of a Dataset Management; 0 is 256.
        3 pub dataset_ranges_max: u8,
        /// DMRSL: the most blocks of one range; 0 is not told.
        4 pub dataset_range_max: U32,
        /// DMSL: the most blocks of all ranges; 0 is not told.
        8 pub dataset_max: U64,
        16 reserved16: [u8; 4080],
    }
}

layout! {
    /// Identify Namespace of the NVM Command Set, CNS 05h, CSI 0 (NVM Command Set 1.0 §4.1.5.3).
    IdentifyNvmNamespace: 4096 {
        /// LBSTM: which bits of the storage tag to look at.
        0 pub storage_tag_mask: U64,
        /// PIC: protection information capabilities.
        8 pub protection: u8,
        9 reserved9: [u8; 3],
        /// ELBAF0 to ELBAF63.
        12 pub formats: [ExtendedFormat; 64],
        268 reserved268: [u8; 3828],
    }
}

bits! {
    /// What a format is besides [`LbaFormat`](super::LbaFormat) (NVM Command Set 1.0 §4.1.5.3).
    ExtendedFormat(u32) {
        => fields {
            /// STS: bits of the storage tag.
            storage_tag_bits: 0, 7;
            /// PIF: 0 16-bit guard, 1 32-bit guard, 2 64-bit guard.
            guard: 7, 2;
        }
    }
}

layout! {
    /// Identify Controller of zoned namespaces, CNS 06h, CSI 2 (ZNS 1.1 §4.1.5.2).
    IdentifyZonedController: 4096 {
        /// ZASL: the largest Zone Append, in smallest pages as a power of two; 0 is that of all transfers.
        0 pub append_max: u8,
        1 reserved1: [u8; 4095],
    }
}

layout! {
    /// Identify Namespace of zoned namespaces, CNS 05h, CSI 2 (ZNS 1.1 §4.1.5.1).
    IdentifyZonedNamespace: 4096 {
        /// ZOC.
        0 pub capabilities: ZoneCapabilities,
        /// OZCS.
        2 pub options: ZonedCommands,
        /// MAR: zones that may be active, less one; all ones is no limit.
        4 pub active_max: U32,
        /// MOR: zones that may be open, likewise.
        8 pub open_max: U32,
        /// RRL, FRL, then RRL1 to RRL3 and FRL1 to FRL3: recommended limits, in seconds.
        12 pub limits_s: [U32; 8],
        /// NUMZRWA: how many Zone Random Write Areas; this and the next three by TP 4076.
        44 pub random_write_areas: U32,
        /// ZRWAFG: their flush granularity, in blocks.
        48 pub random_write_granularity: U16,
        /// ZRWASZ: their size, in blocks.
        50 pub random_write_size: U16,
        /// ZRWACAP: bit 0: they are committed explicitly.
        52 pub random_write_capabilities: u8,
        53 reserved53: [u8; 2763],
        /// LBAFE0 to LBAFE63, beside the formats of Identify Namespace.
        2816 pub formats: [ZonedFormat; 64],
        /// The vendor's.
        3840 pub vendor_specific: [u8; 256],
    }
}

bits! {
    /// ZOC: how zones behave (ZNS 1.1 §4.1.5.1).
    ZoneCapabilities(u16) {
        /// Their capacity may change when they are reset.
        has_variable_capacity: 0;
        /// They may be finished by the controller itself.
        has_excursions: 1;
    }
}

bits! {
    /// OZCS: which optional commands and features (ZNS 1.1 §4.1.5.1).
    ZonedCommands(u16) {
        /// Reads may cross zones.
        reads_across_zones: 0;
        /// Zone Random Write Areas (TP 4076).
        has_random_write_areas: 1;
    }
}

layout! {
    /// The zones of one format (ZNS 1.1 §4.1.5.1).
    ZonedFormat: 16 {
        /// ZSZE: blocks from one zone to the next.
        0 pub zone_blocks: U64,
        /// ZDES: bytes that a zone's descriptor can be extended by, in units of 64.
        8 pub extension: u8,
        9 reserved9: [u8; 7],
    }
}
