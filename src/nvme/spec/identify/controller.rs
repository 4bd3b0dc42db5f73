//! Identify Controller: what a controller is.

use super::super::{Version, text::text};
use super::{
    AdminSupport, AnaCapabilities, AsyncEventSupport, ControllerAttributes, FirmwareUpdates, FormatSupport,
    FusedSupport, IoSupport, LogSupport, ManagementEndpoints, ManagementSupport, MultiPath, PowerFlags,
    QueueEntrySizes, SanitizeSupport, SelfTestOptions, SglSupport, ThermalSupport, VolatileWriteCache,
    WriteProtection,
};
use zerocopy::little_endian::{U16, U32, U128};

layout! {
    /// The Identify Controller data structure, CNS 01h (Base 2.0 §5.17.2.1, Figure 275).
    IdentifyController: 4096 {
        /// VID: the vendor, as PCI has it.
        0 pub vendor: U16,
        /// SSVID: the subsystem's vendor, likewise.
        2 pub subsystem_vendor: U16,
        /// SN: ASCII, padded with spaces; see [`serial`](Self::serial).
        4 pub serial_bytes: [u8; 20],
        /// MN: likewise; see [`model`](Self::model).
        24 pub model_bytes: [u8; 40],
        /// FR: likewise; see [`firmware`](Self::firmware).
        64 pub firmware_bytes: [u8; 8],
        /// RAB: how many commands to fetch at a time, as a power of two.
        72 pub arbitration_burst: u8,
        /// IEEE: the vendor's OUI, lowest byte first.
        73 pub oui: [u8; 3],
        /// CMIC.
        76 pub multi_path: MultiPath,
        /// MDTS: most of one transfer, in smallest pages as a power of two; 0 is no limit.
        77 pub transfer_max: u8,
        /// CNTLID: which controller of the subsystem.
        78 pub controller_id: U16,
        /// VER.
        80 pub version: Version,
        /// RTD3R: microseconds to resume from D3.
        84 pub resume_us: U32,
        /// RTD3E: microseconds to enter D3: how long a shutdown may take.
        88 pub shutdown_us: U32,
        /// OAES.
        92 pub async_events: AsyncEventSupport,
        /// CTRATT.
        96 pub attributes: ControllerAttributes,
        /// RRLS: which Read Recovery Levels, a bit each.
        100 pub read_recovery_levels: U16,
        102 reserved102: [u8; 9],
        /// CNTRLTYPE: 1 I/O, 2 discovery, 3 administrative; 0 is not told.
        111 pub controller_type: u8,
        /// FGUID: the unit in the field.
        112 pub guid: [u8; 16],
        /// CRDT1 to CRDT3: the delays before retries, in units of 100 ms.
        128 pub retry_delays: [U16; 3],
        134 reserved134: [u8; 119],
        /// NVMSR: what of a management endpoint it is.
        253 pub management: ManagementSupport,
        /// VWCI: writes left to its vital product data.
        254 pub product_data_writes: u8,
        /// MEC: what endpoints it has.
        255 pub endpoints: ManagementEndpoints,
        /// OACS.
        256 pub admin: AdminSupport,
        /// ACL: Aborts that may be outstanding, less one.
        258 pub aborts_max: u8,
        /// AERL: Asynchronous Event Requests that may be outstanding, less one.
        259 pub async_events_max: u8,
        /// FRMW.
        260 pub firmware_updates: FirmwareUpdates,
        /// LPA.
        261 pub logs: LogSupport,
        /// ELPE: entries of the error log, less one.
        262 pub error_entries: u8,
        /// NPSS: power states, less one.
        263 pub power_states_max: u8,
        /// AVSCC: whether vendors' admin commands have the standard form.
        264 pub vendor_admin: u8,
        /// APSTA: whether it changes power states by itself.
        265 pub autonomous_power: u8,
        /// WCTEMP: the temperature to warn at, in kelvin.
        266 pub warning_temperature: U16,
        /// CCTEMP: the critical temperature.
        268 pub critical_temperature: U16,
        /// MTFA: how long a firmware activation takes, in units of 100 ms.
        270 pub firmware_time: U16,
        /// HMPRE: the preferred Host Memory Buffer, in units of 4 KiB.
        272 pub host_buffer_preferred: U32,
        /// HMMIN: the least.
        276 pub host_buffer_min: U32,
        /// TNVMCAP: bytes of NVM in all.
        280 pub capacity: U128,
        /// UNVMCAP: bytes that no namespace has.
        296 pub capacity_unallocated: U128,
        /// RPMBS: Replay Protected Memory Blocks.
        312 pub protected_memory: U32,
        /// EDSTT: minutes of an extended self-test.
        316 pub self_test_minutes: U16,
        /// DSTO: options of the self-test.
        318 pub self_test_options: SelfTestOptions,
        /// FWUG: granularity of firmware images, in units of 4 KiB; 0 is not told, 255 is none.
        319 pub firmware_granularity: u8,
        /// KAS: granularity of the keep-alive, in units of 100 ms; 0 is no keep-alive.
        320 pub keep_alive: U16,
        /// HCTMA: thermal management by the host.
        322 pub thermal: ThermalSupport,
        /// MNTMT: its lowest temperature.
        324 pub thermal_min: U16,
        /// MXTMT: its highest.
        326 pub thermal_max: U16,
        /// SANICAP: kinds of sanitize operations.
        328 pub sanitize: SanitizeSupport,
        /// HMMINDS: the smallest piece of a Host Memory Buffer, in units of 4 KiB.
        332 pub host_buffer_piece_min: U32,
        /// HMMAXD: the most pieces.
        336 pub host_buffer_pieces_max: U16,
        /// NSETIDMAX: the largest NVM Set.
        338 pub nvm_sets_max: U16,
        /// ENDGIDMAX: the largest Endurance Group.
        340 pub endurance_groups_max: U16,
        /// ANATT: seconds of a change of asymmetric access.
        342 pub ana_seconds: u8,
        /// ANACAP.
        343 pub ana: AnaCapabilities,
        /// ANAGRPMAX: the largest group.
        344 pub ana_group_max: U32,
        /// NANAGRPID: how many groups.
        348 pub ana_groups: U32,
        /// PELS: bytes of the Persistent Event log, in units of 64 KiB.
        352 pub persistent_events: U32,
        /// Domain Identifier.
        356 pub domain: U16,
        358 reserved358: [u8; 10],
        /// MEGCAP: bytes of the largest Endurance Group.
        368 pub endurance_group_capacity: U128,
        384 reserved384: [u8; 128],
        /// SQES.
        512 pub submission_entries: QueueEntrySizes,
        /// CQES.
        513 pub completion_entries: QueueEntrySizes,
        /// MAXCMD: commands outstanding at a time, over fabrics.
        514 pub commands_max: U16,
        /// NN: the largest namespace identifier, or how many namespaces there are.
        516 pub namespaces: U32,
        /// ONCS.
        520 pub io: IoSupport,
        /// FUSES.
        522 pub fused: FusedSupport,
        /// FNA: whether a format is of one namespace or all.
        524 pub format: FormatSupport,
        /// VWC.
        525 pub write_cache: VolatileWriteCache,
        /// AWUN: blocks that are written atomically, less one.
        526 pub atomic_write: U16,
        /// AWUPF: the same if power fails.
        528 pub atomic_write_power_fail: U16,
        /// ICSVSCC: whether vendors' I/O commands have the standard form.
        530 pub vendor_io: u8,
        /// NWPC: namespace write protection.
        531 pub write_protection: WriteProtection,
        /// ACWU: blocks of an atomic compare and write, less one.
        532 pub atomic_compare_write: U16,
        /// OCFS: formats of Copy's ranges, a bit each.
        534 pub copy_formats: U16,
        /// SGLS.
        536 pub sgl: SglSupport,
        /// MNAN: the most namespaces that may exist; 0 is NN.
        540 pub allowed_namespaces: U32,
        /// MAXDNA: the most attachments in the domain.
        544 pub domain_attachments_max: U128,
        /// MAXCNA: the most namespaces attached to it.
        560 pub attachments_max: U32,
        564 reserved564: [u8; 204],
        /// SUBNQN: the subsystem's name, UTF-8 ended by a zero; see [`subsystem`](Self::subsystem).
        768 pub subsystem_bytes: [u8; 256],
        1024 reserved1024: [u8; 768],
        /// What concerns fabrics.
        1792 pub fabrics: [u8; 256],
        /// PSD0 to PSD31.
        2048 pub power_states: [PowerState; 32],
        /// The vendor's.
        3072 pub vendor_specific: [u8; 1024],
    }
}

