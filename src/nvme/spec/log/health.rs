//! The logs of a controller's health and of its firmware.

use super::super::text::text;
use zerocopy::little_endian::{U16, U32, U128};

layout! {
    /// The SMART / Health Information log (Base 2.0 §5.16.1.3).
    SmartLog: 512 {
        /// What is wrong.
        0 pub critical: CriticalWarning,
        /// Composite temperature, in kelvin.
        1 pub temperature: U16,
        /// Spare left, in percent.
        3 pub spare: u8,
        /// Below which it is critical.
        4 pub spare_threshold: u8,
        /// How much of its life is used, in percent; may be above 100.
        5 pub used: u8,
        /// The critical warnings of its endurance groups.
        6 pub endurance_groups: u8,
        7 reserved7: [u8; 25],
        /// Read by the host, in thousands of 512 bytes.
        32 pub data_read: U128,
        /// Written by the host, likewise.
        48 pub data_written: U128,
        /// Read commands.
        64 pub reads: U128,
        /// Write commands.
        80 pub writes: U128,
        /// Minutes in which it was busy with I/O.
        96 pub busy_minutes: U128,
        /// Times that it was switched on.
        112 pub power_cycles: U128,
        /// Hours that it was on.
        128 pub power_on_hours: U128,
        /// Times that it was switched off without a shutdown.
        144 pub unsafe_shutdowns: U128,
        /// Errors of media and data integrity.
        160 pub media_errors: U128,
        /// Entries of the error log, ever.
        176 pub errors: U128,
        /// Minutes above the warning temperature.
        192 pub warning_minutes: U32,
        /// Minutes above the critical temperature.
        196 pub critical_minutes: U32,
        /// Up to eight sensors, in kelvin; 0 is none.
        200 pub sensors: [U16; 8],
        /// Times that thermal management stepped in, lightly and heavily.
        216 pub thermal_transitions: [U32; 2],
        /// Seconds that it did, likewise.
        224 pub thermal_seconds: [U32; 2],
        232 reserved232: [u8; 280],
    }
}

impl SmartLog {
    /// The composite temperature in degrees Celsius.
    pub const fn celsius(&self) -> i32 {
        self.temperature.get() as i32 - 273
    }
}

bits! {
    /// What is wrong with a controller (Base 2.0 §5.16.1.3, Critical Warning).
    CriticalWarning(u8) {
        /// The spare is below its threshold.
        spare_low: 0;
        /// A temperature is above, or below, its threshold.
        temperature: 1;
        /// It has become unreliable.
        is_degraded: 2;
        /// The media is read-only.
        is_read_only: 3;
        /// The backup of volatile memory has failed.
        backup_failed: 4;
        /// The Persistent Memory Region is read-only or unreliable.
        persistent_memory: 5;
    }
}

layout! {
    /// The Firmware Slot Information log (Base 2.0 §5.16.1.4).
    FirmwareLog: 512 {
        /// AFI: the slot that runs in the lower three bits, the one after the next reset in bits 4 to 6, 0 if not told.
        0 pub active: u8,
        1 reserved1: [u8; 7],
        /// FRS1 to FRS7, ASCII; see [`revision`](Self::revision).
        8 pub revisions: [[u8; 8]; 7],
        64 reserved64: [u8; 448],
    }
}

impl FirmwareLog {
    /// The slot that runs, from 1.
    pub const fn running(&self) -> u8 {
        self.active & 7
    }

    /// The slot that runs after the next reset, if that is told.
    pub const fn next(&self) -> Option<u8> {
        let slot = self.active >> 4 & 7;
        if slot == 0 { None } else { Some(slot) }
    }

    /// What is in a slot, 1 to 7, if anything.
    pub fn revision(&self, slot: u8) -> Option<String> {
        let bytes = self.revisions.get(usize::from(slot).checked_sub(1)?)?;
        Some(text(bytes)).filter(|text| !text.is_empty())
    }
}
