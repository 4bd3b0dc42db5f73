//! The controller's registers: where they are, and what their bits mean.
//!
//! Base 2.0 §3.1.3 calls them properties; where they lie in BAR 0, and the doorbells behind them, is NVMe over PCIe Transport 1.0
//! §3.1.

/// Controller Capabilities, 64 bits (Base 2.0 §3.1.3.1).
pub const CAP: usize = 0x00;
/// Version (Base 2.0 §3.1.3.2).
pub const VS: usize = 0x08;
/// Interrupt Mask Set, not with MSI-X (Base 2.0 §3.1.3.3).
pub const INTMS: usize = 0x0c;
/// Interrupt Mask Clear, not with MSI-X (Base 2.0 §3.1.3.4).
pub const INTMC: usize = 0x10;
/// Controller Configuration (Base 2.0 §3.1.3.5).
pub const CC: usize = 0x14;
/// Controller Status (Base 2.0 §3.1.3.6).
pub const CSTS: usize = 0x1c;
/// NVM Subsystem Reset: [`NSSR_RESET`] resets (Base 2.0 §3.1.3.7).
pub const NSSR: usize = 0x20;
/// Admin Queue Attributes (Base 2.0 §3.1.3.8).
pub const AQA: usize = 0x24;
/// Admin Submission Queue Base Address, 64 bits (Base 2.0 §3.1.3.9).
pub const ASQ: usize = 0x28;
/// Admin Completion Queue Base Address, 64 bits (Base 2.0 §3.1.3.10).
pub const ACQ: usize = 0x30;
/// Controller Memory Buffer Location (Base 2.0 §3.1.3.11).
pub const CMBLOC: usize = 0x38;
/// Controller Memory Buffer Size (Base 2.0 §3.1.3.12).
pub const CMBSZ: usize = 0x3c;
/// Boot Partition Information (Base 2.0 §3.1.3.13).
pub const BPINFO: usize = 0x40;
/// Boot Partition Read Select (Base 2.0 §3.1.3.14).
pub const BPRSEL: usize = 0x44;
/// Boot Partition Memory Buffer Location, 64 bits (Base 2.0 §3.1.3.15).
pub const BPMBL: usize = 0x48;
/// Controller Memory Buffer Memory Space Control, 64 bits (Base 2.0 §3.1.3.16).
pub const CMBMSC: usize = 0x50;
/// Controller Memory Buffer Status (Base 2.0 §3.1.3.17).
pub const CMBSTS: usize = 0x58;
/// Controller Ready Timeouts (Base 2.0 §3.1.3.21).
pub const CRTO: usize = 0x68;
/// Persistent Memory Region Capabilities (Base 2.0 §3.1.3.22).
pub const PMRCAP: usize = 0xe00;
/// The first doorbell (PCIe Transport 1.0 §3.1.2).
pub const DOORBELLS: usize = 0x1000;

/// "NVMe", which NSSR takes for a reset (Base 2.0 §3.1.3.7).
pub const NSSR_RESET: u32 = 0x4e56_4d65;

/// Where the Submission Queue `qid`'s Tail Doorbell is, with `stride` from [`Capabilities::doorbell_stride`] (PCIe Transport 1.0
/// §3.1.2.1).
#[inline]
pub const fn tail_doorbell(qid: u16, stride: usize) -> usize {
    DOORBELLS + 2 * qid as usize * stride
}

/// Where the Completion Queue `qid`'s Head Doorbell is (PCIe Transport 1.0 §3.1.2.2).
#[inline]
pub const fn head_doorbell(qid: u16, stride: usize) -> usize {
    DOORBELLS + (2 * qid as usize + 1) * stride
}

