//! What a software controller is in the middle of: commands are taken from queues, done, and answered, or go wrong.

use super::super::spec::{
    AdminQueueAttributes, Command, Completion, Configuration, ControllerStatus, IoOpcode, LogPage, Status,
    StatusCode,
};
use super::Done;
use super::config::SoftConfig;
use super::event::{Events, event};
use super::fault::{Fault, Faults};
use super::feature::Features;
use super::log::{Logs, add};
use super::memory::{Memory, Region};
use super::queues::Queues;
use super::subsystem::{Letter, Subsystem};
use std::time::Duration;

pub(super) struct State {
    /// CNTLID, and its place in the subsystem.
    pub(super) id: u16,
    pub(super) config: SoftConfig,
    /// Bytes of the largest transfer.
    pub(super) transfer_max: u64,
    /// A driver has it.
    pub(super) is_claimed: bool,
    pub(super) configuration: Configuration,
    pub(super) status: ControllerStatus,
    pub(super) admin_entries: AdminQueueAttributes,
    /// ASQ and ACQ.
    pub(super) admin_queues: [u64; 2],
    pub(super) queues: Queues,
    pub(super) memory: Memory,
    pub(super) faults: Faults,
    pub(super) events: Events,
    pub(super) features: Features,
    pub(super) logs: Logs,
    /// Since the host was last heard.
    pub(super) unheard: Duration,
    /// Doorbells in memory, and where the controller says when it wants the real ones.
    pub(super) shadow: Option<[Region; 2]>,
    /// Vectors to interrupt by, a bit each.
    pub(super) interrupts: u64,
    /// In 512 bytes.
    pub(super) units_read: u64,
    pub(super) units_written: u64,
    /// It was reset: firmware that waits for that is activated.
    pub(super) wants_firmware: bool,
}

impl State {
    pub(super) fn new(id: u16, config: SoftConfig) -> Self {
        let most = if config.transfer_max == 0 { u64::MAX } else { 4096 << config.transfer_max };
        Self {
            id,
            config,
            transfer_max: most,
            is_claimed: false,
            configuration: Configuration::default(),
            status: ControllerStatus::default(),
            admin_entries: AdminQueueAttributes::default(),
            admin_queues: [0; 2],
            queues: Queues::default(),
            memory: Memory::new(config.is_strict),
            faults: Faults::default(),
            events: Events::default(),
            features: Features::default(),
            logs: Logs::default(),
            unheard: Duration::ZERO,
            shadow: None,
            interrupts: 0,
            units_read: 0,
            units_written: 0,
            wants_firmware: false,
        }
    }

    pub(super) fn step(&mut self, subsystem: &mut Subsystem) -> usize {
        if self.faults.is_removed {
            return 0;
        }
        self.turn_on_or_off(subsystem);
        if !self.status.is_ready() || self.status.is_fatal() || self.faults.is_silent {
            return 0;
        }
        if self.shadow.is_some() {
            self.look_at_shadow();
        }
        while let Some(letter) = subsystem.letter(self.id) {
            self.read_letter(letter);
        }
        self.queues.post_waiting(&mut self.interrupts);
        let mut done = 0;
        while let Some((queue, command, answer)) = self.faults.due() {
            match answer {
                Some(answer) => self.post(queue, &command, answer),
                None => self.answer(subsystem, queue, command),
            }
            done += 1;
        }
        // Round robin as it is here: one queue after the other. With weights, those of higher priority first (Base 2.0 §3.4.4).
        let passes = if self.configuration.ams() == 1 { 4 } else { 1 };
        for priority in 0..passes {
            for queue in 0..self.queues.count() {
                let is_due = passes == 1 || self.queues.priority(queue) == priority;
                while is_due && self.take_next(subsystem, queue) {
                    done += 1;
                }
            }
        }
        done += self.tell_events();
        if self.shadow.is_some() {
            self.say_where_to_ring();
        }
        done
    }

    #[inline]
    fn turn_on_or_off(&mut self, subsystem: &mut Subsystem) {
        if std::mem::take(&mut self.wants_firmware) {
            subsystem.firmware.reset();
        }
        if self.configuration.is_enabled() != self.status.is_ready() && !self.faults.is_stuck {
            match self.configuration.is_enabled() {
                true => self.enable(),
                false => self.reset(),
            }
        }
        self.shut_down();
    }

