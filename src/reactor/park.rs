//! Sleeping: one epoll set per core holds the doorbell and the descriptors of drivers and pollers.
//!
//! ```text
//!  awake ── prepare_to_sleep: inbox PARKED ──► parked ── wait ──► asleep
//!    ▲                                           │                  │ doorbell, driver, deadline
//!    └──────────── woken: inbox unparked ◄───────┴──────────────────┘
//! ```

use super::Inner;
use crate::sys::eventfd::EventFd;
use rustix::{
    event::{PollFd, PollFlags, epoll, poll},
    io::Errno,
};
use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// How a core sleeps.
pub(super) struct Parker {
    epoll: OwnedFd,
    doorbell: Arc<EventFd>,
    is_parked: Cell<bool>,
    /// A source that could not be added would not wake the core.
    is_blind: Cell<bool>,
}

impl Parker {
    pub(super) fn new(doorbell: &Arc<EventFd>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, doorbell.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            doorbell: doorbell.clone(),
            is_parked: Cell::new(false),
            is_blind: Cell::new(false),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Has `source` wake the core. Level-triggered: a source that stays readable keeps the core awake.
    pub(super) fn add(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        let added = epoll::add(&self.epoll, source, epoll::EventData::new_u64(1), epoll::EventFlags::IN);
        if added.is_err() {
            self.is_blind.set(true);
        }
        Ok(added?)
    }

    pub(super) fn may_sleep(&self) -> bool {
        !self.is_blind.get()
    }

    pub(super) fn set_parked(&self) {
        self.is_parked.set(true);
    }

    /// Sleeps until something happens, `timeout` at most. May return early.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        let timeout = timeout.map(|t| rustix::time::Timespec {
            // A day is as good as for ever, and never overflows.
            tv_sec: t.as_secs().min(86_400) as i64,
            tv_nsec: t.subsec_nanos().into(),
        });
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
        match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            // EINTR is an early return.
            Ok(_) | Err(Errno::INTR) => {}
            // A container's filter from before Linux 5.11 knows no `epoll_pwait2`: without this the core would spin.
            Err(_) => {
                let _early = poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], timeout.as_ref());
            }
        }
    }

    /// The core is awake: senders need not ring any more.
    #[inline]
    pub(super) fn woken(&self, core: &Inner) {
        if self.is_parked.get() {
            self.unpark(core);
        }
    }

    #[cold]
    fn unpark(&self, core: &Inner) {
        self.is_parked.set(false);
        core.group.balance.sleepers.awake(core.index);
        let home = core.home();
        if let Some(local) = home.local() {
            local.unpark(home);
        }
        self.doorbell.drain();
    }
}
