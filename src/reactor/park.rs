//! Sleeping: in the core's ring, if it has one to [sleep in](super::driver::Bed), else in an epoll set that holds the doorbell and
//! the descriptors of drivers.
//!
//! ```text
//!  awake ── prepare_to_sleep: inbox PARKED ──► parked ── wait ──► asleep
//!    ▲                                           │                  │ doorbell, driver, deadline
//!    └──────────── woken: inbox unparked ◄───────┴──────────────────┘
//! ```
//!
//! # The doorbell
//!
//! An eventfd in the set, edge-triggered. Every ring is an edge, also of a counter that is not zero: the write puts the doorbell
//! into the set's list of what is ready (epoll(7): edge-triggered too, several events may come of several writes), and the
//! `epoll_wait` that returns it takes it off that list. So the run loop never reads the counter, which saves both sides of a call
//! between sleeping cores a system call each.
//!
//! - *No ring is lost.* Whoever clears PARKED rings, after its event is in the inbox. An edge stays in the list until an `epoll_wait`
//!   of this core takes it, whether it came before that wait or in it. Two rings between two waits are one edge, after which the
//!   core looks at everything that both of them rang for. The critical event rings the same bell after the same exchange.
//! - *A ring may be late.* Its sender cleared PARKED and was held up, and the core woke for another reason: the next wait returns
//!   at once, in vain, once.
//! - *An io_uring hears the bell by its edges too*: by a poll that answers again and again and stays with the kernel from sleep to
//!   sleep. How it keeps to the above stands in `uring/queues/sleep.rs`. The bell is in the set all the same, where the list then has
//!   an edge that nobody takes: the first wait for the set after sleeps in the io_uring may return in vain, once.
//! - *The drivers' descriptors are in a set of their own* in the set: an io_uring is told of these without the bell.
//! - *The counter only grows.* At its limit of 2⁶⁴ − 2 a write fails and makes no edge; [`EventFd::signal`] then empties it first.
//! - *A host never calls `epoll_wait` on the set*; it polls [`fd`](Parker::fd), which is readable while something in the list is
//!   ready, and an edge that nobody takes stays. So the counter is read after a sleep of a host's: what is in the list is then
//!   found not to be ready, and leaves it. Likewise where `epoll_pwait2` is refused, and `ppoll` waits for the set.

use super::{Inner, driver::Bed};
use crate::sys::eventfd::EventFd;
use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    io::Errno,
};
use std::{
    cell::{Cell, OnceCell},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// Who waits while a core sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleeper {
    /// The run loop, in [`Parker::wait`].
    RunLoop,
    /// An event loop that the executor lives in, for [`Parker::fd`].
    Host,
}

/// Taken off the list of what is ready at once: the doorbell and, for instance, the ring that the core was also woken by.
const EVENTS_MAX: usize = 4;

/// How a core sleeps.
pub(super) struct Parker {
    epoll: OwnedFd,
    doorbell: Arc<EventFd>,
    /// What else wakes the core, and how many that are.
    sources: OnceCell<OwnedFd>,
    sources_len: Cell<usize>,
    parked: Cell<Option<Sleeper>>,
    /// A source that could not be added would not wake the core.
    is_blind: Cell<bool>,
}

impl Parker {
    pub(super) fn new(doorbell: &Arc<EventFd>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, doorbell.as_fd(), epoll::EventData::new_u64(0), edges)?;
        Ok(Self {
            epoll,
            doorbell: doorbell.clone(),
            sources: OnceCell::new(),
            sources_len: Cell::new(0),
            parked: Cell::new(None),
            is_blind: Cell::new(false),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Has `source` wake the core. Level-triggered: a source that stays readable keeps the core awake.
    pub(super) fn add(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        let added = self.try_add(source);
        self.is_blind.set(self.is_blind.get() || added.is_err());
        added
    }

    fn try_add(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        fn add(set: &OwnedFd, source: BorrowedFd<'_>) -> io::Result<()> {
            Ok(epoll::add(set, source, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?)
        }
        let sources = match self.sources.get() {
            Some(sources) => sources,
            None => {
                let sources = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                add(&self.epoll, sources.as_fd())?;
                self.sources.get_or_init(|| sources)
            }
        };
        add(sources, source)?;
        self.sources_len.set(self.sources_len.get() + 1);
        Ok(())
    }

    /// Takes back what [`add`](Self::add) did.
    #[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "NVMe's queues come and go"))]
    pub(super) fn remove(&self, source: BorrowedFd<'_>) {
        if let Some(sources) = self.sources.get() {
            if epoll::delete(sources, source).is_ok() {
                self.sources_len.set(self.sources_len.get() - 1);
            }
        }
    }

    pub(super) fn may_sleep(&self) -> bool {
        !self.is_blind.get()
    }

    pub(super) fn set_parked(&self, sleeper: Sleeper) {
        self.parked.set(Some(sleeper));
    }

    /// Sleeps in `bed`, whose own descriptor is one of the sources. May return early.
    pub(super) fn sleep_in(&self, bed: &dyn Bed, timeout: Option<Duration>) {
        let others = self.sources.get().filter(|_| self.sources_len.get() > 1);
        bed.sleep(self.doorbell.as_fd(), others.map(AsFd::as_fd), timeout);
    }

    /// Sleeps until something happens, `timeout` at most. May return early.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        self.wait_by(timeout, |timeout| {
            let mut events = [const { MaybeUninit::uninit() }; EVENTS_MAX];
            epoll::wait(&self.epoll, &mut events, timeout).map(drop)
        });
    }

