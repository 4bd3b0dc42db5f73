//! Pollers: functions that a core calls every turn, or every so often, until they are dropped.
//!
//! ```text
//!            register                 pause                     drop, panic
//!   ─────────────────────► active ◄─────────► paused ──────────────────────► gone
//! ```
//!
//! The list is shared with the turn as an immutable slice that is replaced on change, so a poller may register and unregister
//! others and itself while it runs.

use super::{Inner, context};
use crate::{
    JoinHandle,
    sys::unwind::contained,
    task::NO_GROUP,
    time::{MissedTicks, interval},
};
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    fmt,
    rc::{Rc, Weak},
    time::Duration,
};

/// Whether a poller found something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It did; the turn counts as busy.
    Busy,
    /// It did not.
    Idle,
}

impl From<bool> for Work {
    fn from(is_busy: bool) -> Self {
        if is_busy { Self::Busy } else { Self::Idle }
    }
}

impl From<usize> for Work {
    fn from(count: usize) -> Self {
        (count > 0).into()
    }
}

/// A registered poller; dropping it unregisters it at once, even from inside its own call.
///
/// It belongs to the core that it was registered on, and is `!Send`: there is no way to unregister it from elsewhere.
///
/// ```
/// # let executor = reactor::LocalExecutor::new()?;
/// # executor.enter_with(|| {
/// use reactor::{Poller, Work};
/// let mut left = 3;
/// let poller = Poller::register("countdown", move || {
///     left -= 1;
///     left > 0 // `bool`, `usize` and `Work` all say whether there was work
/// });
/// assert_eq!(poller.stats().runs, 0);
/// # });
/// # Ok::<(), reactor::Error>(())
/// ```
#[must_use = "dropping a poller unregisters it"]
pub struct Poller {
    entry: Rc<Entry>,
}

/// What a poller has done since it was registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollerStats {
    /// Calls.
    pub runs: u64,
    /// Calls that found something to do.
    pub busy_runs: u64,
    /// Time in those.
    pub busy: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Paused,
    Gone,
}

struct Entry {
    name: Cow<'static, str>,
    period: Option<Duration>,
    /// Its core's, wherever it is dropped, paused or resumed.
    owner: Weak<Pollers>,
    call: RefCell<Option<Box<dyn FnMut() -> Work>>>,
    /// The task that calls a timed poller.
    timer: Cell<Option<JoinHandle<()>>>,
    /// The light thread that it was registered from.
    group: u16,
    state: Cell<State>,
    runs: Cell<u64>,
    busy_runs: Cell<u64>,
    busy_ticks: Cell<u64>,
}

/// A core's pollers.
#[derive(Default)]
pub(crate) struct Pollers {
    every_turn: RefCell<Rc<[Rc<Entry>]>>,
    timed: RefCell<Vec<Rc<Entry>>>,
    active: Cell<usize>,
}

