//! The queues as the software controller sees them: submission queues that it takes from, completion queues that it adds to.

use super::super::spec::{Command, Completion, StatusCode};
use super::memory::Region;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

#[derive(Default)]
pub(super) struct Queues {
    sqs: Vec<Option<Sq>>,
    cqs: Vec<Option<Cq>>,
    /// Doorbells that were rung.
    pub(super) bells: u64,
}

struct Sq {
    region: Region,
    entries: u32,
    head: u32,
    tail: u32,
    cq: usize,
}

struct Cq {
    region: Region,
    entries: u32,
    head: u32,
    tail: u32,
    phase: bool,
}

/// The most queues of either kind, admin queues included.
pub(super) const QUEUES_MAX: usize = 17;

impl Queues {
    pub(super) fn count(&self) -> usize {
        self.sqs.len()
    }

    pub(super) fn pairs(&self) -> usize {
        self.sqs.iter().flatten().count().max(self.cqs.iter().flatten().count())
    }

    pub(super) fn clear(&mut self) {
        self.sqs.clear();
        self.cqs.clear();
    }

    pub(super) fn has_sq(&self, id: usize) -> bool {
        self.sqs.get(id).is_some_and(Option::is_some)
    }

    pub(super) fn has_cq(&self, id: usize) -> bool {
        self.cqs.get(id).is_some_and(Option::is_some)
    }

    pub(super) fn make_sq(&mut self, id: usize, region: Region, entries: u32, cq: usize) {
        let made = Sq { region, entries, head: 0, tail: 0, cq };
        put(&mut self.sqs, id, made);
    }

    pub(super) fn make_cq(&mut self, id: usize, region: Region, entries: u32) {
        let made = Cq { region, entries, head: 0, tail: 0, phase: true };
        put(&mut self.cqs, id, made);
    }

    pub(super) fn delete_sq(&mut self, id: usize) -> Result<(), StatusCode> {
        let queue = if id == 0 { None } else { self.sqs.get_mut(id).and_then(Option::take) };
        queue.map(drop).ok_or(StatusCode::INVALID_QID)
    }

    /// Refused while a submission queue uses it (Base 2.0 §5.6).
    pub(super) fn delete_cq(&mut self, id: usize) -> Result<(), StatusCode> {
        if self.sqs.iter().flatten().any(|sq| sq.cq == id) {
            return Err(StatusCode::INVALID_QUEUE_DELETION);
        }
        self.cqs.get_mut(id).and_then(Option::take).map(drop).ok_or(StatusCode::INVALID_QID)
    }

    /// Somebody rang the doorbell of this number: submission queues have the even ones, completion queues the odd.
    #[inline]
    pub(super) fn ring(&mut self, doorbell: usize, value: u32) {
        self.bells += 1;
        let (id, is_head) = (doorbell / 2, doorbell % 2 == 1);
        if is_head {
            if let Some(cq) = self.cqs.get_mut(id).and_then(Option::as_mut) {
                cq.head = value % cq.entries;
            }
        } else if let Some(sq) = self.sqs.get_mut(id).and_then(Option::as_mut) {
            sq.tail = value % sq.entries;
        }
    }

    /// The oldest command that was not taken yet, if its answer will find room.
    #[inline]
    pub(super) fn fetch(&mut self, id: usize) -> Option<Command> {
        let sq = self.sqs[id].as_mut()?;
        if sq.head == sq.tail {
            return None;
        }
        let cq = self.cqs[sq.cq].as_ref()?;
        // Two: a command may be answered twice.
        if (cq.head + cq.entries - cq.tail - 1) % cq.entries < 2.min(cq.entries - 1) {
            return None;
        }
        let slot = &sq.region.words()[sq.head as usize * 8..][..8];
        let mut words = [0_u64; 8];
        // Acquire: what the driver wrote before the doorbell.
        words.iter_mut().zip(slot).for_each(|(word, slot)| *word = slot.load(Acquire));
        sq.head = (sq.head + 1) % sq.entries;
        Some(zerocopy::transmute!(words))
    }

    /// Adds an answer to the completion queue of this submission queue.
    #[inline]
    pub(super) fn post(&mut self, id: usize, command: &Command, completion: Completion) {
        self.put(id, command, completion, false);
    }

    /// The same, unseen.
    pub(super) fn post_in_wrong_phase(&mut self, id: usize, command: &Command, completion: Completion) {
        self.put(id, command, completion, true);
    }

    #[inline]
    fn put(&mut self, id: usize, command: &Command, completion: Completion, is_wrong: bool) {
        let Some(sq) = &self.sqs[id] else { return };
        let Some(cq) = &mut self.cqs[sq.cq] else { return };
        let mut completion = completion.with_status(completion.status(), cq.phase != is_wrong);
        completion.sq_head.set(sq.head as u16);
        completion.sq_id.set(id as u16);
        completion.cid = command.cid;
        let [first, last]: [u64; 2] = zerocopy::transmute!(completion);
        let slot = &cq.region.words()[cq.tail as usize * 2..][..2];
        slot[0].store(first, Relaxed);
        // Release: the data and the first word come before the phase.
        slot[1].store(last, Release);
        cq.tail = (cq.tail + 1) % cq.entries;
        cq.phase ^= cq.tail == 0;
    }
}

fn put<T>(list: &mut Vec<Option<T>>, id: usize, made: T) {
    while list.len() <= id {
        list.push(None);
    }
    list[id] = Some(made);
}