    #[inline]
    fn wait_by(&self, timeout: Option<Duration>, wait: impl FnOnce(Option<&Timespec>) -> Result<(), Errno>) {
        let timeout = timeout.map(|t| Timespec {
            // A day is as good as for ever, and never overflows.
            tv_sec: t.as_secs().min(86_400) as i64,
            tv_nsec: t.subsec_nanos().into(),
        });
        match wait(timeout.as_ref()) {
            // EINTR is an early return.
            Ok(()) | Err(Errno::INTR) => {}
            // A container's filter from before Linux 5.11 knows no `epoll_pwait2`: without this the core would spin.
            Err(_) => {
                let _early = poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], timeout.as_ref());
                self.doorbell.drain();
            }
        }
    }

    /// The core is awake: senders need not ring any more.
    #[inline]
    pub(super) fn woken(&self, core: &Inner) {
        if let Some(sleeper) = self.parked.get() {
            self.unpark(core, sleeper);
            if sleeper == Sleeper::Host {
                // What the host did meanwhile was not this core's work. The run loop counts its own sleeps.
                core.counters.slept(core.clock().now_ticks());
            }
        }
    }

    /// The same, or it has not gone to sleep after all.
    #[cold]
    pub(super) fn unpark(&self, core: &Inner, sleeper: Sleeper) {
        self.parked.set(None);
        core.group.balance.sleepers.awake(core.index);
        let home = core.home();
        if let Some(local) = home.local() {
            local.unpark(home);
        }
        if sleeper == Sleeper::Host {
            self.doorbell.drain();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rustix::io::write;
    use std::time::Instant;

    /// So long that a lost ring fails the test, which does not wait for it otherwise.
    const LONG: Duration = Duration::from_secs(20);

    fn parker() -> (Parker, Arc<EventFd>) {
        let doorbell = Arc::new(EventFd::new().unwrap());
        (Parker::new(&doorbell).unwrap(), doorbell)
    }

    fn is_readable(parker: &Parker) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(parker.fd(), PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    /// Whether `wait` ends before its time.
    fn is_ended(wait: impl FnOnce(Option<Duration>)) -> bool {
        let start = Instant::now();
        wait(Some(LONG));
        start.elapsed() < LONG
    }

    fn refuse(_: Option<&Timespec>) -> Result<(), Errno> {
        Err(Errno::PERM)
    }

    #[test]
    fn a_wait_takes_the_ring_though_nobody_reads_the_counter() {
        let (parker, doorbell) = parker();
        doorbell.signal();
        assert!(is_readable(&parker) && is_ended(|timeout| parker.wait(timeout)));
        assert!(!is_readable(&parker), "the next sleep would end at once");
        assert!(doorbell.drain(), "the counter was left alone");
    }

    /// The counter is not zero when they come.
    #[test]
    fn every_later_ring_ends_a_wait_as_well() {
        let (parker, doorbell) = parker();
        for rings in 1..5 {
            (0..rings).for_each(|_| doorbell.signal());
            assert!(is_ended(|timeout| parker.wait(timeout)), "{rings} rings were lost");
            assert!(!is_readable(&parker), "{rings} rings ended more than one wait");
        }
    }

    #[test]
    fn a_ring_during_the_wait_ends_it() {
        let (parker, doorbell) = parker();
        std::thread::scope(|scope| {
            for _ in 0..100 {
                let ringer = scope.spawn(|| doorbell.signal());
                assert!(is_ended(|timeout| parker.wait(timeout)));
                ringer.join().unwrap();
            }
        });
    }

    #[test]
    fn a_ring_of_a_full_counter_ends_a_wait() {
        let (parker, doorbell) = parker();
        write(&doorbell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        assert!(is_ended(|timeout| parker.wait(timeout)));
        doorbell.signal();
        assert!(is_ended(|timeout| parker.wait(timeout)), "a full counter made no edge");
    }

    /// A source that stays readable is found in every wait, and hides no ring.
    #[test]
    fn a_ring_is_taken_beside_a_source_that_stays_readable() {
        let (parker, doorbell) = parker();
        let source = EventFd::new().unwrap();
        parker.add(source.as_fd()).unwrap();
        source.signal();
        doorbell.signal();
        assert!(is_ended(|timeout| parker.wait(timeout)) && is_ended(|timeout| parker.wait(timeout)));
        source.drain();
        assert!(!is_readable(&parker), "the ring was left for the next sleep");
        doorbell.signal();
        assert!(is_ended(|timeout| parker.wait(timeout)));
    }

    /// As in a container whose filter is older than the system call.
    #[test]
    fn where_epoll_pwait2_is_refused_a_ring_ends_one_wait() {
        let (parker, doorbell) = parker();
        for _ in 0..3 {
            doorbell.signal();
            assert!(is_ended(|timeout| parker.wait_by(timeout, refuse)));
            assert!(!is_readable(&parker), "the core would spin");
        }
    }

    #[test]
    fn where_epoll_pwait2_is_refused_a_wait_takes_its_time() {
        let (parker, _doorbell) = parker();
        let (start, time) = (Instant::now(), Duration::from_micros(1_500));
        parker.wait_by(Some(time), refuse);
        assert!(start.elapsed() >= time, "the core would spin");
    }
}
