//! What a report of zones says.

use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

layout! {
    /// One zone (ZNS 1.1 §3.4.2.2.3).
    ZoneDescriptor: 64 {
        /// ZT: 2 is one that must be written in order.
        0 pub kind: u8,
        /// ZS: its state, in the upper four bits; see [`state`](Self::state).
        1 pub state_bits: u8,
        /// ZA.
        2 pub attributes: ZoneAttributes,
        /// ZAI: more about two of the attributes.
        3 pub attributes_info: u8,
        4 reserved4: [u8; 4],
        /// ZCAP: how many of its blocks can be written.
        8 pub capacity: U64,
        /// ZSLBA: its first block.
        16 pub start: U64,
        /// WP: the block to write next; without meaning where it is full, read-only or offline.
        24 pub write_pointer: U64,
        32 reserved32: [u8; 32],
    }
}

impl ZoneDescriptor {
    /// Its state.
    pub const fn state(&self) -> ZoneState {
        ZoneState(self.state_bits >> 4)
    }
}

codes! {
    /// ZS: the state of a zone (ZNS 1.1 §2.1.1.3).
    ZoneState(u8) {
        EMPTY = 0x1, "empty", "ZNS 1.1 §2.1.1.3.1";
        IMPLICITLY_OPEN = 0x2, "implicitly opened", "ZNS 1.1 §2.1.1.3.2";
        EXPLICITLY_OPEN = 0x3, "explicitly opened", "ZNS 1.1 §2.1.1.3.3";
        CLOSED = 0x4, "closed", "ZNS 1.1 §2.1.1.3.4";
        READ_ONLY = 0xd, "read only", "ZNS 1.1 §2.1.1.3.6";
        FULL = 0xe, "full", "ZNS 1.1 §2.1.1.3.5";
        OFFLINE = 0xf, "offline", "ZNS 1.1 §2.1.1.3.7";
    }
}

bits! {
    /// ZA: what there is to say about a zone (ZNS 1.1 §3.4.2.2.3).
    ZoneAttributes(u8) {
        /// ZFC: the controller has finished it.
        was_finished: 0;
        /// FZR: the controller recommends to finish it.
        should_finish: 1;
        /// RZR: the controller recommends to reset it.
        should_reset: 2;
        /// ZRWAV: it has a Zone Random Write Area (TP 4076).
        has_random_write_area: 3;
        /// ZDEV: its descriptor is extended.
        has_extension: 7;
    }
}

layout! {
    /// The head of a report (ZNS 1.1 §3.4.2.2.1).
    ZoneReportHeader: 64 {
        /// How many zones there are, or how many it lists.
        0 pub zones: U64,
        8 reserved8: [u8; 56],
    }
}

/// A report of zones without extensions: the zones that it says it has, as far as it has bytes for them.
#[derive(Clone, Copy, Debug)]
pub struct ZoneReport<'a> {
    /// How many zones there are, or how many it lists, as the command asked.
    pub count: u64,
    /// Those it lists.
    pub zones: &'a [ZoneDescriptor],
}

impl<'a> ZoneReport<'a> {
    /// Looks at a report as it was read; none if it has not even a head.
    pub fn parse(report: &'a [u8]) -> Option<Self> {
        let (head, rest) = ZoneReportHeader::read_from_prefix(report).ok()?;
        let count = head.zones.get();
        let room = rest.len() / size_of::<ZoneDescriptor>();
        let listed = usize::try_from(count).unwrap_or(room).min(room);
        let (zones, _) = <[ZoneDescriptor]>::ref_from_prefix_with_elems(rest, listed).ok()?;
        Some(Self { count, zones })
    }
}
