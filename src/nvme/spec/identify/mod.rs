//! What Identify answers: a door to the structures of controllers, of namespaces, and to lists.

mod command_sets;
mod controller;
mod lists;
mod namespace;
mod support;

pub use command_sets::{
    ExtendedFormat, IdentifyNvmController, IdentifyNvmNamespace, IdentifyZonedController,
    IdentifyZonedNamespace, ZoneCapabilities, ZonedCommands, ZonedFormat,
};
pub use controller::{IdentifyController, PowerState};
pub use lists::{CommandSetVector, ControllerList, NamespaceId, NamespaceIds, NamespaceList};
pub use namespace::{
    CommonFeatures, DataProtection, DeallocateFeatures, FormatIndex, FormatProgress, IdentifyNamespace,
    IdentifyNamespaceIndependent, LbaFormat, MetadataCapabilities, NamespaceAttributes, NamespaceFeatures,
    NamespaceSharing, NamespaceStatus, ProtectionCapabilities, ReservationSupport,
};
pub use support::{
    AdminSupport, AnaCapabilities, AsyncEventSupport, ControllerAttributes, FirmwareUpdates, FormatSupport,
    FusedSupport, IoSupport, LogSupport, ManagementEndpoints, ManagementSupport, MultiPath, PowerFlags,
    QueueEntrySizes, SanitizeSupport, SelfTestOptions, SglSupport, ThermalSupport, VolatileWriteCache,
    WriteProtection,
};

codes! {
    /// CNS: which structure an Identify asks for (Base 2.0 §5.17, CNS Values).
    IdentifyWhat(u8) {
        NAMESPACE = 0x00, "Identify Namespace", "NVM Command Set 1.0 §4.1.5.1";
        CONTROLLER = 0x01, "Identify Controller", "Base 2.0 §5.17.2.1";
        ACTIVE_NAMESPACES = 0x02, "Active Namespace ID list", "Base 2.0 §5.17.2.2";
        NAMESPACE_IDS = 0x03, "Namespace Identification Descriptor list", "Base 2.0 §5.17.2.3";
        NVM_SETS = 0x04, "NVM Set List", "Base 2.0 §5.17.2.4";
        NAMESPACE_OF_SET = 0x05, "I/O Command Set specific Identify Namespace", "Base 2.0 §5.17.2.5";
        CONTROLLER_OF_SET = 0x06, "I/O Command Set specific Identify Controller", "Base 2.0 §5.17.2.6";
        ACTIVE_NAMESPACES_OF_SET = 0x07, "I/O Command Set specific Active Namespace ID list", "Base 2.0 §5.17.2.7";
        NAMESPACE_INDEPENDENT = 0x08, "I/O Command Set Independent Identify Namespace", "Base 2.0 §5.17.2.8";
        ALLOCATED_NAMESPACES = 0x10, "Allocated Namespace ID list", "Base 2.0 §5.17.2.9";
        ALLOCATED_NAMESPACE = 0x11, "Identify Namespace of an allocated namespace", "Base 2.0 §5.17.2.10";
        CONTROLLERS_OF_NAMESPACE = 0x12, "Controller List of a namespace", "Base 2.0 §5.17.2.11";
        CONTROLLERS = 0x13, "Controller List of the subsystem", "Base 2.0 §5.17.2.12";
        PRIMARY_CAPABILITIES = 0x14, "Primary Controller Capabilities", "Base 2.0 §5.17.2.13";
        SECONDARY_CONTROLLERS = 0x15, "Secondary Controller list", "Base 2.0 §5.17.2.14";
        NAMESPACE_GRANULARITY = 0x16, "Namespace Granularity List", "NVM Command Set 1.0 §4.1.5.6";
        UUIDS = 0x17, "UUID List", "Base 2.0 §5.17.2.16";
        COMMAND_SETS = 0x1c, "I/O Command Set data structure", "Base 2.0 §5.17.2.21";
    }
}
