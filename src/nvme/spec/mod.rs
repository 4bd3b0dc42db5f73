//! What the NVM Express specifications define: registers, commands, completions, and the data of both; the bytes and nothing else.
//!
//! It imports nothing of the crate.
//!
//! # Citations
//!
//! The numbers of sections and figures are those of the editions of 2021: Base Specification 2.0, NVM Command Set 1.0, Zoned
//! Namespace Command Set 1.1 (ZNS), and for doorbells NVMe over PCIe Transport 1.0. Their corrections (2.0a, 2.0b, …) keep the
//! numbers; Base 2.1 and its kin count anew, but keep the titles. Behind a comma stands a title, of a section, a figure or a field: it
//! says where in the section to look (`Base 2.0 §8.1, ANA Change state`), or is to be searched for where no number could be
//! checked (`Base 2.0, Fused Operations`). What came later is cited by the edition that has it (Base 2.1), or by its technical
//! proposal: TP 4076 is Zoned Random Write Area.
//!
//! # Form
//!
//! Structures are plain little-endian bytes without alignment, checked against the tables at compile time. With the traits of
//! [`zerocopy`] any bytes from a device can be looked at in place:
//!
//! ```
//! use reactor::nvme::spec::IdentifyController;
//! use zerocopy::FromBytes;
//! let page = [0; 4096]; // as a device wrote it
//! let controller = IdentifyController::ref_from_bytes(&page).unwrap();
//! assert_eq!((controller.model(), controller.namespaces.get()), (String::new(), 0));
//! ```
//!
//! Numbers with names ([`StatusCode`], [`AdminOpcode`], …) hold any number: what a device says that has no name is not an error.

#[macro_use]
mod macros;

mod admin;
mod bits;
mod command;
mod completion;
mod event;
mod feature;
mod identify;
mod io;
mod log;
mod opcode;
pub mod register;
mod reservation;
mod status;
mod status_code;
mod text;
mod zns;
mod zones;

pub use admin::{CompletionQueueFlags, FeatureSelect, FormatOptions, QueueSize, SubmissionQueueFlags};
pub use bits::{Bits, Flag};
pub use command::{ALL_NAMESPACES, Command, CommandFlags, SglDescriptor};
pub use completion::Completion;
pub use event::{AsyncEvent, EventKind};
pub use feature::{Arbitration, AsyncEventConfig, FeatureId, HostBehavior, NumberOfQueues, Timestamp};
pub use identify::{
    AdminSupport, AnaCapabilities, AsyncEventSupport, CommandSetVector, CommonFeatures, ControllerAttributes,
    ControllerList, DataProtection, DeallocateFeatures, ExtendedFormat, FirmwareUpdates, FormatIndex,
    FormatProgress, FormatSupport, FusedSupport, IdentifyController, IdentifyNamespace,
    IdentifyNamespaceIndependent, IdentifyNvmController, IdentifyNvmNamespace, IdentifyWhat,
    IdentifyZonedController, IdentifyZonedNamespace, IoSupport, LbaFormat, LogSupport, ManagementEndpoints,
    ManagementSupport, MetadataCapabilities, MultiPath, NamespaceAttributes, NamespaceFeatures, NamespaceId,
    NamespaceIds, NamespaceList, NamespaceSharing, NamespaceStatus, PowerFlags, PowerState,
    ProtectionCapabilities, QueueEntrySizes, ReservationSupport, SanitizeSupport, SelfTestOptions,
    SglSupport, ThermalSupport, VolatileWriteCache, WriteProtection, ZoneCapabilities, ZonedCommands,
    ZonedFormat,
};
pub use io::{CopyRange, DatasetAttributes, DatasetRange, IoControl};
pub use log::{
    AnaGroup, AnaGroups, AnaLogHeader, AnaState, ChangedZones, CommandEffects, CommandEffectsLog,
    CriticalWarning, ErrorLogEntry, FirmwareLog, LogPage, SmartLog,
};
pub use opcode::{AdminOpcode, IoOpcode, Transfer};
pub use register::{
    AdminQueueAttributes, Capabilities, Configuration, ControllerStatus, MemoryBufferControl,
    MemoryBufferLocation, MemoryBufferSize, ReadyTimeouts, Version,
};
pub use reservation::{
    AcquireAction, RegisterAction, RegisteredController, ReleaseAction, ReservationAcquire,
    ReservationRegister, ReservationRelease, ReservationStatus, ReservationType,
};
pub use status::Status;
pub use status_code::{StatusCode, StatusKind};
pub use zns::{ReportFilter, ZoneAction, ZoneReceive, ZoneSend};
pub use zones::{ZoneAttributes, ZoneDescriptor, ZoneReport, ZoneReportHeader, ZoneState};

#[cfg(all(test, not(loom)))]
mod tests;
