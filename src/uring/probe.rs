//! What this kernel's io_uring offers, found by asking it once per process.

use super::config::Made;
use super::door::Door;
use super::files::Files;
use super::{Config, Error, Features, Setup, SubmissionThread, buffers};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// The operations and the features that rings have on this kernel. Displayed, it says so in a few lines.
#[derive(Clone, Debug)]
pub struct Probe {
    setup: Setup,
    features: Features,
    opcodes: [u64; 4],
}

static PROBE: OnceLock<Probe> = OnceLock::new();

impl Probe {
    /// Asks the kernel; after the first success, the answer is kept. Makes rings for it: not for a core that works already.
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
        let small = Config { entries: 1, in_flight_max: 1, ..Config::default() };
        let Made { uring, setup, is_direct, .. } = small.build()?;
        let mut supported = io_uring::Probe::new();
        uring.submitter().register_probe(&mut supported).map_err(Error::from_setup)?;
        let mut opcodes = [0; 4];
        for opcode in (0..=u8::MAX).filter(|opcode| supported.is_supported(*opcode)) {
            opcodes[usize::from(opcode / 64)] |= 1 << (opcode % 64);
        }
        let thread = SubmissionThread { idle: Duration::from_millis(1), cpu: None };
        let threaded = Config { submission_thread: Some(thread), ..small.clone() };
        let polling = Config { is_polling: true, ..small };
        let mut door = Door::new(&uring, Features::all());
        let features = Features::DIRECT_QUEUE.when(is_direct)
            | Features::RING_NUMBER.when(door.is_number())
            | Features::FILE_TABLE.when(Files::new(&uring, Features::all()).is_made())
            | Features::BUFFER_TABLE.when(buffers::has_table(&uring))
            | Features::SUBMISSION_THREAD.when(threaded.build().is_ok_and(|made| made.has_thread))
            | Features::POLLING.when(polling.build().is_ok());
        door.close(&uring);
        Ok(Self { setup, features, opcodes })
    }

    /// The best set of features that a ring gets.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// What rings can have here, some of it only by [`Config`].
    pub fn features(&self) -> Features {
        self.features
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

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.setup {
            Setup::Deferred => "when the core asks for them (DEFER_TASKRUN)",
            Setup::Cooperative => "at the core's system calls (COOP_TASKRUN)",
            Setup::Plain => "at any time",
        };
        writeln!(f, "completions come {when}")?;
        for feature in Features::all().iter() {
            let has = if self.features.contains(feature) { "yes" } else { "no" };
            writeln!(f, "{feature}: {has}")?;
        }
        let known: u32 = self.opcodes.iter().map(|word| word.count_ones()).sum();
        match (0..=u8::MAX).rev().find(|opcode| self.supports(*opcode)) {
            Some(last) => write!(f, "operations: {known}, the last is number {last}"),
            None => write!(f, "operations: none"),
        }
    }
}
