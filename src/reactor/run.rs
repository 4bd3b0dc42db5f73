//! Turning until a future is done: when to go round again, spin or sleep; and the end of a core.

use super::{Inner, context::Turning, driver::Driver, park::Sleeper};
use crate::{
    sys::{dma::DmaPool, unwind::contained},
    task::Home,
};
use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// How a core waits when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Never sleeps: the lowest latency, a whole processor.
    Poll = 0,
    /// Spins for a set time, 50 µs unless set otherwise, then sleeps.
    #[default]
    Adaptive = 1,
    /// Sleeps at once.
    Interrupt = 2,
}

impl Mode {
    /// Longer than it takes to wake a sleeping core here (17 to 21 µs one way): a request that comes back within that time is
    /// answered without a system call on either side.
    pub(crate) const DEFAULT_SPIN: Duration = Duration::from_micros(50);

    /// All modes.
    pub const ALL: [Self; 3] = [Self::Poll, Self::Adaptive, Self::Interrupt];

    pub(super) fn from_u8(mode: u8) -> Self {
        match mode {
            0 => Self::Poll,
            1 => Self::Adaptive,
            _ => Self::Interrupt,
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "poll" => Ok(Self::Poll),
            "adaptive" => Ok(Self::Adaptive),
            "interrupt" => Ok(Self::Interrupt),
            _ => Err(format!("`{text}` is no mode: write poll, adaptive or interrupt")),
        }
    }
}

impl Inner {
    /// Turns until `future` is done. Its waker is that of a task of this core, so that waking it is as cheap as any wake.
    pub(super) fn run_until<F: Future>(&self, future: F) -> F::Output {
        let root = Root::start(self);
        let mut future = pin!(future);
        loop {
            if root.is_woken.replace(false) {
                let waker = root.waker();
                crate::task::budget::refill();
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    self.flush_what_was_put_off();
                    return output;
                }
            }
            if !self.quick_turn() && !root.is_woken.get() {
                self.idle();
            }
        }
    }

    /// Nothing to do: spins, or sleeps.
    #[inline]
    fn idle(&self) {
        let spin_ticks = match self.peer().mode() {
            Mode::Poll => return,
            Mode::Adaptive => self.spin_ticks.get(),
            Mode::Interrupt => 0,
        };
        if self.counters.idle_ticks() >= spin_ticks {
            self.sleep();
        }
    }

    /// Whether the core may sleep; from then on senders wake it. Drivers wake it too, but for the one that it sleeps in.
    pub(super) fn prepare_to_sleep(&self, sleeper: Sleeper) -> bool {
        let (peer, home) = (self.peer(), &**self.home());
        let local = home.local().expect("the core is entered");
        if self.pollers.keep_awake() || !self.parker.may_sleep() || !local.park(home) {
            return false;
        }
        self.parker.set_parked(sleeper);
        self.group.balance.sleepers.announce(self.index);
        // A critical event comes with a poke of the word that `park` has just exchanged: either it came before and is seen
        // here, or it comes after and rings.
        if peer.control.critical.is_waiting() || self.group.balance.has_work() || self.arm_drivers(sleeper) {
            self.parker.unpark(self, sleeper);
            return false;
        }
        true
    }

    /// Whether one of them has something to do already.
    fn arm_drivers(&self, sleeper: Sleeper) -> bool {
        let drivers = self.drivers.borrow();
        let bed = if sleeper == Sleeper::RunLoop { self.bed(&drivers) } else { None };
        drivers.iter().enumerate().any(|(index, driver)| Some(index) != bed && driver.arm())
    }

    /// Which driver the run loop sleeps in.
    pub(super) fn bed(&self, drivers: &[Rc<dyn Driver>]) -> Option<usize> {
        drivers.iter().position(|driver| driver.bed().is_some())
    }

    #[cold]
    fn sleep(&self) {
        DmaPool::rest_local();
        if self.clock().is_virtual() && self.timers.next_deadline_us().is_some() {
            self.flush_what_was_put_off();
            // A virtual clock does not move while the core sleeps; whoever moves it is another thread, and rings no bell.
            return std::thread::yield_now();
        }
        if !self.prepare_to_sleep(Sleeper::RunLoop) {
            return self.flush_what_was_put_off();
        }
        let left = self.timers.time_to_next_deadline();
        let left = left.map(|left| left.max(self.timer_slack.get()));
        let drivers = self.drivers.borrow().clone();
        match drivers.iter().find_map(|driver| driver.bed()) {
            Some(bed) => {
                // It hands over what was put off: nothing but its own was.
                self.is_flush_due.set(false);
                self.parker.sleep_in(bed, left);
            }
            None => self.parker.wait(left),
        }
        self.parker.woken(self);
        self.counters.slept(self.clock().now_ticks());
    }

    /// The end of the core: futures, pollers, what devices still hold, per-core objects, inbox; in this order.
    pub(super) fn end(&self, turning: Turning) {
        let home = self.home().clone();
        let local = home.local().expect("the core is entered");
        local.cancel_all();
        self.end_balanced();
        self.pollers.clear();
        self.drain_drivers();
        // Newest first, and one at a time: dropping one may look for another.
        loop {
            let newest = self.singletons.borrow_mut().pop();
            if newest.is_none() {
                break;
            }
            contained(|| drop(newest));
        }
        let drivers = self.drivers.replace(Rc::new([]));
        contained(|| drop(drivers));
        let orphans = local.close(&home);
        // Only now: references to tasks that end on this thread from here on are counted with atomics, as anywhere else.
        drop(turning);
        drop(orphans);
    }

    /// Waits until the devices have answered everything: buffers are theirs until then.
    fn drain_drivers(&self) {
        let mut drivers = self.drivers.borrow().to_vec();
        for driver in &drivers {
            contained(|| driver.cancel_all());
        }
        loop {
            let mut completed = 0;
            drivers.retain(|driver| {
                let before = driver.in_flight();
                let polled = contained(|| {
                    driver.flush();
                    driver.poll()
                });
                completed += polled.unwrap_or(1);
                let left = driver.in_flight();
                // One that panics and gets nowhere is given up: it keeps what its device may still touch.
                left > 0 && (polled.is_some() || left < before)
            });
            if drivers.is_empty() {
                return;
            }
            if completed == 0 {
                self.parker.wait(Some(Duration::from_millis(1)));
                // Some have patience, and then take what they were not given.
                for driver in &drivers {
                    contained(|| driver.cancel_all());
                }
            }
        }
    }
}

