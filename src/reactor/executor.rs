//! One core: everything that turns on one thread.

use super::{
    Core, Handle, Mode, balance,
    context::{self, Turning},
    driver::Driver,
    group::{Group, Peer},
    park::{Parker, Sleeper},
    poller::Pollers,
    stats::Counters,
    turn::Turn,
};
use crate::{
    task::Home,
    time::{Clock, Instant, Timers},
};
use crossbeam_deque::Worker;
use std::{
    any::{Any, TypeId},
    cell::{Cell, RefCell},
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// A core could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// No wake-up descriptor.
    #[error(transparent)]
    EventFd(#[from] crate::sys::eventfd::Error),
    /// No epoll set to sleep on.
    #[error(
        "cannot make an epoll set for the core to sleep on (raise `ulimit -n` if it says too many open files): {0}"
    )]
    Epoll(#[source] io::Error),
}

/// The run loop of one core, on the thread that made it.
///
/// `#[reactor::main]` makes one per core; on its own it lives inside somebody else's event loop:
///
/// - [`block_on`](Self::block_on) turns until a future is done, or
/// - the host's loop calls [`turn`](Self::turn) whenever [`fd`](Self::fd) is readable or [`next_deadline`](Self::next_deadline) has
///   come, and asks [`prepare_to_sleep`](Self::prepare_to_sleep) before it waits.
///
/// Dropping it drops its tasks' futures on this thread, waits for what devices still hold, and refuses all later events.
///
/// ```
/// let executor = reactor::LocalExecutor::new()?;
/// let handle = executor.spawn_local(async { 6 * 7 });
/// while executor.turn().tasks == 0 {}
/// assert_eq!(executor.block_on(handle)?, 42);
/// # Ok::<(), reactor::Error>(())
/// ```
pub struct LocalExecutor {
    core: Rc<Inner>,
}

/// What a core owns. Everything but the group is touched by its thread only.
pub(crate) struct Inner {
    pub(super) group: Arc<Group>,
    pub(super) index: usize,
    pub(crate) timers: Timers,
    pub(crate) pollers: Rc<Pollers>,
    pub(super) drivers: RefCell<Rc<[Rc<dyn Driver>]>>,
    /// Per-core objects, oldest first.
    pub(super) singletons: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    pub(super) parker: Parker,
    pub(super) counters: Counters,
    pub(crate) groups: crate::thread::Groups,
    /// Balanced tasks that this core has to run, until another takes them.
    pub(super) balanced: Worker<balance::Task>,
    pub(crate) per_core: crate::sync::PerCoreSlots,
    /// How long `Mode::Adaptive` spins, in ticks.
    pub(super) spin_ticks: Cell<u64>,
    pub(super) timer_slack: Cell<Duration>,
    pub(super) is_turning: Cell<bool>,
    /// A turn has left what it queued in the drivers to the sleep.
    pub(super) is_flush_due: Cell<bool>,
}

impl LocalExecutor {
    /// Of many timers the median is late by half of this and of the time that a wake-up is late itself: under 15 µs here. The
    /// processor time that it costs is that of a core which has nothing else to do.
    const DEFAULT_TIMER_SLACK: Duration = Duration::from_micros(10);

    /// A core of its own, not pinned, on the real clock.
    ///
    /// # Errors
    /// [`ExecutorError`] where the system refuses a descriptor.
    pub fn new() -> Result<Self, ExecutorError> {
        Self::with_clock(Clock::tsc())
    }

