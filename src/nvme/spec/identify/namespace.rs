//! Identify Namespace: what a namespace is, and the formats that its blocks may have.

use zerocopy::little_endian::{U16, U32, U64, U128};

layout! {
    /// The Identify Namespace data structure, CNS 00h (NVM Command Set 1.0 §4.1.5.1, Figure 97).
    IdentifyNamespace: 4096 {
        /// NSZE: how many blocks it has.
        0 pub size: U64,
        /// NCAP: how many may be allocated.
        8 pub capacity: U64,
        /// NUSE: how many are.
        16 pub used: U64,
        /// NSFEAT.
        24 pub features: NamespaceFeatures,
        /// NLBAF: formats, less one.
        25 pub formats_max: u8,
        /// FLBAS: the one in use.
        26 pub format: FormatIndex,
        /// MC.
        27 pub metadata: MetadataCapabilities,
        /// DPC.
        28 pub protection_capabilities: ProtectionCapabilities,
        /// DPS: what it has.
        29 pub protection: DataProtection,
        /// NMIC.
        30 pub sharing: NamespaceSharing,
        /// RESCAP.
        31 pub reservations: ReservationSupport,
        /// FPI.
        32 pub format_progress: FormatProgress,
        /// DLFEAT.
        33 pub deallocate: DeallocateFeatures,
        /// NAWUN: blocks that are written atomically, less one.
        34 pub atomic_write: U16,
        /// NAWUPF: the same if power fails.
        36 pub atomic_write_power_fail: U16,
        /// NACWU: blocks of an atomic compare and write, less one.
        38 pub atomic_compare_write: U16,
        /// NABSN: the atomic boundary, less one; 0 is none.
        40 pub atomic_boundary: U16,
        /// NABO: where the first boundary is.
        42 pub atomic_offset: U16,
        /// NABSPF: the boundary if power fails.
        44 pub atomic_boundary_power_fail: U16,
        /// NOIOB: I/O should not cross multiples of so many blocks; 0 is not told.
        46 pub io_boundary: U16,
        /// NVMCAP: bytes of NVM that it takes.
        48 pub capacity_bytes: U128,
        /// NPWG: preferred write granularity, in blocks, less one; this and the next four if the features say so.
        64 pub write_granularity: U16,
        /// NPWA: preferred write alignment, likewise.
        66 pub write_alignment: U16,
        /// NPDG: preferred deallocate granularity, likewise.
        68 pub deallocate_granularity: U16,
        /// NPDA: preferred deallocate alignment, likewise.
        70 pub deallocate_alignment: U16,
        /// NOWS: optimal write size, likewise.
        72 pub optimal_write: U16,
        /// MSSRL: blocks of the longest range of a Copy.
        74 pub copy_range_max: U16,
        /// MCL: blocks of the longest Copy.
        76 pub copy_max: U32,
        /// MSRC: ranges of a Copy, less one.
        80 pub copy_ranges_max: u8,
        81 reserved81: u8,
        /// NULBAF: formats with attributes of their own.
        82 pub unique_formats: u8,
        83 reserved83: [u8; 9],
        /// ANAGRPID.
        92 pub ana_group: U32,
        96 reserved96: [u8; 3],
        /// NSATTR.
        99 pub attributes: NamespaceAttributes,
        /// NVMSETID.
        100 pub nvm_set: U16,
        /// ENDGID.
        102 pub endurance_group: U16,
        /// NGUID: its name for ever, or zeroes.
        104 pub nguid: [u8; 16],
        /// EUI64: likewise.
        120 pub eui64: [u8; 8],
        /// LBAF0 to LBAF63.
        128 pub formats: [LbaFormat; 64],
        /// The vendor's.
        384 pub vendor_specific: [u8; 3712],
    }
}

impl IdentifyNamespace {
    /// The format in use; none if the namespace names one that it has not.
    pub const fn current_format(&self) -> Option<LbaFormat> {
        let index = self.format.index(self.formats_max as usize + 1);
        let count = self.formats_max as usize + self.unique_formats as usize;
        if index > count || index >= 64 { None } else { Some(self.formats[index]) }
    }

    /// Whether there is such a namespace: one that is not active is described by zeroes (NVM Command Set 1.0 §4.1.5.1).
    pub const fn is_active(&self) -> bool {
        self.size.get() > 0
    }
}

layout! {
    /// A form that blocks may have (NVM Command Set 1.0 §4.1.5.1, Figure 98).
    LbaFormat: 4 {
        /// MS: bytes of metadata of each block.
        0 pub metadata_bytes: U16,
        /// LBADS: bytes of data, as a power of two, of at least 9; 0 is no format.
        2 pub data_shift: u8,
        /// RP: how well it performs, 0 best to 3.
        3 pub performance: u8,
    }
}

impl LbaFormat {
    /// Bytes of data of each block; none if that is no size that the specification allows, or more than 2 GiB.
    pub const fn block_bytes(self) -> Option<u32> {
        match self.data_shift {
            shift @ 9..=31 => Some(1 << shift),
            _ => None,
        }
    }
}

bits! {
    /// FLBAS: which format (NVM Command Set 1.0 §4.1.5.1).
    FormatIndex(u8) {
        /// Metadata stands behind each block's data, not apart.
        extends_blocks / with_extended_blocks: 4;
        => fields {
            /// The lower four bits of the index.
            low / with_low: 0, 4;
            /// The upper two, with more than 16 formats alone.
            high / with_high: 5, 2;
        }
    }
}

