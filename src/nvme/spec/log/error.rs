//! The Error Information log.

use super::super::Status;
use zerocopy::little_endian::{U16, U32, U64};

layout! {
    /// One entry of the Error Information log, newest first (Base 2.0 §5.16.1.2).
    ErrorLogEntry: 64 {
        /// Which error since the controller was made; 0 is no entry.
        0 pub number: U64,
        /// The submission queue of the command; all ones for none.
        8 pub sq_id: U16,
        /// CID of the command; all ones for none.
        10 pub cid: U16,
        /// Its status, and the phase.
        12 pub status_phase: U16,
        /// Where in the command: byte in the lower 8 bits, bit in the next 3; all ones for nowhere.
        14 pub location: U16,
        /// The first block that had it.
        16 pub lba: U64,
        /// The namespace.
        24 pub nsid: U32,
        /// The log that has more, of the vendor.
        28 pub vendor_log: u8,
        /// TRTYPE: the transport.
        29 pub transport: u8,
        30 reserved30: [u8; 2],
        /// What the command says about it.
        32 pub command_specific: U64,
        /// What the transport says about it.
        40 pub transport_specific: U16,
        42 reserved42: [u8; 22],
    }
}

impl ErrorLogEntry {
    /// How the command went.
    pub const fn status(&self) -> Status {
        Status::from_bits(self.status_phase.get() >> 1)
    }

    /// Whether there is such an entry.
    pub const fn is_used(&self) -> bool {
        self.number.get() != 0
    }
}