bits! {
    /// CAP: what the controller can do (Base 2.0 §3.1.3.1).
    Capabilities(u64) {
        /// CQR: queues must be physically contiguous.
        needs_contiguous_queues: 16;
        /// AMS: weighted round robin with urgent priority is there.
        has_weighted_arbitration: 17;
        /// NSSRS: NVM Subsystem Reset is there.
        has_subsystem_reset: 36;
        /// CSS: the NVM Command Set is there.
        has_nvm: 37;
        /// CSS: other I/O Command Sets may be there.
        has_command_sets: 43;
        /// CSS: there is no I/O Command Set at all.
        is_admin_only: 44;
        /// BPS: boot partitions are there.
        has_boot_partitions: 45;
        /// PMRS: a Persistent Memory Region is there.
        has_persistent_memory: 56;
        /// CMBS: a Controller Memory Buffer is there.
        has_memory_buffer: 57;
        /// NSSS: NVM Subsystem Shutdown is there.
        has_subsystem_shutdown: 58;
        /// CRMS: Controller Ready With Media is there.
        has_ready_with_media: 59;
        /// CRMS: Controller Ready Independent of Media is there.
        has_ready_without_media: 60;
        => fields {
            /// MQES: entries of the largest I/O queue, less one.
            mqes / with_mqes: 0, 16;
            /// TO: how long becoming ready or not ready may take, in units of 500 ms.
            timeout / with_timeout: 24, 8;
            /// DSTRD: the doorbells' distance is 4 bytes shifted left by this.
            dstrd / with_dstrd: 32, 4;
            /// CSS: the command sets that are there, a bit each.
            css / with_css: 37, 8;
            /// CPS: what is powered as one: 1 the controller, 2 its domain, 3 the subsystem; 0 is not told.
            cps: 46, 2;
            /// MPSMIN: the smallest page is 4 KiB shifted left by this.
            mpsmin / with_mpsmin: 48, 4;
            /// MPSMAX: the largest page, likewise.
            mpsmax / with_mpsmax: 52, 4;
        }
    }
}

impl Capabilities {
    /// Entries of the largest I/O queue: at least 2, whatever the controller says.
    pub const fn queue_entries_max(self) -> u32 {
        let entries = self.mqes() as u32 + 1;
        if entries < 2 { 2 } else { entries }
    }

    /// Bytes from one doorbell to the next.
    pub const fn doorbell_stride(self) -> usize {
        4 << self.dstrd()
    }

    /// How long becoming ready or not ready may take, in milliseconds.
    pub const fn timeout_ms(self) -> u64 {
        self.timeout() * 500
    }
}

bits! {
    /// VS: the version of the specification that the controller keeps to (Base 2.0 §3.1.3.2).
    Version(u32) {
        => fields {
            /// MJR: the 2 of 2.0.1.
            major: 16, 16;
            /// MNR: the 0 of 2.0.1.
            minor: 8, 8;
            /// TER: the 1 of 2.0.1.
            tertiary: 0, 8;
        }
    }
}

impl Version {
    /// A version by its numbers.
    pub const fn new(major: u16, minor: u8, tertiary: u8) -> Self {
        Self::from_bits((major as u32) << 16 | (minor as u32) << 8 | tertiary as u32)
    }

    /// Whether it is this version or a later one.
    pub const fn is_at_least(self, major: u16, minor: u8) -> bool {
        self.bits() >= Self::new(major, minor, 0).bits()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major(), self.minor(), self.tertiary())
    }
}

bits! {
    /// CC: how the host wants the controller to be (Base 2.0 §3.1.3.5).
    Configuration(u32) {
        /// EN: to be enabled.
        is_enabled / with_enabled: 0;
        /// CRIME: to be ready independent of its media.
        is_ready_without_media / with_ready_without_media: 24;
        => fields {
            /// CSS: the command sets that are selected: 0 is NVM, 6 all that there are, 7 admin only.
            css / with_css: 4, 3;
            /// MPS: pages are 4 KiB shifted left by this.
            mps / with_mps: 7, 4;
            /// AMS: 0 is round robin, 1 weighted round robin with urgent priority.
            ams / with_ams: 11, 3;
            /// SHN: 1 notifies of a normal shutdown, 2 of an abrupt one.
            shn / with_shn: 14, 2;
            /// IOSQES: entries of I/O submission queues are 1 shifted left by this; 6 with all command sets so far.
            iosqes / with_iosqes: 16, 4;
            /// IOCQES: entries of I/O completion queues, likewise; 4 so far.
            iocqes / with_iocqes: 20, 4;
        }
    }
}