    /// Takes a queue's oldest command, if there is one.
    #[inline]
    fn take_next(&mut self, subsystem: &mut Subsystem, queue: usize) -> bool {
        let Some(command) = self.queues.fetch(queue) else { return false };
        self.take(subsystem, queue, command);
        true
    }

    /// Does one command that was taken from a queue, or has it go wrong.
    #[inline]
    fn take(&mut self, subsystem: &mut Subsystem, queue: usize, command: Command) {
        if self.faults.is_void(queue, command.cid()) {
            return;
        }
        self.check(queue, &command);
        if command.flags().fuse() != 0 {
            return self.take_fused(subsystem, queue, command);
        }
        match if queue == 0 { None } else { self.faults.next() } {
            None => self.answer(subsystem, queue, command),
            Some(fault) => self.go_wrong(subsystem, fault, queue, command),
        }
    }

    #[inline]
    fn answer(&mut self, subsystem: &mut Subsystem, queue: usize, command: Command) {
        if let Some(done) = self.perform(subsystem, queue, &command) {
            self.post(queue, &command, done);
        }
    }

    /// None if it is answered later.
    #[inline]
    fn perform(&mut self, subsystem: &mut Subsystem, queue: usize, command: &Command) -> Option<Done> {
        match queue {
            0 => self.perform_admin(subsystem, command),
            _ => {
                self.count(command);
                Some(self.perform_io(subsystem, command))
            }
        }
    }

    #[inline]
    pub(super) fn post(&mut self, queue: usize, command: &Command, done: Done) {
        let completion = self.completion(queue, command, done);
        self.queues.post(queue, completion, &mut self.interrupts);
    }

    #[inline]
    fn completion(&mut self, queue: usize, command: &Command, done: Done) -> Completion {
        let mut completion = Completion { cid: command.cid().into(), ..Completion::default() };
        match done {
            Ok(result) => {
                completion.result.set(result as u32);
                completion.result_high.set((result >> 32) as u32);
            }
            Err(code) => {
                let status = Status::of(code).with_dnr(!is_worth_another_try(code));
                self.logs.error(queue, command, status);
                completion = completion.with_status(status, false);
            }
        }
        if let Some(tamper) = &mut self.faults.tamper_completions {
            tamper(queue, &mut completion);
            self.belie(queue, command, completion.cid.get());
        }
        completion
    }

    /// A command is answered that was not meant: it is not done later, when its buffer is its host's again.
    fn belie(&mut self, queue: usize, command: &Command, answered: u16) {
        if answered != command.cid() {
            let is_held = self.faults.give_up(queue, Some(answered)).is_some();
            if !is_held && self.queues.waits(queue, answered) {
                self.faults.void(queue, answered);
            }
        }
    }

    /// Writes an answer of bytes, tampered with if a test wants that: never more than there were.
    pub(super) fn answer_with(&mut self, command: &Command, mut bytes: Vec<u8>) -> Done {
        if let Some(tamper) = &mut self.faults.tamper {
            let len = bytes.len();
            tamper(command, &mut bytes);
            bytes.truncate(len);
        }
        self.memory.put(command, &bytes).map(|()| 0)
    }

    /// What its SMART log tells of I/O.
    #[inline]
    fn count(&mut self, command: &Command) {
        let smart = &mut self.logs.smart;
        match IoOpcode(command.opcode()) {
            IoOpcode::READ => add(&mut smart.reads, 1),
            IoOpcode::WRITE => add(&mut smart.writes, 1),
            _ => {}
        }
    }

    /// No two commands of a queue may have one identifier (Base 2.0 §3.3.3.1, CID).
    #[inline]
    fn check(&self, queue: usize, command: &Command) {
        let cid = command.cid();
        let is_used = self.faults.holds(queue, cid) || queue == 0 && self.events.has_request(cid);
        assert!(
            !is_used,
            "command identifier {cid:#x} is given twice in submission queue {queue}: {command:?}"
        );
    }