impl IdentifyController {
    /// SN, without its padding. A byte that is no printable ASCII is shown as U+FFFD, here and below.
    pub fn serial(&self) -> String {
        text(&self.serial_bytes)
    }

    /// MN.
    pub fn model(&self) -> String {
        text(&self.model_bytes)
    }

    /// FR.
    pub fn firmware(&self) -> String {
        text(&self.firmware_bytes)
    }

    /// SUBNQN.
    pub fn subsystem(&self) -> String {
        text(&self.subsystem_bytes)
    }

    /// The most bytes of one transfer, for a smallest page of `page_min` bytes; none is no limit. What cannot be expressed is none.
    pub const fn transfer_bytes_max(&self, page_min: u64) -> Option<u64> {
        match self.transfer_max {
            0 => None,
            shift if shift < 32 => page_min.checked_mul(1 << shift),
            _ => None,
        }
    }
}

layout! {
    /// One power state of a controller (Base 2.0 §5.17.2.1, Figure 276).
    PowerState: 32 {
        /// MP: the most power, in hundredths of a watt, or ten-thousandths with the lowest flag set.
        0 pub power: U16,
        2 reserved2: u8,
        /// The unit of `power`, and whether there is I/O in this state.
        3 pub flags: PowerFlags,
        /// ENLAT: microseconds to enter it.
        4 pub entry_us: U32,
        /// EXLAT: microseconds to leave it.
        8 pub exit_us: U32,
        /// RRT, RRL, RWT, RWL: relative read throughput and latency, then write; less is better.
        12 pub relative: [u8; 4],
        /// IDLP: power when idle.
        16 pub idle_power: U16,
        /// IPS: its scale.
        18 pub idle_scale: u8,
        19 reserved19: u8,
        /// ACTP: power when active.
        20 pub active_power: U16,
        /// Its workload and scale.
        22 pub active_scale: u8,
        23 reserved23: [u8; 9],
    }
}

impl PowerState {
    /// Power when idle, in microwatts, if it is told.
    pub const fn idle_power_uw(&self) -> Option<u64> {
        scaled_power_uw(self.idle_power.get(), self.idle_scale)
    }

    /// Power when active, in microwatts, if it is told.
    pub const fn active_power_uw(&self) -> Option<u64> {
        scaled_power_uw(self.active_power.get(), self.active_scale)
    }

    /// The most power it takes, in microwatts.
    pub const fn power_uw(&self) -> u64 {
        self.power.get() as u64 * if self.flags.has_fine_scale() { 100 } else { 10_000 }
    }

    /// Whether it does I/O in this state.
    pub const fn is_operational(&self) -> bool {
        !self.flags.is_idle()
    }
}

/// By the two upper bits of its scale: ten-thousandths or hundredths of a watt.
const fn scaled_power_uw(power: u16, scale: u8) -> Option<u64> {
    match scale >> 6 {
        1 => Some(power as u64 * 100),
        2 => Some(power as u64 * 10_000),
        _ => None,
    }
}
