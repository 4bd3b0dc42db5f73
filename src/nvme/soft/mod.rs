//! A controller made of software: registers, queues and RAM namespaces, driven by the driver that drives the others.
//!
//! [`SoftController`] does nothing by itself: it looks at its doorbells when it is [stepped](SoftController::step), by a poller or by
//! hand, on any core, so that tests say what happens when. It does what the specifications have controllers do, down to the errors;
//! [`Fault`]s and switches make it do what controllers should not. What a driver does wrong is a panic that says so: doorbells of
//! queues that are not there, entries that were not free, identifiers given twice, registers written when they must not be, and with
//! debug assertions pointers to memory that the driver has not shown.
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
mod config;
mod disk;
mod event;
mod fault;
mod feature;
mod firmware;
mod identify;
mod io;
mod log;
mod manage;
mod memory;
mod namespace;
mod pointers;
mod protection;
mod queues;
mod registers;
mod reservation;
mod state;
mod subsystem;
mod switches;
mod zones;

pub use config::{SoftConfig, SoftNamespace, SoftZones};
pub use fault::Fault;

use super::spec::{AnaState, StatusCode, ZoneState};
use crate::sys::eventfd::EventFd;
use state::State;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subsystem::{Letter, Subsystem};

/// A controller made of software, stepped from any core. Clones are the same.
#[derive(Clone)]
pub struct SoftController(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    subsystem: Arc<Mutex<Subsystem>>,
    /// By vector.
    interrupts: Vec<EventFd>,
    is_strict: bool,
}

/// What a command came to: its two doublewords, or why not.
type Done = Result<u64, StatusCode>;

impl Default for SoftController {
    fn default() -> Self {
        Self::new(SoftConfig::default())
    }
}

impl SoftController {
    /// A controller of this kind, disabled, with one namespace of zeroes.
    ///
    /// # Panics
    /// If the configuration is none that a controller can have.
    pub fn new(config: SoftConfig) -> Self {
        let controller = Self::of(Arc::default(), config);
        controller.add_namespace(config.namespace());
        controller.subsystem().ports[0] = subsystem::Port::default();
        controller
    }

    /// A further controller of the same subsystem, which has all its namespaces.
    ///
    /// ```
    /// use reactor::nvme::soft::{SoftConfig, SoftController};
    /// use reactor::nvme::spec::AnaState;
    /// let one = SoftController::default();
    /// let other = one.another(SoftConfig::default());
    /// one.set_ana(1, AnaState::INACCESSIBLE);
    /// other.set_ana(1, AnaState::NON_OPTIMIZED);
    /// ```
    ///
    /// # Panics
    /// As [`new`](Self::new); if there are 64 already.
    pub fn another(&self, config: SoftConfig) -> Self {
        Self::of(self.0.subsystem.clone(), config)
    }

    fn of(subsystem: Arc<Mutex<Subsystem>>, config: SoftConfig) -> Self {
        config.validate();
        let id = lock(&subsystem).join();
        let vector = |_| EventFd::new().expect("a descriptor for an interrupt");
        Self(Arc::new(Shared {
            state: Mutex::new(State::new(id, config)),
            subsystem,
            interrupts: (0..config.vectors).map(vector).collect(),
            is_strict: config.is_strict,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn subsystem(&self) -> MutexGuard<'_, Subsystem> {
        lock(&self.0.subsystem)
    }

    /// Becomes ready if it is to, does the commands that its doorbells tell of, and interrupts. Returns how many it looked at.
    pub fn step(&self) -> usize {
        let mut state = self.lock();
        let done = state.step(&mut self.subsystem());
        let raised = std::mem::take(&mut state.interrupts);
        drop(state);
        if raised != 0 {
            let vectors = self.0.interrupts.iter().enumerate();
            vectors.filter(|(vector, _)| raised >> vector & 1 == 1).for_each(|(_, fd)| fd.signal());
        }
        done
    }

    /// Adds a namespace to the subsystem, and says which it is. All its controllers have it, and tell their hosts.
    ///
    /// # Panics
    /// If it is none that there can be, or there are 256.
    pub fn add_namespace(&self, config: SoftNamespace) -> u32 {
        config.validate();
        let mut subsystem = self.subsystem();
        let id = subsystem.create(config).expect("up to 256 namespaces");
        let all = u64::MAX >> (64 - subsystem.ports.len());
        subsystem.allocated(id).expect("it was made").attached = all;
        subsystem.tell(all, Letter::Namespace(id));
        id
    }

    /// Takes a namespace from the subsystem; its controllers tell their hosts. False if there is none.
    pub fn remove_namespace(&self, id: u32) -> bool {
        self.subsystem().delete(id).is_ok()
    }

    /// Gives a namespace so many blocks; its controllers tell their hosts. What it has beyond them is lost.
    ///
    /// # Panics
    /// If there is no such namespace, or it has zones.
    pub fn resize_namespace(&self, id: u32, blocks: u64) {
        let mut subsystem = self.subsystem();
        let namespace = subsystem.allocated(id).expect("there is such a namespace");
        assert!(namespace.zones.is_none() && blocks > 0, "{blocks} blocks");
        namespace.resize(blocks);
        let attached = namespace.attached;
        subsystem.tell(attached, Letter::Namespace(id));
    }

    /// How well this controller reaches an ANA group from now on, which it tells its host.
    pub fn set_ana(&self, group: u32, state: AnaState) {
        let id = self.lock().id;
        self.subsystem().set_ana(id, group, state);
    }

    /// Puts a zone, by its place, into a state by itself, as media that wears does; the controllers tell their hosts.
    ///
    /// # Panics
    /// If there is no such zone.
    pub fn set_zone(&self, id: u32, zone: usize, state: ZoneState) {
        let mut subsystem = self.subsystem();
        let namespace = subsystem.allocated(id).expect("there is such a namespace");
        let start = namespace.zones.as_mut().expect("it has zones").set_state(zone, state);
        let attached = namespace.attached;
        subsystem.tell(attached, Letter::Zone(id, start));
    }

    /// Has these blocks fail to be read until they are written.
    ///
    /// # Panics
    /// If there are no such blocks.
    pub fn spoil(&self, id: u32, blocks: std::ops::Range<u64>) {
        let mut subsystem = self.subsystem();
        let namespace = subsystem.allocated(id).expect("there is such a namespace");
        assert!(blocks.end <= namespace.disk.blocks(), "{blocks:?}");
        namespace.disk.spoil(blocks);
        namespace.settle();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a driver did wrong is a panic in a lock; its end still has to disable the controller.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for SoftController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("SoftController")
            .field("id", &state.id)
            .field("config", &state.config)
            .field("status", &state.status)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
