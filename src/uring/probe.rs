//! What this kernel's io_uring offers, found by asking it once per process.

use super::{Config, Error, Setup};
use std::sync::OnceLock;

/// The operations and the set of features that rings have on this kernel.
#[derive(Clone, Debug)]
pub struct Probe {
    setup: Setup,
    opcodes: [u64; 4],
}

static PROBE: OnceLock<Probe> = OnceLock::new();

impl Probe {
    /// Asks the kernel; after the first success, the answer is kept.
    ///
    /// # Errors
    /// If no ring can be made at all.
    pub fn get() -> Result<&'static Self, Error> {
        if let Some(probe) = PROBE.get() {
            return Ok(probe);
        }
        let probe = Self::ask()?;
        Ok(PROBE.get_or_init(|| probe))
    }

    fn ask() -> Result<Self, Error> {
        let config = Config { entries: 1, in_flight_max: 1, ..Config::default() };
        let (uring, setup) = config.build()?;
        let mut supported = io_uring::Probe::new();
        uring.submitter().register_probe(&mut supported).map_err(Error::from_setup)?;
        let mut opcodes = [0; 4];
        for opcode in (0..=u8::MAX).filter(|opcode| supported.is_supported(*opcode)) {
            opcodes[usize::from(opcode / 64)] |= 1 << (opcode % 64);
        }
        Ok(Self { setup, opcodes })
    }

    /// The best set of features that a ring gets.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// The same without the operations that `opcodes` number: to see what is done on kernels that lack them.
    #[must_use]
    pub fn without(mut self, opcodes: &[u8]) -> Self {
        for opcode in opcodes {
            self.opcodes[usize::from(opcode / 64)] &= !(1 << (opcode % 64));
        }
        self
    }

    /// Whether the kernel knows the operation with this number (`IORING_OP_*`).
    pub fn supports(&self, opcode: u8) -> bool {
        self.opcodes[usize::from(opcode / 64)] >> (opcode % 64) & 1 == 1
    }
}
