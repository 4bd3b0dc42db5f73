//! Nudges: what has the kernel's workers go on where they have forgotten what is queued for them.
//!
//! What may block goes to a worker (io-wq). While one blocks, another is to take what is queued behind: the worker that begins to
//! block has the ring's thread wake an idle one, and counts the thread as a worker that runs until it has done so. Where the idle one,
//! on another CPU, takes the next operation and begins to block as well before the thread is off the count, each of them relies on the
//! other, and nobody looks at the queue again (Linux 6.17, and stable kernels that were given the same change, `88e6c42e40de`). What
//! is queued then starts when a worker has finished or something else is queued: never, where all workers wait for peers. It is rare,
//! and less so on a CPU with many interrupts.
//!
//! So operations that may keep a worker for as long as a peer likes ([`Operation::holds`](crate::uring::op::Operation::holds)) are
//! followed, some milliseconds later and for all of them together, by one for the same workers that does nothing. The kernel wakes or
//! makes a worker for it, which takes what is queued, oldest first. Its answer says that all before it has begun; until then it is
//! followed by others.
//!
//! ```text
//!  start ──▶ delay, 8 ms ──▶ nudge ──answered──▶ nothing, until the next start
//!              ▲               └──not answered, the delay doubles──┐
//!              └───────────────────────────────────────────────────┘
//! ```

use super::cancels::{SINGLE, ms};
use super::{Queues, Reaped};
use crate::inflight::KEYS_MAX;
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types::Fd, types::Timespec};

/// `user_data` of the delay and of nudges to either kind of workers: as of streams, but with keys that none has.
pub(super) const DELAY: u64 = !(1 << 32) - 4;
pub(super) const NUDGE_FILES: u64 = !(1 << 32) - 5;
pub(super) const NUDGE_OTHERS: u64 = !(1 << 32) - 6;
const _: () = assert!(KEYS_MAX as u64 <= NUDGE_OTHERS & (SINGLE - 1));

/// How long the delay is, from the first time on. The kernel reads it when it takes the entry.
static DELAYS: [Timespec; 7] = [ms(8), ms(16), ms(32), ms(64), ms(128), ms(256), ms(512)];

/// Most nudges that wait at workers of one kind. All those workers are held for half a minute then, and go on as soon as one is not.
const UNANSWERED_MAX: u32 = 64;

/// `EPOLL_CTL_DEL`.
const DELETE: i32 = 2;

/// The kinds of workers of which an operation may hold one: those for files and block devices, and those for everything else, as in
/// [`Config::workers_max`](crate::uring::Config::workers_max).
pub(in crate::uring) type Holds = [bool; 2];

#[derive(Default)]
pub(super) struct Nudges {
    /// Operations that may hold such workers were started since their last nudge.
    is_due: Holds,
    /// Queued, and not answered.
    unanswered: [u32; 2],
    /// The delay is under way, or queued.
    is_delayed: bool,
    /// How many delays there were since the last start.
    delays: usize,
}

impl Nudges {
    /// Whether an answer may come that nobody waits for.
    #[inline]
    pub(super) fn may_stir(&self) -> bool {
        self.is_delayed || self.unanswered != [0; 2]
    }

    /// The entry of this name, if it is one of those here.
    pub(super) fn entry(&self, user_data: u64) -> Option<Entry> {
        let entry = match user_data {
            DELAY => opcode::Timeout::new(&DELAYS[self.delays.min(DELAYS.len() - 1)]).build(),
            NUDGE_FILES => opcode::Nop::new().build().flags(Flags::ASYNC),
            // Fails, as there is no such set: the least of what the kernel has the others do.
            NUDGE_OTHERS => {
                opcode::EpollCtl::new(Fd(-1), Fd(-1), DELETE, std::ptr::null()).build().flags(Flags::ASYNC)
            }
            _ => return None,
        };
        Some(entry.user_data(user_data))
    }
}

impl Queues {
    /// An operation was started that may hold such workers.
    #[cold]
    pub(in crate::uring) fn nudge_later(&mut self, holds: Holds) {
        // A ring that polls has neither timeouts nor operations that wait for peers.
        if !self.is_polling {
            self.nudges.is_due = [0, 1].map(|kind| self.nudges.is_due[kind] || holds[kind]);
            self.nudges.delays = 0;
            self.delay();
        }
    }

    fn delay(&mut self) {
        if !std::mem::replace(&mut self.nudges.is_delayed, true) {
            self.cancels.push(DELAY);
        }
    }

    #[cold]
    pub(super) fn end_delay(&mut self) -> Reaped {
        self.counters.completed -= 1;
        self.nudges.is_delayed = false;
        self.nudges.delays += 1;
        let is_waiting = self.ops_in_flight + self.patient_in_flight > 0;
        let mut has_nudged = false;
        for (kind, nudge) in [NUDGE_FILES, NUDGE_OTHERS].into_iter().enumerate() {
            let is_due = std::mem::take(&mut self.nudges.is_due[kind]);
            let unanswered = &mut self.nudges.unanswered[kind];
            if is_waiting && (is_due || *unanswered > 0) && *unanswered < UNANSWERED_MAX {
                *unanswered += 1;
                has_nudged = true;
                self.cancels.push(nudge);
            }
        }
        if has_nudged {
            self.delay();
        }
        self.pump();
        Reaped::Stirred
    }

    #[cold]
    pub(super) fn end_nudge(&mut self, user_data: u64) -> Reaped {
        self.counters.completed -= 1;
        self.nudges.unanswered[usize::from(user_data == NUDGE_OTHERS)] -= 1;
        Reaped::Stirred
    }

    /// Whether there is a delay, and how many nudges are not answered.
    #[cfg(all(test, not(loom)))]
    pub(in crate::uring) fn nudging(&self) -> (bool, u32) {
        (self.nudges.is_delayed, self.nudges.unanswered.iter().sum())
    }
}
