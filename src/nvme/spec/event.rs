//! Asynchronous events: what a controller tells without being asked.

use super::LogPage;

bits! {
    /// The answer to an Asynchronous Event Request (Base 2.0 §5.2, Completion Queue Entry Dword 0).
    AsyncEvent(u32) {
        => fields {
            /// Type: 0 error, 1 SMART / health, 2 notice, 3 immediate, 4 one-shot, 6 of the command set, 7 of the vendor.
            kind / with_kind: 0, 3;
            /// Which of that type.
            info / with_info: 8, 8;
            /// The log that has more, and whose reading lets the next such event come.
            log / with_log: 16, 8;
        }
    }
}

/// What an [`AsyncEvent`] tells (Base 2.0 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// An error that belongs to no command, by number.
    Error(u8),
    /// The health has got worse, by number.
    Health(u8),
    /// Namespaces have come, gone or changed.
    NamespaceChanged,
    /// Firmware is being activated: commands may wait.
    FirmwareActivation,
    /// The telemetry log has changed.
    Telemetry,
    /// A path to namespaces has become better or worse.
    AnaChanged,
    /// Zones have changed by themselves (ZNS 1.1 §4.1.1).
    ZoneChanged,
    /// A reservation has been lost, released or preempted.
    Reservation,
    /// A sanitize operation is done.
    Sanitized,
    /// Something else: type and information.
    Other(u8, u8),
}

impl AsyncEvent {
    /// What it tells.
    pub const fn event(self) -> EventKind {
        match (self.kind() as u8, self.info() as u8) {
            (0, info) => EventKind::Error(info),
            (1, info) => EventKind::Health(info),
            (2, 0x00) => EventKind::NamespaceChanged,
            (2, 0x01) => EventKind::FirmwareActivation,
            (2, 0x02) => EventKind::Telemetry,
            (2, 0x03) => EventKind::AnaChanged,
            (2, 0xef) => EventKind::ZoneChanged,
            (6, 0x00) => EventKind::Reservation,
            (6, 0x01) => EventKind::Sanitized,
            (kind, info) => EventKind::Other(kind, info),
        }
    }

    /// The log to read.
    pub const fn log_page(self) -> LogPage {
        LogPage(self.log() as u8)
    }
}
