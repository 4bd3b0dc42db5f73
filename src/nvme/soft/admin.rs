//! The admin commands of the software controller: what the driver asks to get to I/O.

use super::super::spec::{
    AdminOpcode, Command, FeatureId, IdentifyController, IdentifyNamespace, IdentifyWhat, IoSupport,
    NamespaceList, NumberOfQueues, QueueEntrySizes, StatusCode, SubmissionQueueFlags, Version,
};
use super::memory::{Data, Region};
use super::queues::QUEUES_MAX;
use super::{Done, State};
use zerocopy::IntoBytes;

impl State {
    pub(super) fn perform_admin(&mut self, command: &Command) -> Done {
        match AdminOpcode(command.opcode) {
            AdminOpcode::IDENTIFY => self.identify(command).map(|()| 0),
            AdminOpcode::CREATE_CQ => self.create_cq(command).map(|()| 0),
            AdminOpcode::CREATE_SQ => self.create_sq(command).map(|()| 0),
            AdminOpcode::DELETE_SQ => self.queues.delete_sq(command.queue_size().qid() as usize).map(|()| 0),
            AdminOpcode::DELETE_CQ => self.queues.delete_cq(command.queue_size().qid() as usize).map(|()| 0),
            AdminOpcode::SET_FEATURES if command.feature() == FeatureId::NUMBER_OF_QUEUES => {
                let most = QUEUES_MAX as u32 - 2;
                Ok(NumberOfQueues::default().with_submission(most).with_completion(most).bits())
            }
            AdminOpcode::SET_FEATURES => Err(StatusCode::INVALID_FIELD),
            _ => Err(StatusCode::INVALID_OPCODE),
        }
    }

    fn identify(&self, command: &Command) -> Result<(), StatusCode> {
        let answer = |bytes: &[u8]| self.memory.transfer(command, Data::ToHost(bytes));
        match command.identify_what() {
            IdentifyWhat::CONTROLLER => answer(self.controller().as_bytes()),
            IdentifyWhat::NAMESPACE => match command.nsid.get() {
                1 => answer(self.namespace().as_bytes()),
                0 => Err(StatusCode::INVALID_NAMESPACE),
                _ => answer(IdentifyNamespace::default().as_bytes()),
            },
            IdentifyWhat::ACTIVE_NAMESPACES => {
                let mut list = NamespaceList::default();
                list.raw[0].set(u32::from(command.nsid.get() == 0));
                answer(list.as_bytes())
            }
            _ => Err(StatusCode::INVALID_FIELD),
        }
    }

    fn controller(&self) -> IdentifyController {
        let mut it = IdentifyController::default();
        fill(&mut it.serial_bytes, "1");
        fill(&mut it.model_bytes, "software controller");
        fill(&mut it.firmware_bytes, "1.0");
        fill(&mut it.subsystem_bytes[..43], "nqn.2014-08.org.nvmexpress:reactor-software");
        it.transfer_max = self.config.transfer_max;
        it.version = Version::new(1, 4, 0);
        it.controller_type = 1;
        it.submission_entries = QueueEntrySizes::default().with_required(6).with_max(6);
        it.completion_entries = QueueEntrySizes::default().with_required(4).with_max(4);
        it.namespaces.set(1);
        it.io = IoSupport::default().with_dataset_management(true).with_write_zeroes(true);
        it
    }

    fn namespace(&self) -> IdentifyNamespace {
        let mut it = IdentifyNamespace::default();
        it.size.set(self.config.blocks);
        it.capacity.set(self.config.blocks);
        it.used.set(self.config.blocks);
        it.deallocate = it.deallocate.with_reads_as(1);
        it.formats[0].data_shift = self.config.block_shift;
        it
    }

    fn create_cq(&mut self, command: &Command) -> Result<(), StatusCode> {
        let (id, entries, region) = self.new_queue(command, 16)?;
        if self.queues.has_cq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        self.queues.make_cq(id, region, entries);
        Ok(())
    }

    fn create_sq(&mut self, command: &Command) -> Result<(), StatusCode> {
        let (id, entries, region) = self.new_queue(command, 64)?;
        let cq = SubmissionQueueFlags::from_bits(command.cdw11.get()).cqid() as usize;
        if self.queues.has_sq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        if cq == 0 || !self.queues.has_cq(cq) {
            return Err(StatusCode::INVALID_CQ);
        }
        self.queues.make_sq(id, region, entries, cq);
        Ok(())
    }

    /// Identifier, entries and memory of a queue that is to be made.
    fn new_queue(&self, command: &Command, entry_bytes: u64) -> Result<(usize, u32, Region), StatusCode> {
        let size = command.queue_size();
        let (id, entries) = (size.qid() as usize, size.qsize() + 1);
        if id == 0 || id >= QUEUES_MAX {
            return Err(StatusCode::INVALID_QID);
        }
        if entries < 2 || entries > self.config.queue_entries {
            return Err(StatusCode::INVALID_QUEUE_SIZE);
        }
        if command.cdw11.get() & 1 == 0 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let [at, _] = command.data;
        let region = self.memory.find(at.get(), u64::from(entries) * entry_bytes);
        region.map(|region| (id, entries, region)).ok_or(StatusCode::INVALID_PRP_OFFSET)
    }
}

/// Text as devices have it: padded with spaces.
fn fill(field: &mut [u8], text: &str) {
    field.fill(b' ');
    field[..text.len()].copy_from_slice(text.as_bytes());
}
