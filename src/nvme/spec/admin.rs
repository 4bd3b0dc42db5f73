//! The commands of the admin queue.

use super::{AdminOpcode, Command, FeatureId, IdentifyWhat, LogPage};

bits! {
    /// Dword 11 of Create I/O Submission Queue (Base 2.0 §5.5).
    SubmissionQueueFlags(u32) {
        /// PC: the queue is physically contiguous.
        is_contiguous / with_contiguous: 0;
        => fields {
            /// QPRIO: 0 is urgent, 1 high, 2 medium, 3 low, with weighted arbitration alone.
            priority / with_priority: 1, 2;
            /// CQID: the completion queue that its commands are answered in.
            cqid / with_cqid: 16, 16;
        }
    }
}

bits! {
    /// Dword 11 of Create I/O Completion Queue (Base 2.0 §5.4).
    CompletionQueueFlags(u32) {
        /// PC: the queue is physically contiguous.
        is_contiguous / with_contiguous: 0;
        /// IEN: its completions interrupt.
        interrupts / with_interrupts: 1;
        => fields {
            /// IV: by this vector.
            vector / with_vector: 16, 16;
        }
    }
}

bits! {
    /// Dword 10 of the commands that create queues (Base 2.0 §5.4, §5.5).
    QueueSize(u32) {
        => fields {
            /// QID: which queue.
            qid / with_qid: 0, 16;
            /// QSIZE: entries, less one.
            qsize / with_qsize: 16, 16;
        }
    }
}

impl QueueSize {
    /// # Panics
    /// If `entries` is below 2 or above 65,536.
    const fn new(qid: u16, entries: u32) -> Self {
        assert!(entries >= 2 && entries <= 1 << 16, "a queue has 2 to 65,536 entries");
        Self::from_bits(0).with_qid(qid as u32).with_qsize(entries - 1)
    }
}

/// Which value of a feature is asked for (Base 2.0 §5.15, SEL).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeatureSelect {
    /// The one in use.
    Current = 0,
    /// The one that the controller came with.
    Default = 1,
    /// The one that a reset brings back.
    Saved = 2,
    /// None: what can be done with the feature.
    Capabilities = 3,
}

impl Command {
    /// Describes the controller, namespaces, or lists of either, in 4,096 bytes (Base 2.0 §5.17).
    #[must_use]
    pub const fn identify(what: IdentifyWhat, nsid: u32) -> Self {
        Self::admin(AdminOpcode::IDENTIFY, nsid, [what.0 as u32, 0, 0, 0, 0, 0])
    }

    /// The same with respect to a command set: 0 is NVM, 2 zoned namespaces (Base 2.0 §5.17, CSI).
    #[must_use]
    pub const fn identify_of_set(what: IdentifyWhat, nsid: u32, csi: u8) -> Self {
        Self::admin(AdminOpcode::IDENTIFY, nsid, [what.0 as u32, (csi as u32) << 24, 0, 0, 0, 0])
    }

    /// CNS: what an Identify asks for.
    pub const fn identify_what(&self) -> IdentifyWhat {
        IdentifyWhat(self.cdw(10) as u8)
    }

    /// CSI: the command set that an Identify is about.
    pub const fn identify_set(&self) -> u8 {
        (self.cdw(11) >> 24) as u8
    }

    /// Makes a submission queue of `entries` at its data pointer (Base 2.0 §5.5).
    ///
    /// # Panics
    /// If `entries` is below 2 or above 65,536.
    #[must_use]
    pub const fn create_sq(qid: u16, entries: u32, flags: SubmissionQueueFlags) -> Self {
        let size = QueueSize::new(qid, entries);
        Self::admin(AdminOpcode::CREATE_SQ, 0, [size.bits(), flags.bits(), 0, 0, 0, 0])
    }