    /// The same on another clock, such as a virtual one in tests.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(clock: Clock) -> Result<Self, ExecutorError> {
        Self::of_group(Group::new([0], Mode::Adaptive)?, 0, clock)
    }

    /// The `index`-th core of a group, on the calling thread, which from now on is its only owner.
    pub(crate) fn of_group(group: Arc<Group>, index: usize, clock: Clock) -> Result<Self, ExecutorError> {
        let parker = Parker::new(&group.get(index).expect("a core of the group").doorbell)
            .map_err(ExecutorError::Epoll)?;
        let core = Inner {
            index,
            pollers: Rc::default(),
            drivers: RefCell::new(Rc::new([])),
            singletons: RefCell::default(),
            parker,
            counters: Counters::default(),
            groups: crate::thread::Groups::default(),
            balanced: group.balance.start(index),
            per_core: crate::sync::PerCoreSlots::default(),
            spin_ticks: Cell::new(clock.ticks_of(Mode::DEFAULT_SPIN)),
            timer_slack: Cell::new(LocalExecutor::DEFAULT_TIMER_SLACK),
            is_turning: Cell::new(false),
            is_flush_due: Cell::new(false),
            timers: Timers::new(clock),
            group,
        };
        core.counters.begin(core.timers.clock().now_ticks());
        let core = Rc::new(core);
        let turning = context::enter(&core);
        let home = core.home();
        home.own();
        home.local().expect("just entered").connect(index, core.group.iter().map(|peer| peer.home.clone()));
        drop(turning);
        Ok(Self { core })
    }

    /// Starts a task on this core; see [`spawn_local`](crate::spawn_local).
    pub fn spawn_local<F: Future + 'static>(&self, future: F) -> crate::JoinHandle<F::Output> {
        let _turning = self.enter();
        super::spawn_local(future)
    }

    /// Goes round the loop once: events, pollers, timers, one batch of tasks, submission. Never sleeps.
    ///
    /// # Panics
    /// If called from inside itself, by a task or poller of this core.
    pub fn turn(&self) -> Turn {
        let _turning = self.enter();
        self.core.turn()
    }

    /// Turns, spinning or sleeping by the core's [`Mode`], until `future` is done.
    ///
    /// # Panics
    /// If called from inside a turn of any core: that would block it.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        context::forbid_blocking("LocalExecutor::block_on");
        let _turning = self.enter();
        self.core.run_until(future)
    }

    /// Runs `f` as if from a task of this core, so that it may spawn, register pollers and open channels.
    pub fn enter_with<R>(&self, f: impl FnOnce() -> R) -> R {
        let _turning = self.enter();
        f()
    }

    pub(crate) fn enter(&self) -> Turning {
        context::enter(&self.core)
    }

    /// Becomes readable when there is something to do; for the host's poll set. Only between
    /// [`prepare_to_sleep`](Self::prepare_to_sleep) and the next turn do events from other threads make it so.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.core.parker.fd()
    }

    /// When the next timer is due, if any: the host should turn by then.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.core.timers.time_to_next_deadline().map(|left| self.core.clock().now() + left)
    }

    /// Announces that the host is about to wait for [`fd`](Self::fd). `false` if there is something to do first: turn instead.
    pub fn prepare_to_sleep(&self) -> bool {
        let _turning = self.enter();
        self.core.prepare_to_sleep(Sleeper::Host)
    }

    /// Sends work to this core (and its runtime's others) from any thread.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core.group.clone())
    }

    /// What the core has done so far.
    pub fn stats(&self) -> crate::Stats {
        let _turning = self.enter();
        self.core.stats()
    }

    /// The present moment on the core's own clock, a virtual one included: what [`next_deadline`](Self::next_deadline) is to be
    /// compared with.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let executor = reactor::LocalExecutor::new()?;
    /// // How long the host may wait.
    /// let left = executor.next_deadline().map(|at| at.duration_since(executor.now()));
    /// assert_eq!(left, None);
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn now(&self) -> Instant {
        self.core.timers.now()
    }

    /// Which core this is.
    pub fn core(&self) -> Core {
        self.core.core()
    }

    /// How it waits for work; see [`Handle::set_mode`].
    pub fn set_mode(&self, mode: Mode) {
        self.core.peer().set_mode(mode);
    }

    /// How long [`Mode::Adaptive`] spins before it sleeps.
    pub fn set_spin(&self, spin: Duration) {
        self.core.spin_ticks.set(self.core.timers.clock().ticks_of(spin));
    }

    /// How long a core that has gone to sleep for a timer sleeps at least: 10 µs unless set.
    ///
    /// All timers that become due meanwhile fire together at its end. So an idle core wakes up for its timers no more than once in
    /// this time, however many there are, and a timer that has none close before it is as exact as ever. Nothing but timers
    /// waits: an event or a completion ends the sleep at once.
    ///
    /// With 10,000 sleeps spread over 100 ms on an otherwise idle core, on a virtual machine where a sleep takes 13 µs of
    /// processor time and ends 14 µs late:
    ///
    /// | slack | processor time | lateness p50 | p99 |
    /// |---|---|---|---|
    /// | 0 µs | 61 ms | 14 µs | 53 µs |
    /// | 10 µs | 54 ms | 14 µs | 42 µs |
    /// | 50 µs | 26 ms | 35 µs | 86 µs |
    /// | 200 µs | 14 ms | 115 µs | 235 µs |
    /// | 400 µs | 10 ms | 219 µs | 435 µs |
    ///
    /// The kernel adds its own slack to the sleeps of threads without a real-time policy, 50 µs unless set by `prctl(2)`,
    /// `PR_SET_TIMERSLACK`; the threads of [`app::Builder`](crate::app::Builder) have none, and a core that sleeps in its
    /// [ring](crate::uring::Features::SLEEP) has none either (since Linux 6.12).
    pub fn set_timer_slack(&self, slack: Duration) {
        self.core.timer_slack.set(slack);
    }
}

