//! What waits for room at the kernel: operations by themselves, and chains of them as units.
//!
//! Chains always pass through here, as all entries of one must become visible to the kernel at once.

#![expect(unsafe_code, reason = "hands entries with pointers to the kernel")]

use super::{Completion, Queues, Reaped, SPECIAL};
use crate::inflight::{Id, Parcel};
use io_uring::squeue::{Entry, Flags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::task::Waker;

/// An operation that waits for room.
pub(super) struct Waiting {
    entry: Entry,
    /// The next one in the backlog is linked to it: both go into the same submission, side by side.
    is_linked: bool,
}

/// How many entries at the head of the backlog go together.
fn unit(backlog: &VecDeque<Waiting>) -> usize {
    backlog.iter().position(|waiting| !waiting.is_linked).map_or(0, |last| last + 1)
}

impl Queues {
    /// Whether something waits for room that the kernel has, once the submission queue is handed over.
    pub(super) fn can_pump(&self) -> bool {
        self.cancels.can_pump(self.in_flight_max)
            || !self.backlog.is_empty() && self.ops_in_flight < self.in_flight_max
            || !self.patient_backlog.is_empty()
    }

    /// Keeps an operation that finds no room.
    #[cold]
    pub(super) fn start_later(
        &mut self,
        entry: Entry,
        parcel: Parcel<Completion>,
        waker: Waker,
        patient: bool,
    ) -> Id {
        let id = self.ops.queue(parcel, waker, patient);
        self.put_off(entry.user_data(id.to_bits()), patient);
        id
    }

    /// Puts the entry of a queued operation at the end of its backlog.
    pub(super) fn put_off(&mut self, entry: Entry, patient: bool) {
        let backlog = if patient { &mut self.patient_backlog } else { &mut self.backlog };
        backlog.push_back(Waiting { entry, is_linked: false });
        self.counters.waits += 1;
    }

    #[cold]
    pub(super) fn pump_some(&mut self) {
        self.pump_cancels();
        // Those that wait for a peer first: only a full submission queue holds them up.
        while self.submit_unit(true) {}
        while self.ops_in_flight < self.in_flight_max && self.submit_unit(false) {}
    }

    /// Moves one operation or chain from a backlog to the submission queue; false if there is none, or no room for all of it.
    fn submit_unit(&mut self, patient: bool) -> bool {
        let backlog = if patient { &mut self.patient_backlog } else { &mut self.backlog };
        let unit = unit(backlog);
        let mut queue = self.uring.submission();
        if unit == 0 || queue.capacity() - queue.len() < unit {
            return false;
        }
        for Waiting { entry, .. } in backlog.drain(..unit) {
            let bits = entry.get_user_data();
            let is_special = bits & SPECIAL != 0;
            let id = Id::from_bits(bits & !SPECIAL);
            // The parts of a chain are given up together or not at all.
            let is_wanted = if is_special { self.streams.submit(id) } else { self.ops.submit(id) };
            if is_wanted {
                // SAFETY: the operation's slot exists, so it keeps what `entry` points to until the answer.
                unsafe { queue.push(&entry) }.expect("there is room");
                self.pushed += 1;
                match is_special || id.mark() {
                    true => self.patient_in_flight += 1,
                    false => self.ops_in_flight += 1,
                }
            }
        }
        true
    }

    /// Queues one operation of a chain, whose others are queued right before and after it.
    ///
    /// # Safety
    /// That of [`start`](Self::start).
    pub(in crate::uring) unsafe fn queue_linked(
        &mut self,
        entry: Entry,
        parcel: Parcel<Completion>,
        waker: Waker,
        patient: bool,
        chain: Chaining,
    ) -> Id {
        let id = self.ops.queue(parcel, waker, patient);
        let entry = if chain.is_linked { entry.flags(Flags::IO_LINK) } else { entry };
        let entry = entry.user_data(id.to_bits());
        let backlog = if chain.is_patient { &mut self.patient_backlog } else { &mut self.backlog };
        backlog.push_back(Waiting { entry, is_linked: chain.is_linked });
        id
    }

    /// All of a chain is queued: moves it on, if there is room for it.
    pub(in crate::uring) fn start_chain(&mut self, len: usize) {
        self.pump();
        if !(self.backlog.is_empty() && self.patient_backlog.is_empty()) {
            self.counters.waits += len as u64;
        }
    }

    /// The longest chain that a submission has room for.
    pub(in crate::uring) fn chain_max(&mut self) -> usize {
        self.uring.submission().capacity()
    }

    /// Answers the oldest operation that still waits for room with `ECANCELED`; `None` when there is none left.
    pub(in crate::uring) fn refuse_one(&mut self) -> Option<Reaped> {
        let waiting = self.backlog.pop_front().or_else(|| self.patient_backlog.pop_front())?;
        let (bits, refused) = (waiting.entry.get_user_data(), Completion::refused(Errno::CANCELED));
        if bits & SPECIAL != 0 {
            return Some(self.refuse_stream(bits, refused));
        }
        let id = Id::from_bits(bits);
        if !self.ops.submit(id) {
            return Some(Reaped::Nothing);
        }
        Some(Reaped::Wake(self.ops.complete(id, refused).expect("its future awaits it")))
    }
}

/// Where in which chain an operation stands.
#[derive(Clone, Copy)]
pub struct Chaining {
    /// All of the chain's operations wait for a peer.
    pub(in crate::uring) is_patient: bool,
    /// Another follows, and runs only if this one succeeds.
    pub(in crate::uring) is_linked: bool,
}
