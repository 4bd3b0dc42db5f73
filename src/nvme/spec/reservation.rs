//! Reservations: commands with which hosts that share a namespace keep each other out, and what they bring and answer.

use super::{Command, IoOpcode};
use zerocopy::little_endian::{U16, U32, U64};

codes! {
    /// RTYPE: what a reservation keeps others from (Base 2.0 §7.2).
    ReservationType(u8) {
        WRITE_EXCLUSIVE = 1, "Write Exclusive", "Base 2.0 §7.2";
        EXCLUSIVE_ACCESS = 2, "Exclusive Access", "Base 2.0 §7.2";
        WRITE_EXCLUSIVE_REGISTRANTS = 3, "Write Exclusive - Registrants Only", "Base 2.0 §7.2";
        EXCLUSIVE_ACCESS_REGISTRANTS = 4, "Exclusive Access - Registrants Only", "Base 2.0 §7.2";
        WRITE_EXCLUSIVE_ALL = 5, "Write Exclusive - All Registrants", "Base 2.0 §7.2";
        EXCLUSIVE_ACCESS_ALL = 6, "Exclusive Access - All Registrants", "Base 2.0 §7.2";
    }
}

/// RREGA (Base 2.0 §7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegisterAction {
    /// Register the new key.
    Register = 0,
    /// Forget the current one.
    Unregister = 1,
    /// Put the new one in place of the current.
    Replace = 2,
}

/// RACQA (Base 2.0 §7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcquireAction {
    /// Reserve the namespace.
    Acquire = 0,
    /// Take the reservation from another.
    Preempt = 1,
    /// Take it, and have the other's commands aborted.
    PreemptAndAbort = 2,
}

/// RRELA (Base 2.0 §7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseAction {
    /// Give the reservation up.
    Release = 0,
    /// Remove it and all registrations.
    Clear = 1,
}

/// IEKEY, of all three: the current key is not looked at.
const IGNORE_KEY: u32 = 1 << 3;

impl Command {
    /// Registers a key, with a [`ReservationRegister`] as data (Base 2.0 §7.3). `persist` says whether that outlasts a loss of power,
    /// where it is to change.
    #[must_use]
    pub const fn reservation_register(
        nsid: u32,
        action: RegisterAction,
        ignore_key: bool,
        persist: Option<bool>,
    ) -> Self {
        let persist = match persist {
            None => 0,
            Some(false) => 2,
            Some(true) => 3,
        };
        let cdw10 = action as u32 | if ignore_key { IGNORE_KEY } else { 0 } | persist << 30;
        Self::io(IoOpcode::RESERVATION_REGISTER, nsid, [cdw10, 0, 0, 0, 0, 0])
    }

    /// Reserves a namespace, with a [`ReservationAcquire`] as data (Base 2.0 §7.2).
    #[must_use]
    pub const fn reservation_acquire(nsid: u32, action: AcquireAction, kind: ReservationType) -> Self {
        let cdw10 = action as u32 | (kind.0 as u32) << 8;
        Self::io(IoOpcode::RESERVATION_ACQUIRE, nsid, [cdw10, 0, 0, 0, 0, 0])
    }

    /// Gives a reservation up, with a [`ReservationRelease`] as data (Base 2.0 §7.4).
    #[must_use]
    pub const fn reservation_release(nsid: u32, action: ReleaseAction, kind: ReservationType) -> Self {
        let cdw10 = action as u32 | (kind.0 as u32) << 8;
        Self::io(IoOpcode::RESERVATION_RELEASE, nsid, [cdw10, 0, 0, 0, 0, 0])
    }

    /// Asks who has registered, for `bytes` of a [`ReservationStatus`] and what follows it, in the extended form (Base 2.0 §7.5).
    ///
    /// # Panics
    /// If `bytes` is 0 or no multiple of 4.
    #[must_use]
    pub const fn reservation_report(nsid: u32, bytes: u32) -> Self {
        assert!(bytes > 0 && bytes % 4 == 0, "reports are read in doublewords");
        Self::io(IoOpcode::RESERVATION_REPORT, nsid, [bytes / 4 - 1, 1, 0, 0, 0, 0])
    }
}

layout! {
    /// The data of Reservation Register (Base 2.0 §7.3).
    ReservationRegister: 16 {
        /// CRKEY: the current key.
        0 pub current_key: U64,
        /// NRKEY: the new one.
        8 pub new_key: U64,
    }
}

layout! {
    /// The data of Reservation Acquire (Base 2.0 §7.2).
    ReservationAcquire: 16 {
        /// CRKEY: the current key.
        0 pub current_key: U64,
        /// PRKEY: the key of whom to take the reservation from.
        8 pub preempted_key: U64,
    }
}

layout! {
    /// The data of Reservation Release (Base 2.0 §7.4).
    ReservationRelease: 8 {
        /// CRKEY: the current key.
        0 pub current_key: U64,
    }
}

layout! {
    /// The head of what Reservation Report answers, before a [`RegisteredController`] each, in the extended form (Base 2.0 §7.5).
    ReservationStatus: 64 {
        /// GEN: how often registrations have changed.
        0 pub generation: U32,
        /// RTYPE: a [`ReservationType`]; 0 for none.
        4 pub kind: u8,
        /// REGCTL: how many controllers are registered.
        5 pub registered: U16,
        7 reserved7: [u8; 2],
        /// PTPLS: whether it outlasts a loss of power.
        9 pub persists: u8,
        10 reserved10: [u8; 54],
    }
}

impl ReservationStatus {
    /// Head and controllers of a report: as many as it says, and as many as it has bytes for.
    pub fn parse(report: &[u8]) -> Option<(&Self, &[RegisteredController])> {
        use zerocopy::FromBytes;
        let (head, rest) = Self::ref_from_prefix(report).ok()?;
        let count = (head.registered.get() as usize).min(rest.len() / size_of::<RegisteredController>());
        let (controllers, _) = <[RegisteredController]>::ref_from_prefix_with_elems(rest, count).ok()?;
        Some((head, controllers))
    }
}

layout! {
    /// A controller whose host has registered, in the extended form (Base 2.0 §7.5).
    RegisteredController: 64 {
        /// CNTLID.
        0 pub controller_id: U16,
        /// RCSTS: bit 0: it holds the reservation.
        2 pub status: u8,
        3 reserved3: [u8; 5],
        /// RKEY.
        8 pub key: U64,
        /// HOSTID.
        16 pub host: [u8; 16],
        32 reserved32: [u8; 32],
    }
}
