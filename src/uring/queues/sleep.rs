//! Sleeping in the ring: the one system call that hands over what is queued and waits for completions, the core's doorbell, its other
//! drivers and time.
//!
//! The kernel looks at the completion queue after it has run what is pending and before it lets the thread sleep, so that nothing has to
//! be armed: what completes before the call ends it as well. For that, the bell and the others answer as operations do:
//!
//! ```text
//!  bell    ── poll, multishot ──▶ an answer for each ring ─────────────▶ stays with the kernel
//!  others  ── poll, once ───────▶ an answer when one of them is ready ──▶ asked again with the next sleep
//! ```
//!
//! - *No ring is lost.* A write to the eventfd queues the poll's answer, whether the counter was zero or not and whether the core sleeps
//!   or not; so nobody reads the counter. Rings before the kernel gets to it are one answer, after which the core looks at everything
//!   that they rang for. An answer that is reaped while the core is awake is one whose event lies in the inbox already, and the core does
//!   not go to sleep over that. (A message to the ring itself, `MSG_RING`, wakes no faster than the eventfd: 31 µs there and back for
//!   both, `cargo bench --bench uring -- wake_`. It would take a ring of the sender's, which foreign threads and signal handlers lack.)
//! - *A poll that ends* says so (without `IORING_CQE_F_MORE`: a full completion queue, a cancel of everything) and is made again with
//!   the next sleep. It answers at once if the counter is not zero: in vain, once.
//!   They are cancelled where the core is to sleep elsewhere for once, in a host's loop.
//! - *The others stay ready until they are polled*, as level-triggered sources do; a poll made anew looks at that first.
//! - *Time* is relative. The kernel adds no slack of its own to it (since Linux 6.12; before, that of `PR_SET_TIMERSLACK`).
//!
//! A kernel that refuses any of this is not asked again; the core then sleeps in its epoll set, as where a ring has not
//! [`Features::SLEEP`] at all, and is woken by the ring's [signal](crate::uring::signal).

#![expect(unsafe_code, reason = "hands entries to the kernel")]

use super::{Completion, Queues, Reaped, SPECIAL};
use crate::uring::Features;
use crate::uring::door::NO_IOWAIT;
use io_uring::{opcode, types::Fd};
use rustix::event::{PollFlags, Timespec};
use rustix::io::Errno;
use rustix::io_uring::IoringEnterFlags as EnterFlags;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// `user_data` of the two polls: as of streams, but with keys that none has. Cancels of them are marked, as those of streams.
pub(super) const BELL: u64 = !(1 << 32) - 1;
pub(super) const OTHERS: u64 = !(1 << 32) - 2;
const _: () = assert!(crate::inflight::KEYS_MAX as u64 <= OTHERS & (SPECIAL - 1));

/// What the core sleeps on, beside the ring's operations.
#[derive(Default)]
pub(super) struct Watch {
    /// Whether the kernel has the poll, or is about to be given it.
    has_bell: bool,
    has_others: bool,
    /// The core sleeps elsewhere: they are being cancelled.
    is_ending: bool,
    /// How many polls, pauses between cancels, and nudges were queued so far: nobody's operations, which the ring's counters leave
    /// out.
    pub(super) made: u64,
}

/// These features, without [`Features::SLEEP`] where that goes not with the others.
pub(super) fn among(features: Features) -> Features {
    let awake = Features::SUBMISSION_THREAD | Features::POLLING;
    if features.contains(Features::POLL_MULTISHOT) && features & awake == Features::default() {
        return features;
    }
    features.without(Features::SLEEP)
}

impl Queues {
    /// Whether nothing can come of the ring: no operation is under way, and neither poll, pause nor nudge may answer.
    #[inline]
    pub(in crate::uring) fn is_quiet(&self) -> bool {
        let may_stir = self.cancels.is_pausing() || self.nudges.may_stir();
        let may_stir = may_stir || self.watch.has_bell || self.watch.has_others;
        self.ops_in_flight == 0 && self.outstanding() == 0 && !may_stir
    }

