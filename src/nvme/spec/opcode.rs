//! What commands are called: the opcodes of the admin queue and of I/O queues.

codes! {
    /// An opcode of the admin queue.
    AdminOpcode(u8) {
        DELETE_SQ = 0x00, "Delete I/O Submission Queue", "Base 2.0 §5.7";
        CREATE_SQ = 0x01, "Create I/O Submission Queue", "Base 2.0 §5.5";
        GET_LOG_PAGE = 0x02, "Get Log Page", "Base 2.0 §5.16";
        DELETE_CQ = 0x04, "Delete I/O Completion Queue", "Base 2.0 §5.6";
        CREATE_CQ = 0x05, "Create I/O Completion Queue", "Base 2.0 §5.4";
        IDENTIFY = 0x06, "Identify", "Base 2.0 §5.17";
        ABORT = 0x08, "Abort", "Base 2.0 §5.1";
        SET_FEATURES = 0x09, "Set Features", "Base 2.0 §5.27";
        GET_FEATURES = 0x0a, "Get Features", "Base 2.0 §5.15";
        ASYNC_EVENT = 0x0c, "Asynchronous Event Request", "Base 2.0 §5.2";
        NAMESPACE_MANAGEMENT = 0x0d, "Namespace Management", "Base 2.0 §5.23";
        FIRMWARE_COMMIT = 0x10, "Firmware Commit", "Base 2.0 §5.12";
        FIRMWARE_DOWNLOAD = 0x11, "Firmware Image Download", "Base 2.0 §5.13";
        SELF_TEST = 0x14, "Device Self-test", "Base 2.0 §5.9";
        NAMESPACE_ATTACHMENT = 0x15, "Namespace Attachment", "Base 2.0 §5.22";
        KEEP_ALIVE = 0x18, "Keep Alive", "Base 2.0 §5.18";
        DIRECTIVE_SEND = 0x19, "Directive Send", "Base 2.0 §5.11";
        DIRECTIVE_RECEIVE = 0x1a, "Directive Receive", "Base 2.0 §5.10";
        VIRTUALIZATION = 0x1c, "Virtualization Management", "Base 2.0 §5.28";
        MI_SEND = 0x1d, "NVMe-MI Send", "Base 2.0 §5.21";
        MI_RECEIVE = 0x1e, "NVMe-MI Receive", "Base 2.0 §5.20";
        CAPACITY_MANAGEMENT = 0x20, "Capacity Management", "Base 2.0 §5.3";
        LOCKDOWN = 0x24, "Lockdown", "Base 2.0 §5.19";
        DOORBELL_BUFFER = 0x7c, "Doorbell Buffer Config", "Base 2.0 §5.8";
        FABRICS = 0x7f, "Fabrics Commands", "Base 2.0 §6";
        FORMAT = 0x80, "Format NVM", "Base 2.0 §5.14";
        SECURITY_SEND = 0x81, "Security Send", "Base 2.0 §5.26";
        SECURITY_RECEIVE = 0x82, "Security Receive", "Base 2.0 §5.25";
        SANITIZE = 0x84, "Sanitize", "Base 2.0 §5.24";
        GET_LBA_STATUS = 0x86, "Get LBA Status", "NVM Command Set 1.0 §4.2.1";
    }
}

codes! {
    /// An opcode of I/O queues.
    IoOpcode(u8) {
        FLUSH = 0x00, "Flush", "Base 2.0 §7.1";
        WRITE = 0x01, "Write", "NVM Command Set 1.0 §3.2.6";
        READ = 0x02, "Read", "NVM Command Set 1.0 §3.2.4";
        WRITE_UNCORRECTABLE = 0x04, "Write Uncorrectable", "NVM Command Set 1.0 §3.2.7";
        COMPARE = 0x05, "Compare", "NVM Command Set 1.0 §3.2.1";
        WRITE_ZEROES = 0x08, "Write Zeroes", "NVM Command Set 1.0 §3.2.8";
        DATASET_MANAGEMENT = 0x09, "Dataset Management", "NVM Command Set 1.0 §3.2.3";
        VERIFY = 0x0c, "Verify", "NVM Command Set 1.0 §3.2.5";
        RESERVATION_REGISTER = 0x0d, "Reservation Register", "Base 2.0 §7.3";
        RESERVATION_REPORT = 0x0e, "Reservation Report", "Base 2.0 §7.5";
        RESERVATION_ACQUIRE = 0x11, "Reservation Acquire", "Base 2.0 §7.2";
        MANAGEMENT_RECEIVE = 0x12, "I/O Management Receive", "Base 2.1 §7.3";
        RESERVATION_RELEASE = 0x15, "Reservation Release", "Base 2.0 §7.4";
        COPY = 0x19, "Copy", "NVM Command Set 1.0 §3.2.2";
        MANAGEMENT_SEND = 0x1d, "I/O Management Send", "Base 2.1 §7.4";
        ZONE_MANAGEMENT_SEND = 0x79, "Zone Management Send", "ZNS 1.1 §3.4.3";
        ZONE_MANAGEMENT_RECEIVE = 0x7a, "Zone Management Receive", "ZNS 1.1 §3.4.2";
        ZONE_APPEND = 0x7d, "Zone Append", "ZNS 1.1 §3.4.1";
    }
}

/// Which way a command's data goes, as the lowest two bits of its opcode say (Base 2.0 §3.3.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// It has none.
    None,
    /// From the host to the controller.
    ToController,
    /// From the controller to the host.
    FromController,
    /// Both ways, or which is up to the vendor.
    Both,
}

impl Transfer {
    /// Of the opcode's command.
    pub const fn of(opcode: u8) -> Self {
        match opcode & 3 {
            0 => Self::None,
            1 => Self::ToController,
            2 => Self::FromController,
            _ => Self::Both,
        }
    }
}