/// What the task is called that stands for the future of `block_on`.
pub(crate) const ROOT_NAME: &str = "(block_on)";

/// A task that stands for a future that is not one: it passes on the wakes.
struct Root {
    is_woken: Rc<Cell<bool>>,
    waker: Rc<Cell<Option<Waker>>>,
    task: Option<crate::JoinHandle<()>>,
}

impl Root {
    fn start(core: &Inner) -> Self {
        let home: &Home = core.home();
        let is_woken = Rc::new(Cell::new(true));
        let waker = Rc::new(Cell::new(None));
        let (woken, own_waker) = (is_woken.clone(), waker.clone());
        let future = poll_fn(move |cx| {
            own_waker.set(Some(cx.waker().clone()));
            woken.set(true);
            Poll::<()>::Pending
        });
        let local = home.local().expect("the core is entered");
        let task = local.spawn(home, crate::task::Named { name: ROOT_NAME.into(), future });
        // Polled once, so that it has a waker to lend. This is a batch, inside of which the core does not turn either.
        core.is_turning.set(true);
        local.run_tasks(1, usize::MAX, |group| core.groups.charge(group, core));
        core.groups.charge(crate::task::NO_GROUP, core);
        core.is_turning.set(false);
        Self { is_woken, waker, task: Some(task) }
    }

    fn waker(&self) -> Waker {
        let waker = self.waker.take().expect("the root task left its waker");
        self.waker.set(Some(waker.clone()));
        waker
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // It waits for ever; this ends it.
        self.waker.take();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