bits! {
    /// CSTS: how the controller is (Base 2.0 §3.1.3.6).
    ControllerStatus(u32) {
        /// RDY: it takes commands.
        is_ready / with_ready: 0;
        /// CFS: it cannot go on; a reset may help.
        is_fatal / with_fatal: 1;
        /// NSSRO: there has been an NVM Subsystem Reset.
        was_subsystem_reset: 4;
        /// PP: it works on no commands at the moment.
        is_paused: 5;
        => fields {
            /// SHST: 0 is no shutdown, 1 under way, 2 done.
            shst / with_shst: 2, 2;
        }
    }
}

impl ControllerStatus {
    /// What reading yields when no device answers any more: all bits set, which no controller says of itself.
    pub const fn is_gone(self) -> bool {
        self.bits() == u32::MAX
    }
}

bits! {
    /// AQA: how many entries the admin queues have (Base 2.0 §3.1.3.8).
    AdminQueueAttributes(u32) {
        => fields {
            /// ASQS: entries of the submission queue, less one.
            asqs / with_asqs: 0, 12;
            /// ACQS: entries of the completion queue, less one.
            acqs / with_acqs: 16, 12;
        }
    }
}

bits! {
    /// CMBLOC: where the Controller Memory Buffer is (Base 2.0 §3.1.3.11).
    MemoryBufferLocation(u32) {
        /// CQMMS: queues in it may be mixed with queues elsewhere.
        may_mix_queues: 3;
        /// CQPDS: queues in it need not be contiguous.
        may_scatter_queues: 4;
        /// CDPMLS: pointer lists in it may be mixed with lists elsewhere.
        may_mix_lists: 5;
        /// CDPCILS: data and its pointers may be in it together.
        may_mix_lists_and_data: 6;
        /// CDMMMS: data in it may be mixed with data elsewhere.
        may_mix_data: 7;
        /// CQDA: queues in it need no alignment beyond a doubleword.
        may_misalign_queues: 8;
        => fields {
            /// BIR: the BAR that it is in.
            bir: 0, 3;
            /// OFST: where it starts, in [`MemoryBufferSize::unit_bytes`].
            offset: 12, 20;
        }
    }
}

bits! {
    /// CMBSZ: how large the Controller Memory Buffer is and what may be in it (Base 2.0 §3.1.3.12).
    MemoryBufferSize(u32) {
        /// SQS: submission queues may.
        takes_submission_queues: 0;
        /// CQS: completion queues may.
        takes_completion_queues: 1;
        /// LISTS: PRP and SGL lists may.
        takes_lists: 2;
        /// RDS: data that is read may.
        takes_reads: 3;
        /// WDS: data that is written may.
        takes_writes: 4;
        => fields {
            /// SZU: the unit is 4 KiB times 16 to the power of this, up to 6.
            szu: 8, 4;
            /// SZ: its size in units.
            sz: 12, 20;
        }
    }
}

impl MemoryBufferSize {
    /// The unit of size and offset; none if the controller names one that does not exist.
    pub const fn unit_bytes(self) -> Option<u64> {
        if self.szu() > 6 { None } else { Some(4096 << (4 * self.szu())) }
    }
}

bits! {
    /// CMBMSC: whether and where the controller sees its memory buffer (Base 2.0 §3.1.3.16).
    MemoryBufferControl(u64) {
        /// CRE: the registers about the buffer are to be filled in.
        has_registers / with_registers: 0;
        /// CMSE: the controller is to look for the buffer at `address`.
        is_enabled / with_enabled: 1;
        => fields {
            /// CBA: the buffer's address, in units of 4 KiB.
            address / with_address: 12, 52;
        }
    }
}

bits! {
    /// CRTO: how long becoming ready may take, by kind, in units of 500 ms (Base 2.0 §3.1.3.21).
    ReadyTimeouts(u32) {
        => fields {
            /// CRWMT: with media.
            with_media: 0, 16;
            /// CRIMT: independent of media.
            without_media: 16, 16;
        }
    }
}
