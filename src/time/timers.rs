//! The timers of one core: its clock, and the wheel of wakers that follows it.
//!
//! Fired by the turn, which also asks it how long the core may sleep; armed by `sleep`, on which `interval`
//! and `timeout` stand.

use super::{
    Clock, Instant,
    wheel::{Key, Wheel},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
    time::Duration,
};

/// A core's timers. Clones are the same timers; a future that armed one keeps a clone, so that wherever it is
/// polled or dropped it reaches the wheel that its key belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Timers {
    home: Rc<Home>,
}

#[derive(Debug)]
struct Home {
    clock: Clock,
    /// Never borrowed while a waker is cloned, woken or dropped: any of these may run code that comes back
    /// here.
    wheel: RefCell<Wheel<Waker>>,
    /// The time of the last `fire`, in microseconds.
    fired_us: Cell<u64>,
    /// No deadline is earlier; `u64::MAX` if nothing is armed. May lie too early after a cancellation, until the next `fire`.
    due_us: Cell<u64>,
    /// The same in ticks of the clock, so that a turn compares a reading as it comes.
    due_ticks: Cell<u64>,
}

impl Timers {
    /// No timers yet, on `clock`.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            home: Rc::new(Home {
                clock,
                wheel: RefCell::new(Wheel::new()),
                fired_us: Cell::new(0),
                due_us: Cell::new(u64::MAX),
                due_ticks: Cell::new(u64::MAX),
            }),
        }
    }

    /// The clock that these timers follow.
    #[inline]
    pub(crate) fn clock(&self) -> &Clock {
        &self.home.clock
    }

    /// The present moment, freshly read.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.home.clock.now()
    }

    /// The present time in microseconds, freshly read.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        self.home.clock.now_us()
    }

    /// Whether it is time to call [`fire`](Self::fire). Does not read the clock if nothing is armed.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let due = self.home.due_ticks.get();
        due != u64::MAX && due <= self.home.clock.now_ticks()
    }

    /// Wakes all whose deadline is `now_us` or earlier, by deadline, and returns how many.
    ///
    /// What wakers arm from within for a time that has passed is fired as well; futures arm no such thing,
    /// because they find their deadline behind `now_us`. If a waker panics, the others are woken by the next
    /// call.
    #[inline]
    pub(crate) fn fire(&self, now_us: u64) -> usize {
        self.home.fired_us.set(now_us);
        let mut fired = 0;
        while let Some(waker) = self.expire_one(now_us) {
            waker.wake();
            fired += 1;
        }
        // After a panic it stays in the past, which is right: the others are due.
        self.set_due(self.next_deadline_us().unwrap_or(u64::MAX));
        fired
    }

    #[inline]
    fn set_due(&self, us: u64) {
        self.home.due_us.set(us);
        self.home.due_ticks.set(self.home.clock.ticks_at_us(us));
    }

    /// A function of its own because the borrow must have ended before the waker is woken.
    #[inline]
    fn expire_one(&self, now_us: u64) -> Option<Waker> {
        self.home.wheel.borrow_mut().expire_one(now_us)
    }

    /// When the core must turn again: nothing is due before. `None` if nothing is armed.
    #[inline]
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.home.wheel.borrow().next_deadline()
    }

    /// How long the core may sleep, to the nanosecond, from now on: `None` for as long as it likes.
    ///
    /// Whoever sleeps that long and then fires the present time fires the first timer, or has been woken in
    /// vain once because that timer was cancelled. Means nothing in real time if the clock is virtual.
    pub(crate) fn time_to_next_deadline(&self) -> Option<Duration> {
        let next = self.next_deadline_us()?;
        Some(Duration::from_nanos(next.saturating_mul(1_000).saturating_sub(self.home.clock.now_ns())))
    }

    /// Has `waker` woken at `deadline`; `None` if the last `fire` was not before it, so that nothing is left
    /// to wait for.
    #[inline]
    pub(super) fn arm(&self, deadline: Instant, waker: &Waker) -> Option<Key> {
        let deadline_us = deadline.us_rounded_up();
        if deadline_us <= self.home.fired_us.get() {
            return None;
        }
        let waker = waker.clone();
        if deadline_us < self.home.due_us.get() {
            self.set_due(deadline_us);
        }
        Some(self.home.wheel.borrow_mut().insert(deadline_us, waker))
    }

    /// Has `waker` woken instead of the one that the timer was armed with. False if it has fired already.
    #[inline]
    pub(super) fn renew(&self, key: Key, waker: &Waker) -> bool {
        match self.home.wheel.borrow_mut().get_mut(key) {
            None => return false,
            Some(armed) if armed.will_wake(waker) => return true,
            Some(_) => {}
        }
        let mut other = waker.clone();
        match self.home.wheel.borrow_mut().get_mut(key) {
            None => return false,
            Some(armed) => std::mem::swap(armed, &mut other),
        }
        true
    }

    /// Forgets the timer, unless it has fired already.
    #[inline]
    pub(super) fn disarm(&self, key: Key) {
        let waker = self.home.wheel.borrow_mut().cancel(key);
        // Only now: the borrow has ended.
        drop(waker);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::VirtualClock;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{Arc, Mutex},
        task::Wake,
    };

    fn timers() -> (Timers, VirtualClock) {
        let (clock, hand) = Clock::manual();
        (Timers::new(clock), hand)
    }

    /// Runs a closure when woken. Wakers must be `Send`, so what is not is reached through a thread-local.
    struct Call<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    fn call(f: impl Fn() + Send + Sync + 'static) -> Waker {
        Arc::new(Call(f)).into()
    }

    thread_local! {
        static REENTERED: RefCell<Option<(Timers, Key)>> = const { RefCell::new(None) };
    }

    fn at(us: u64) -> Instant {
        Instant::from_ns(us * 1_000)
    }

    #[test]
    fn fires_by_deadline_and_counts() {
        let (timers, _) = timers();
        let log = Arc::new(Mutex::new(Vec::new()));
        for us in [30, 10, 20, 40] {
            let log = log.clone();
            timers.arm(at(us), &call(move || log.lock().unwrap().push(us))).unwrap();
        }
        assert_eq!([timers.fire(9), timers.fire(30), timers.fire(30)], [0, 3, 0]);
        assert_eq!(*log.lock().unwrap(), [10, 20, 30]);
        assert_eq!(timers.next_deadline_us(), Some(40));
    }

    /// A waker may arm, renew and disarm timers of the very wheel that is firing it.
    #[test]
    fn waker_may_come_back() {
        let (timers, _) = timers();
        timers
            .arm(
                at(10),
                &call(|| {
                    let (timers, victim) = REENTERED.take().unwrap();
                    assert!(timers.renew(victim, Waker::noop()));
                    timers.disarm(victim);
                    assert!(timers.arm(at(10), Waker::noop()).is_none(), "what is due now must not be armed");
                    timers.arm(at(11), Waker::noop()).unwrap();
                }),
            )
            .unwrap();
        let victim = timers.arm(at(10), &call(|| panic!("disarmed before its turn"))).unwrap();
        REENTERED.set(Some((timers.clone(), victim)));
        assert_eq!([timers.fire(10), timers.fire(11)], [1, 1]);
    }

    /// Dropping the last clone of a waker may drop a future, which disarms its own timer.
    #[test]
    fn dropped_waker_may_come_back() {
        struct Disarm;
        impl Drop for Disarm {
            fn drop(&mut self) {
                if let Some((timers, key)) = REENTERED.take() {
                    timers.disarm(key);
                }
            }
        }
        let (timers, _) = timers();
        let with_guard = |guard: Disarm| {
            call(move || {
                let _ = &guard;
            })
        };
        let other = timers.arm(at(20), Waker::noop()).unwrap();
        let key = timers.arm(at(10), &with_guard(Disarm)).unwrap();
        REENTERED.set(Some((timers.clone(), other)));
        assert!(timers.renew(key, Waker::noop()), "drops the first waker");
        assert_eq!(timers.next_deadline_us(), Some(10));
        timers.disarm(key);
        assert_eq!(timers.next_deadline_us(), None);
    }

    #[test]
    fn panic_of_one_waker_loses_no_other() {
        let (timers, _) = timers();
        timers.arm(at(10), &call(|| panic!("a foreign waker's bug"))).unwrap();
        timers.arm(at(10), Waker::noop()).unwrap();
        catch_unwind(AssertUnwindSafe(|| timers.fire(10))).unwrap_err();
        assert_eq!(timers.fire(10), 1);
    }

    /// Held against the wheel itself, with every clock: what the turn asks before it fires.
    #[test]
    fn due_as_soon_as_the_first_deadline_has_come_and_not_before() {
        let (timers, hand) = timers();
        assert!(!timers.is_due());
        hand.advance(Duration::from_micros(10));
        let late = timers.arm(at(40), Waker::noop()).unwrap();
        let first = timers.arm(at(20), Waker::noop()).unwrap();
        timers.arm(at(30), Waker::noop()).unwrap();
        hand.advance(Duration::from_nanos(9_999));
        assert!(!timers.is_due());
        hand.advance(Duration::from_nanos(1));
        assert!(timers.is_due());
        timers.disarm(first);
        // In vain, once: that it was cancelled is found out by looking.
        assert_eq!((timers.fire(20), timers.is_due()), (0, false));
        hand.advance(Duration::from_micros(10));
        assert!(timers.is_due());
        assert_eq!((timers.fire(30), timers.is_due()), (1, false));
        timers.disarm(late);
        hand.advance(Duration::from_secs(1));
        assert_eq!((timers.fire(1_000_000), timers.is_due()), (0, false));
    }

    #[test]
    fn deadlines_that_never_come_are_never_due() {
        let (timers, hand) = timers();
        timers.arm(Instant::from_ns(u64::MAX), Waker::noop()).unwrap();
        hand.advance(Duration::from_secs(365 * 86_400));
        assert!(!timers.is_due());
    }

    #[test]
    fn sleeps_to_the_nanosecond() {
        let (timers, hand) = timers();
        assert_eq!(timers.time_to_next_deadline(), None);
        hand.advance(Duration::from_nanos(1_250));
        timers.arm(at(1_000_000), Waker::noop()).unwrap();
        assert_eq!(timers.time_to_next_deadline(), Some(Duration::from_nanos(999_998_750)));
        hand.advance(Duration::from_secs(2));
        assert_eq!(timers.time_to_next_deadline(), Some(Duration::ZERO));
    }
}
