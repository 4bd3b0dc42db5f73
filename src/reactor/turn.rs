//! One turn of the run loop. This page is the runtime.

use super::{Inner, Mode, stats::add};
use crate::sys::unwind::contained;

/// Events run per turn: a flood from other cores leaves the pollers waiting for some 10 µs at most.
const EVENTS_MAX: usize = 512;
/// Tasks polled per batch, likewise.
const TASKS_MAX: usize = 512;
/// The run loop goes on with the next batch at once, up to so many polls in a turn: looking at everything else costs as much as two
/// polls, and is put off by some 50 ns.
const POLLS_PER_LOOK: usize = 8;

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Events run: messages, spawns, wake-ups and results from other threads.
    pub events: usize,
    /// Pollers that found something to do.
    pub polled: usize,
    /// Operations that drivers completed.
    pub completions: usize,
    /// Timers that fired.
    pub timers: usize,
    /// Tasks polled.
    pub tasks: usize,
}

impl Turn {
    /// Whether the turn did anything.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.events + self.polled + self.completions + self.timers + self.tasks > 0
    }
}

impl Inner {
    /// One turn with one batch of tasks: those woken by it run in the next turn.
    pub(super) fn turn(&self) -> Turn {
        self.turn_of(1, false)
    }

    /// One turn of the run loop itself, where small batches follow each other. Whether there was anything to do.
    #[inline]
    pub(super) fn quick_turn(&self) -> bool {
        self.turn_of(POLLS_PER_LOOK, true);
        self.counters.is_busy()
    }

    /// Inbox, pollers, drivers, timers, batches of tasks until `polls` are reached or none is left, submission, which `before_sleep`
    /// allows to leave to the sleep.
    ///
    /// Returns nothing beside the structure: made part of a larger one it would be copied at once, sixteen bytes at a time out of
    /// eight-byte stores, and wait for these: 5 ns of an idle turn.
    #[inline]
    fn turn_of(&self, polls: usize, before_sleep: bool) -> Turn {
        assert!(
            !self.is_turning.replace(true),
            "a core cannot turn inside of its own turn: await instead (rule 1)"
        );
        self.parker.woken(self);
        let peer = self.peer();
        let home = &*peer.home;
        let local = home.local().expect("the core is entered");

        if peer.control.critical.is_waiting() {
            self.run_critical();
        }
        let events = local.run_events(home, EVENTS_MAX);
        let polled = self.pollers.run(self, events > 0);
        let completions = self.poll_drivers();
        let timers = self.fire_timers();
        let mut tasks = local.run_tasks(polls, TASKS_MAX, |group| self.groups.charge(group, self));
        self.groups.charge(crate::task::NO_GROUP, self);
        tasks += self.run_balanced((events | polled | completions | timers | tasks) == 0);

        let turn = Turn { events, polled, completions, timers, tasks };
        // Over the variables, not the structure: summed in memory they would wait for their own stores.
        let is_busy = (events | polled | completions | timers | tasks) != 0;
        if !self.drivers.borrow().is_empty() {
            let bed = if before_sleep { self.puts_off_flush(is_busy) } else { None };
            self.flush_drivers(bed);
        }
        if is_busy {
            self.count(&turn);
        }
        self.counters.turn_ended(is_busy, self.clock());
        self.is_turning.set(false);
        turn
    }

    #[inline]
    fn fire_timers(&self) -> usize {
        if self.timers.is_due() { self.fire_due() } else { 0 }
    }

    fn fire_due(&self) -> usize {
        let now = self.timers.now_us();
        let mut fired = 0;
        // Wakers may be a stranger's: one that panics has been reported, and the next call goes on behind it.
        while contained(|| fired += self.timers.fire(now)).is_none() {
            fired += 1;
        }
        fired
    }

    #[inline]
    fn poll_drivers(&self) -> usize {
        if self.drivers.borrow().is_empty() {
            return 0;
        }
        let drivers = self.drivers.borrow().clone();
        // Wakers may be a stranger's, and so may the buffers that nobody awaits. What is behind one that panics is for the next turn.
        drivers.iter().map(|driver| contained(|| driver.poll()).unwrap_or(1)).sum()
    }

    /// The driver whose submission is left to the sleep, which seems to come next and hands over what is queued in the same system
    /// call. [`sleep`](Self::sleep) sees to it if it does not come to that; so does the next turn, if it finds something to do.
    fn puts_off_flush(&self, is_busy: bool) -> Option<usize> {
        let peer = self.peer();
        let is_second = is_busy && self.is_flush_due.get();
        let may = peer.mode() == Mode::Interrupt
            && !is_second
            && !self.pollers.keep_awake()
            && !peer.home.local().expect("the core is entered").has_ready();
        let bed = if may { self.bed(&self.drivers.borrow()) } else { None };
        self.is_flush_due.set(bed.is_some());
        bed
    }

    pub(super) fn flush_what_was_put_off(&self) {
        if self.is_flush_due.take() {
            self.flush_drivers(None);
        }
    }

    /// All but the one that the core is about to sleep in.
    fn flush_drivers(&self, bed: Option<usize>) {
        let drivers = self.drivers.borrow().clone();
        for (index, driver) in drivers.iter().enumerate() {
            if Some(index) != bed {
                driver.flush();
            }
        }
    }

    #[cold]
    fn run_critical(&self) {
        if let Some(function) = self.peer().control.critical.take() {
            // A panic has been reported by the hook; the core goes on.
            contained(function);
        }
    }

    fn count(&self, turn: &Turn) {
        let counters = &self.counters;
        add(&counters.events, turn.events);
        add(&counters.polled, turn.polled);
        add(&counters.completions, turn.completions);
        add(&counters.timers, turn.timers);
        add(&counters.tasks, turn.tasks);
    }
}
