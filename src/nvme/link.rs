//! What all queue pairs of one controller share: its registers, and the memory that it may touch until it is disabled.

use super::device::Device;
use super::spec::register::{CAP, CC, CSTS};
use super::spec::{Capabilities, Configuration, ControllerStatus};
use super::{Config, Error};
use crate::sys::dma::DmaWords;
use crate::time::sleep;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// How often a controller is asked whether it is ready.
const PATIENCE: Duration = Duration::from_millis(1);

pub(super) struct Link<D: Device> {
    device: D,
    capabilities: Capabilities,
    config: Config,
    /// Queues and lists. Freed when the controller cannot touch them any more.
    memory: RefCell<Vec<DmaWords>>,
    /// The controller is claimed, as it may be enabled.
    is_ours: Cell<bool>,
    /// It would not be disabled: nobody waits for that a second time.
    is_stuck: Cell<bool>,
}

impl<D: Device> Link<D> {
    /// Claims the controller, in whatever state it is.
    pub(super) fn new(device: D, config: Config) -> Result<Self, Error> {
        if !device.claim() {
            return Err(Error::Busy);
        }
        let capabilities = Capabilities::from_bits(device.read64(CAP));
        Ok(Self {
            device,
            capabilities,
            config,
            memory: RefCell::default(),
            is_ours: Cell::new(true),
            is_stuck: Cell::new(false),
        })
    }

    #[inline(always)]
    pub(super) fn device(&self) -> &D {
        &self.device
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Zeroed memory that the device sees, and where.
    pub(super) fn allocate(&self, bytes: usize) -> Result<(DmaWords, u64), Error> {
        let memory = DmaWords::zeroed(bytes).map_err(Error::Memory)?;
        let seen = self.device.map(&memory);
        self.memory.borrow_mut().push(memory.clone());
        Ok((memory, seen))
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

    /// Disables the controller and lets it go. What was its memory is the host's alone from then on.
    pub(super) async fn disable(&self) -> Result<(), Error> {
        if !self.is_ours.get() {
            return Ok(());
        }
        self.configure(self.configuration().with_enabled(false));
        match self.wait_ready(false).await {
            Ok(()) | Err(Error::Removed) => {
                self.let_go();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// It is disabled, or gone.
    fn let_go(&self) {
        if self.is_ours.replace(false) {
            self.device.release();
        }
    }

    fn ready_limit(&self) -> Duration {
        Duration::from_millis(self.capabilities.timeout_ms().max(500))
    }

    /// Disables the controller and waits for it on the spot: the end of a core, or of a controller that nobody closed. True if it is
    /// disabled, or gone.
    pub(super) fn disable_now(&self) -> bool {
        if !self.is_ours.get() {
            return true;
        }
        self.configure(self.configuration().with_enabled(false));
        let since = Instant::now();
        loop {
            let status = self.status();
            if status.is_gone() || !status.is_ready() {
                self.let_go();
                return true;
            }
            if self.is_stuck.get() || since.elapsed() >= self.ready_limit() {
                self.is_stuck.set(true);
                return false;
            }
            std::hint::spin_loop();
        }
    }
}

impl<D: Device> Drop for Link<D> {
    /// Memory that the controller may still touch is lost rather than freed.
    fn drop(&mut self) {
        if !self.disable_now() {
            std::mem::forget(self.memory.take());
        }
    }
}
