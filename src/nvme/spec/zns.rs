//! The commands of zoned namespaces.

use super::{Command, IoOpcode};

codes! {
    /// ZSA: what to do with a zone (ZNS 1.1 §3.4.3).
    ZoneAction(u8) {
        CLOSE = 0x01, "Close Zone", "ZNS 1.1 §3.4.3.1.1";
        FINISH = 0x02, "Finish Zone", "ZNS 1.1 §3.4.3.1.2";
        OPEN = 0x03, "Open Zone", "ZNS 1.1 §3.4.3.1.3";
        RESET = 0x04, "Reset Zone", "ZNS 1.1 §3.4.3.1.4";
        OFFLINE = 0x05, "Offline Zone", "ZNS 1.1 §3.4.3.1.5";
        SET_DESCRIPTOR_EXTENSION = 0x10, "Set Zone Descriptor Extension", "ZNS 1.1 §3.4.3.1.6";
        COMMIT = 0x11, "Flush Explicit ZRWA Range", "TP 4076";
    }
}

codes! {
    /// Which zones a report lists (ZNS 1.1 §3.4.2).
    ReportFilter(u8) {
        ALL = 0x0, "all zones", "ZNS 1.1 §3.4.2";
        EMPTY = 0x1, "empty", "ZNS 1.1 §3.4.2";
        IMPLICITLY_OPEN = 0x2, "implicitly opened", "ZNS 1.1 §3.4.2";
        EXPLICITLY_OPEN = 0x3, "explicitly opened", "ZNS 1.1 §3.4.2";
        CLOSED = 0x4, "closed", "ZNS 1.1 §3.4.2";
        FULL = 0x5, "full", "ZNS 1.1 §3.4.2";
        READ_ONLY = 0x6, "read only", "ZNS 1.1 §3.4.2";
        OFFLINE = 0x7, "offline", "ZNS 1.1 §3.4.2";
    }
}

bits! {
    /// Dword 13 of Zone Management Send (ZNS 1.1 §3.4.3).
    ZoneSend(u32) {
        /// All zones that are in a state for it, not one.
        is_of_all / with_all: 8;
        => fields {
            /// ZSA: a [`ZoneAction`].
            action / with_action: 0, 8;
        }
    }
}

bits! {
    /// Dword 13 of Zone Management Receive (ZNS 1.1 §3.4.2).
    ZoneReceive(u32) {
        /// The count is of the zones that the report lists, not of all that there are.
        is_partial / with_partial: 16;
        => fields {
            /// ZRA: 0 reports zones, 1 with the extensions of their descriptors.
            action / with_action: 0, 8;
            /// Which zones: a [`ReportFilter`].
            filter / with_filter: 8, 8;
        }
    }
}

impl Command {
    /// Writes `blocks` at the write pointer of the zone that starts at `zone`; the answer's two doublewords are where
    /// (ZNS 1.1 §3.4.1).
    ///
    /// # Panics
    /// If `blocks` is 0 or above 65,536.
    #[must_use]
    pub const fn zone_append(nsid: u32, zone: u64, blocks: u32) -> Self {
        Self::of_blocks(IoOpcode::ZONE_APPEND, nsid, zone, blocks)
    }

    /// Changes the zone that starts at `zone`, or all (ZNS 1.1 §3.4.3).
    #[must_use]
    pub const fn zone_send(nsid: u32, zone: u64, action: ZoneAction, all: bool) -> Self {
        let cdw13 = ZoneSend::from_bits(0).with_action(action.0 as u32).with_all(all).bits();
        Self::io(IoOpcode::ZONE_MANAGEMENT_SEND, nsid, [zone as u32, (zone >> 32) as u32, 0, cdw13, 0, 0])
    }

    /// Reports zones from the one of block `lba` on, in `bytes` (ZNS 1.1 §3.4.2): a [`ZoneReport`](super::ZoneReport). Its count is of
    /// the zones that it lists.
    ///
    /// # Panics
    /// If `bytes` is 0 or no multiple of 4.
    #[must_use]
    pub const fn zone_report(nsid: u32, lba: u64, filter: ReportFilter, bytes: u32) -> Self {
        assert!(bytes > 0 && bytes % 4 == 0, "reports are read in doublewords");
        let cdw13 = ZoneReceive::from_bits(0).with_filter(filter.0 as u32).with_partial(true).bits();
        let cdw = [lba as u32, (lba >> 32) as u32, bytes / 4 - 1, cdw13, 0, 0];
        Self::io(IoOpcode::ZONE_MANAGEMENT_RECEIVE, nsid, cdw)
    }
}
