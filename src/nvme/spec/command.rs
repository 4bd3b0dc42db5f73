//! A submission queue entry: the form that all commands have, and how it points to data.
//!
//! The commands themselves are made in `admin`, `io`, `reservation` and `zns`.

use super::{AdminOpcode, IoOpcode};
use zerocopy::little_endian::{U16, U32, U64};

layout! {
    /// A submission queue entry (Base 2.0 §3.3.3.1).
    ///
    /// ```
    /// use reactor::nvme::spec::Command;
    /// let mut read = Command::read(1, 0x1000, 8).with_prp(0x20_0000, 0);
    /// read.cid.set(7);
    /// assert_eq!((read.start_lba(), read.block_count()), (0x1000, 8));
    /// assert_eq!(zerocopy::IntoBytes::as_bytes(&read)[..8], [2, 0, 7, 0, 1, 0, 0, 0]);
    /// ```
    Command: 64 {
        /// OPC: what to do; an [`AdminOpcode`] or an [`IoOpcode`], by queue.
        0 pub opcode: u8,
        /// Whether it is one half of two, and what points to its data.
        1 pub flags: CommandFlags,
        /// CID: what the completion will call it, unique in its queue.
        2 pub cid: U16,
        /// NSID: the namespace it is for, 0 if for none, [`ALL_NAMESPACES`] if for all.
        4 pub nsid: U32,
        /// CDW2.
        8 pub cdw2: U32,
        /// CDW3.
        12 pub cdw3: U32,
        /// MPTR: where the metadata is.
        16 pub metadata: U64,
        /// DPTR: two PRP entries, or an SGL descriptor.
        24 pub data: [U64; 2],
        /// CDW10.
        40 pub cdw10: U32,
        /// CDW11.
        44 pub cdw11: U32,
        /// CDW12.
        48 pub cdw12: U32,
        /// CDW13.
        52 pub cdw13: U32,
        /// CDW14.
        56 pub cdw14: U32,
        /// CDW15.
        60 pub cdw15: U32,
    }
}

/// The namespace identifier that means all of them (Base 2.0 §3.2.1.2).
pub const ALL_NAMESPACES: u32 = 0xffff_ffff;

bits! {
    /// The second byte of a command (Base 2.0 §3.3.3.1, Command Dword 0).
    CommandFlags(u8) {
        => fields {
            /// FUSE: 0 alone, 1 the first of two fused commands, 2 the second.
            fuse / with_fuse: 0, 2;
            /// PSDT: 0 for PRPs, 1 for SGLs with metadata in one piece, 2 for SGLs for both.
            psdt / with_psdt: 6, 2;
        }
    }
}

impl Command {
    /// A command by its opcode and its Dwords 10 to 15.
    #[inline(always)]
    pub const fn new(opcode: u8, nsid: u32, cdw: [u32; 6]) -> Self {
        Self {
            opcode,
            flags: CommandFlags::from_bits(0),
            cid: U16::ZERO,
            nsid: U32::new(nsid),
            cdw2: U32::ZERO,
            cdw3: U32::ZERO,
            metadata: U64::ZERO,
            data: [U64::ZERO; 2],
            cdw10: U32::new(cdw[0]),
            cdw11: U32::new(cdw[1]),
            cdw12: U32::new(cdw[2]),
            cdw13: U32::new(cdw[3]),
            cdw14: U32::new(cdw[4]),
            cdw15: U32::new(cdw[5]),
        }
    }

    #[inline(always)]
    pub(super) const fn admin(opcode: AdminOpcode, nsid: u32, cdw: [u32; 6]) -> Self {
        Self::new(opcode.0, nsid, cdw)
    }

    #[inline(always)]
    pub(super) const fn io(opcode: IoOpcode, nsid: u32, cdw: [u32; 6]) -> Self {
        Self::new(opcode.0, nsid, cdw)
    }

    /// Its data is where these two PRP entries say (Base 2.0, Physical Region Page Entry and List).
    #[must_use]
    #[inline(always)]
    pub const fn with_prp(mut self, prp1: u64, prp2: u64) -> Self {
        self.data = [U64::new(prp1), U64::new(prp2)];
        self
    }

    /// Its data is where this descriptor says, its metadata in one piece at `metadata` (Base 2.0, Scatter Gather List).
    #[must_use]
    pub const fn with_sgl(mut self, sgl: SglDescriptor) -> Self {
        self.flags = self.flags.with_psdt(1);
        self.data = [sgl.address, U64::new(sgl.length.get() as u64 | (sgl.kind as u64) << 56)];
        self
    }

    /// The descriptor of its data, if that is how it points to it.
    pub const fn sgl(&self) -> Option<SglDescriptor> {
        if self.flags.psdt() == 0 || self.flags.psdt() == 3 {
            return None;
        }
        let rest = self.data[1].get();
        Some(SglDescriptor {
            address: self.data[0],
            length: U32::new(rest as u32),
            reserved12: [(rest >> 32) as u8, (rest >> 40) as u8, (rest >> 48) as u8],
            kind: (rest >> 56) as u8,
        })
    }

    /// The first (false) or second (true) of two commands that are done as one, such as compare and write (Base 2.0, Fused
    /// Operations).
    #[must_use]
    pub const fn fused(mut self, is_second: bool) -> Self {
        self.flags = self.flags.with_fuse(1 + is_second as u8);
        self
    }

    /// Dwords 10 and 11 as one number.
    #[inline]
    pub(super) const fn cdw10_11(&self) -> u64 {
        self.cdw10.get() as u64 | (self.cdw11.get() as u64) << 32
    }
}

layout! {
    /// An SGL descriptor (Base 2.0, Scatter Gather List).
    SglDescriptor: 16 {
        /// Where the data or the segment is.
        0 pub address: U64,
        /// How many bytes it has.
        8 pub length: U32,
        12 reserved12: [u8; 3],
        /// Type in the upper four bits, subtype in the lower four.
        15 pub kind: u8,
    }
}

impl SglDescriptor {
    /// Type 0: data (Base 2.0, Scatter Gather List).
    pub const DATA_BLOCK: u8 = 0x00;
    /// Type 1: bytes to leave out of what is read.
    pub const BIT_BUCKET: u8 = 0x10;
    /// Type 2: more descriptors, of which the last names a further segment.
    pub const SEGMENT: u8 = 0x20;
    /// Type 3: the last segment of descriptors.
    pub const LAST_SEGMENT: u8 = 0x30;

    /// A descriptor of one kind.
    pub const fn new(kind: u8, address: u64, length: u32) -> Self {
        Self { address: U64::new(address), length: U32::new(length), reserved12: [0; 3], kind }
    }
}
