//! What there is to choose about an application.

use super::{
    CoreList, Error, IntoCores, Mode,
    run::run_to_end,
    running::Running,
    subsystem::{Subsystem, Subsystems},
};
use crate::{
    reactor::context,
    signal::Signal,
    sys::{cpu, dma::DmaConfig},
    time::Clock,
    unblock,
};
use std::{borrow::Cow, time::Duration};

/// Makes a runtime and runs an application on it: what `#[reactor::main]` does, in code.
///
/// ```
/// use reactor::app::{Builder, Mode};
///
/// let answer = Builder::new().cores(1).mode(Mode::Interrupt).run(async || 6 * 7)?;
/// assert_eq!(answer, 42);
/// # Ok::<(), reactor::app::Error>(())
/// ```
///
/// A process may run one after another, and several at once on different threads and cores.
#[derive(Debug)]
#[must_use = "a builder does nothing until it runs"]
pub struct Builder {
    pub(super) cores: Result<CoreList, cpu::Error>,
    pub(super) mode: Mode,
    pub(super) spin: Option<Duration>,
    pub(super) timer_slack: Option<Duration>,
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) is_pinned: Option<bool>,
    pub(super) deadline: Duration,
    pub(super) signals: Option<bool>,
    pub(super) blocked_signals: Vec<Signal>,
    pub(super) unblock_threads: usize,
    pub(super) buffers: DmaConfig,
    pub(super) clock: Option<Clock>,
    pub(super) subsystems: Subsystems,
    /// Whether the process ends with the application.
    pub(super) is_process: bool,
}

/// Long enough for a queue of writes to reach a slow disk, short enough for who waits at a terminal.
const DEADLINE: Duration = Duration::from_secs(10);

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// One core, the first that this process may run on, pinned, in [`Mode::Adaptive`].
    pub fn new() -> Self {
        Self {
            cores: Ok(CoreList::Count(1)),
            mode: Mode::default(),
            spin: None,
            timer_slack: None,
            name: None,
            is_pinned: None,
            deadline: DEADLINE,
            signals: None,
            blocked_signals: Vec::new(),
            unblock_threads: unblock::THREADS_MAX,
            buffers: DmaConfig::new(),
            clock: None,
            subsystems: Subsystems::default(),
            is_process: false,
        }
    }

    /// Which cores: a list `"0-3,8"`, a mask `"0x10f"`, a [`CpuSet`](cpu::CpuSet), or a number of cores. They are
    /// a set: whatever the order in which a list names them, the lowest is the main core. A mistake in it is returned by
    /// [`run`](Self::run).
    pub fn cores(mut self, cores: impl IntoCores) -> Self {
        self.cores = cores.into_cores();
        self
    }

    /// How the cores wait for work. [`Handle::set_mode`](crate::Handle::set_mode) changes it later, core by core.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How long [`Mode::Adaptive`] spins before it sleeps: 50 µs unless set.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = Some(spin);
        self
    }

    /// How long a core that has gone to sleep for a timer sleeps at least, so that timers which are close together share a wake-up:
    /// 10 µs unless set. [`LocalExecutor::set_timer_slack`](crate::LocalExecutor::set_timer_slack) says what it costs.
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.timer_slack = Some(slack);
        self
    }

    /// What the application is called in its messages on standard error; the program's file name unless set.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether each core's thread is tied to its processor: yes, unless set; `#[reactor::test]` does not. Cores that are not
    /// pinned may be more than the machine has, and are numbered from 0.
    pub fn pin(mut self, is_pinned: bool) -> Self {
        self.is_pinned = Some(is_pinned);
        self
    }

    /// How long hooks, guards, `main` and the cores' ends may take from the moment that shutdown is asked for; 10 s unless set.
    /// Then what is still alive is named on standard error, shutdown goes on without it, and the result is
    /// [`Error::Deadline`].
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether SIGINT and SIGTERM end the application, the second one at once with code 128 + signal: yes, unless set;
    /// `#[reactor::test]` does not. A signal that the process ignores stays ignored. When no application is left the signals
    /// do what they did before.
    pub fn signals(mut self, is_watching: bool) -> Self {
        self.signals = Some(is_watching);
        self
    }

    /// Blocks `signals` in the application's threads, the calling one included (which goes on blocking them), so that its tasks
    /// can read them from a [`signal::Signals`](crate::signal::Signals). Threads that were started before must do so
    /// themselves, with [`signal::block`](crate::signal::block()).
    ///
    /// SIGINT and SIGTERM end the application no longer if they are among them.
    pub fn block_signals(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.blocked_signals.extend(signals);
        self
    }

    /// How many threads [`unblock`](super::unblock()) may start, 8 unless set. They start when needed and end when idle.
    pub fn unblock_threads(mut self, max: usize) -> Self {
        self.unblock_threads = max;
        self
    }

    /// How much memory the cores' buffers may take, of each core's own and from a reserve that they share, and in which pages. Unless
    /// set, as [`DmaConfig::new`] has it.
    pub fn buffers(mut self, buffers: DmaConfig) -> Self {
        self.buffers = buffers;
        self
    }

    /// The clock that all cores live by, such as a virtual one in tests; [`Clock::tsc`] unless set.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Adds something to start before `main` and to end after it, in the order of [`Subsystem::depends_on`].
    pub fn subsystem(mut self, subsystem: impl Subsystem) -> Self {
        self.subsystems.push(subsystem);
        self
    }

    /// Runs `main` on the main core, which the calling thread becomes until all is over; its affinity is then as it was. When
    /// `main` returns, the application ends as by [`stop(0)`](super::stop).
    ///
    /// # Errors
    /// [`Error`]: what kept a core from starting, what went wrong at the end, or [`Error::Stopped`] if the application was
    /// stopped with a code other than 0 or before `main` had returned.
    ///
    /// # Panics
    /// With the panic of `main`, after an orderly shutdown; on a reactor, which must not wait for another.
    #[track_caller]
    pub fn run<T>(mut self, main: impl AsyncFnOnce() -> T) -> Result<T, Error> {
        context::forbid_blocking("app::Builder::run");
        let ids = self.resolve_cores()?;
        run_to_end(self, ids, main, |_control| ())?.into_result()
    }

    /// Runs `main` likewise on a thread of its own, and returns when all cores are up: for programs whose first thread
    /// belongs to somebody else, such as a user interface.
    ///
    /// # Errors
    /// [`Error`]: what kept a core from starting. All else is [`Running::join`]'s to tell.
    ///
    /// # Panics
    /// On a reactor, which must not wait for another.
    #[track_caller]
    pub fn start<F, T>(self, main: F) -> Result<Running<T>, Error>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        context::forbid_blocking("app::Builder::start");
        Running::start(self, main)
    }

    /// Unless they were set: not pinned, deaf to signals.
    pub(super) fn for_test(mut self) -> Self {
        self.is_pinned.get_or_insert(false);
        self.signals.get_or_insert(false);
        self
    }
}
