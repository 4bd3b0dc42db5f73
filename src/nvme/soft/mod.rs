//! A controller made of software: registers, queues and a RAM namespace, driven by the driver that drives the others.
//!
//! [`SoftController`] does nothing by itself: it looks at its doorbells when it is [stepped](SoftController::step), by a poller or by
//! hand, so that tests say what happens when. [`Fault`]s make it do what controllers should not.
//!
//! ```
//! use reactor::{Poller, nvme::{Channel, Config, Controller, soft::SoftController}, sys::dma::DmaPool};
//! # reactor::LocalExecutor::new()?.block_on(async {
//! let device = SoftController::default();
//! let _works = Poller::register("nvme", { let device = device.clone(); move || device.step() });
//! let controller = Controller::attach(device, Config::default()).await?;
//! let disk = Channel::new(controller.namespace(1).await?, controller.queue_pair().await?);
//! let mut block = DmaPool::local().alloc(512).await?;
//! block.fill(7);
//! disk.write(3, block.freeze()).await?;
//! let (read, block) = disk.read(3, DmaPool::local().alloc(512).await?).await;
//! read?;
//! assert_eq!(block[..], [7; 512]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), reactor::Error>(())
//! ```

mod admin;
mod disk;
mod event;
mod fault;
mod feature;
mod log;
mod memory;
mod pointers;
mod queues;

pub use fault::Fault;

use super::device::Device;
use super::spec::register::{ACQ, AQA, ASQ, CAP, CC, CSTS, DOORBELLS, VS};
use super::spec::{
    AdminQueueAttributes, AsyncEventConfig, Capabilities, Command, Completion, Configuration,
    ControllerStatus, CriticalWarning, FeatureId, IoOpcode, LogPage, Status, StatusCode, Version,
};
use crate::sys::dma::{DmaAny, DmaWords};
use disk::Disk;
use event::Events;
use fault::Faults;
use feature::Features;
use log::{Logs, add};
use memory::Memory;
use queues::Queues;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a software controller is like.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SoftConfig {
    /// Blocks of its namespace.
    pub blocks: u64,
    /// Bytes of a block, as a power of two: 9 to 16.
    pub block_shift: u8,
    /// Entries of its largest queue.
    pub queue_entries: u32,
    /// The most of one transfer, in pages as a power of two; 0 is no limit.
    pub transfer_max: u8,
}

impl Default for SoftConfig {
    fn default() -> Self {
        Self { blocks: 2048, block_shift: 9, queue_entries: 1024, transfer_max: 0 }
    }
}

/// A controller made of software, stepped from any core. Clones are the same.
#[derive(Clone)]
pub struct SoftController(Arc<Mutex<State>>);

struct State {
    config: SoftConfig,
    /// A driver has it.
    is_claimed: bool,
    configuration: Configuration,
    status: ControllerStatus,
    admin_entries: AdminQueueAttributes,
    /// ASQ and ACQ.
    admin_queues: [u64; 2],
    queues: Queues,
    memory: Memory,
    disk: Disk,
    faults: Faults,
    events: Events,
    features: Features,
    logs: Logs,
    /// Since the host was last heard.
    unheard: Duration,
}

impl Default for SoftController {
    fn default() -> Self {
        Self::new(SoftConfig::default())
    }
}

