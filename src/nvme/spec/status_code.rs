//! Every status code that the specifications name.

codes! {
    /// What a completion says happened: status code type above the low byte, status code in it.
    ///
    /// ```
    /// use reactor::nvme::spec::{StatusCode, StatusKind};
    /// assert_eq!(StatusCode(0x281), StatusCode::UNRECOVERED_READ);
    /// assert_eq!(StatusCode(0x281).kind(), StatusKind::Media);
    /// assert_eq!(StatusCode(0x281).to_string(), "Unrecovered Read Error");
    /// ```
    StatusCode(u16) {
        SUCCESS = 0x000, "Successful Completion", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_OPCODE = 0x001, "Invalid Command Opcode", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_FIELD = 0x002, "Invalid Field in Command", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        COMMAND_ID_CONFLICT = 0x003, "Command ID Conflict", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        DATA_TRANSFER_ERROR = 0x004, "Data Transfer Error", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ABORTED_POWER_LOSS = 0x005, "Commands Aborted due to Power Loss Notification", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INTERNAL_ERROR = 0x006, "Internal Error", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ABORT_REQUESTED = 0x007, "Command Abort Requested", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ABORTED_SQ_DELETION = 0x008, "Command Aborted due to SQ Deletion", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ABORTED_FAILED_FUSED = 0x009, "Command Aborted due to Failed Fused Command", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ABORTED_MISSING_FUSED = 0x00a, "Command Aborted due to Missing Fused Command", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_NAMESPACE = 0x00b, "Invalid Namespace or Format", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        SEQUENCE_ERROR = 0x00c, "Command Sequence Error", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_SEGMENT = 0x00d, "Invalid SGL Segment Descriptor", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_COUNT = 0x00e, "Invalid Number of SGL Descriptors", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_DATA_LENGTH = 0x00f, "Data SGL Length Invalid", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_METADATA_LENGTH = 0x010, "Metadata SGL Length Invalid", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_TYPE = 0x011, "SGL Descriptor Type Invalid", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_MEMORY_BUFFER_USE = 0x012, "Invalid Use of Controller Memory Buffer", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_PRP_OFFSET = 0x013, "PRP Offset Invalid", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ATOMIC_WRITE_UNIT_EXCEEDED = 0x014, "Atomic Write Unit Exceeded", "NVM Command Set 1.0 §3.1.2";
        OPERATION_DENIED = 0x015, "Operation Denied", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_OFFSET = 0x016, "SGL Offset Invalid", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        HOST_ID_FORMAT = 0x018, "Host Identifier Inconsistent Format", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        KEEP_ALIVE_EXPIRED = 0x019, "Keep Alive Timer Expired", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_KEEP_ALIVE = 0x01a, "Keep Alive Timeout Invalid", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        ABORTED_PREEMPTED = 0x01b, "Command Aborted due to Preempt and Abort", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        SANITIZE_FAILED = 0x01c, "Sanitize Failed", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        SANITIZE_IN_PROGRESS = 0x01d, "Sanitize In Progress", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_SGL_GRANULARITY = 0x01e, "SGL Data Block Granularity Invalid", "NVM Command Set 1.0 §3.1.2";
        NOT_IN_MEMORY_BUFFER = 0x01f, "Command Not Supported for Queue in CMB", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        WRITE_PROTECTED = 0x020, "Namespace is Write Protected", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INTERRUPTED = 0x021, "Command Interrupted", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        TRANSIENT_TRANSPORT_ERROR = 0x022, "Transient Transport Error", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        PROHIBITED = 0x023, "Command Prohibited by Command and Feature Lockdown", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        MEDIA_NOT_READY = 0x024, "Admin Command Media Not Ready", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        LBA_OUT_OF_RANGE = 0x080, "LBA Out of Range", "NVM Command Set 1.0 §3.1.2";
        CAPACITY_EXCEEDED = 0x081, "Capacity Exceeded", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        NAMESPACE_NOT_READY = 0x082, "Namespace Not Ready", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        RESERVATION_CONFLICT = 0x083, "Reservation Conflict", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        FORMAT_IN_PROGRESS = 0x084, "Format In Progress", "Base 2.0 §3.3.3.2.1, Generic Command Status";
        INVALID_CQ = 0x100, "Completion Queue Invalid", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_QID = 0x101, "Invalid Queue Identifier", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_QUEUE_SIZE = 0x102, "Invalid Queue Size", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        ABORT_LIMIT = 0x103, "Abort Command Limit Exceeded", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        ASYNC_EVENT_LIMIT = 0x105, "Asynchronous Event Request Limit Exceeded", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_FIRMWARE_SLOT = 0x106, "Invalid Firmware Slot", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_FIRMWARE_IMAGE = 0x107, "Invalid Firmware Image", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_INTERRUPT_VECTOR = 0x108, "Invalid Interrupt Vector", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_LOG_PAGE = 0x109, "Invalid Log Page", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_FORMAT = 0x10a, "Invalid Format", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FIRMWARE_NEEDS_RESET = 0x10b, "Firmware Activation Requires Conventional Reset", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_QUEUE_DELETION = 0x10c, "Invalid Queue Deletion", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FEATURE_NOT_SAVEABLE = 0x10d, "Feature Identifier Not Saveable", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FEATURE_NOT_CHANGEABLE = 0x10e, "Feature Not Changeable", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FEATURE_NOT_PER_NAMESPACE = 0x10f, "Feature Not Namespace Specific", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FIRMWARE_NEEDS_SUBSYSTEM_RESET = 0x110, "Firmware Activation Requires NVM Subsystem Reset", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FIRMWARE_NEEDS_CONTROLLER_RESET = 0x111, "Firmware Activation Requires Controller Level Reset", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FIRMWARE_NEEDS_TIME = 0x112, "Firmware Activation Requires Maximum Time Violation", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        FIRMWARE_PROHIBITED = 0x113, "Firmware Activation Prohibited", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        OVERLAPPING_RANGE = 0x114, "Overlapping Range", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INSUFFICIENT_CAPACITY = 0x115, "Namespace Insufficient Capacity", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        NAMESPACE_ID_UNAVAILABLE = 0x116, "Namespace Identifier Unavailable", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        ALREADY_ATTACHED = 0x118, "Namespace Already Attached", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        IS_PRIVATE = 0x119, "Namespace Is Private", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        NOT_ATTACHED = 0x11a, "Namespace Not Attached", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        NO_THIN_PROVISIONING = 0x11b, "Thin Provisioning Not Supported", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_CONTROLLER_LIST = 0x11c, "Controller List Invalid", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        SELF_TEST_IN_PROGRESS = 0x11d, "Device Self-test In Progress", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        BOOT_PARTITION_PROHIBITED = 0x11e, "Boot Partition Write Prohibited", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_CONTROLLER_ID = 0x11f, "Invalid Controller Identifier", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_SECONDARY_STATE = 0x120, "Invalid Secondary Controller State", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_RESOURCES = 0x121, "Invalid Number of Controller Resources", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_RESOURCE_ID = 0x122, "Invalid Resource Identifier", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        SANITIZE_PROHIBITED = 0x123, "Sanitize Prohibited While Persistent Memory Region is Enabled", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_ANA_GROUP = 0x124, "ANA Group Identifier Invalid", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        ANA_ATTACH_FAILED = 0x125, "ANA Attach Failed", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        NO_CAPACITY = 0x126, "Insufficient Capacity", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        ATTACHMENT_LIMIT = 0x127, "Namespace Attachment Limit Exceeded", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        NO_COMMAND_SET = 0x129, "I/O Command Set Not Supported", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        COMMAND_SET_DISABLED = 0x12a, "I/O Command Set Not Enabled", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        COMMAND_SETS_REJECTED = 0x12b, "I/O Command Set Combination Rejected", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        INVALID_COMMAND_SET = 0x12c, "Invalid I/O Command Set", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        ID_UNAVAILABLE = 0x12d, "Identifier Unavailable", "Base 2.0 §3.3.3.2.1, Command Specific Status";
        CONFLICTING_ATTRIBUTES = 0x180, "Conflicting Attributes", "NVM Command Set 1.0 §3.1.2";
        INVALID_PROTECTION = 0x181, "Invalid Protection Information", "NVM Command Set 1.0 §3.1.2";
        READ_ONLY_RANGE = 0x182, "Attempted Write to Read Only Range", "NVM Command Set 1.0 §3.1.2";
        COMMAND_SIZE_LIMIT = 0x183, "Command Size Limit Exceeded", "NVM Command Set 1.0 §3.1.2";
        INVALID_ZONE_OPERATION = 0x1b6, "Invalid Zone Operation Request", "TP 4076";
        NO_RANDOM_WRITE_AREA = 0x1b7, "Zone Random Write Area Resources Unavailable", "TP 4076";
        ZONE_BOUNDARY = 0x1b8, "Zone Boundary Error", "ZNS 1.1 §3.1.2";
        ZONE_FULL = 0x1b9, "Zone Is Full", "ZNS 1.1 §3.1.2";
        ZONE_READ_ONLY = 0x1ba, "Zone Is Read Only", "ZNS 1.1 §3.1.2";
        ZONE_OFFLINE = 0x1bb, "Zone Is Offline", "ZNS 1.1 §3.1.2";
        INVALID_ZONE_WRITE = 0x1bc, "Zone Invalid Write", "ZNS 1.1 §3.1.2";
        TOO_MANY_ACTIVE_ZONES = 0x1bd, "Too Many Active Zones", "ZNS 1.1 §3.1.2";
        TOO_MANY_OPEN_ZONES = 0x1be, "Too Many Open Zones", "ZNS 1.1 §3.1.2";
        INVALID_ZONE_TRANSITION = 0x1bf, "Invalid Zone State Transition", "ZNS 1.1 §3.1.2";
        WRITE_FAULT = 0x280, "Write Fault", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        UNRECOVERED_READ = 0x281, "Unrecovered Read Error", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        GUARD_CHECK = 0x282, "End-to-end Guard Check Error", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        APPLICATION_TAG_CHECK = 0x283, "End-to-end Application Tag Check Error", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        REFERENCE_TAG_CHECK = 0x284, "End-to-end Reference Tag Check Error", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        COMPARE_FAILURE = 0x285, "Compare Failure", "NVM Command Set 1.0 §3.1.2";
        ACCESS_DENIED = 0x286, "Access Denied", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        DEALLOCATED = 0x287, "Deallocated or Unwritten Logical Block", "NVM Command Set 1.0 §3.1.2";
        STORAGE_TAG_CHECK = 0x288, "End-to-end Storage Tag Check Error", "Base 2.0 §3.3.3.2.1, Media and Data Integrity Errors";
        INTERNAL_PATH_ERROR = 0x300, "Internal Path Error", "Base 2.0 §3.3.3.2.1, Path Related Status";
        ANA_PERSISTENT_LOSS = 0x301, "Asymmetric Access Persistent Loss", "Base 2.0 §3.3.3.2.1, Path Related Status";
        ANA_INACCESSIBLE = 0x302, "Asymmetric Access Inaccessible", "Base 2.0 §3.3.3.2.1, Path Related Status";
        ANA_TRANSITION = 0x303, "Asymmetric Access Transition", "Base 2.0 §3.3.3.2.1, Path Related Status";
        CONTROLLER_PATH_ERROR = 0x360, "Controller Pathing Error", "Base 2.0 §3.3.3.2.1, Path Related Status";
        HOST_PATH_ERROR = 0x370, "Host Pathing Error", "Base 2.0 §3.3.3.2.1, Path Related Status";
        ABORTED_BY_HOST = 0x371, "Command Aborted By Host", "Base 2.0 §3.3.3.2.1, Path Related Status";
    }
}

/// Where a status code belongs (Base 2.0 §3.3.3.2.1, Status Code Type).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusKind {
    /// Type 0: of any command.
    Generic,
    /// Type 1: of the command at hand.
    CommandSpecific,
    /// Type 2: of the media, or of data integrity.
    Media,
    /// Type 3: of the path to the namespace.
    Path,
    /// Type 7: the vendor's.
    Vendor,
    /// Types 4 to 6: nobody's yet.
    Reserved,
}

impl StatusCode {
    /// Where it belongs.
    pub const fn kind(self) -> StatusKind {
        match self.0 >> 8 & 7 {
            0 => StatusKind::Generic,
            1 => StatusKind::CommandSpecific,
            2 => StatusKind::Media,
            3 => StatusKind::Path,
            7 => StatusKind::Vendor,
            _ => StatusKind::Reserved,
        }
    }
}
