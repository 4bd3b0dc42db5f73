//! The event that wakes a core which sleeps: an eventfd that the kernel signals when the ring has something to fetch.
//!
//! The ring's own descriptor will not do: with `DEFER_TASKRUN` nothing wakes a thread that already sleeps on it.

use super::Error;
use crate::sys::sync::atomic::{Ordering, fence};
use io_uring::{IoUring, cqueue, squeue};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// The event and whether the kernel signals it.
pub(super) struct Signal {
    event: Rc<OwnedFd>,
    state: State,
}

enum State {
    /// The kernel does not know the event. The state of cores that do not sleep: knowing of it costs the kernel 28 ns of the 410 of
    /// a system call with one operation, even while it has nothing to signal (`cargo bench --bench uring -- pays_eventfd`).
    Off,
    /// The core sleeps or is about to.
    Armed,
    /// The core woke up that many polls ago; the kernel is told to keep quiet.
    Resting { polls: u32 },
}

/// A core that polls this often without going to sleep is busy.
const POLLS_AWAKE: u32 = 1024;

impl Signal {
    pub(super) fn new() -> Result<Self, Error> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::from_setup(errno.into()))?;
        Ok(Self { event: Rc::new(event), state: State::Off })
    }

    /// The event itself, to sleep on.
    pub(super) fn event(&self) -> &Rc<OwnedFd> {
        &self.event
    }

    /// Has the kernel signal the event from now on; the caller then looks once more whether something came before. False if
    /// the kernel will not.
    pub(super) fn arm<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
        &mut self,
        uring: &mut IoUring<S, C>,
    ) -> bool {
        match self.state {
            State::Armed => {}
            State::Resting { .. } => uring.completion().enable_eventfd(),
            State::Off => {
                if uring.submitter().register_eventfd(self.event.as_raw_fd()).is_err() {
                    return false;
                }
                uring.completion().enable_eventfd();
            }
        }
        self.state = State::Armed;
        // SeqCst: the kernel publishes what it has and then looks whether to signal; we do it the other way round, so that at
        // least one of the two sees the other.
        fence(Ordering::SeqCst);
        true
    }

    /// Ends the signals.
    #[inline]
    pub(super) fn disarm<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
        &mut self,
        uring: &mut IoUring<S, C>,
    ) {
        if !matches!(self.state, State::Off) {
            self.rest(uring);
        }
    }

    /// Has the kernel forget the event; after a signal each time. Some kernels (seen on Debian's 6.12.117) put off a signal that comes
    /// of a wake-up, a pipe's or a socket's, and put off no other one for as long as they know the event: the second sleep would not end.
    fn forget<S: squeue::EntryMarker, C: cqueue::EntryMarker>(&mut self, uring: &IoUring<S, C>) {
        self.state = match uring.submitter().unregister_eventfd() {
            Ok(()) => State::Off,
            Err(_) => State::Resting { polls: 0 },
        };
    }

    fn rest<S: squeue::EntryMarker, C: cqueue::EntryMarker>(&mut self, uring: &mut IoUring<S, C>) {
        match self.state {
            State::Armed => {
                uring.completion().disable_eventfd();
                // Takes the signal that may have come.
                let has_come = rustix::io::read(&self.event, &mut [0; 8]).is_ok();
                self.state = State::Resting { polls: 0 };
                if has_come {
                    self.forget(uring);
                }
            }
            State::Resting { polls: POLLS_AWAKE } => self.forget(uring),
            State::Resting { ref mut polls } => *polls += 1,
            State::Off => {}
        }
    }
}
