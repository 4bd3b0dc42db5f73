//! The queues as the software controller sees them: submission queues that it takes from, completion queues that it adds to.

use super::super::spec::{Command, Completion};
use super::memory::Region;
use std::collections::VecDeque;
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
    /// 0 urgent to 3 low.
    priority: u32,
}

struct Cq {
    region: Region,
    entries: u32,
    head: u32,
    tail: u32,
    phase: bool,
    /// Answers that found no room, with the submission queues that they are for.
    waiting: VecDeque<(usize, Completion)>,
    /// The vector that its answers interrupt by.
    vector: Option<u32>,
}

impl Cq {
    /// How many more answers it takes: one place stays free, as a full ring would look empty.
    #[inline]
    fn room(&self) -> u32 {
        self.entries - 1 - distance(self.head, self.tail, self.entries)
    }
}

impl Queues {
    pub(super) fn count(&self) -> usize {
        self.sqs.len()
    }

    /// How many pairs there are, of whichever kind there are more.
    pub(super) fn pairs(&self) -> usize {
        self.sqs.iter().flatten().count().max(self.cqs.iter().flatten().count())
    }

    /// That of a submission queue; admin commands are urgent.
    pub(super) fn priority(&self, id: usize) -> u32 {
        self.sqs[id].as_ref().map_or(0, |sq| sq.priority)
    }

