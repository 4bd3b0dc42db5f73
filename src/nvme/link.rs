//! What all cores share of one controller: its registers, where its home is, and the memory that it may touch.

use super::commands::SWEEPS_LATE;
use super::device::Device;
use super::done::Lost;
use super::doorbells::Shadows;
use super::events::Listeners;
use super::identity::Identity;
use super::pair::Places;
use super::queue::Origin;
use super::seat::Seat;
use super::spec::register::{CAP, CC, CSTS};
use super::spec::{Capabilities, Configuration, ControllerStatus};
use super::{Config, Error};
use crate::sync::PerCore;
use crate::sys::dma::DmaWords;
use crate::time::sleep;
use crate::{Core, Handle};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often a controller is asked whether it is ready.
const PATIENCE: Duration = Duration::from_millis(1);

pub(super) struct Link<D: Device> {
    device: D,
    capabilities: Capabilities,
    config: Config,
    /// The core that attached it, of this runtime.
    home: (Handle, Core),
    seats: PerCore<Seat<D>>,
    identity: Identity,
    /// Queues and lists, and whose they are. Freed when the controller cannot touch them any more.
    memory: Mutex<Vec<(u16, DmaWords)>>,
    queue_ids: Mutex<QueueIds>,
    /// The I/O queue pairs that the controller knows, for it to be told again after a reset.
    pairs: Mutex<Vec<Places>>,
    shadows: OnceLock<Arc<Shadows>>,
    listeners: Listeners,
    origin: Origin,
    admin_places: OnceLock<Places>,
    over: OnceLock<Lost>,
    is_resetting: AtomicBool,
    /// How often it was reset.
    generation: AtomicU32,
    /// The controller is claimed, as it may be enabled.
    is_ours: AtomicBool,
    /// It would not be disabled: nobody waits for that a second time.
    is_stuck: AtomicBool,
}

/// Identifiers of I/O queue pairs: 1 to `max`.
#[derive(Default)]
struct QueueIds {
    used: Vec<u16>,
    max: u16,
    /// How many of the used will be free soon.
    leaving: usize,
}

/// A queue pair that is left, or whose queues are being deleted: who finds none waits for that.
pub(super) struct Leaving<D: Device>(Arc<Link<D>>);

impl<D: Device> Drop for Leaving<D> {
    fn drop(&mut self) {
        lock(&self.0.queue_ids).leaving -= 1;
    }
}

impl<D: Device> Link<D> {
    /// Claims the controller, in whatever state it is, for this core.
    pub(super) fn new(device: D, config: Config) -> Result<Self, Error> {
        let home = (Handle::current(), Core::current());
        if !device.claim() {
            return Err(Error::Busy);
        }
        let capabilities = Capabilities::from_bits(device.read64(CAP));
        Ok(Self {
            device,
            capabilities,
            config,
            home,
            seats: PerCore::new("an NVMe controller", |_core| Seat::default()),
            identity: Identity::default(),
            memory: Mutex::default(),
            queue_ids: Mutex::default(),
            pairs: Mutex::default(),
            shadows: OnceLock::new(),
            listeners: Listeners::default(),
            origin: Origin::new(),
            admin_places: OnceLock::new(),
            over: OnceLock::new(),
            is_resetting: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            is_ours: AtomicBool::new(true),
            is_stuck: AtomicBool::new(false),
        })
    }

    #[inline(always)]
    pub(super) fn device(&self) -> &D {
        &self.device
    }

