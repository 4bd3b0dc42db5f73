//! The words of bits in Identify Controller that say what the controller can do (Base 2.0 §5.17.2.1, Figure 275).

bits! {
    /// CMIC: with whom it shares namespaces.
    MultiPath(u8) {
        /// The subsystem may have several ports.
        has_ports: 0;
        /// The subsystem may have several controllers.
        has_controllers: 1;
        /// It belongs to an SR-IOV virtual function.
        is_virtual: 2;
        /// It reports asymmetric namespace access.
        has_ana: 3;
    }
}

bits! {
    /// OAES: which asynchronous events it can send.
    AsyncEventSupport(u32) {
        /// Namespace Attribute Notices.
        namespace_changed: 8;
        /// Firmware Activation Notices.
        firmware_activation: 9;
        /// Asymmetric Namespace Access Change Notices.
        ana_changed: 11;
        /// Predictable Latency Event Aggregate Log Change Notices.
        predictable_latency: 12;
        /// LBA Status Information Notices.
        lba_status: 13;
        /// Endurance Group Event Aggregate Log Page Change Notices.
        endurance_group: 14;
        /// Normal NVM Subsystem Shutdown.
        subsystem_shutdown: 15;
        /// Zone Descriptor Changed Notices.
        zone_changed: 27;
    }
}

bits! {
    /// CTRATT: what else it has.
    ControllerAttributes(u32) {
        /// Host Identifiers of 128 bits.
        has_long_host_ids: 0;
        /// Non-operational power states may be left for work in the background.
        has_permissive_power: 1;
        /// NVM Sets.
        has_nvm_sets: 2;
        /// Read Recovery Levels.
        has_read_recovery: 3;
        /// Endurance Groups.
        has_endurance_groups: 4;
        /// Predictable Latency Mode.
        has_predictable_latency: 5;
        /// Keep Alive is answered for by any command.
        has_traffic_keep_alive: 6;
        /// Namespace Granularity.
        has_namespace_granularity: 7;
        /// SQ Associations.
        has_sq_associations: 8;
        /// UUID List.
        has_uuid_list: 9;
        /// The subsystem has several domains.
        has_domains: 10;
        /// Fixed Capacity Management.
        has_fixed_capacity: 11;
        /// Variable Capacity Management.
        has_variable_capacity: 12;
        /// Extended LBA Formats.
        has_extended_formats: 15;
        /// Flexible Data Placement.
        has_data_placement: 19;
    }
}

bits! {
    /// OACS: which admin commands it has.
    AdminSupport(u16) {
        /// Security Send and Receive.
        security: 0;
        /// Format NVM.
        format / with_format: 1;
        /// Firmware Commit and Image Download.
        firmware / with_firmware: 2;
        /// Namespace Management and Attachment.
        namespace_management / with_namespace_management: 3;
        /// Device Self-test.
        self_test: 4;
        /// Directives.
        directives: 5;
        /// NVMe-MI Send and Receive.
        management_interface: 6;
        /// Virtualization Management.
        virtualization: 7;
        /// Doorbell Buffer Config.
        doorbell_buffer / with_doorbell_buffer: 8;
        /// Get LBA Status.
        lba_status: 9;
        /// Command and Feature Lockdown.
        lockdown: 10;
    }
}

bits! {
    /// FRMW: how firmware is changed.
    FirmwareUpdates(u8) {
        /// Slot 1 cannot be written.
        is_slot_1_read_only: 0;
        /// Firmware is activated without a reset.
        activates_without_reset: 4;
        /// Overlapping parts of an image are noticed.
        notices_overlaps: 5;
        => fields {
            /// How many slots there are.
            slots: 1, 3;
        }
    }
}

bits! {
    /// LPA: which logs it has, and how they are read.
    LogSupport(u8) {
        /// SMART / Health per namespace.
        smart_per_namespace: 0;
        /// Commands Supported and Effects.
        command_effects / with_command_effects: 1;
        /// Logs are read from an offset on, in any length.
        offsets / with_offsets: 2;
        /// Telemetry.
        telemetry: 3;
        /// Persistent Event.
        persistent_events: 4;
        /// Supported Log Pages, and kin.
        supported_pages: 5;
        /// Telemetry data area 4.
        telemetry_area_4: 6;
    }
}

bits! {
    /// ANACAP: asymmetric namespace access.
    AnaCapabilities(u8) {
        /// May be optimized.
        optimized: 0;
        /// May be non-optimized.
        non_optimized: 1;
        /// May be inaccessible.
        inaccessible: 2;
        /// May be persistently lost.
        persistent_loss: 3;
        /// Tells of a change under way.
        change: 4;
        /// A namespace's group stays the same while it is attached.
        has_fixed_groups: 6;
        /// A namespace's group can be chosen when it is made.
        has_chosen_groups: 7;
    }
}

