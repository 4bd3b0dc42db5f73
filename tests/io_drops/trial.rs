//! One kind of operation, given up in every way at every await, beside others of its kind and the load.
//!
//! ```text
//!            ┌── ready ──▶ Finished
//!  Polling ──┤
//!            └── polled so often ──▶ at once ────────┐
//!                                ├─▶ a turn later ───┼──▶ dropped, forgotten, its task aborted, or left to the end of the core
//!                                └─▶ when answered ──┘
//! ```

use super::buffers::{Quarantine, Watch};
use super::kinds::Kind;
use super::load;
use super::stage::{Peer, Stage, Started, When};
use futures::future::LocalBoxFuture;
use reactor::sys::dma::DmaPool;
use reactor::uring::{Config, Features, Ring, Setup};
use reactor::{AbortHandle, LocalExecutor, spawn_local};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What becomes of the future.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Drop,
    Abort,
    /// The core ends first.
    Leave,
    /// The core ends without knowing of it.
    Forget,
}

/// What is tried together on a core, and whether there is a load beside it. Forgotten futures keep a ring from its end, so that they
/// have one to themselves.
const CORES: [(bool, &[Ending]); 3] = [
    (false, &[Ending::Drop]),
    (true, &[Ending::Drop, Ending::Abort, Ending::Leave]),
    (true, &[Ending::Forget]),
];

/// When, after the last poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// Before anything is handed to the kernel.
    AtOnce,
    /// The kernel has it, and perhaps an answer.
    AfterTurn,
    /// The answer has come, and nobody has fetched it.
    OnceAnswered,
}

const MOMENTS: [Moment; 3] = [Moment::AtOnce, Moment::AfterTurn, Moment::OnceAnswered];

/// Turns without a poll after which what may hang is taken to hang.
const STILL: u32 = 24;

/// Turns without a poll after which the peer is told to act.
const PATIENT: u32 = 3;

/// For the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// No operation has that many awaits.
const POLLS_MAX: usize = 100;

/// How the rings of a run are made, and what happens to released buffers.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub watch: Watch,
    pub setup: Setup,
    /// The ring does without all that some kernel lacks.
    pub is_bare: bool,
}

impl Run {
    /// A core by itself has room for all that is tried. Beside a load it has so little that the load alone overfills it: what is tried
    /// waits in the backlog, or is pushed out of it.
    fn config(self, is_loaded: bool) -> Config {
        let mut config = Config::default();
        config.setup = self.setup;
        if is_loaded {
            (config.entries, config.completions, config.in_flight_max) = (4, 8, 64);
        }
        if self.is_bare {
            config.features = Features::all().without(Features::all());
        }
        config
    }

    /// Tries the kind, and fails if anything is left or was touched. `direct` is what [`write_direct`](super::stage::write_direct) wrote.
    pub fn try_kind(self, kind: &Kind, direct: &Path) {
        for (is_loaded, endings) in CORES {
            let dir = in_memory();
            let buffers = Quarantine::new(self.watch);
            let before = (descriptors(), DmaPool::local().stats().in_use);
            let core = LocalExecutor::new().unwrap();
            let ring = core.enter_with(|| Ring::current_or_new(&self.config(is_loaded))).unwrap();
            assert_eq!(ring.setup(), self.setup);
            let stage = core.enter_with(|| Stage::new(ring.clone(), buffers.clone(), dir.path(), direct));
            if is_loaded {
                core.enter_with(|| load::start(&stage));
            }
            let mut trials = Trials { core, stage, kind, forgotten: Rc::default(), past: Vec::new() };
            for when in When::ALL {
                (0..).find(|&polls| !trials.round(when, polls, endings));
            }
            let Trials { core, stage, forgotten, past, .. } = trials;
            drop((core, stage));
            assert!(
                !forgotten.borrow().is_empty() || buffers.lent() == 0,
                "the end of the core left {} buffers",
                buffers.lent()
            );
            // What was forgotten is found again, long after its core.
            drop(forgotten.take());
            drop(past);
            assert_eq!(ring.counters().faults, 0, "the kernel was kept from released memory");
            drop(ring);
            assert_eq!(buffers.lent(), 0, "buffers that were never released");
            assert_eq!(buffers.open(), 0, "bytes of released buffers that were overwritten");
            let patience = Instant::now() + PATIENCE;
            // Threads that work for a dropped future let go of its files when they are done.
            while (descriptors(), DmaPool::local().stats().in_use) != before {
                assert!(
                    Instant::now() < patience,
                    "{before:?} descriptors and pool buffers have become {:?}: {:?}",
                    (descriptors(), DmaPool::local().stats().in_use),
                    names()
                );
                std::thread::yield_now();
            }
        }
    }
}

/// A folder on a tmpfs, where there is one: disks are slow at making so many files.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn names() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
}

type Forgotten = Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>;