    /// What its queues and namespaces know each other by.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn home(&self) -> (&Handle, Core) {
        (&self.home.0, self.home.1)
    }

    pub(super) fn seats(&self) -> &PerCore<Seat<D>> {
        &self.seats
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether commands of this queue may have SGLs: those of the admin queue have none (Base 2.0 §4.1.2).
    pub(super) fn takes_sgls(&self, qid: u16) -> bool {
        qid != 0 && self.identity.get().is_some_and(|identity| identity.sgl.data() != 0)
    }

    /// Zeroed memory that the device sees, and where: the queue pair's, until that is [freed](Self::free).
    pub(super) fn allocate(&self, qid: u16, bytes: usize) -> Result<(DmaWords, u64), Error> {
        let memory = DmaWords::zeroed(bytes).map_err(Error::Memory)?;
        let seen = self.device.map(&memory).map_err(Error::Memory)?;
        lock(&self.memory).push((qid, memory.clone()));
        Ok((memory, seen))
    }

    /// Takes the memory of a queue pair, which the controller has no more, away from it.
    pub(super) fn free(&self, qid: u16) {
        lock(&self.memory).retain(|(of, memory)| {
            let is_kept = *of != qid;
            if !is_kept {
                self.device.unmap(memory);
            }
            is_kept
        });
    }

    /// The identifier of a new queue pair. If there is none, one that will be free soon.
    pub(super) async fn queue_id(&self) -> Result<u16, Error> {
        loop {
            if let Some(id) = self.take_queue_id()? {
                return Ok(id);
            }
            sleep(PATIENCE).await;
        }
    }

    fn take_queue_id(&self) -> Result<Option<u16>, Error> {
        let mut ids = lock(&self.queue_ids);
        let max = ids.max;
        let id = (1..=max).find(|id| !ids.used.contains(id));
        if id.is_none() && ids.leaving == 0 {
            return Err(Error::NoQueue(max));
        }
        ids.used.extend(id);
        Ok(id)
    }

    /// Has who looks for an identifier wait while what is returned is kept.
    pub(super) fn leaving(self: &Arc<Self>) -> Leaving<D> {
        lock(&self.queue_ids).leaving += 1;
        Leaving(self.clone())
    }

    /// Its queues are no more.
    pub(super) fn put_queue_id(&self, qid: u16) {
        lock(&self.queue_ids).used.retain(|&id| id != qid);
    }

    /// How many queue pairs the controller allows.
    pub(super) fn allow_queues(&self, max: u16) {
        lock(&self.queue_ids).max = max;
    }

    /// Why the controller takes no more commands.
    pub(super) fn over(&self) -> Option<Lost> {
        self.over.get().copied()
    }

    pub(super) fn set_over(&self, lost: Lost) {
        let _was_over = self.over.set(lost);
    }

    /// Whether it is being reset or closed: commands wait, and a pair that is new then waits to be seen.
    pub(super) fn is_resetting(&self) -> bool {
        // Relaxed: home sets it before it sends for the pairs of a core, which looks after that, or before it has a new one.
        self.is_resetting.load(Relaxed)
    }

    pub(super) fn set_resetting(&self, is_resetting: bool) {
        self.is_resetting.store(is_resetting, Relaxed);
    }

    pub(super) fn admin_places(&self) -> Option<Places> {
        self.admin_places.get().copied()
    }

    pub(super) fn set_admin_places(&self, places: Places) {
        let _set_before = self.admin_places.set(places);
    }

    pub(super) fn pairs(&self) -> MutexGuard<'_, Vec<Places>> {
        lock(&self.pairs)
    }

    /// The pages of doorbells, if the controller has been told of some.
    pub(super) fn shadows(&self) -> Option<Arc<Shadows>> {
        self.shadows.get().cloned()
    }

    pub(super) fn set_shadows(&self, shadows: Shadows) {
        let _set_before = self.shadows.set(Arc::new(shadows));
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    /// It was reset: what it knew of queues before is forgotten.
    pub(super) fn next_generation(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    /// How often commands are counted older, so that those are late that take longer than they may.
    pub(super) fn sweep_period(&self) -> Duration {
        self.config.command_timeout / u32::from(SWEEPS_LATE - 1)
    }

    pub(super) fn status(&self) -> ControllerStatus {
        ControllerStatus::from_bits(self.device.read32(CSTS))
    }

    pub(super) fn configuration(&self) -> Configuration {
        Configuration::from_bits(self.device.read32(CC))
    }

    pub(super) fn configure(&self, configuration: Configuration) {
        self.device.write32(CC, configuration.bits());
    }

    /// Waits until CSTS.RDY is `ready`, for as long as the controller says that it may take.
    pub(super) async fn wait_ready(&self, ready: bool) -> Result<(), Error> {
        let limit = self.ready_limit();
        let mut waited = Duration::ZERO;
        loop {
            let status = self.status();
            if status.is_gone() {
                return Err(Error::Removed);
            }
            if status.is_ready() == ready {
                return Ok(());
            }
            if status.is_fatal() && ready {
                return Err(Error::Fatal);
            }
            if waited >= limit {
                return Err(Error::NotReady { ready, waited });
            }
            sleep(PATIENCE).await;
            waited += PATIENCE;
        }
    }

    /// Disables the controller, unless it was let go of. It touches nothing of the host's from then on.
    pub(super) async fn disable(&self) -> Result<(), Error> {
        if !self.is_ours() {
            return Ok(());
        }
        self.configure(self.configuration().with_enabled(false));
        match self.wait_ready(false).await {
            Ok(()) | Err(Error::Removed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the controller may be enabled.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours.load(Relaxed)
    }

    /// Lets others have it, which is disabled, or gone, and whose queue pairs write to no doorbell any more.
    pub(super) fn let_go(&self) {
        if self.is_ours.swap(false, Relaxed) {
            lock(&self.memory).drain(..).for_each(|(_, memory)| self.device.unmap(&memory));
            self.device.release();
        }
    }

    fn ready_limit(&self) -> Duration {
        Duration::from_millis(self.capabilities.timeout_ms().max(500))
    }

    /// Disables the controller and waits for it on the spot: the end of a core, or of a controller that nobody closed. True if it is
    /// disabled, or gone.
    pub(super) fn disable_now(&self) -> bool {
        if !self.is_ours() {
            return true;
        }
        self.configure(self.configuration().with_enabled(false));
        let since = Instant::now();
        loop {
            let status = self.status();
            if status.is_gone() || !status.is_ready() {
                return true;
            }
            if self.is_stuck.load(Relaxed) || since.elapsed() >= self.ready_limit() {
                self.is_stuck.store(true, Relaxed);
                return false;
            }
            std::hint::spin_loop();
        }
    }

    /// Has the queue pairs of all cores end what is on its way, of a controller that is disabled as its home has ended.
    pub(super) fn end_everywhere(&self) {
        for core in self.home.0.cores() {
            let seats = self.seats.clone();
            let end = move || {
                if let Ok(seat) = seats.get() {
                    seat.end(Lost::Closed);
                }
            };
            // A core that has ended has no queue pair.
            let _ended = self.home.0.post(core, end);
        }
    }
}

impl<D: Device> Drop for Link<D> {
    /// Nobody has a queue pair any more. Memory that the controller may still touch is lost rather than freed.
    fn drop(&mut self) {
        if self.disable_now() {
            self.let_go();
        } else {
            std::mem::forget(std::mem::take(&mut *lock(&self.memory)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One user of a controller, which is closed after the last of them.
pub(super) struct Attached<D: Device>(pub(super) Arc<Link<D>>);

impl<D: Device> Drop for Attached<D> {
    fn drop(&mut self) {
        if !self.0.is_ours() {
            return;
        }
        let link = self.0.clone();
        let (handle, core) = self.0.home();
        // If home has ended, so has the controller.
        let _ended = handle.post(core, move || {
            drop(crate::spawn_local(async move { link.close_here().await }));
        });
    }
}
