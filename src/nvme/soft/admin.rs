//! The admin commands of the software controller: which there are, queues, aborts, and doorbells in memory.

use super::super::spec::{AdminOpcode, Command, CompletionQueueFlags, StatusCode, SubmissionQueueFlags};
use super::Done;
use super::memory::Region;
use super::state::State;
use super::subsystem::Subsystem;
use std::sync::atomic::Ordering::{Acquire, Release};

impl State {
    /// None if the answer comes later.
    pub(super) fn perform_admin(&mut self, subsystem: &mut Subsystem, command: &Command) -> Option<Done> {
        self.hear_from_host();
        // Over PCIe, admin commands point by PRPs alone (Base 2.0 §4.1).
        if command.flags().psdt() != 0 {
            return Some(Err(StatusCode::INVALID_FIELD));
        }
        Some(match AdminOpcode(command.opcode()) {
            AdminOpcode::IDENTIFY => self.identify(subsystem, command),
            AdminOpcode::CREATE_CQ => self.create_cq(command),
            AdminOpcode::CREATE_SQ => self.create_sq(command),
            AdminOpcode::DELETE_SQ => self.delete_sq(command),
            AdminOpcode::DELETE_CQ => self.delete_cq(command),
            AdminOpcode::SET_FEATURES => self.set_features(subsystem, command),
            AdminOpcode::GET_FEATURES => self.get_features(subsystem, command),
            AdminOpcode::GET_LOG_PAGE => self.get_log_page(subsystem, command),
            AdminOpcode::ASYNC_EVENT => return self.request_event(command),
            AdminOpcode::ABORT => Ok(self.abort(command)),
            AdminOpcode::KEEP_ALIVE => Ok(0),
            AdminOpcode::FORMAT => self.format(subsystem, command),
            AdminOpcode::NAMESPACE_MANAGEMENT => self.manage_namespace(subsystem, command),
            AdminOpcode::NAMESPACE_ATTACHMENT => self.attach_namespace(subsystem, command),
            AdminOpcode::FIRMWARE_DOWNLOAD => self.download_firmware(subsystem, command),
            AdminOpcode::FIRMWARE_COMMIT => self.commit_firmware(subsystem, command),
            AdminOpcode::DOORBELL_BUFFER if self.config.has_shadow_doorbells => self.use_shadow(command),
            _ => Err(StatusCode::INVALID_OPCODE),
        })
    }

    /// Bit 0 of the answer says that the command was not aborted (Base 2.0 §5.1).
    fn abort(&mut self, command: &Command) -> u64 {
        let (queue, cid) = (command.cdw(10) as u16, (command.cdw(10) >> 16) as u16);
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

    fn create_cq(&mut self, command: &Command) -> Done {
        let (id, entries, region) = self.new_queue(command, 16)?;
        let flags = CompletionQueueFlags::from_bits(command.cdw(11));
        if self.queues.has_cq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        if flags.interrupts() && flags.vector() >= self.config.vectors.into() {
            return Err(StatusCode::INVALID_INTERRUPT_VECTOR);
        }
        self.queues.make_cq(id, region, entries, flags.interrupts().then_some(flags.vector()));
        Ok(0)
    }

    fn create_sq(&mut self, command: &Command) -> Done {
        let (id, entries, region) = self.new_queue(command, 64)?;
        let flags = SubmissionQueueFlags::from_bits(command.cdw(11));
        let cq = flags.cqid() as usize;
        if self.queues.has_sq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        if cq == 0 || !self.queues.has_cq(cq) {
            return Err(if cq > self.config.queues.into() {
                StatusCode::INVALID_QID
            } else {
                StatusCode::INVALID_CQ
            });
        }
        self.queues.make_sq(id, region, entries, cq, flags.priority());
        Ok(0)
    }

    /// What it has not answered of the queue is answered first.
    fn delete_sq(&mut self, command: &Command) -> Done {
        let id = command.queue_size().qid() as usize;
        if id == 0 || !self.queues.has_sq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        while let Some(held) = self.faults.give_up(id, None) {
            self.post(id, &held, Err(StatusCode::ABORTED_SQ_DELETION));
        }
        self.queues.delete_sq(id);
        Ok(0)
    }

    fn delete_cq(&mut self, command: &Command) -> Done {
        let id = command.queue_size().qid() as usize;
        if id == 0 || !self.queues.has_cq(id) {
            return Err(StatusCode::INVALID_QID);
        }
        if self.queues.is_cq_in_use(id) {
            return Err(StatusCode::INVALID_QUEUE_DELETION);
        }
        self.queues.delete_cq(id);
        Ok(0)
    }

    /// Identifier, entries and memory of a queue that is to be made.
    fn new_queue(&self, command: &Command, entry_bytes: u64) -> Result<(usize, u32, Region), StatusCode> {
        let size = command.queue_size();
        let (id, entries) = (size.qid() as usize, size.qsize() + 1);
        if id == 0 || id > self.config.queues.into() {
            return Err(StatusCode::INVALID_QID);
        }
        if entries < 2 || entries > self.config.queue_entries {
            return Err(StatusCode::INVALID_QUEUE_SIZE);
        }
        if command.cdw(11) & 1 == 0 || self.configuration.iosqes() != 6 || self.configuration.iocqes() != 4 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let at = command.data()[0];
        if at % 4096 != 0 {
            return Err(StatusCode::INVALID_PRP_OFFSET);
        }
        let bytes = u64::from(entries) * entry_bytes;
        let region = self.memory.find(at, bytes);
        let region = region.unwrap_or_else(|| {
            panic!("queue {id} of {bytes} bytes at {at:#x}, where the driver has mapped none")
        });
        Ok((id, entries, region))
    }

    /// Takes doorbells of I/O queues from memory, which begins with what was rung so far (Base 2.0 §5.8).
    fn use_shadow(&mut self, command: &Command) -> Done {
        let [shadow, event_index] = command.data();
        if shadow % 4096 != 0 || event_index % 4096 != 0 || shadow == event_index {
            return Err(StatusCode::INVALID_FIELD);
        }
        let buffers = [self.memory.list(shadow, 4096)?, self.memory.list(event_index, 4096)?];
        for id in 1..self.queues.count() {
            let (tail, head) = self.queues.places(id);
            buffers[0].words()[id].store(u64::from(tail) | u64::from(head) << 32, Release);
        }
        self.shadow = Some(buffers);
        self.say_where_to_ring();
        Ok(0)
    }

    /// Doorbells are a word of tail and head for each pair, as their stride is four bytes.
    pub(super) fn look_at_shadow(&mut self) {
        let Some([shadow, _]) = &self.shadow else { return };
        for id in 1..self.queues.count() {
            // Acquire: the commands were written before.
            let word = shadow.words()[id].load(Acquire);
            let (tail, head) = self.queues.places(id);
            if word as u32 != tail && self.queues.has_sq(id) {
                self.queues.hear(2 * id, word as u32);
            }
            if (word >> 32) as u32 != head && self.queues.has_cq(id) {
                self.queues.hear(2 * id + 1, (word >> 32) as u32);
            }
        }
    }

    /// It wants the real doorbell for whatever comes next, or for nothing if it looks anyway.
    pub(super) fn say_where_to_ring(&mut self) {
        let Some([_, event_index]) = &self.shadow else { return };
        let behind = u32::from(self.config.polls_shadow_doorbells);
        for id in 1..self.queues.count() {
            let (tail, head) = self.queues.places(id);
            let place = |at: u32| u64::from(at.wrapping_sub(behind) as u16);
            event_index.words()[id].store(place(tail) | place(head) << 32, Release);
        }
    }
}
