//! The admin commands of the software controller: what the driver asks to get to I/O.

use super::super::spec::{
    AdminOpcode, Command, IdentifyController, IdentifyNamespace, IdentifyWhat, IoSupport, LogSupport,
    NamespaceList, QueueEntrySizes, StatusCode, SubmissionQueueFlags, Version,
};
use super::event::REQUESTS_MAX;
use super::log::ERRORS_MAX;
use super::memory::Region;
use super::queues::QUEUES_MAX;
use super::{Done, State};
use zerocopy::IntoBytes;

impl State {
    /// None if the answer comes later.
    pub(super) fn perform_admin(&mut self, command: &Command) -> Option<Done> {
        self.hear_from_host();
        Some(match AdminOpcode(command.opcode) {
            AdminOpcode::IDENTIFY => self.identify(command).map(|()| 0),
            AdminOpcode::CREATE_CQ => self.create_cq(command).map(|()| 0),
            AdminOpcode::CREATE_SQ => self.create_sq(command).map(|()| 0),
            AdminOpcode::DELETE_SQ => self.delete_sq(command).map(|()| 0),
            AdminOpcode::DELETE_CQ => self.delete_cq(command).map(|()| 0),
            AdminOpcode::SET_FEATURES => self.set_features(command),
            AdminOpcode::GET_FEATURES => self.get_features(command),
            AdminOpcode::GET_LOG_PAGE => self.get_log_page(command).map(|()| 0),
            AdminOpcode::ASYNC_EVENT => return self.request_event(command),
            AdminOpcode::ABORT => Ok(self.abort(command)),
            AdminOpcode::KEEP_ALIVE => Ok(0),
            _ => Err(StatusCode::INVALID_OPCODE),
        })
    }

    /// Bit 0 of the answer says that the command was not aborted (Base 2.0 §5.1).
    fn abort(&mut self, command: &Command) -> u64 {
        let (queue, cid) = (command.cdw10.get() as u16, (command.cdw10.get() >> 16) as u16);
        if self.faults.keeps_commands {
            return 1;
        }
        let found = match queue {
            0 => self.events.take_request(cid),
            _ => self.faults.give_up(queue.into(), Some(cid)),
        };
        let Some(found) = found else { return 1 };
        self.post(queue.into(), &found, Err(StatusCode::ABORT_REQUESTED));
        0
    }

    fn identify(&mut self, command: &Command) -> Result<(), StatusCode> {
        let (controller, namespace) = (self.controller(), self.namespace());
        let mut answer = |bytes: &[u8]| self.memory.put(command, bytes);
        match command.identify_what() {
            IdentifyWhat::CONTROLLER => answer(controller.as_bytes()),
            IdentifyWhat::NAMESPACE => match command.nsid.get() {
                1 => answer(namespace.as_bytes()),
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
        it.aborts_max = 3;
        it.async_events_max = REQUESTS_MAX as u8 - 1;
        it.error_entries = ERRORS_MAX as u8 - 1;
        it.keep_alive.set(1);
        it.logs = LogSupport::default().with_command_effects(true).with_offsets(true);
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

    /// What it has not answered of the queue is answered first.
    fn delete_sq(&mut self, command: &Command) -> Result<(), StatusCode> {
        let id = command.queue_size().qid() as usize;
        if id == 0 || !self.queues.has_sq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        while let Some(held) = self.faults.give_up(id, None) {
            self.post(id, &held, Err(StatusCode::ABORTED_SQ_DELETION));
        }
        self.queues.delete_sq(id);
        Ok(())
    }

    fn delete_cq(&mut self, command: &Command) -> Result<(), StatusCode> {
        let id = command.queue_size().qid() as usize;
        if id == 0 || !self.queues.has_cq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        if self.queues.is_cq_in_use(id) {
            return Err(StatusCode::INVALID_QUEUE_DELETION);
        }
        self.queues.delete_cq(id);
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