bits! {
    /// SQES and CQES: sizes of queue entries, as powers of two.
    QueueEntrySizes(u8) {
        => fields {
            /// The least that is required.
            required / with_required: 0, 4;
            /// The most that there is.
            max / with_max: 4, 4;
        }
    }
}

bits! {
    /// ONCS: which I/O commands and features it has.
    IoSupport(u16) {
        /// Compare.
        compare / with_compare: 0;
        /// Write Uncorrectable.
        write_uncorrectable / with_write_uncorrectable: 1;
        /// Dataset Management.
        dataset_management / with_dataset_management: 2;
        /// Write Zeroes.
        write_zeroes / with_write_zeroes: 3;
        /// Features can be saved.
        save / with_save: 4;
        /// Reservations.
        reservations / with_reservations: 5;
        /// Timestamp.
        timestamp / with_timestamp: 6;
        /// Verify.
        verify / with_verify: 7;
        /// Copy.
        copy / with_copy: 8;
    }
}

bits! {
    /// FUSES: which fused operations it has.
    FusedSupport(u16) {
        /// Compare and Write.
        compare_and_write / with_compare_and_write: 0;
    }
}

bits! {
    /// VWC: its write cache.
    VolatileWriteCache(u8) {
        /// There is one.
        is_present / with_present: 0;
        => fields {
            /// What Flush with all namespaces does: 2 is refused, 3 flushes all.
            flush_of_all: 1, 2;
        }
    }
}

bits! {
    /// SGLS: which SGLs it takes.
    SglSupport(u32) {
        /// Keyed descriptors.
        keyed: 2;
        /// Bit buckets.
        bit_buckets: 16;
        /// Metadata may be one piece of bytes.
        byte_metadata: 17;
        /// Lists may be longer than the data.
        excess_length: 18;
        /// Metadata may have an SGL of its own.
        metadata_sgl: 19;
        /// Addresses may be offsets.
        offsets: 20;
        => fields {
            /// 0 none, 1 any alignment, 2 doublewords.
            data: 0, 2;
        }
    }
}

bits! {
    /// NVMSR: what of a management endpoint it is.
    ManagementSupport(u8) {
        /// Part of an NVMe Storage Device.
        is_storage_device: 0;
        /// Part of an NVMe Enclosure.
        is_enclosure: 1;
    }
}

bits! {
    /// MEC: what endpoints its subsystem has.
    ManagementEndpoints(u8) {
        /// On a port of SMBus or I2C.
        has_smbus: 0;
        /// On a port of PCIe.
        has_pcie: 1;
    }
}

bits! {
    /// DSTO: options of the self-test.
    SelfTestOptions(u8) {
        /// One self-test at a time in the subsystem.
        is_exclusive: 0;
    }
}

bits! {
    /// HCTMA: thermal management by the host.
    ThermalSupport(u16) {
        /// The host can set the temperatures.
        is_present: 0;
    }
}

bits! {
    /// SANICAP: kinds of sanitize operations.
    SanitizeSupport(u32) {
        /// Crypto Erase.
        crypto_erase: 0;
        /// Block Erase.
        block_erase: 1;
        /// Overwrite.
        overwrite: 2;
        /// No-Deallocate After Sanitize cannot be had.
        always_deallocates: 29;
        => fields {
            /// NODMMAS: 1 if media is not modified after a sanitize without deallocation, 2 if it is; 0 is not told.
            modifies_media: 30, 2;
        }
    }
}

bits! {
    /// FNA: what a Format NVM concerns.
    FormatSupport(u8) {
        /// A format is of all namespaces.
        formats_all: 0;
        /// A secure erase is of all namespaces.
        erases_all: 1;
        /// Cryptographic erase.
        has_crypto_erase: 2;
        /// Formatting all namespaces by their common identifier is refused.
        refuses_all_namespaces: 3;
    }
}

bits! {
    /// NWPC: how namespaces can be write protected.
    WriteProtection(u8) {
        /// Until it is taken back.
        until_cleared: 0;
        /// Until the power is cut.
        until_power_cycle: 1;
        /// For ever.
        permanent: 2;
    }
}

bits! {
    /// The flags of a power state (Base 2.0 §5.17.2.1, Figure 276).
    PowerFlags(u8) {
        /// MXPS: its power is in ten-thousandths of a watt, not hundredths.
        has_fine_scale: 0;
        /// NOPS: no I/O in this state.
        is_idle: 1;
    }
}
