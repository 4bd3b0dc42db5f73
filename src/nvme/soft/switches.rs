//! What tests have a software controller do wrong, tell, or say.

use super::super::spec::{Command, Completion, CriticalWarning, LogPage};
use super::event::event;
use super::subsystem::Letter;
use super::{Fault, SoftController};
use std::time::Duration;

impl SoftController {
    /// Has a later I/O command go wrong: faults are used up in the order in which they were given, one for each command.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Forgets the faults that were not used up.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Whether it never becomes ready from now on, or never disabled if it is ready.
    pub fn set_stuck(&self, is_stuck: bool) {
        self.lock().faults.is_stuck = is_stuck;
    }

    /// Whether it takes no commands from now on, and answers none.
    pub fn set_silent(&self, is_silent: bool) {
        self.lock().faults.is_silent = is_silent;
    }

    /// Whether it hears no doorbell of I/O queues from now on: what was rung meanwhile is lost.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.lock().faults.is_deaf = is_deaf;
    }

    /// Whether commands that the host wants aborted are not given up from now on: then only a reset ends them.
    pub fn set_keeps_commands(&self, keeps_commands: bool) {
        self.lock().faults.keeps_commands = keeps_commands;
    }

    /// Reports a fatal error (CSTS.CFS) and takes no commands until it is reset.
    pub fn fail(&self) {
        let mut state = self.lock();
        state.status = state.status.with_fatal(true);
    }

    /// Takes it out of its slot: its registers read as all ones, and it touches nothing any more.
    pub fn remove(&self) {
        self.lock().faults.is_removed = true;
    }

    /// Changes what the controller is about to write as the answer of an admin command, a report of zones or one of reservations, to
    /// any bytes: fewer are a short answer, more than were asked for are not written. Where that has it read or write beyond a buffer,
    /// the command fails, as behind an IOMMU.
    ///
    /// ```
    /// use reactor::nvme::{soft::{SoftConfig, SoftController}, spec::{AdminOpcode, Command}};
    /// let mut config = SoftConfig::default();
    /// config.is_strict = true;
    /// let device = SoftController::new(config);
    /// device.tamper(|command: &Command, answer| {
    ///     if command.opcode() == AdminOpcode::IDENTIFY.0 {
    ///         answer.fill(0xff);
    ///     }
    /// });
    /// ```
    ///
    /// # Panics
    /// If it is not [strict](super::SoftConfig::is_strict): nobody would stop it there.
    pub fn tamper(&self, with: impl FnMut(&Command, &mut Vec<u8>) + Send + 'static) {
        assert!(self.0.is_strict, "only a strict controller is tampered with");
        let mut state = self.lock();
        state.faults.tamper = Some(Box::new(with));
        state.memory.forgive();
    }

    /// Changes completions before they are written, all but their phase; the number is the queue's.
    pub fn tamper_completions(&self, with: impl FnMut(usize, &mut Completion) + Send + 'static) {
        self.lock().faults.tamper_completions = Some(Box::new(with));
    }

    /// Ends both kinds of tampering.
    pub fn stop_tampering(&self) {
        let mut state = self.lock();
        (state.faults.tamper, state.faults.tamper_completions) = (None, None);
    }

    /// Tells the host that a namespace has changed, whether it has or not.
    pub fn tell_namespace_changed(&self, id: u32) {
        let controller = self.lock().id;
        self.subsystem().tell(1 << controller, Letter::Namespace(id));
    }

    /// Tells the host that its health has got worse, if it wants to hear of that warning.
    pub fn tell_health(&self, warning: CriticalWarning) {
        let mut state = self.lock();
        let smart = &mut state.logs.smart;
        smart.critical = CriticalWarning::from_bits(smart.critical.bits() | warning.bits());
        if state.features.async_events() & u32::from(warning.bits()) == 0 {
            return;
        }
        // 0 reliability, 1 temperature, 2 spare (Base 2.0 §5.2, SMART / Health status).
        let info = if warning.temperature() { 1 } else { u32::from(warning.spare_low()) * 2 };
        state.events.raise(event(1, info, LogPage::SMART));
    }

    /// Tells the host of an error that belongs to no command: 3 is a persistent internal error (Base 2.0 §5.2, Error status).
    pub fn tell_error(&self, info: u8) {
        self.lock().events.raise(event(0, info.into(), LogPage::ERROR));
    }

    /// Lets its time go on, of which it has no other. If the host set a keep-alive timer and was not heard of for as long, it fails.
    pub fn pass(&self, time: Duration) {
        self.lock().pass(time);
    }

    /// How many pairs of queues it has, the admin queues included.
    pub fn queue_pairs(&self) -> usize {
        self.lock().queues.pairs()
    }

    /// How often a doorbell was rung.
    pub fn bells(&self) -> u64 {
        self.lock().queues.bells
    }

    /// How many commands it has taken and not answered, those that wait for events left out.
    pub fn held(&self) -> usize {
        self.lock().faults.held()
    }

    /// Whether the host has told it to shut down, and it has.
    pub fn is_shut_down(&self) -> bool {
        self.lock().status.shst() == 2
    }
}