impl SoftController {
    /// A controller of this kind, disabled, its namespace all zeroes.
    ///
    /// # Panics
    /// If the configuration is none that a controller can have.
    pub fn new(config: SoftConfig) -> Self {
        assert!((9..=16).contains(&config.block_shift) && config.blocks > 0, "{config:?}");
        assert!((2..=1 << 16).contains(&config.queue_entries), "{config:?}");
        Self(Arc::new(Mutex::new(State {
            config,
            is_claimed: false,
            configuration: Configuration::default(),
            status: ControllerStatus::default(),
            admin_entries: AdminQueueAttributes::default(),
            admin_queues: [0; 2],
            queues: Queues::default(),
            memory: Memory::new(cfg!(debug_assertions)),
            disk: Disk::new(config.blocks, config.block_shift),
            faults: Faults::default(),
            events: Events::default(),
            features: Features::default(),
            logs: Logs::default(),
            unheard: Duration::ZERO,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes ready if it is to, and does the commands that its doorbells tell of. Returns how many it looked at.
    pub fn step(&self) -> usize {
        self.lock().step()
    }

    /// Has a later I/O command go wrong: faults are used up in the order in which they were given, one for each command.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Whether it never becomes ready from now on, or never disabled if it is ready.
    pub fn set_stuck(&self, is_stuck: bool) {
        self.lock().faults.is_stuck = is_stuck;
    }

    /// Whether it takes no commands from now on, and answers none.
    pub fn set_silent(&self, is_silent: bool) {
        self.lock().faults.is_silent = is_silent;
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

    /// Tells the host that a namespace has changed, as its log of changed namespaces says from now on.
    pub fn tell_namespace_changed(&self, id: u32) {
        let mut state = self.lock();
        state.logs.changed_namespaces.insert(id);
        state.notice(AsyncEventConfig::namespace_changed, 0, LogPage::CHANGED_NAMESPACES);
    }

    /// Tells the host that its health has got worse, if it wants to hear of that warning.
    pub fn tell_health(&self, warning: CriticalWarning) {
        let mut state = self.lock();
        let all = CriticalWarning::from_bits(state.logs.smart.critical.bits() | warning.bits());
        state.logs.smart.critical = all;
        if state.features.async_events() & u32::from(warning.bits()) == 0 {
            return;
        }
        // 0 reliability, 1 temperature, 2 spare (Base 2.0 §5.2, SMART / Health status).
        let info = if warning.temperature() { 1 } else { u32::from(warning.spare_low()) * 2 };
        state.events.raise(event::event(1, info, LogPage::SMART));
    }

    /// Tells the host of an error that belongs to no command: 3 is a persistent internal error (Base 2.0 §5.2, Error status).
    pub fn tell_error(&self, info: u8) {
        self.lock().events.raise(event::event(0, info.into(), LogPage::ERROR));
    }

    /// Lets its time go on, of which it has no other. If the host set a keep-alive timer and was not heard of for as long, it fails.
    pub fn pass(&self, time: Duration) {
        self.lock().pass(time);
    }

    /// Forgets the faults that were not used up.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Takes it out of its slot: its registers read as all ones, and it touches nothing any more.
    pub fn remove(&self) {
        self.lock().faults.is_removed = true;
    }

    /// How many pairs of queues it has, the admin queues included.
    pub fn queue_pairs(&self) -> usize {
        self.lock().queues.pairs()
    }

    /// How often a doorbell was rung.
    pub fn bells(&self) -> u64 {
        self.lock().queues.bells
    }
}

impl State {
    fn step(&mut self) -> usize {
        if self.faults.is_removed {
            return 0;
        }
        if self.configuration.is_enabled() && !self.status.is_ready() && !self.faults.is_stuck {
            self.enable();
        }
        if !self.status.is_ready() || self.status.is_fatal() || self.faults.is_silent {
            return 0;
        }
        self.queues.post_waiting();
        let mut done = self.tell_events();
        while let Some((queue, command)) = self.faults.due() {
            self.answer(queue, command);
            done += 1;
        }
        for queue in 0..self.queues.count() {
            while let Some(command) = self.queues.fetch(queue) {
                done += 1;
                self.check(queue, &command);
                match if queue == 0 { None } else { self.faults.next() } {
                    None => self.answer(queue, command),
                    Some(fault) => self.go_wrong(fault, queue, command),
                }
            }
        }
        done
    }

    #[inline]
    fn answer(&mut self, queue: usize, command: Command) {
        if let Some(done) = self.perform(queue, &command) {
            self.post(queue, &command, done);
        }
    }

    /// None if it is answered later.
    #[inline]
    fn perform(&mut self, queue: usize, command: &Command) -> Option<Done> {
        match queue {
            0 => self.perform_admin(command),
            _ => {
                self.count(command);
                Some(self.disk.perform(&mut self.memory, command).map(|()| 0))
            }
        }
    }

    #[inline]
    fn post(&mut self, queue: usize, command: &Command, done: Done) {
        let completion = self.completion(queue, command, done);
        self.queues.post(queue, completion);
    }

    #[inline]
    fn completion(&mut self, queue: usize, command: &Command, done: Done) -> Completion {
        let mut completion = Completion { cid: command.cid, ..Completion::default() };
        match done {
            Ok(result) => {
                completion.result.set(result as u32);
                completion.result_high.set((result >> 32) as u32);
                completion
            }
            Err(code) => {
                let status = Status::of(code).with_dnr(code != StatusCode::ABORT_REQUESTED);
                self.logs.error(queue, command, status);
                completion.with_status(status, false)
            }
        }
    }

    /// What its SMART log tells of I/O.
    #[inline]
    fn count(&mut self, command: &Command) {
        let smart = &mut self.logs.smart;
        match IoOpcode(command.opcode) {
            IoOpcode::READ => add(&mut smart.reads, 1),
            IoOpcode::WRITE => add(&mut smart.writes, 1),
            _ => {}
        }
    }

    /// No two commands of a queue may have one identifier (Base 2.0 §3.3.3.1, CID).
    fn check(&self, queue: usize, command: &Command) {
        let cid = command.cid.get();
        let is_used = self.faults.holds(queue, cid) || queue == 0 && self.events.has_request(cid);
        assert!(
            !is_used,
            "command identifier {cid:#x} is given twice in submission queue {queue}: {command:?}"
        );
    }

    fn hear_from_host(&mut self) {
        self.unheard = Duration::ZERO;
    }

    fn pass(&mut self, time: Duration) {
        self.unheard += time;
        let limit = self.features.current(FeatureId::KEEP_ALIVE);
        if self.status.is_ready() && limit > 0 && self.unheard > Duration::from_millis(limit.into()) {
            self.status = self.status.with_fatal(true);
        }
    }

    fn go_wrong(&mut self, fault: Fault, queue: usize, command: Command) {
        match fault {
            Fault::Lose => self.faults.hold(None, queue, command),
            Fault::Delay(steps) => self.faults.hold(Some(steps), queue, command),
            Fault::Repeat => {
                self.answer(queue, command);
                self.queues.post(queue, Completion { cid: command.cid, ..Completion::default() });
            }
            Fault::WrongPhase => {
                let Some(done) = self.perform(queue, &command) else { return };
                let completion = self.completion(queue, &command, done);
                self.queues.post_in_wrong_phase(queue, completion);
            }
            Fault::Fail(code) => {
                let completion = Completion { cid: command.cid, ..Completion::default() };
                self.queues.post(queue, completion.with_status(Status::of(code), false));
            }
        }
    }

    fn enable(&mut self) {
        let [sq, cq] = self.admin_queues;
        let (sq_entries, cq_entries) = (self.admin_entries.asqs() + 1, self.admin_entries.acqs() + 1);
        let memory = |at, bytes| self.memory.find(at, bytes);
        let made = memory(cq, u64::from(cq_entries) * 16).zip(memory(sq, u64::from(sq_entries) * 64));
        match made {
            Some((cq, sq)) if sq_entries >= 2 && cq_entries >= 2 => {
                self.queues.make_cq(0, cq, cq_entries);
                self.queues.make_sq(0, sq, sq_entries, 0);
                self.status = self.status.with_ready(true);
            }
            _ => self.status = self.status.with_fatal(true),
        }
    }

    fn configure(&mut self, configuration: Configuration) {
        let was_enabled = self.configuration.is_enabled();
        self.configuration = configuration;
        if was_enabled && !configuration.is_enabled() && !self.faults.is_stuck {
            self.queues.clear();
            self.faults.forget_commands();
            self.events = Events::default();
            self.features.reset();
            self.unheard = Duration::ZERO;
            self.status = ControllerStatus::default();
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
            .with_mqes(u64::from(self.config.queue_entries) - 1)
            .with_timeout(1)
            .with_css(1)
            .with_mpsmax(4)
    }
}

#[expect(private_interfaces, reason = "nobody outside can name the trait")]
impl Device for SoftController {
    fn claim(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_claimed, true)
    }

    fn release(&self) {
        let mut state = self.lock();
        state.is_claimed = false;
        state.memory.clear();
    }

    fn read32(&self, at: usize) -> u32 {
        let state = self.lock();
        match at {
            _ if state.faults.is_removed => u32::MAX,
            VS => Version::new(1, 4, 0).bits(),
            CC => state.configuration.bits(),
            CSTS => state.status.bits(),
            AQA => state.admin_entries.bits(),
            _ => 0,
        }
    }

    fn read64(&self, at: usize) -> u64 {
        let state = self.lock();
        match at {
            _ if state.faults.is_removed => u64::MAX,
            CAP => state.capabilities().bits(),
            ASQ => state.admin_queues[0],
            ACQ => state.admin_queues[1],
            _ => 0,
        }
    }

    #[inline]
    fn write32(&self, at: usize, value: u32) {
        let mut state = self.lock();
        match at {
            _ if state.faults.is_removed => {}
            // Those that a disabled controller hears are nobody's fault: cores that did not know yet.
            DOORBELLS.. if !state.status.is_ready() => {}
            DOORBELLS.. => state.queues.ring((at - DOORBELLS) / 4, value),
            CC => state.configure(Configuration::from_bits(value)),
            AQA => state.admin_entries = AdminQueueAttributes::from_bits(value),
            _ => {}
        }
    }

    fn write64(&self, at: usize, value: u64) {
        let mut state = self.lock();
        match at {
            ASQ => state.admin_queues[0] = value,
            ACQ => state.admin_queues[1] = value,
            _ => {}
        }
    }

    fn map(&self, memory: &DmaWords) -> io::Result<u64> {
        self.lock().memory.add(memory.clone());
        Ok(memory.address())
    }

    fn unmap(&self, memory: &DmaWords) {
        self.lock().memory.remove(memory);
    }

    #[inline(always)]
    fn see(&self, buffer: &DmaAny) -> Option<Range<u64>> {
        let seen = buffer.expose();
        if cfg!(debug_assertions) {
            self.lock().memory.see(seen.clone());
        }
        Some(seen)
    }
}

impl fmt::Debug for SoftController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("SoftController")
            .field("config", &state.config)
            .field("status", &state.status)
            .finish_non_exhaustive()
    }
}

/// What a command came to: its two doublewords, or why not.
type Done = Result<u64, StatusCode>;
