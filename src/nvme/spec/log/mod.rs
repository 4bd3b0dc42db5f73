//! What Get Log Page answers: a door to errors, health, effects and paths.

mod ana;
mod effects;
mod error;
mod health;

pub use ana::{AnaGroup, AnaGroups, AnaLogHeader, AnaState};
pub use effects::{CommandEffects, CommandEffectsLog};
pub use error::ErrorLogEntry;
pub use health::{CriticalWarning, FirmwareLog, SmartLog};

use zerocopy::little_endian::{U16, U64};

codes! {
    /// LID: which log (Base 2.0 §5.16.1).
    LogPage(u8) {
        SUPPORTED = 0x00, "Supported Log Pages", "Base 2.0 §5.16.1.1";
        ERROR = 0x01, "Error Information", "Base 2.0 §5.16.1.2";
        SMART = 0x02, "SMART / Health Information", "Base 2.0 §5.16.1.3";
        FIRMWARE = 0x03, "Firmware Slot Information", "Base 2.0 §5.16.1.4";
        CHANGED_NAMESPACES = 0x04, "Changed Namespace List", "Base 2.0 §5.16.1.5";
        COMMAND_EFFECTS = 0x05, "Commands Supported and Effects", "Base 2.0 §5.16.1.6";
        SELF_TEST = 0x06, "Device Self-test", "Base 2.0 §5.16.1.7";
        TELEMETRY_HOST = 0x07, "Telemetry Host-Initiated", "Base 2.0 §5.16.1.8";
        TELEMETRY_CONTROLLER = 0x08, "Telemetry Controller-Initiated", "Base 2.0 §5.16.1.9";
        ENDURANCE_GROUP = 0x09, "Endurance Group Information", "Base 2.0 §5.16.1.10";
        PREDICTABLE_LATENCY = 0x0a, "Predictable Latency Per NVM Set", "Base 2.0 §5.16.1.11";
        PREDICTABLE_LATENCY_EVENTS = 0x0b, "Predictable Latency Event Aggregate", "Base 2.0 §5.16.1.12";
        ANA = 0x0c, "Asymmetric Namespace Access", "Base 2.0 §5.16.1.13";
        PERSISTENT_EVENTS = 0x0d, "Persistent Event", "Base 2.0 §5.16.1.14";
        LBA_STATUS = 0x0e, "LBA Status Information", "NVM Command Set 1.0 §4.1.4.5";
        ENDURANCE_GROUP_EVENTS = 0x0f, "Endurance Group Event Aggregate", "Base 2.0 §5.16.1.15";
        RESERVATIONS = 0x80, "Reservation Notification", "Base 2.0 §5.16.1.24";
        SANITIZE = 0x81, "Sanitize Status", "Base 2.0 §5.16.1.25";
        CHANGED_ZONES = 0xbf, "Changed Zone List", "ZNS 1.1 §4.1.4.1";
    }
}

layout! {
    /// The Changed Zone List log (ZNS 1.1 §4.1.4.1).
    ChangedZones: 4096 {
        /// NRZID: how many there are; all ones if more changed than fit.
        0 pub count: U16,
        2 reserved2: [u8; 6],
        /// As the controller wrote them.
        8 pub raw: [U64; 511],
    }
}

impl ChangedZones {
    /// The first blocks of the zones that it lists; none if all may have changed.
    pub fn zones(&self) -> Option<impl Iterator<Item = u64> + '_> {
        let count = self.count.get();
        (count != u16::MAX).then(|| self.raw.iter().take(count.into()).map(|lba| lba.get()))
    }
}