    /// Tail and head of the pair of this number, as far as it is there.
    pub(super) fn places(&self, id: usize) -> (u32, u32) {
        let tail = self.sqs.get(id).and_then(Option::as_ref).map_or(0, |sq| sq.tail);
        (tail, self.cqs.get(id).and_then(Option::as_ref).map_or(0, |cq| cq.head))
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

    /// Whether there are queues besides those of admin commands.
    pub(super) fn has_io(&self) -> bool {
        self.sqs.iter().skip(1).any(Option::is_some) || self.cqs.iter().skip(1).any(Option::is_some)
    }

    /// Whether a submission queue is answered in this completion queue.
    pub(super) fn is_cq_in_use(&self, id: usize) -> bool {
        self.sqs.iter().flatten().any(|sq| sq.cq == id)
    }

    pub(super) fn delete_sq(&mut self, id: usize) {
        self.sqs[id] = None;
    }

    pub(super) fn delete_cq(&mut self, id: usize) {
        self.cqs[id] = None;
    }

    pub(super) fn make_sq(&mut self, id: usize, region: Region, entries: u32, cq: usize, priority: u32) {
        let made = Sq { region, entries, head: 0, tail: 0, cq, priority };
        put(&mut self.sqs, id, made);
    }

    pub(super) fn make_cq(&mut self, id: usize, region: Region, entries: u32, vector: Option<u32>) {
        let made = Cq { region, entries, head: 0, tail: 0, phase: true, waiting: VecDeque::new(), vector };
        put(&mut self.cqs, id, made);
    }

    /// Somebody rang the doorbell of this number: submission queues have the even ones, completion queues the odd.
    ///
    /// # Panics
    /// If no driver that knows its queues would have: there is no such queue, or the queue has not so many entries.
    #[inline]
    pub(super) fn ring(&mut self, doorbell: usize, value: u32) {
        self.bells += 1;
        self.hear(doorbell, value);
    }

    /// The same, wherever the doorbell is.
    #[inline]
    pub(super) fn hear(&mut self, doorbell: usize, value: u32) {
        let (id, is_head) = (doorbell / 2, doorbell % 2 == 1);
        if is_head {
            let cq = self.cqs.get_mut(id).and_then(Option::as_mut);
            let cq = cq.unwrap_or_else(|| {
                panic!("the head doorbell of completion queue {id}, which is not there, was rung")
            });
            assert!(
                value < cq.entries,
                "head {value} of completion queue {id}, which has {} entries",
                cq.entries
            );
            let (taken, there) =
                (distance(cq.head, value, cq.entries), distance(cq.head, cq.tail, cq.entries));
            assert!(
                taken <= there,
                "{taken} answers were taken from completion queue {id}, which had {there}"
            );
            cq.head = value;
        } else {
            let sq = self.sqs.get_mut(id).and_then(Option::as_mut);
            let sq = sq.unwrap_or_else(|| {
                panic!("the tail doorbell of submission queue {id}, which is not there, was rung")
            });
            assert!(
                value < sq.entries,
                "tail {value} of submission queue {id}, which has {} entries",
                sq.entries
            );
            let (new, left) = (distance(sq.tail, value, sq.entries), distance(sq.head, sq.tail, sq.entries));
            assert!(
                new + left < sq.entries,
                "{new} commands were put into submission queue {id}, which has {left} already"
            );
            sq.tail = value;
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
        if !cq.waiting.is_empty() || cq.room() < 2.min(cq.entries - 1) {
            return None;
        }
        let slot = &sq.region.words()[sq.head as usize * 8..][..8];
        let mut words = [0_u64; 8];
        // Acquire: what the driver wrote before the doorbell.
        words.iter_mut().zip(slot).for_each(|(word, slot)| *word = slot.load(Acquire));
        sq.head = (sq.head + 1) % sq.entries;
        Some(zerocopy::transmute!(words))
    }

    /// Whether such a command waits to be taken.
    pub(super) fn waits(&self, id: usize, cid: u16) -> bool {
        let Some(sq) = self.sqs.get(id).and_then(Option::as_ref) else { return false };
        let mut places = (0..distance(sq.head, sq.tail, sq.entries)).map(|n| (sq.head + n) % sq.entries);
        // CID is the upper half of the first doubleword.
        places.any(|at| sq.region.word(at as usize * 8) >> 16 & 0xffff == u64::from(cid))
    }

    /// Adds an answer to the completion queue of this submission queue, now or when there is room.
    #[inline]
    pub(super) fn post(&mut self, id: usize, completion: Completion, interrupts: &mut u64) {
        self.put(id, completion, false, interrupts);
    }

    /// The same, unseen.
    pub(super) fn post_in_wrong_phase(&mut self, id: usize, completion: Completion, interrupts: &mut u64) {
        self.put(id, completion, true, interrupts);
    }

    /// Adds the answers that have found room since.
    pub(super) fn post_waiting(&mut self, interrupts: &mut u64) {
        for id in 0..self.cqs.len() {
            while let Some(cq) = self.cqs[id].as_mut().filter(|cq| cq.room() > 0) {
                let Some((sq, completion)) = cq.waiting.pop_front() else { break };
                self.put(sq, completion, false, interrupts);
            }
        }
    }

    #[inline]
    fn put(&mut self, id: usize, mut completion: Completion, is_wrong: bool, interrupts: &mut u64) {
        let Some(sq) = &self.sqs[id] else { return };
        let Some(cq) = &mut self.cqs[sq.cq] else { return };
        if cq.room() == 0 {
            return cq.waiting.push_back((id, completion));
        }
        completion = completion.with_status(completion.status(), cq.phase != is_wrong);
        completion.sq_head.set(sq.head as u16);
        completion.sq_id.set(id as u16);
        let [first, last]: [u64; 2] = zerocopy::transmute!(completion);
        let slot = &cq.region.words()[cq.tail as usize * 2..][..2];
        slot[0].store(first, Relaxed);
        // Release: the data and the first word come before the phase.
        slot[1].store(last, Release);
        cq.tail = (cq.tail + 1) % cq.entries;
        cq.phase ^= cq.tail == 0;
        if let Some(vector) = cq.vector {
            *interrupts |= 1 << vector;
        }
    }
}

/// Steps from one place of a ring to another.
fn distance(from: u32, to: u32, entries: u32) -> u32 {
    (to + entries - from) % entries
}

fn put<T>(list: &mut Vec<Option<T>>, id: usize, made: T) {
    while list.len() <= id {
        list.push(None);
    }
    list[id] = Some(made);
}