    /// Whether the kernel says that it has completions which it posts when it is entered. What is queued is not asked for: it may have
    /// been left to the sleep.
    #[inline]
    pub(super) fn keeps_back(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// See [`Bed::sleep`](crate::reactor::driver::Bed::sleep).
    pub(in crate::uring) fn sleep(
        &mut self,
        bell: BorrowedFd<'_>,
        others: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) {
        self.pump();
        self.watch.has_bell = self.watch.has_bell || self.poll(BELL, bell, true);
        if let (Some(others), false) = (others, self.watch.has_others) {
            self.watch.has_others = self.poll(OTHERS, others, false);
        }
        if !self.watch.has_bell || others.is_some() && !self.watch.has_others || self.can_pump() {
            // The submission queue is full. The core turns once more and comes back.
            return self.flush();
        }
        let is_idle = self.ops_in_flight == 0 && self.features.contains(Features::NO_IOWAIT);
        let flags = if is_idle { NO_IOWAIT } else { EnterFlags::empty() };
        let timeout = timeout.map(|timeout| Timespec {
            // A day is as good as for ever, and never overflows.
            tv_sec: timeout.as_secs().min(86_400) as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let len = self.uring.submission().len();
        self.counters.enters += 1;
        // SAFETY: every entry was pushed under the contract of `start`, or points to nothing.
        match unsafe { self.door.sleep(len as u32, flags, timeout) } {
            Ok(_) => {}
            // Time is over, a signal came, memory is short for the moment, or completions must be reaped first.
            Err(Errno::TIME | Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
            Err(_) => self.refuse_sleep(),
        }
    }

    /// Hands over what it can and waits for an answer, a millisecond at most: for what may not come.
    pub(super) fn wait_a_moment(&mut self) {
        let moment = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let len = self.uring.submission().len();
        self.counters.enters += 1;
        // SAFETY: every entry was pushed under the contract of `start`.
        if let Ok(submitted) = unsafe { self.door.sleep(len as u32, EnterFlags::empty(), Some(moment)) } {
            self.counters.submitted += u64::from(submitted);
        }
    }

    /// Queues a poll, if there is room.
    fn poll(&mut self, user_data: u64, fd: BorrowedFd<'_>, is_multishot: bool) -> bool {
        let readable = PollFlags::IN.bits().into();
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), readable).multi(is_multishot).build();
        // SAFETY: a poll points to no memory, and the kernel holds the file open itself.
        let is_made = unsafe { self.uring.submission().push(&entry.user_data(user_data)) }.is_ok();
        self.pushed += u64::from(is_made);
        self.watch.made += u64::from(is_made);
        is_made
    }

    /// Has the polls given up, where the core is to sleep elsewhere; true until they are. A ring of the bell would wake it there a
    /// second time, through the ring's signal, which the kernel puts off by milliseconds while it is inside of a write to an eventfd.
    pub(super) fn ends_watch(&mut self) -> bool {
        let polls = [(self.watch.has_bell, BELL), (self.watch.has_others, OTHERS)];
        let mut polls = polls.into_iter().filter(|(is_on, _)| *is_on).peekable();
        let is_on = polls.peek().is_some();
        if is_on && !std::mem::replace(&mut self.watch.is_ending, true) {
            polls.for_each(|(_, poll)| self.cancels.push(poll));
        }
        is_on
    }

    /// The core sleeps elsewhere from now on.
    fn refuse_sleep(&mut self) {
        self.features = self.features.without(Features::SLEEP);
    }

    /// One of the polls was answered.
    #[cold]
    pub(super) fn stirred(&mut self, user_data: u64, completion: Completion) -> Reaped {
        self.counters.completed -= 1;
        if completion.has_more() {
            return Reaped::Stirred;
        }
        match user_data {
            BELL => self.watch.has_bell = false,
            _ => self.watch.has_others = false,
        }
        self.watch.is_ending &= self.watch.has_bell || self.watch.has_others;
        if completion.result < 0 && !completion.is(Errno::CANCELED) {
            self.refuse_sleep();
        }
        Reaped::Stirred
    }
}
