//! What this kernel's io_uring offers, found by asking it once per process.
//!
//! What one ring tells about itself, every ring asks for as it is made (`known`); the rest takes rings of each kind.

#![expect(unsafe_code, reason = "asks for a timeout")]

use super::config::Made;
use super::door::{self, Door, NO_IOWAIT};
use super::files::Files;
use super::{Config, Error, Features, Setup, SubmissionThread, buffers};
use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;
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
static KNOWN: OnceLock<Probe> = OnceLock::new();

/// The operations that are features, and their numbers.
const OPERATIONS: [(Features, u8); 7] = [
    (Features::SEND_ZERO_COPY, opcode::SendZc::CODE),
    (Features::RENAME, opcode::RenameAt::CODE),
    (Features::UNLINK, opcode::UnlinkAt::CODE),
    (Features::MAKE_DIRECTORY, opcode::MkDirAt::CODE),
    (Features::SYMLINK, opcode::SymlinkAt::CODE),
    (Features::HARD_LINK, opcode::LinkAt::CODE),
    (Features::TRUNCATE, opcode::Ftruncate::CODE),
];

/// The features that do not show in how a ring is made: operations, and answering more than once.
pub(super) fn known() -> Result<Features, Error> {
    Ok(once(&KNOWN, || Probe::ask_one(&small().build()?))?.features)
}

/// After the first success, the answer is kept.
fn once(
    place: &'static OnceLock<Probe>,
    ask: impl FnOnce() -> Result<Probe, Error>,
) -> Result<&'static Probe, Error> {
    if let Some(probe) = place.get() {
        return Ok(probe);
    }
    let probe = ask()?;
    Ok(place.get_or_init(|| probe))
}

fn small() -> Config {
    Config { entries: 1, in_flight_max: 1, completions: 2, ..Config::default() }
}

impl Probe {
    /// Asks the kernel; after the first success, the answer is kept. Makes rings for it: not for a core that works already.
    ///
    /// # Errors
    /// If no ring can be made at all.
    pub fn get() -> Result<&'static Self, Error> {
        once(&PROBE, Self::ask)
    }

    fn ask() -> Result<Self, Error> {
        let made = small().build()?;
        let known = Self::ask_one(&made)?;
        let Made { uring, is_direct, .. } = made;
        let thread = SubmissionThread { idle: Duration::from_millis(1), cpu: None };
        let threaded = Config { submission_thread: Some(thread), ..small() };
        let polling = Config { is_polling: true, ..small() };
        let mut door = Door::new(&uring, Features::all());
        let features = known.features
            | Features::DIRECT_QUEUE.when(is_direct)
            | Features::RING_NUMBER.when(door.is_number())
            | Features::FILE_TABLE.when(Files::new(&uring.submitter(), Features::all()).is_made())
            | Features::BUFFER_TABLE.when(buffers::has_table(&uring.submitter()))
            | Features::SUBMISSION_THREAD.when(threaded.build().is_ok_and(|made| made.has_thread))
            | Features::POLLING.when(polling.build().is_ok());
        door.close(&uring);
        Ok(Self { features, ..known })
    }

    /// Asks one ring. Flags of operations are not listed by the kernel; operations and features that came with the same version are.
    fn ask_one(made: &Made) -> Result<Self, Error> {
        let mut supported = io_uring::Probe::new();
        made.uring.submitter().register_probe(&mut supported).map_err(Error::from_setup)?;
        let mut opcodes = [0; 4];
        for opcode in (0..=u8::MAX).filter(|opcode| supported.is_supported(*opcode)) {
            opcodes[usize::from(opcode / 64)] |= 1 << (opcode % 64);
        }
        let is_5_13 = made.uring.params().is_feature_resource_tagging();
        let is_5_19 = supported.is_supported(opcode::Socket::CODE);
        let is_6_0 = supported.is_supported(opcode::SendZc::CODE);
        let mut features = Features::POLL_MULTISHOT.when(is_5_13)
            | Features::SLEEP.when(is_5_13 && made.uring.params().is_feature_ext_arg())
            | Features::NO_IOWAIT.when(door::accepts(&made.uring, NO_IOWAIT))
            | Features::BUFFER_RINGS.when(is_5_19)
            | Features::ACCEPT_MULTISHOT.when(is_5_19)
            | Features::RECV_MULTISHOT.when(is_6_0)
            | Features::TIMEOUT_MULTISHOT.when(repeats_timeouts());
        for (feature, opcode) in OPERATIONS {
            features = features | feature.when(supported.is_supported(opcode));
        }
        Ok(Self { setup: made.setup, features, opcodes })
    }

    /// The best way of completing operations that a ring gets.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// What rings can have here, some of it only by [`Config`].
    pub fn features(&self) -> Features {
        self.features
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

/// Asks a ring of its own for a timeout that repeats once, after a nanosecond: nothing else came with Linux 6.4 to tell by.
fn repeats_timeouts() -> bool {
    let Ok(mut uring) = IoUring::new(2) else { return false };
    let soon = types::Timespec::new().nsec(1);
    let entry = opcode::Timeout::new(&soon).count(1).flags(types::TimeoutFlags::MULTISHOT).build();
    // SAFETY: the kernel reads `soon` as it takes the entry, in the call below.
    if unsafe { uring.submission().push(&entry) }.is_err() || uring.submit_and_wait(1).is_err() {
        return false;
    }
    let answer = uring.completion().next();
    answer.is_some_and(|answer| answer.result() == -Errno::TIME.raw_os_error())
}
