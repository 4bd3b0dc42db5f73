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
mod fault;
mod memory;
mod queues;

pub use fault::Fault;

use super::device::Device;
use super::spec::register::{ACQ, AQA, ASQ, CAP, CC, CSTS, DOORBELLS, VS};
use super::spec::{
    AdminQueueAttributes, Capabilities, Command, Completion, Configuration, ControllerStatus, Status,
    StatusCode, Version,
};
use crate::sys::dma::{DmaAny, DmaWords};
use disk::Disk;
use fault::Faults;
use memory::Memory;
use queues::Queues;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
            memory: Memory::default(),
            disk: Disk::new(config.blocks, config.block_shift),
            faults: Faults::default(),
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
        if !self.status.is_ready() || self.faults.is_silent {
            return 0;
        }
        let mut done = 0;
        while let Some((queue, command)) = self.faults.due() {
            self.answer(queue, command);
            done += 1;
        }
        for queue in 0..self.queues.count() {
            while let Some(command) = self.queues.fetch(queue) {
                done += 1;
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
        let completion = self.perform(queue, &command);
        self.queues.post(queue, &command, completion);
    }

    fn perform(&mut self, queue: usize, command: &Command) -> Completion {
        let done = match queue {
            0 => self.perform_admin(command),
            _ => self.disk.perform(&self.memory, command).map(|()| 0),
        };
        match done {
            Ok(result) => Completion { result: result.into(), ..Completion::default() },
            Err(code) => Completion::default().with_status(Status::of(code).with_dnr(true), false),
        }
    }

    fn go_wrong(&mut self, fault: Fault, queue: usize, command: Command) {
        match fault {
            Fault::Lose => {}
            Fault::Delay(steps) => self.faults.put_off(steps, queue, command),
            Fault::Repeat => {
                self.answer(queue, command);
                self.queues.post(queue, &command, Completion::default());
            }
            Fault::WrongPhase => {
                let completion = self.perform(queue, &command);
                self.queues.post_in_wrong_phase(queue, &command, completion);
            }
            Fault::Fail(code) => {
                let completion = Completion::default().with_status(Status::of(code), false);
                self.queues.post(queue, &command, completion);
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
        self.lock().is_claimed = false;
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
        Some(buffer.expose())
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

/// What a command came to: a doubleword, or why not.
type Done = Result<u32, StatusCode>;