/// All that is tried on one core.
struct Trials<'a> {
    core: LocalExecutor,
    stage: Stage,
    kind: &'a Kind,
    forgotten: Forgotten,
    /// The other sides, which outlive the core.
    past: Vec<Rc<Shared>>,
}

/// What the one who turns the core knows of a trial.
struct Shared {
    ending: Ending,
    moment: Moment,
    peer: RefCell<Peer>,
    task: RefCell<Option<AbortHandle>>,
    /// Turns since the last poll.
    still: Cell<u32>,
    has_reached: Cell<bool>,
    has_finished: Cell<bool>,
    is_over: Cell<bool>,
}

impl Trials<'_> {
    /// Tries all endings after so many polls, at once. Whether there was anything to end.
    fn round(&mut self, when: When, polls: usize, endings: &[Ending]) -> bool {
        assert!(polls < POLLS_MAX, "{}, {when:?}: it does not end", self.kind.name);
        let mut trials = Vec::new();
        for moment in MOMENTS {
            let is_possible = match moment {
                Moment::AtOnce => true,
                Moment::AfterTurn => polls > 0,
                Moment::OnceAnswered => polls > 0 && when != When::Never,
            };
            for &ending in endings.iter().filter(|_| is_possible) {
                let Some(trial) = self.start(when, polls, ending, moment) else { return false };
                trials.push(trial);
            }
        }
        let patience = Instant::now() + PATIENCE;
        while trials.iter().any(|trial| !trial.is_over.get()) {
            self.core.turn();
            for trial in trials.iter().filter(|trial| !trial.is_over.get()) {
                let still = trial.still.get() + 1;
                trial.still.set(still);
                match when {
                    When::Never if still > STILL => trial.abort(),
                    When::Later if still % PATIENT == 0 => trial.peer.borrow_mut()(),
                    _ if still % 64 == 0 => std::thread::yield_now(),
                    _ => {}
                }
            }
            assert!(
                Instant::now() < patience,
                "{}, {when:?}, {polls} polls: no answer for {:?}",
                self.kind.name,
                trials
                    .iter()
                    .filter(|trial| !trial.is_over.get())
                    .map(|trial| (trial.ending, trial.moment))
                    .collect::<Vec<_>>()
            );
        }
        // What comes when nobody waits for it any more.
        trials.iter().for_each(|trial| trial.peer.borrow_mut()());
        self.core.turn();
        assert!(
            when != When::Never || trials.iter().all(|trial| !trial.has_finished.get()),
            "{}: it was to hang",
            self.kind.name
        );
        let has_reached = trials.iter().any(|trial| trial.has_reached.get());
        self.past.append(&mut trials);
        has_reached
    }

    fn start(&self, when: When, polls: usize, ending: Ending, moment: Moment) -> Option<Rc<Shared>> {
        self.core.enter_with(|| {
            let Started { future, peer } = (self.kind.start)(&self.stage, when)?;
            let shared = Rc::new(Shared {
                ending,
                moment,
                peer: peer.into(),
                task: RefCell::default(),
                still: Cell::new(0),
                has_reached: Cell::new(false),
                has_finished: Cell::new(false),
                is_over: Cell::new(false),
            });
            let forgotten = self.forgotten.clone();
            let trial = Trial { future: Some(future), polls, shared: shared.clone(), forgotten };
            let task = spawn_local(trial);
            shared.task.replace(task.abort_handle());
            Some(shared)
        })
    }
}

impl Shared {
    fn abort(&self) {
        self.task.borrow().as_ref().expect("it was spawned").abort();
    }
}

/// The task of one trial.
struct Trial {
    future: Option<LocalBoxFuture<'static, ()>>,
    /// How often it is still polled.
    polls: usize,
    shared: Rc<Shared>,
    forgotten: Forgotten,
}

impl Trial {
    fn end(&mut self) -> Poll<()> {
        self.shared.has_reached.set(true);
        match self.shared.ending {
            Ending::Drop => drop(self.future.take()),
            Ending::Forget => self.forgotten.borrow_mut().extend(self.future.take()),
            Ending::Abort => {
                self.shared.abort();
                return Poll::Pending;
            }
            Ending::Leave => {
                self.shared.is_over.set(true);
                return Poll::Pending;
            }
        }
        // The cancel is not with the kernel yet: what the peer does is answered to nobody.
        self.shared.peer.borrow_mut()();
        Poll::Ready(())
    }
}

impl Future for Trial {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.still.set(0);
        if self.polls == 0 {
            return self.end();
        }
        let future = self.future.as_mut().expect("it has not ended");
        if future.as_mut().poll(cx).is_ready() {
            self.shared.has_finished.set(true);
            return Poll::Ready(());
        }
        self.polls -= 1;
        match (self.polls, self.shared.moment) {
            (0, Moment::AtOnce) => self.end(),
            (0, Moment::AfterTurn) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.shared.is_over.set(true);
    }
}
