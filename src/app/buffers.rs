//! The buffers of an application: the reserve, and how each core's pool comes to it.

use crate::{
    Core, Handle,
    sys::dma::{AllocError, DmaConfig, DmaPool, DmaReserve},
};
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

/// What the cores share.
#[derive(Clone)]
pub(super) struct Buffers {
    config: DmaConfig,
    reserve: DmaReserve,
}

impl Buffers {
    pub(super) fn new(config: DmaConfig, cores: usize) -> Result<Self, AllocError> {
        let reserve = DmaReserve::new(&config, cores)?;
        Ok(Self { config, reserve })
    }

    /// Has the calling thread's pool take from the reserve from now on, and lend to it, as that of `core`.
    pub(super) fn serve_core(&self, runtime: Handle, core: Core) {
        let poke = Waker::from(Arc::new(Poke { runtime, core }));
        DmaPool::local().join(&self.config, &self.reserve, poke);
    }
}

/// Calls a core's pool. If the core is gone, its thread ends what it has leased itself.
struct Poke {
    runtime: Handle,
    core: Core,
}

impl Wake for Poke {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _gone = self.runtime.post(self.core, || DmaPool::local().attend());
    }
}

/// Parts the calling thread's pool with the reserve when it goes.
pub(super) struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        DmaPool::local().leave();
    }
}
