//! Features: what a controller lets its host set.

use zerocopy::little_endian::U64;

codes! {
    /// Which feature (Base 2.0 §5.27.1).
    FeatureId(u8) {
        ARBITRATION = 0x01, "Arbitration", "Base 2.0 §5.27.1.1";
        POWER_MANAGEMENT = 0x02, "Power Management", "Base 2.0 §5.27.1.2";
        LBA_RANGE_TYPE = 0x03, "LBA Range Type", "NVM Command Set 1.0 §4.1.3.1";
        TEMPERATURE_THRESHOLD = 0x04, "Temperature Threshold", "Base 2.0 §5.27.1.3";
        ERROR_RECOVERY = 0x05, "Error Recovery", "NVM Command Set 1.0 §4.1.3.2";
        WRITE_CACHE = 0x06, "Volatile Write Cache", "Base 2.0 §5.27.1.4";
        NUMBER_OF_QUEUES = 0x07, "Number of Queues", "Base 2.0 §5.27.1.5";
        INTERRUPT_COALESCING = 0x08, "Interrupt Coalescing", "Base 2.0 §5.27.1.6";
        INTERRUPT_VECTOR = 0x09, "Interrupt Vector Configuration", "Base 2.0 §5.27.1.7";
        WRITE_ATOMICITY = 0x0a, "Write Atomicity Normal", "NVM Command Set 1.0 §4.1.3.5";
        ASYNC_EVENTS = 0x0b, "Asynchronous Event Configuration", "Base 2.0 §5.27.1.8";
        AUTONOMOUS_POWER = 0x0c, "Autonomous Power State Transition", "Base 2.0 §5.27.1.9";
        HOST_MEMORY_BUFFER = 0x0d, "Host Memory Buffer", "Base 2.0 §5.27.1.10";
        TIMESTAMP = 0x0e, "Timestamp", "Base 2.0 §5.27.1.11";
        KEEP_ALIVE = 0x0f, "Keep Alive Timer", "Base 2.0 §5.27.1.12";
        THERMAL_MANAGEMENT = 0x10, "Host Controlled Thermal Management", "Base 2.0 §5.27.1.13";
        NON_OPERATIONAL_POWER = 0x11, "Non-Operational Power State Config", "Base 2.0 §5.27.1.14";
        HOST_BEHAVIOR = 0x16, "Host Behavior Support", "Base 2.0 §5.27.1.18";
        SANITIZE = 0x17, "Sanitize Config", "Base 2.0 §5.27.1.19";
        COMMAND_SET_PROFILE = 0x19, "I/O Command Set Profile", "Base 2.0 §5.27.1.21";
        SOFTWARE_PROGRESS = 0x80, "Software Progress Marker", "Base 2.0 §5.27.1.24";
        HOST_ID = 0x81, "Host Identifier", "Base 2.0 §5.27.1.25";
        RESERVATION_MASK = 0x82, "Reservation Notification Mask", "Base 2.0 §5.27.1.26";
        RESERVATION_PERSISTENCE = 0x83, "Reservation Persistence", "Base 2.0 §5.27.1.27";
        WRITE_PROTECTION = 0x84, "Namespace Write Protection Config", "Base 2.0 §5.27.1.28";
    }
}

bits! {
    /// How commands are taken from queues in turn (Base 2.0 §5.27.1.1).
    Arbitration(u32) {
        => fields {
            /// AB: so many commands at a time, as a power of two; 7 is no limit.
            burst / with_burst: 0, 3;
            /// LPW: weight of low priority, less one.
            low / with_low: 8, 8;
            /// MPW: weight of medium priority, less one.
            medium / with_medium: 16, 8;
            /// HPW: weight of high priority, less one.
            high / with_high: 24, 8;
        }
    }
}

bits! {
    /// How many I/O queues the host asks for, and in the answer how many there may be; each less one (Base 2.0 §5.27.1.5).
    NumberOfQueues(u32) {
        => fields {
            /// NSQR or NSQA: submission queues.
            submission / with_submission: 0, 16;
            /// NCQR or NCQA: completion queues.
            completion / with_completion: 16, 16;
        }
    }
}

bits! {
    /// Which events the controller tells of (Base 2.0 §5.27.1.8); the critical warnings are those of
    /// [`CriticalWarning`](super::CriticalWarning).
    AsyncEventConfig(u32) {
        /// Namespace Attribute Notices.
        namespace_changed / with_namespace_changed: 8;
        /// Firmware Activation Notices.
        firmware_activation / with_firmware_activation: 9;
        /// Telemetry Log Notices.
        telemetry / with_telemetry: 10;
        /// Asymmetric Namespace Access Change Notices.
        ana_changed / with_ana_changed: 11;
        /// Zone Descriptor Changed Notices (ZNS 1.1 §4.1.3).
        zone_changed / with_zone_changed: 27;
        => fields {
            /// SMART / Health Critical Warnings, a bit each.
            critical / with_critical: 0, 8;
        }
    }
}

layout! {
    /// What the host understands (Base 2.0 §5.27.1.18).
    HostBehavior: 512 {
        /// ACRE: it waits as long as Command Retry Delay says.
        0 pub waits_before_retry: u8,
        /// ETDAS: extended telemetry data area 4.
        1 pub has_telemetry_area_4: u8,
        /// LBAFEE: extended LBA formats.
        2 pub has_extended_formats: u8,
        3 reserved3: [u8; 509],
    }
}

layout! {
    /// The controller's time (Base 2.0 §5.27.1.11).
    Timestamp: 8 {
        /// Milliseconds since 1970, and in the upper 16 bits where they come from.
        0 pub bits: U64,
    }
}

impl Timestamp {
    /// Milliseconds since 1970, or since the reset if nobody has set it.
    pub const fn milliseconds(self) -> u64 {
        self.bits.get() & ((1 << 48) - 1)
    }
}