    fn read_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Namespace(id) => {
                self.logs.changed_namespaces.insert(id);
                self.notice(|wanted| wanted.namespace_changed(), 0x00, LogPage::CHANGED_NAMESPACES);
            }
            Letter::Ana => self.notice(|wanted| wanted.ana_changed(), 0x03, LogPage::ANA),
            Letter::Zone(_, start) => {
                self.logs.changed_zones.insert(start);
                self.notice(|wanted| wanted.zone_changed(), 0xef, LogPage::CHANGED_ZONES);
            }
            Letter::Reservation(nsid, told) => {
                self.logs.reservations.push_back((nsid, told));
                self.events.raise(event(6, 0, LogPage::RESERVATIONS));
            }
        }
    }

    fn go_wrong(&mut self, subsystem: &mut Subsystem, fault: Fault, queue: usize, command: Command) {
        let plain = Completion { cid: command.cid().into(), ..Completion::default() };
        match fault {
            Fault::Lose => self.faults.hold(None, queue, command, None),
            Fault::Delay(steps) => self.faults.hold(Some(steps), queue, command, None),
            Fault::Repeat => {
                self.answer(subsystem, queue, command);
                self.queues.post(queue, plain, &mut self.interrupts);
            }
            Fault::WrongPhase => {
                let Some(done) = self.perform(subsystem, queue, &command) else { return };
                let completion = self.completion(queue, &command, done);
                self.queues.post_in_wrong_phase(queue, completion, &mut self.interrupts);
            }
            Fault::Fail(code) => {
                self.queues.post(queue, plain.with_status(Status::of(code), false), &mut self.interrupts);
            }
            Fault::Misname(difference) => {
                let Some(done) = self.perform(subsystem, queue, &command) else { return };
                let mut completion = self.completion(queue, &command, done);
                completion.cid.set(command.cid() ^ difference);
                self.belie(queue, &command, completion.cid.get());
                self.queues.post(queue, completion, &mut self.interrupts);
                // Its host waits for it yet.
                if difference != 0 {
                    self.faults.hold(None, queue, command, None);
                }
            }
            Fault::Stray(cid) => {
                let stray = Completion { cid: cid.into(), ..Completion::default() };
                self.belie(queue, &command, cid);
                self.queues.post(queue, stray, &mut self.interrupts);
                self.answer(subsystem, queue, command);
            }
        }
    }

    /// Two commands that are done as one, or not at all (Base 2.0, Fused Operations).
    #[cold]
    fn take_fused(&mut self, subsystem: &mut Subsystem, queue: usize, first: Command) {
        let next = if first.flags().fuse() == 1 { self.queues.fetch(queue) } else { None };
        let Some(second) = next else {
            return self.post(queue, &first, Err(StatusCode::ABORTED_MISSING_FUSED));
        };
        if second.flags().fuse() != 2 {
            self.post(queue, &first, Err(StatusCode::ABORTED_MISSING_FUSED));
            return self.take(subsystem, queue, second);
        }
        self.check(queue, &second);
        let fault = self.faults.next();
        if matches!(fault, Some(Fault::Lose | Fault::WrongPhase | Fault::Misname(_))) {
            self.faults.hold(None, queue, first, None);
            return self.faults.hold(None, queue, second, None);
        }
        let place = |it: &Command| (it.nsid(), it.start_lba(), it.block_count());
        let is_pair = (IoOpcode(first.opcode()), IoOpcode(second.opcode()))
            == (IoOpcode::COMPARE, IoOpcode::WRITE)
            && place(&first) == place(&second);
        let compared = match fault {
            Some(Fault::Fail(code)) => Err(code),
            _ if !is_pair || queue == 0 => Err(StatusCode::INVALID_FIELD),
            _ => self.perform_io(subsystem, &first),
        };
        let written = match compared {
            Ok(_) => self.perform_io(subsystem, &second),
            Err(_) => Err(StatusCode::ABORTED_FAILED_FUSED),
        };
        if let Some(Fault::Delay(steps)) = fault {
            self.faults.hold(Some(steps), queue, first, Some(compared));
            return self.faults.hold(Some(steps), queue, second, Some(written));
        }
        self.post(queue, &first, compared);
        self.post(queue, &second, written);
    }
}

/// Whether the same command may succeed another time: DNR is clear.
fn is_worth_another_try(code: StatusCode) -> bool {
    matches!(
        code,
        StatusCode::ABORT_REQUESTED
            | StatusCode::ABORTED_SQ_DELETION
            | StatusCode::ANA_INACCESSIBLE
            | StatusCode::ANA_TRANSITION
    )
}