impl fmt::Debug for LocalExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExecutor").field("core", &self.core()).finish_non_exhaustive()
    }
}

impl Inner {
    pub(super) fn peer(&self) -> &Peer {
        self.group.get(self.index).expect("a core is of its group")
    }

    pub(super) fn home(&self) -> &crate::sys::sync::Arc<Home> {
        &self.peer().home
    }

    pub(crate) fn core(&self) -> Core {
        self.peer().core
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.group.clone())
    }

    /// Whether this is `core` of `runtime`.
    pub(crate) fn is(&self, runtime: &Handle, core: Core) -> bool {
        self.is_of(runtime) && self.core() == core
    }

    /// Whether this is a core of `runtime`.
    pub(crate) fn is_of(&self, runtime: &Handle) -> bool {
        Arc::ptr_eq(&self.group, &runtime.group)
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.timers.clock()
    }

    pub(super) fn add_driver(&self, driver: Rc<dyn Driver>) {
        // A driver that cannot wake the core is polled all the same: the parker then keeps the core from sleeping.
        let _refused = self.parker.add(driver.fd());
        let drivers = self.drivers.borrow().iter().cloned().chain([driver]).collect();
        self.drivers.replace(drivers);
    }

    /// The turn that polls or flushes it goes on with the list as it was.
    #[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "NVMe's queues come and go"))]
    pub(super) fn remove_driver(&self, driver: &dyn Driver) {
        let is_other = |other: &&Rc<dyn Driver>| !std::ptr::addr_eq(Rc::as_ptr(other), driver);
        let drivers: Rc<[_]> = self.drivers.borrow().iter().filter(is_other).cloned().collect();
        if drivers.len() < self.drivers.replace(drivers.clone()).len() {
            self.parker.remove(driver.fd());
        }
    }

    /// Runs `f` as if from a task of a light thread of this core, which is being turned.
    #[inline]
    pub(crate) fn in_group<R>(&self, group: u16, f: impl FnOnce() -> R) -> R {
        self.home().local().expect("the core is entered").in_group(group, f)
    }

    /// Ticks since the last lap.
    pub(crate) fn lap(&self) -> u64 {
        self.counters.lap(self.clock())
    }

    pub(crate) fn stats(&self) -> crate::Stats {
        let live = self.home().local().map_or(0, crate::task::Local::live);
        self.counters.snapshot(self.clock(), live)
    }
}

impl Drop for LocalExecutor {
    fn drop(&mut self) {
        self.core.end(self.enter());
    }
}

impl AsFd for LocalExecutor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}
