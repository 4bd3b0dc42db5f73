//! Operations that answer more than once, as the queues treat them: started, answered, given up.

use super::cancels::PAUSE;
use super::nudges::{DELAY, NUDGE_FILES, NUDGE_OTHERS};
use super::sleep::{BELL, OTHERS};
use super::{Completion, Queues, Reaped, SPECIAL};
use crate::inflight::{Answered, Id, Line, Next};
use crate::uring::stream::Unclaimed;
use io_uring::squeue;
use std::rc::Rc;
use std::task::Waker;

impl Queues {
    /// Queues the operation that `entry` describes, and keeps `source` until it is answered for the last time.
    ///
    /// # Safety
    /// All memory that `entry` points to is owned by `source` and stays while any clone of that does.
    pub(in crate::uring) unsafe fn start_stream(
        &mut self,
        entry: squeue::Entry,
        source: Rc<dyn Unclaimed>,
        waker: Waker,
    ) -> Id {
        let mut queue = self.uring.submission();
        if self.patient_backlog.is_empty() && !queue.is_full() {
            let id = self.streams.start(source, waker);
            // SAFETY: the slot just made keeps `source`, and with it all that `entry` points to, until the last answer.
            unsafe { queue.push(&entry.user_data(id.to_bits() | SPECIAL)) }.expect("there is room");
            self.patient_in_flight += 1;
            self.pushed += 1;
            return id;
        }
        drop(queue);
        let id = self.streams.queue(source, waker);
        self.put_off(entry.user_data(id.to_bits() | SPECIAL), true);
        id
    }

    /// The stream's next answer, if it is there.
    pub(in crate::uring) fn next(&mut self, id: Id, waker: &Waker) -> Next<Completion> {
        self.streams.poll(id, waker)
    }

    /// Has another waker woken by the next answer: see [`Streams::renew`](crate::inflight::Streams::renew).
    pub(in crate::uring) fn renew(&mut self, id: Id, waker: Waker) -> Result<Option<Waker>, Waker> {
        self.streams.renew(id, waker)
    }

    /// Gives up the stream: it is being dropped. What it has not taken is to be taken from the line and abandoned.
    pub(in crate::uring) fn give_up_stream(&mut self, id: Id) -> (Line, Option<Waker>) {
        let (is_in_flight, line, waker) = self.streams.orphan(id);
        if is_in_flight {
            self.cancel(id.to_bits() | SPECIAL);
        }
        (line, waker)
    }

    /// As [`give_up_stream`](Self::give_up_stream), of an operation that is not to be cancelled.
    pub(in crate::uring) fn leave_stream(&mut self, id: Id) -> (Line, Option<Waker>) {
        let (_is_in_flight, line, waker) = self.streams.orphan(id);
        (line, waker)
    }

    /// How many streams are past all but the network's letting go of their memory.
    pub(in crate::uring) fn lent(&self) -> usize {
        self.streams.unanswered().filter(|(_, source)| source.is_lent()).count()
    }

    /// Takes the oldest answer of a line that left its stream.
    pub(in crate::uring) fn take(&mut self, line: &mut Line) -> Option<Completion> {
        self.streams.take(line)
    }

    /// Answers that no stream has taken.
    #[cfg(all(test, not(loom)))]
    pub(in crate::uring) fn untaken(&self) -> usize {
        self.streams.len().1
    }

    /// What the streams have not taken, when the ring ends.
    pub(in crate::uring) fn end_streams(&mut self) -> Vec<(Rc<dyn Unclaimed>, Line)> {
        self.streams.end_all()
    }

    /// Handles what is not the answer to an operation that answers once.
    #[inline(never)]
    pub(super) fn reap_special(&mut self, bits: u64, completion: Completion) -> Reaped {
        let id = Id::from_bits(bits & !SPECIAL);
        if id.mark() {
            self.reap_cancel(bits, completion);
            return Reaped::Nothing;
        }
        match bits {
            BELL | OTHERS => return self.stirred(bits, completion),
            PAUSE => return self.end_pause(),
            DELAY => return self.end_delay(),
            NUDGE_FILES | NUDGE_OTHERS => return self.end_nudge(bits),
            _ => {}
        }
        let has_more = completion.has_more();
        match has_more {
            true => self.counters.continued += 1,
            false => self.patient_in_flight -= 1,
        }
        self.answer_stream(id, completion, !has_more)
    }

    /// Answers a stream that still waits for room.
    pub(super) fn refuse_stream(&mut self, bits: u64, refused: Completion) -> Reaped {
        let id = Id::from_bits(bits & !SPECIAL);
        if self.streams.submit(id) { self.answer_stream(id, refused, true) } else { Reaped::Nothing }
    }

    fn answer_stream(&mut self, id: Id, completion: Completion, is_last: bool) -> Reaped {
        let waker = match self.streams.answer(id, completion, is_last) {
            Answered::Abandoned(source) => {
                self.counters.count_fault(completion);
                return Reaped::Unclaimed(source, completion);
            }
            Answered::Kept(waker) => waker,
            Answered::Full(waker) => {
                self.cancel(id.to_bits() | SPECIAL);
                waker
            }
        };
        waker.map_or(Reaped::Nothing, Reaped::Wake)
    }
}