impl Poller {
    /// Has the current core call `call` every turn. While it is active the core does not sleep: this is for hardware that can only
    /// be polled.
    ///
    /// If `call` panics, the poller is unregistered and the core goes on.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn register<W: Into<Work>>(
        name: impl Into<Cow<'static, str>>,
        mut call: impl FnMut() -> W + 'static,
    ) -> Self {
        context::with_local("Poller::register", |core, _, local| {
            let call = Box::new(move || call().into());
            let entry = Entry::new(&core.pollers, name.into(), None, call, local.group());
            core.pollers.insert(entry.clone());
            Self { entry }
        })
    }

    /// Has the current core call `call` every `period`, first after one period. Calls that come late are not made up for, and
    /// the core may sleep in between.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor; if `period` is zero.
    #[track_caller]
    pub fn every<W: Into<Work>>(
        name: impl Into<Cow<'static, str>>,
        period: Duration,
        mut call: impl FnMut() -> W + 'static,
    ) -> Self {
        assert!(
            !period.is_zero(),
            "a timed poller needs a period: use `Poller::register` to be called every turn"
        );
        let entry = context::with_local("Poller::every", |core, _, local| {
            let call = Box::new(move || call().into());
            let entry = Entry::new(&core.pollers, name.into(), Some(period), call, local.group());
            core.pollers.timed.borrow_mut().push(entry.clone());
            entry
        });
        let timed = entry.clone();
        let mut ticks = interval(period).on_missed(MissedTicks::Skip);
        let timer = super::spawn_local(async move {
            // The first tick comes at once.
            ticks.tick().await;
            while timed.state.get() != State::Gone {
                ticks.tick().await;
                if contained(|| context::with("Poller::every", |core| timed.run(core))).is_none() {
                    timed.end();
                    timed.leave();
                    timed.forget_call();
                }
            }
        });
        entry.timer.set(Some(timer));
        Self { entry }
    }

    /// Stops calling it, until [`resume`](Self::resume). A core whose every-turn pollers are all paused may sleep.
    pub fn pause(&self) {
        self.switch(State::Active, State::Paused);
    }

    /// Goes on calling it.
    pub fn resume(&self) {
        self.switch(State::Paused, State::Active);
    }

    fn switch(&self, from: State, to: State) {
        if self.entry.state.get() == from {
            self.entry.state.set(to);
            if self.entry.period.is_none() {
                self.entry.owner.upgrade().inspect(|owner| owner.count_active());
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Whether it has been unregistered by a panic of its own.
    pub fn is_gone(&self) -> bool {
        self.entry.state.get() == State::Gone
    }

    /// What it has done. The time is known on its own core only, and zero elsewhere.
    pub fn stats(&self) -> PollerStats {
        let ns = context::try_with(|core| core.clock().ns_of(self.entry.busy_ticks.get()));
        PollerStats {
            runs: self.entry.runs.get(),
            busy_runs: self.entry.busy_runs.get(),
            busy: Duration::from_nanos(ns.unwrap_or(0)),
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.entry.end();
        self.entry.leave();
        self.entry.forget_call();
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("name", &self.entry.name)
            .field("period", &self.entry.period)
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn new(
        owner: &Rc<Pollers>,
        name: Cow<'static, str>,
        period: Option<Duration>,
        call: Box<dyn FnMut() -> Work>,
        group: u16,
    ) -> Rc<Self> {
        Rc::new(Self {
            owner: Rc::downgrade(owner),
            name,
            period,
            call: RefCell::new(Some(call)),
            timer: Cell::new(None),
            group,
            state: Cell::new(State::Active),
            runs: Cell::new(0),
            busy_runs: Cell::new(0),
            busy_ticks: Cell::new(0),
        })
    }

    /// It is called no more.
    fn end(&self) {
        self.state.set(State::Gone);
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }

    /// Takes it off its core's list.
    fn leave(self: &Rc<Self>) {
        if let Some(owner) = self.owner.upgrade() {
            owner.remove(self);
        }
    }

    /// Drops the function now, or after the call that is under way.
    fn forget_call(&self) {
        if let Ok(mut call) = self.call.try_borrow_mut() {
            let call = call.take();
            drop(call);
        }
    }

    /// Calls it, if it is active. Unwinds if it does.
    #[inline]
    fn run(&self, core: &Inner) -> Work {
        if self.state.get() != State::Active {
            return Work::Idle;
        }
        // Borrowed already: a timed poller that turns its own core, which `turn` refuses.
        let mut call = self.call.borrow_mut();
        let Some(function) = &mut *call else { return Work::Idle };
        self.runs.set(self.runs.get() + 1);
        let work = if self.group == NO_GROUP { function() } else { core.in_group(self.group, function) };
        if work == Work::Busy {
            let ticks = core.lap();
            self.busy_runs.set(self.busy_runs.get() + 1);
            self.busy_ticks.set(self.busy_ticks.get() + ticks);
            core.groups.spend(self.group, ticks);
        }
        if self.state.get() == State::Gone {
            // Unregistered from inside the call.
            let function = call.take();
            drop(call);
            drop(function);
        }
        work
    }
}

impl Pollers {
    /// Calls every active poller once and returns how many were busy. `has_run` says that the turn has done something already.
    #[inline]
    pub(super) fn run(&self, core: &Inner, has_run: bool) -> usize {
        if self.active.get() == 0 {
            return 0;
        }
        if has_run || core.counters.is_busy() {
            // What was done since the last reading was not done by the first busy poller.
            core.lap();
        }
        let entries = self.every_turn.borrow().clone();
        let (mut busy, next) = (0, Cell::new(0));
        while contained(|| {
            while let Some(entry) = entries.get(next.get()) {
                next.set(next.get() + 1);
                busy += usize::from(entry.run(core) == Work::Busy);
            }
        })
        .is_none()
        {
            // The one that panicked is not called again.
            let entry = &entries[next.get() - 1];
            entry.end();
            self.remove(entry);
            contained(|| entry.forget_call());
            busy += 1;
        }
        busy
    }

    /// Whether something must be polled every turn.
    #[inline]
    pub(super) fn keep_awake(&self) -> bool {
        self.active.get() > 0
    }

    fn insert(&self, entry: Rc<Entry>) {
        let entries = self.every_turn.borrow().iter().cloned().chain([entry]).collect();
        self.every_turn.replace(entries);
        self.count_active();
    }

    fn remove(&self, entry: &Rc<Entry>) {
        if entry.period.is_some() {
            self.timed.borrow_mut().retain(|other| !Rc::ptr_eq(other, entry));
            return;
        }
        let entries =
            self.every_turn.borrow().iter().filter(|other| !Rc::ptr_eq(other, entry)).cloned().collect();
        self.every_turn.replace(entries);
        self.count_active();
    }

    fn count_active(&self) {
        let active =
            self.every_turn.borrow().iter().filter(|entry| entry.state.get() == State::Active).count();
        self.active.set(active);
    }

    /// How many a light thread has: called every turn, and timed.
    pub(crate) fn of_group(&self, group: u16) -> (usize, usize) {
        let count = |entries: &[Rc<Entry>]| entries.iter().filter(|entry| entry.group == group).count();
        (count(&self.every_turn.borrow()), count(&self.timed.borrow()))
    }

    /// Unregisters those of a light thread.
    pub(crate) fn remove_group(&self, group: u16) {
        let every_turn = self.every_turn.borrow().clone();
        let timed = self.timed.borrow().clone();
        let of_group = || every_turn.iter().chain(&timed).filter(|entry| entry.group == group);
        for entry in of_group() {
            entry.end();
            self.remove(entry);
        }
        // Last: what the functions hold may do anything when it is dropped, unwind as well.
        of_group().for_each(|entry| entry.forget_call());
    }

    /// Unregisters all: the core ends.
    pub(super) fn clear(&self) {
        let every_turn = self.every_turn.replace(Rc::new([]));
        let timed = self.timed.take();
        self.active.set(0);
        for entry in every_turn.iter().chain(&timed) {
            entry.end();
            contained(|| entry.forget_call());
        }
    }
}