impl FormatIndex {
    /// Which format of `count` it is.
    pub const fn index(self, count: usize) -> usize {
        if count > 16 { self.low() as usize | (self.high() as usize) << 4 } else { self.low() as usize }
    }
}

bits! {
    /// NSFEAT (NVM Command Set 1.0 §4.1.5.1).
    NamespaceFeatures(u8) {
        /// THINP: thin provisioning: capacity may be less than size.
        is_thin: 0;
        /// NSABP: the atomic sizes of the namespace count, not the controller's.
        has_atomics: 1;
        /// DAE: reading what is deallocated may fail, if so set.
        has_deallocate_errors: 2;
        /// UIDREUSE: its names are never used again.
        has_unique_ids: 3;
        /// OPTPERF: the preferred granularities and alignments are told.
        has_preferences: 4;
    }
}

bits! {
    /// NSFEAT of namespaces of every command set (Base 2.0 §5.17.2.8, Figure 280).
    CommonFeatures(u8) {
        /// UIDREUSE: its names are never used again.
        has_unique_ids: 3;
        /// RMEDIA: its media rotates.
        rotates: 4;
    }
}

bits! {
    /// DPS: end-to-end protection (NVM Command Set 1.0 §4.1.5.1).
    DataProtection(u8) {
        /// It stands first in the metadata, not last.
        is_first: 3;
        => fields {
            /// Type 1 to 3; 0 is none.
            kind: 0, 3;
        }
    }
}

bits! {
    /// MC: where metadata may be (NVM Command Set 1.0 §4.1.5.1).
    MetadataCapabilities(u8) {
        /// Behind each block's data.
        extends_blocks: 0;
        /// Apart.
        is_separate: 1;
    }
}

bits! {
    /// DPC: what end-to-end protection it may have (NVM Command Set 1.0 §4.1.5.1).
    ProtectionCapabilities(u8) {
        /// Type 1.
        type_1: 0;
        /// Type 2.
        type_2: 1;
        /// Type 3.
        type_3: 2;
        /// First in the metadata.
        first: 3;
        /// Last in the metadata.
        last: 4;
    }
}

bits! {
    /// NMIC: who may have it (Base 2.0 §5.17.2.8).
    NamespaceSharing(u8) {
        /// Several controllers at a time.
        is_shared: 0;
    }
}

bits! {
    /// NSATTR (Base 2.0 §5.17.2.8).
    NamespaceAttributes(u8) {
        /// It is write protected.
        is_write_protected: 0;
    }
}

bits! {
    /// FPI: how far a format is (Base 2.0 §5.17.2.8).
    FormatProgress(u8) {
        /// This is told.
        is_told: 7;
        => fields {
            /// Percent that are still to do.
            left: 0, 7;
        }
    }
}

bits! {
    /// DLFEAT: what becomes of blocks that are deallocated (NVM Command Set 1.0 §4.1.5.1).
    DeallocateFeatures(u8) {
        /// Write Zeroes can deallocate.
        has_write_zeroes / with_write_zeroes: 3;
        /// The guard of what is deallocated is its CRC.
        has_guard: 4;
        => fields {
            /// They read as: 1 zeroes, 2 ones; 0 is not told.
            reads_as / with_reads_as: 0, 3;
        }
    }
}

bits! {
    /// RESCAP: which reservations it takes (Base 2.0 §5.17.2.8).
    ReservationSupport(u8) {
        /// PTPL: they may outlast a loss of power.
        persists: 0;
        /// Write Exclusive.
        write_exclusive: 1;
        /// Exclusive Access.
        exclusive_access: 2;
        /// Write Exclusive, Registrants Only.
        write_exclusive_registrants: 3;
        /// Exclusive Access, Registrants Only.
        exclusive_access_registrants: 4;
        /// Write Exclusive, All Registrants.
        write_exclusive_all: 5;
        /// Exclusive Access, All Registrants.
        exclusive_access_all: 6;
        /// Ignore Existing Key as of 1.3.
        ignores_key: 7;
    }
}

layout! {
    /// What is true of namespaces of every command set, CNS 08h (Base 2.0 §5.17.2.8, Figure 280).
    IdentifyNamespaceIndependent: 4096 {
        /// NSFEAT.
        0 pub features: CommonFeatures,
        /// NMIC.
        1 pub sharing: NamespaceSharing,
        /// RESCAP.
        2 pub reservations: ReservationSupport,
        /// FPI.
        3 pub format_progress: FormatProgress,
        /// ANAGRPID.
        4 pub ana_group: U32,
        /// NSATTR.
        8 pub attributes: NamespaceAttributes,
        9 reserved9: u8,
        /// NVMSETID.
        10 pub nvm_set: U16,
        /// ENDGID.
        12 pub endurance_group: U16,
        /// NSTAT.
        14 pub status: NamespaceStatus,
        15 reserved15: [u8; 4081],
    }
}

bits! {
    /// NSTAT: how a namespace is (Base 2.0 §5.17.2.8).
    NamespaceStatus(u8) {
        /// NRDY: it takes I/O.
        is_ready: 0;
    }
}
