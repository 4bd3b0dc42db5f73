//! A sleep for libraries whose traits ask for `Send`: waits by the timers of whichever core polls it.
//!
//! It holds a name of its core instead of the core's timers, which [`Sleep`](super::Sleep) holds and therefore never leaves. What
//! touches the wheel asks first whether it is at home:
//!
//! ```text
//!  Idle ── poll, not due ──▶ Armed at home ── fired there ──▶ Elapsed
//!    ▲                         │ polled elsewhere: given up by a message, armed anew where it is polled
//!    └── reset ────────────────┘ dropped elsewhere: given up by a message
//! ```

use super::{Instant, wheel::Key};
use crate::reactor::context::with_timers;
use crate::reactor::{Core, Handle};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// What those call that wait here.
const HYPER: &str = "io::hyper::Timer";

/// Waits for a moment, on any core of those that follow one clock.
#[derive(Debug)]
pub(crate) struct RoamingSleep {
    deadline: Instant,
    state: State,
    /// The core whose wheel it was last armed in. Kept when it is reset, for the next time is mostly there too.
    home: Option<Home>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    /// In the wheel of `home`, unless it has fired since.
    Armed(Key),
    Elapsed,
}

#[derive(Debug)]
struct Home {
    runtime: Handle,
    core: Core,
}

impl Home {
    fn here() -> Self {
        Self { runtime: Handle::current(), core: Core::current() }
    }

    fn is_here(&self) -> bool {
        self.runtime.is_turning(self.core)
    }
}

impl RoamingSleep {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, state: State::Idle, home: None }
    }

    /// Waits for `deadline` instead. Must be polled again to be woken.
    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.disarm();
        self.deadline = deadline;
        self.state = State::Idle;
    }

    fn is_home(&self) -> bool {
        self.home.as_ref().is_some_and(Home::is_here)
    }

    fn disarm(&mut self) {
        let (State::Armed(key), Some(home)) = (self.state, &self.home) else { return };
        self.state = State::Idle;
        if home.is_here() {
            with_timers(HYPER, |timers| timers.disarm(key));
        } else {
            // If that core is gone, so is its wheel.
            let _gone = home.runtime.post(home.core, move || with_timers(HYPER, |timers| timers.disarm(key)));
        }
    }
}

impl Future for RoamingSleep {
    type Output = ();

    /// Stays ready once it is, until it is reset.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.state {
            State::Elapsed => return Poll::Ready(()),
            State::Armed(key) if self.is_home() => {
                if with_timers(HYPER, |timers| timers.renew(key, cx.waker())) {
                    return Poll::Pending;
                }
                self.state = State::Elapsed;
                return Poll::Ready(());
            }
            State::Armed(_) => self.disarm(),
            State::Idle => {}
        }
        let deadline = self.deadline;
        let armed = with_timers(HYPER, |timers| {
            if deadline <= timers.now() { None } else { timers.arm(deadline, cx.waker()) }
        });
        match armed {
            None => {
                self.state = State::Elapsed;
                Poll::Ready(())
            }
            Some(key) => {
                if !self.is_home() {
                    self.home = Some(Home::here());
                }
                self.state = State::Armed(key);
                Poll::Pending
            }
        }
    }
}

