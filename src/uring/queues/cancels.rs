//! Cancels: what the kernel is asked to give up, and is asked again if it has not found it.
//!
//! A cancel finds nothing where the operation is on its way from one of the kernel's queues to the next: a connect to a full Unix
//! socket, which is tried 128 times before a worker waits for it; a timeout between going off and being armed again. The kernel says so
//! (`ENOENT`), or that a worker has begun and may not hear (`EALREADY`). What is in flight all the same is cancelled again:
//!
//! - a stream at once, as it is about to answer;
//! - an operation that answers once after a pause, which doubles from one to 64 milliseconds while operations are missed: a worker that
//!   writes a file out for a second shall not be asked a million times. A timeout of the kernel's is the pause of all of them, so that
//!   it ends wherever the core sleeps meanwhile.
//!
//! So whatever can be cancelled is in the end. What works through a ring that [polls](super::Config::is_polling) cannot, and is not.

#![expect(unsafe_code, reason = "hands entries to the kernel")]

use super::{Completion, Queues, Reaped, SPECIAL};
use crate::inflight::{Id, KEYS_MAX, Orphan, Parcel};
use io_uring::squeue::Entry;
use io_uring::{opcode, types::Timespec};
use rustix::io::Errno;
use std::collections::VecDeque;

/// Set in the `user_data` of cancels of operations that answer once. With the mark and [`SPECIAL`], all cancels have the name of what
/// they are to end.
pub(super) const SINGLE: u64 = 1 << 30;
const _: () = assert!(KEYS_MAX <= SINGLE as usize);

/// `user_data` of the pause: as of a stream, but with a key that none has.
pub(super) const PAUSE: u64 = !(1 << 32) - 3;
const _: () = assert!(KEYS_MAX as u64 <= PAUSE & (SINGLE - 1));

/// How long the pause is, from the first time on. The kernel reads it when it takes the entry.
static PAUSES: [Timespec; 7] = [ms(1), ms(2), ms(4), ms(8), ms(16), ms(32), ms(64)];

pub(super) const fn ms(ms: u32) -> Timespec {
    Timespec::new().nsec(ms * 1_000_000)
}

/// What is to be cancelled.
#[derive(Default)]
pub(super) struct Cancels {
    /// Of operations and streams with this `user_data`; or the pause, a nudge or its delay.
    queued: VecDeque<u64>,
    /// Handed over and not answered.
    in_flight: usize,
    /// Whose cancels have missed, to be repeated after the pause.
    missed: Vec<Id>,
    /// Whether the pause is under way, or queued.
    is_pausing: bool,
    /// How many pauses there were in a row.
    pauses: usize,
}

impl Cancels {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Those that the kernel has still to answer or even to be given.
    #[inline]
    pub(super) fn outstanding(&self) -> usize {
        self.in_flight + self.queued.len()
    }

    /// Whether an answer may come that nobody waits for.
    #[inline]
    pub(super) fn is_pausing(&self) -> bool {
        self.is_pausing
    }

    /// Whether there is one that the kernel may be given, once the submission queue is handed over.
    pub(super) fn can_pump(&self, in_flight_max: usize) -> bool {
        !self.queued.is_empty() && self.in_flight < in_flight_max
    }

    pub(super) fn push(&mut self, user_data: u64) {
        self.queued.push_back(user_data);
    }

    /// The pause, if it is meant.
    fn pause(&self, bits: u64) -> Option<Entry> {
        let pause = &PAUSES[self.pauses.min(PAUSES.len() - 1)];
        (bits == PAUSE).then(|| opcode::Timeout::new(pause).build().user_data(PAUSE))
    }
}

/// Ends the operation or stream with this `user_data`.
fn cancel(bits: u64) -> Entry {
    opcode::AsyncCancel::new(bits).build().user_data(name(bits))
}

/// `user_data` of the cancel of what has this one.
fn name(bits: u64) -> u64 {
    let kind = if bits & SPECIAL == 0 { SPECIAL | SINGLE } else { 0 };
    Id::from_bits(bits).marked(true).to_bits() | kind
}

