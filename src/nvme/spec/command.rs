//! A submission queue entry: the form that all commands have, and how it points to data.
//!
//! The commands themselves are made in `admin`, `io`, `reservation` and `zns`.

use super::{AdminOpcode, IoOpcode};
use std::fmt;
use zerocopy::little_endian::{U32, U64};

/// A submission queue entry (Base 2.0 §3.3.3.1).
///
/// Eight words, as it is put into a queue: what is written in smaller parts and read in larger ones has the processor wait for its own
/// stores.
///
/// ```
/// use reactor::nvme::spec::Command;
/// let read = Command::read(1, 0x1000, 8).with_prp(0x20_0000, 0).with_cid(7);
/// assert_eq!((read.start_lba(), read.block_count()), (0x1000, 8));
/// assert_eq!(zerocopy::IntoBytes::as_bytes(&read)[..8], [2, 0, 7, 0, 1, 0, 0, 0]);
/// ```
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
    zerocopy::Unaligned,
)]
#[repr(transparent)]
pub struct Command([U64; 8]);

const _: () = assert!(size_of::<Command>() == 64);

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
        let none = U64::ZERO;
        let [cdw10, cdw12, cdw14] = [pair(cdw[0], cdw[1]), pair(cdw[2], cdw[3]), pair(cdw[4], cdw[5])];
        Self([pair(opcode as u32, nsid), none, none, none, none, cdw10, cdw12, cdw14])
    }

    /// One of its sixteen doublewords, by number: CDW0, which has opcode, flags and identifier, to CDW15.
    ///
    /// # Panics
    /// If there is no such doubleword.
    #[inline(always)]
    pub const fn cdw(&self, number: usize) -> u32 {
        (self.0[number / 2].get() >> (number % 2 * 32)) as u32
    }

    /// With another doubleword.
    ///
    /// # Panics
    /// If there is no such doubleword.
    #[must_use]
    #[inline(always)]
    pub const fn with_cdw(mut self, number: usize, value: u32) -> Self {
        let shift = number % 2 * 32;
        let other = self.0[number / 2].get() & !((u32::MAX as u64) << shift);
        self.0[number / 2] = U64::new(other | (value as u64) << shift);
        self
    }

    /// OPC: what to do; an [`AdminOpcode`] or an [`IoOpcode`], by queue.
    #[inline(always)]
    pub const fn opcode(&self) -> u8 {
        self.cdw(0) as u8
    }

    /// Whether it is one half of two, and what points to its data.
    #[inline(always)]
    pub const fn flags(&self) -> CommandFlags {
        CommandFlags::from_bits((self.cdw(0) >> 8) as u8)
    }

    /// With other flags.
    #[must_use]
    #[inline(always)]
    pub const fn with_flags(self, flags: CommandFlags) -> Self {
        self.with_cdw(0, self.cdw(0) & !0xff00 | (flags.bits() as u32) << 8)
    }

    /// CID: what the completion will call it, unique in its queue.
    #[inline(always)]
    pub const fn cid(&self) -> u16 {
        (self.cdw(0) >> 16) as u16
    }

    /// With this identifier.
    #[must_use]
    #[inline(always)]
    pub const fn with_cid(self, cid: u16) -> Self {
        self.with_cdw(0, self.cdw(0) & 0xffff | (cid as u32) << 16)
    }

    /// NSID: the namespace it is for, 0 if for none, [`ALL_NAMESPACES`] if for all.
    #[inline(always)]
    pub const fn nsid(&self) -> u32 {
        self.cdw(1)
    }

    /// For another namespace.
    #[must_use]
    #[inline(always)]
    pub const fn with_nsid(self, nsid: u32) -> Self {
        self.with_cdw(1, nsid)
    }

    /// MPTR: where the metadata is.
    #[inline(always)]
    pub const fn metadata(&self) -> u64 {
        self.0[2].get()
    }

    /// Its metadata is there.
    #[must_use]
    #[inline(always)]
    pub const fn with_metadata(mut self, metadata: u64) -> Self {
        self.0[2] = U64::new(metadata);
        self
    }

    /// DPTR: two PRP entries, or an SGL descriptor.
    #[inline(always)]
    pub const fn data(&self) -> [u64; 2] {
        [self.0[3].get(), self.0[4].get()]
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
        (self.0[3], self.0[4]) = (U64::new(prp1), U64::new(prp2));
        self
    }

    /// Its data is where this descriptor says, its metadata in one piece at `metadata` (Base 2.0, Scatter Gather List).
    #[must_use]
    pub const fn with_sgl(self, sgl: SglDescriptor) -> Self {
        let rest = sgl.length.get() as u64 | (sgl.kind as u64) << 56;
        self.with_flags(self.flags().with_psdt(1)).with_prp(sgl.address.get(), rest)
    }

    /// The descriptor of its data, if that is how it points to it.
    pub const fn sgl(&self) -> Option<SglDescriptor> {
        if self.flags().psdt() == 0 || self.flags().psdt() == 3 {
            return None;
        }
        let [address, rest] = self.data();
        Some(SglDescriptor {
            address: U64::new(address),
            length: U32::new(rest as u32),
            reserved12: [(rest >> 32) as u8, (rest >> 40) as u8, (rest >> 48) as u8],
            kind: (rest >> 56) as u8,
        })
    }

    /// The first (false) or second (true) of two commands that are done as one, such as compare and write (Base 2.0, Fused
    /// Operations).
    #[must_use]
    pub const fn fused(self, is_second: bool) -> Self {
        self.with_flags(self.flags().with_fuse(1 + is_second as u8))
    }

    /// Dwords 10 and 11 as one number.
    #[inline(always)]
    pub(super) const fn cdw10_11(&self) -> u64 {
        self.0[5].get()
    }

    /// As it is put into a queue.
    #[inline(always)]
    pub(in super::super) fn into_words(self) -> [u64; 8] {
        zerocopy::transmute!(self)
    }
}

/// Two doublewords.
#[inline(always)]
const fn pair(low: u32, high: u32) -> U64 {
    U64::new(low as u64 | (high as u64) << 32)
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cdw10_15: [u32; 6] = std::array::from_fn(|n| self.cdw(10 + n));
        f.debug_struct("Command")
            .field("opcode", &self.opcode())
            .field("flags", &self.flags())
            .field("cid", &self.cid())
            .field("nsid", &self.nsid())
            .field("cdw2_3", &[self.cdw(2), self.cdw(3)])
            .field("metadata", &self.metadata())
            .field("data", &self.data())
            .field("cdw10_15", &cdw10_15)
            .finish()
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