impl Drop for RoamingSleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::time::{Clock, VirtualClock};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    static_assertions::assert_impl_all!(RoamingSleep: Send, Sync, Unpin);

    const MS: Duration = Duration::from_millis(1);

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Cores that follow one virtual clock, with nothing else on them.
    struct Bench {
        cores: [LocalExecutor; 2],
        hand: VirtualClock,
        wakes: Arc<Wakes>,
    }

    impl Bench {
        fn new() -> Self {
            let (clock, hand) = Clock::manual();
            let core = || LocalExecutor::with_clock(clock.clone()).unwrap();
            Self { cores: [core(), core()], hand, wakes: Arc::default() }
        }

        fn sleep(&self, duration: Duration) -> RoamingSleep {
            RoamingSleep::until(self.cores[0].enter_with(|| Instant::now() + duration))
        }

        fn poll(&self, core: usize, sleep: &mut RoamingSleep) -> Poll<()> {
            let waker = Waker::from(self.wakes.clone());
            self.cores[core].enter_with(|| Pin::new(sleep).poll(&mut Context::from_waker(&waker)))
        }

        fn pass(&self, duration: Duration) {
            self.hand.advance(duration);
            self.turn();
        }

        fn turn(&self) {
            self.cores.iter().for_each(|core| {
                core.turn();
            });
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }

        /// Wakers that timers hold, the bench's own left out.
        fn armed(&self) -> usize {
            Arc::strong_count(&self.wakes) - 1
        }
    }

    #[test]
    fn wakes_when_the_time_has_come_and_stays_ready() {
        let bench = Bench::new();
        let mut sleep = bench.sleep(MS);
        assert!(bench.poll(0, &mut sleep).is_pending());
        bench.pass(MS / 2);
        assert!(bench.poll(0, &mut sleep).is_pending());
        assert_eq!(bench.wakes(), 0);
        bench.pass(MS / 2);
        assert_eq!(bench.wakes(), 1);
        assert!(bench.poll(0, &mut sleep).is_ready() && bench.poll(1, &mut sleep).is_ready());
    }

    #[test]
    fn what_is_over_is_ready_without_a_timer() {
        let bench = Bench::new();
        assert!(bench.poll(0, &mut bench.sleep(Duration::ZERO)).is_ready());
        assert_eq!(bench.armed(), 0);
    }

    #[test]
    fn moved_to_another_core_it_waits_there_and_no_longer_here() {
        let bench = Bench::new();
        let mut sleep = bench.sleep(MS);
        assert!(bench.poll(0, &mut sleep).is_pending());
        assert!(bench.poll(1, &mut sleep).is_pending());
        bench.turn();
        assert_eq!(bench.armed(), 1, "given up where it was");
        bench.pass(MS);
        assert_eq!(bench.wakes(), 1);
        assert!(bench.poll(1, &mut sleep).is_ready());
    }

    #[test]
    fn dropped_anywhere_it_leaves_no_timer() {
        for by_another_thread in [false, true] {
            let bench = Bench::new();
            let mut sleep = bench.sleep(MS);
            assert!(bench.poll(0, &mut sleep).is_pending());
            assert_eq!(bench.armed(), 1);
            if by_another_thread {
                std::thread::spawn(move || drop(sleep)).join().unwrap();
                bench.turn();
            } else {
                bench.cores[0].enter_with(|| drop(sleep));
            }
            assert_eq!(bench.armed(), 0, "by_another_thread={by_another_thread}");
        }
    }

    #[test]
    fn outlives_the_core_that_it_waited_on() {
        let mut bench = Bench::new();
        let mut sleep = bench.sleep(MS);
        assert!(bench.poll(0, &mut sleep).is_pending());
        let other = LocalExecutor::new().unwrap();
        drop(std::mem::replace(&mut bench.cores[0], other));
        assert_eq!(bench.armed(), 0);
        assert!(bench.poll(1, &mut sleep).is_pending());
        bench.pass(MS);
        assert!(bench.poll(1, &mut sleep).is_ready());
    }

    #[test]
    fn reset_forgets_the_former_deadline() {
        let bench = Bench::new();
        let mut sleep = bench.sleep(MS);
        assert!(bench.poll(0, &mut sleep).is_pending());
        let later = bench.cores[0].enter_with(|| Instant::now() + 3 * MS);
        bench.cores[0].enter_with(|| sleep.reset(later));
        assert_eq!(bench.armed(), 0);
        assert!(bench.poll(0, &mut sleep).is_pending());
        bench.pass(2 * MS);
        assert_eq!(bench.wakes(), 0);
        bench.pass(MS);
        assert!(bench.poll(0, &mut sleep).is_ready());
    }
}