    /// Makes a completion queue of `entries` at its data pointer (Base 2.0 §5.4).
    ///
    /// # Panics
    /// If `entries` is below 2 or above 65,536.
    #[must_use]
    pub const fn create_cq(qid: u16, entries: u32, flags: CompletionQueueFlags) -> Self {
        let size = QueueSize::new(qid, entries);
        Self::admin(AdminOpcode::CREATE_CQ, 0, [size.bits(), flags.bits(), 0, 0, 0, 0])
    }

    /// Ends a submission queue (Base 2.0 §5.7).
    #[must_use]
    pub const fn delete_sq(qid: u16) -> Self {
        Self::admin(AdminOpcode::DELETE_SQ, 0, [qid as u32, 0, 0, 0, 0, 0])
    }

    /// Ends a completion queue, after the submission queues that use it (Base 2.0 §5.6).
    #[must_use]
    pub const fn delete_cq(qid: u16) -> Self {
        Self::admin(AdminOpcode::DELETE_CQ, 0, [qid as u32, 0, 0, 0, 0, 0])
    }

    /// Which queue is made or ended.
    pub const fn queue_size(&self) -> QueueSize {
        QueueSize::from_bits(self.cdw(10))
    }

    /// Reads `bytes` of a log from `offset` on (Base 2.0 §5.16).
    ///
    /// # Panics
    /// If `bytes` is 0 or no multiple of 4.
    #[must_use]
    pub const fn get_log_page(page: LogPage, nsid: u32, offset: u64, bytes: u32) -> Self {
        assert!(bytes > 0 && bytes % 4 == 0, "logs are read in doublewords");
        let numd = bytes / 4 - 1;
        let cdw10 = page.0 as u32 | numd << 16;
        let (low, high) = (offset as u32, (offset >> 32) as u32);
        Self::admin(AdminOpcode::GET_LOG_PAGE, nsid, [cdw10, numd >> 16, low, high, 0, 0])
    }

    /// The same, leaving what it tells of unseen: its asynchronous event stays masked (RAE).
    #[must_use]
    pub const fn retaining_event(self) -> Self {
        self.with_cdw(10, self.cdw(10) | 1 << 15)
    }

    /// Which log a Get Log Page reads, where from, and how many bytes.
    pub const fn log_page(&self) -> (LogPage, u64, u64) {
        let numd = (self.cdw(10) >> 16) as u64 | (self.cdw(11) as u64 & 0xffff) << 16;
        let offset = self.cdw(12) as u64 | (self.cdw(13) as u64) << 32;
        (LogPage(self.cdw(10) as u8), offset, 4 * (numd + 1))
    }

    /// Asks for a feature's value, which is the answer's first doubleword, or its data (Base 2.0 §5.15).
    #[must_use]
    pub const fn get_features(feature: FeatureId, nsid: u32, select: FeatureSelect) -> Self {
        Self::admin(AdminOpcode::GET_FEATURES, nsid, [feature.0 as u32 | (select as u32) << 8, 0, 0, 0, 0, 0])
    }

    /// Sets a feature, for good if `save` (Base 2.0 §5.27).
    #[must_use]
    pub const fn set_features(feature: FeatureId, nsid: u32, value: u32, save: bool) -> Self {
        Self::admin(
            AdminOpcode::SET_FEATURES,
            nsid,
            [feature.0 as u32 | (save as u32) << 31, value, 0, 0, 0, 0],
        )
    }

    /// FID: which feature is asked for or set.
    pub const fn feature(&self) -> FeatureId {
        FeatureId(self.cdw(10) as u8)
    }

    /// Is answered when the controller has something to tell (Base 2.0 §5.2).
    #[must_use]
    pub const fn async_event() -> Self {
        Self::admin(AdminOpcode::ASYNC_EVENT, 0, [0; 6])
    }

    /// Asks that the command `cid` of the submission queue be given up (Base 2.0 §5.1).
    #[must_use]
    pub const fn abort(sq_id: u16, cid: u16) -> Self {
        Self::admin(AdminOpcode::ABORT, 0, [sq_id as u32 | (cid as u32) << 16, 0, 0, 0, 0, 0])
    }

