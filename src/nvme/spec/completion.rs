//! A completion queue entry.

use super::Status;
use zerocopy::little_endian::{U16, U32};

layout! {
    /// A completion queue entry (Base 2.0 §3.3.3.2).
    Completion: 16 {
        /// DW0: what the command answers, by command.
        0 pub result: U32,
        /// DW1: likewise.
        4 pub result_high: U32,
        /// SQHD: up to where the controller has taken the submission queue's entries.
        8 pub sq_head: U16,
        /// SQID: the submission queue that the command came by.
        10 pub sq_id: U16,
        /// CID: which command.
        12 pub cid: U16,
        /// Status and phase.
        14 pub status_phase: U16,
    }
}

impl Completion {
    /// How it went.
    #[inline(always)]
    pub const fn status(&self) -> Status {
        Status::from_bits(self.status_phase.get() >> 1)
    }

    /// The Phase Tag, which is the other way round in every pass through the queue (Base 2.0 §3.3.3.2).
    #[inline(always)]
    pub const fn phase(&self) -> bool {
        self.status_phase.get() & 1 == 1
    }

    /// Its two doublewords of answer as one number: a Zone Append's logical block, for one (ZNS 1.1 §3.4.1).
    pub const fn result_64(&self) -> u64 {
        self.result.get() as u64 | (self.result_high.get() as u64) << 32
    }

    /// With this status and phase.
    #[must_use]
    pub const fn with_status(mut self, status: Status, phase: bool) -> Self {
        self.status_phase = U16::new(status.bits() << 1 | phase as u16);
        self
    }
}
