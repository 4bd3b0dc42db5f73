//! What a core has done and how long it was busy, counted without atomics and almost without reading the clock.
//!
//! A stretch of busy turns ends with one reading. During idle turns the clock is read every [`IDLE_TURNS_PER_READING`]: when work
//! turns up, the last such reading ends the idle time, so that at most that many idle turns (some 100 ns) count as busy.

use super::{Inner, context};
use crate::time::Clock;
use std::{cell::Cell, time::Duration};

const IDLE_TURNS_PER_READING: u32 = 16;

/// Counters of one core since it started: [`Stats::current`] in an application, [`LocalExecutor::stats`](crate::LocalExecutor::stats)
/// for who holds the executor.
///
/// ```
/// # let executor = reactor::LocalExecutor::new()?;
/// # executor.block_on(async {
/// use reactor::{Stats, on_every_core};
/// for core in on_every_core(async || Stats::current()).await {
///     let Stats { turns, busy, idle, .. } = core?;
///     println!("{turns} turns, busy {:.1} % of the time", 100.0 * busy.as_secs_f64() / (busy + idle).as_secs_f64());
/// }
/// # Ok::<(), reactor::JoinError>(())
/// # })?;
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the run loop.
    pub turns: u64,
    /// Events taken from the inbox: messages, spawns, wake-ups and results from elsewhere.
    pub events: u64,
    /// Polls of tasks.
    pub tasks: u64,
    /// Poller calls that found something to do.
    pub polled: u64,
    /// Operations completed by the core's drivers.
    pub completions: u64,
    /// Timers that fired.
    pub timers: u64,
    /// Times that the core went to sleep.
    pub sleeps: u64,
    /// Time in turns that found something to do.
    pub busy: Duration,
    /// Time in turns that did not, and asleep.
    pub idle: Duration,
    /// Tasks whose memory is in use now.
    pub live_tasks: usize,
}

impl Stats {
    /// What the calling core has done so far, the turn under way excepted.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn current() -> Self {
        context::with("Stats::current", Inner::stats)
    }
}

/// The counters as the core keeps them.
#[derive(Default)]
pub(crate) struct Counters {
    pub(super) turns: Cell<u64>,
    pub(super) events: Cell<u64>,
    pub(super) tasks: Cell<u64>,
    pub(super) polled: Cell<u64>,
    pub(super) completions: Cell<u64>,
    pub(super) timers: Cell<u64>,
    pub(super) sleeps: Cell<u64>,
    busy_ticks: Cell<u64>,
    idle_ticks: Cell<u64>,
    /// Where the present stretch, busy or idle, began.
    stretch: Cell<u64>,
    /// The newest reading.
    reading: Cell<u64>,
    lap: Cell<u64>,
    is_busy: Cell<bool>,
    idle_turns: Cell<u32>,
}

pub(super) fn add(counter: &Cell<u64>, n: usize) {
    counter.set(counter.get() + n as u64);
}

impl Counters {
    pub(super) fn begin(&self, now: u64) {
        self.stretch.set(now);
        self.reading.set(now);
    }

    /// A turn has ended.
    #[inline]
    pub(super) fn turn_ended(&self, is_busy: bool, clock: &Clock) {
        add(&self.turns, 1);
        match (self.is_busy.get(), is_busy) {
            (true, true) => {}
            (false, true) => self.end_idle(),
            (true, false) => self.end_busy(clock.now_ticks()),
            (false, false) => {
                let turns = self.idle_turns.get() + 1;
                self.idle_turns.set(turns);
                if turns % IDLE_TURNS_PER_READING == 0 {
                    self.reading.set(clock.now_ticks());
                }
            }
        }
    }

    fn end_idle(&self) {
        let now = self.reading.get();
        self.idle_ticks.set(self.idle_ticks.get() + now.saturating_sub(self.stretch.replace(now)));
        self.is_busy.set(true);
    }

    fn end_busy(&self, now: u64) {
        self.busy_ticks.set(self.busy_ticks.get() + now.saturating_sub(self.stretch.replace(now)));
        self.reading.set(now);
        self.is_busy.set(false);
        self.idle_turns.set(0);
    }

    /// The core has slept until `now`.
    pub(super) fn slept(&self, now: u64) {
        add(&self.sleeps, 1);
        self.reading.set(now);
    }

    /// Whether the turn before this one found something to do.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.get()
    }

    /// Ticks since something was last done, to within a few turns; 0 while busy.
    #[inline]
    pub(super) fn idle_ticks(&self) -> u64 {
        if self.is_busy.get() { 0 } else { self.reading.get().saturating_sub(self.stretch.get()) }
    }

    /// Ticks since the last lap of this turn, or since the newest reading: what one busy poller or light thread has spent.
    pub(super) fn lap(&self, clock: &Clock) -> u64 {
        let now = clock.now_ticks();
        now.saturating_sub(self.lap.replace(now).max(self.reading.get()))
    }

    pub(super) fn snapshot(&self, clock: &Clock, live_tasks: usize) -> Stats {
        let running = clock.now_ticks().saturating_sub(self.stretch.get());
        let (busy, idle) = if self.is_busy.get() { (running, 0) } else { (0, running) };
        let time = |ticks| Duration::from_nanos(clock.ns_of(ticks));
        Stats {
            turns: self.turns.get(),
            events: self.events.get(),
            tasks: self.tasks.get(),
            polled: self.polled.get(),
            completions: self.completions.get(),
            timers: self.timers.get(),
            sleeps: self.sleeps.get(),
            busy: time(self.busy_ticks.get() + busy),
            idle: time(self.idle_ticks.get() + idle),
            live_tasks,
        }
    }
}