    /// Tells the controller that its host is there (Base 2.0 §5.18).
    #[must_use]
    pub const fn keep_alive() -> Self {
        Self::admin(AdminOpcode::KEEP_ALIVE, 0, [0; 6])
    }

    /// Formats a namespace, or all (Base 2.0 §5.14; NVM Command Set 1.0 §4.1.2).
    #[must_use]
    pub const fn format(nsid: u32, format: FormatOptions) -> Self {
        Self::admin(AdminOpcode::FORMAT, nsid, [format.bits(), 0, 0, 0, 0, 0])
    }

    /// Makes a namespace of what its data says (Base 2.0 §5.23; NVM Command Set 1.0 §4.1.6); the answer's first doubleword is its
    /// identifier.
    #[must_use]
    pub const fn create_namespace(csi: u8) -> Self {
        Self::admin(AdminOpcode::NAMESPACE_MANAGEMENT, 0, [0, (csi as u32) << 24, 0, 0, 0, 0])
    }

    /// Deletes a namespace (Base 2.0 §5.23).
    #[must_use]
    pub const fn delete_namespace(nsid: u32) -> Self {
        Self::admin(AdminOpcode::NAMESPACE_MANAGEMENT, nsid, [1, 0, 0, 0, 0, 0])
    }

    /// Attaches a namespace to the controllers that its data lists, or detaches it from them (Base 2.0 §5.22).
    #[must_use]
    pub const fn attach_namespace(nsid: u32, attach: bool) -> Self {
        Self::admin(AdminOpcode::NAMESPACE_ATTACHMENT, nsid, [!attach as u32, 0, 0, 0, 0, 0])
    }

    /// Brings `bytes` of a firmware image, from `offset` on (Base 2.0 §5.13).
    ///
    /// # Panics
    /// If either is no multiple of 4, or `bytes` is 0.
    #[must_use]
    pub const fn firmware_download(offset: u32, bytes: u32) -> Self {
        assert!(bytes > 0 && bytes % 4 == 0 && offset % 4 == 0, "firmware comes in doublewords");
        Self::admin(AdminOpcode::FIRMWARE_DOWNLOAD, 0, [bytes / 4 - 1, offset / 4, 0, 0, 0, 0])
    }

    /// Puts the image that was brought into a slot, or activates one (Base 2.0 §5.12).
    ///
    /// # Panics
    /// If there is no such slot or action: both are below 8.
    #[must_use]
    pub const fn firmware_commit(slot: u8, action: u8) -> Self {
        assert!(slot < 8 && action < 8, "slots and actions are below 8");
        Self::admin(AdminOpcode::FIRMWARE_COMMIT, 0, [slot as u32 | (action as u32) << 3, 0, 0, 0, 0, 0])
    }

    /// Has doorbells of I/O queues written to memory: `shadow` for the values, `event_index` for when the controller wants the real
    /// one rung (Base 2.0 §5.8). Each is a page.
    #[must_use]
    pub const fn doorbell_buffer(shadow: u64, event_index: u64) -> Self {
        Self::admin(AdminOpcode::DOORBELL_BUFFER, 0, [0; 6]).with_prp(shadow, event_index)
    }
}

bits! {
    /// Dword 10 of Format NVM (Base 2.0 §5.14; NVM Command Set 1.0 §4.1.2).
    FormatOptions(u32) {
        /// MSET: metadata stands behind each block's data, not apart.
        extends_blocks / with_extended_blocks: 4;
        /// PIL: protection information stands first in the metadata.
        has_protection_first / with_protection_first: 8;
        => fields {
            /// LBAFL: the format, its lower four bits.
            format_low / with_format_low: 0, 4;
            /// PI: the type of protection information, 0 for none.
            protection / with_protection: 5, 3;
            /// SES: 1 erases user data, 2 its key.
            erase / with_erase: 9, 3;
            /// LBAFU: the format, its upper two bits.
            format_high / with_format_high: 12, 2;
        }
    }
}