impl Queues {
    /// Gives up the operation: its future is being dropped. Whatever the result holds is released outside of the borrow.
    pub(in crate::uring) fn give_up(
        &mut self,
        id: Id,
        cancel: bool,
    ) -> Orphan<Parcel<Completion>, Completion> {
        let orphan = self.ops.orphan(id);
        if cancel && matches!(orphan, Orphan::InFlight(_)) {
            self.cancel(id.to_bits());
        }
        orphan
    }

    /// Asks the kernel to give up the operation or stream with this `user_data`.
    pub(super) fn cancel(&mut self, user_data: u64) {
        if !self.is_polling {
            self.cancels.push(user_data);
            self.pump();
        }
    }

    /// Asks the kernel to give up everything that it works on, each by itself: a cancel of all does not say whom it has missed.
    pub(in crate::uring) fn cancel_all(&mut self) {
        if !self.is_polling {
            // What is lent has gone out; it comes back when the network lets go of it.
            let streams = self.streams.unanswered().filter(|(_, source)| !source.is_lent());
            self.cancels.queued.extend(streams.map(|(id, _)| id.to_bits() | SPECIAL));
            self.cancels.queued.extend(self.ops.unanswered().map(Id::to_bits));
            self.pump();
        }
    }

    /// Moves cancels into the submission queue while there is room.
    pub(super) fn pump_cancels(&mut self) {
        let mut queue = self.uring.submission();
        while self.cancels.in_flight < self.in_flight_max && !queue.is_full() {
            let Some(bits) = self.cancels.queued.pop_front() else { return };
            let nobodys = self.cancels.pause(bits).or_else(|| self.nudges.entry(bits));
            match nobodys {
                None => self.cancels.in_flight += 1,
                Some(_) => self.watch.made += 1,
            }
            let entry = nobodys.unwrap_or_else(|| cancel(bits));
            // SAFETY: a cancel and a nudge point to no memory, a pause and a delay to what is static.
            unsafe { queue.push(&entry) }.expect("there is room");
            self.pushed += 1;
        }
    }

    /// A cancel was answered.
    pub(super) fn reap_cancel(&mut self, user_data: u64, completion: Completion) {
        self.cancels.in_flight -= 1;
        let has_missed = completion.is(Errno::NOENT) || completion.is(Errno::ALREADY);
        let id = Id::from_bits(user_data & !(SPECIAL | SINGLE)).marked(false);
        if user_data & SINGLE == 0 {
            if has_missed && self.streams.in_flight(id).is_some_and(|source| !source.is_lent()) {
                self.cancel(id.to_bits() | SPECIAL);
            }
            return;
        }
        match self.ops.in_flight(id) {
            Some(missed) if has_missed => self.miss(missed),
            _ => self.cancels.pauses = 0,
        }
    }

    /// As if each operation had been cancelled, and the kernel had answered this.
    #[cfg(all(test, not(loom)))]
    pub(in crate::uring) fn miss_all(&mut self, answer: Errno) {
        let all: Vec<_> = self.ops.unanswered().map(|id| name(id.to_bits())).collect();
        self.cancels.in_flight += all.len();
        all.into_iter().for_each(|cancel| self.reap_cancel(cancel, Completion::refused(answer)));
    }

    fn miss(&mut self, id: Id) {
        self.cancels.missed.push(id);
        if !std::mem::replace(&mut self.cancels.is_pausing, true) {
            self.cancels.push(PAUSE);
        }
    }

    /// The pause is over: what was missed is cancelled again, if it is there still.
    #[cold]
    pub(super) fn end_pause(&mut self) -> Reaped {
        self.counters.completed -= 1;
        let mut missed: Vec<_> = self.cancels.missed.drain(..).map(Id::to_bits).collect();
        // The end of a core asks for all again and again.
        missed.sort_unstable();
        missed.dedup();
        self.cancels.is_pausing = false;
        self.cancels.pauses += 1;
        self.cancels.queued.extend(missed);
        self.pump();
        Reaped::Stirred
    }
}
