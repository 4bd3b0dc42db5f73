//! The two rings of a queue pair, in memory that the controller reads and writes too.
//!
//! Nothing here knows what commands mean or whose they are; `qpair` does.

use super::Answer;
use super::spec::{Command, Completion, Status};
use crate::sys::dma::{DmaWords, entry};
use std::sync::atomic::Ordering::Relaxed;

const COMMAND_WORDS: usize = size_of::<Command>() / 8;
const COMPLETION_WORDS: usize = size_of::<Completion>() / 8;

/// Where commands are put. Its user sees to it that there is room: never more than `entries - 1` that are not answered.
pub(super) struct SubmissionQueue {
    memory: DmaWords,
    entries: u16,
    tail: u16,
    /// What the controller was told.
    rung: u16,
}

impl SubmissionQueue {
    /// An empty one.
    pub(super) fn new(memory: DmaWords, entries: u16) -> Self {
        assert!(entries >= 2 && memory.words().len() >= usize::from(entries) * COMMAND_WORDS);
        Self { memory, entries, tail: 0, rung: 0 }
    }

    /// Bytes that so many entries take.
    pub(super) fn bytes(entries: u16) -> usize {
        usize::from(entries) * size_of::<Command>()
    }

    /// Puts a command behind the others. The controller is told by the [bell](Self::bell).
    #[inline(always)]
    pub(super) fn push(&mut self, command: Command) {
        let words = command.into_words();
        let at = usize::from(self.tail) * COMMAND_WORDS;
        // Relaxed: the write of the doorbell publishes them.
        let slot = &self.memory.words()[at..at + COMMAND_WORDS];
        for (slot, word) in slot.iter().zip(words) {
            slot.store(word, Relaxed);
        }
        self.tail = next(self.tail, self.entries);
    }

    /// Whether the doorbell has more to tell.
    pub(super) fn is_unrung(&self) -> bool {
        self.rung != self.tail
    }

    /// Begins anew, as the controller does.
    pub(super) fn restart(&mut self) {
        (self.tail, self.rung) = (0, 0);
    }

    /// What to write to the doorbell, if there is anything new.
    #[inline(always)]
    pub(super) fn bell(&mut self) -> Option<u32> {
        (self.rung != self.tail).then(|| {
            self.rung = self.tail;
            u32::from(self.tail)
        })
    }
}

/// Where answers come. The controller's phase bit tells new from old: it changes in each pass (Base 2.0 §3.3.3.2).
pub(super) struct CompletionQueue {
    memory: DmaWords,
    entries: u16,
    head: u16,
    phase: bool,
    rung: u16,
    /// The controller is told of no fewer answers that were taken.
    batch: u16,
}

impl CompletionQueue {
    /// An empty one, whose memory is zero. If it `interrupts`, the controller is told at once what was taken, as it may interrupt for the
    /// rest or not. If not, it learns of nothing but room, and a quarter of that can wait: one register is written for many batches.
    pub(super) fn new(memory: DmaWords, entries: u16, interrupts: bool) -> Self {
        assert!(entries >= 2 && memory.words().len() >= usize::from(entries) * COMPLETION_WORDS);
        let batch = if interrupts { 1 } else { (entries / 4).max(1) };
        Self { memory, entries, head: 0, phase: true, rung: 0, batch }
    }

    /// Bytes that so many entries take.
    pub(super) fn bytes(entries: u16) -> usize {
        usize::from(entries) * size_of::<Completion>()
    }

    /// The oldest answer that has not been taken, and the identifier of its command.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<(u16, Answer)> {
        let at = usize::from(self.head) * COMPLETION_WORDS;
        let slot = &self.memory.words()[at..at + COMPLETION_WORDS];
        let is_new = |last: u64| (u64::from_le(last) >> 48 & 1 == 1) == self.phase;
        let [result, last] = entry::take(&slot[0], &slot[1], is_new)?.map(u64::from_le);
        self.head = next(self.head, self.entries);
        self.phase ^= self.head == 0;
        // CID and status, by their place in the word: put together as a `Completion` they would go through memory.
        Some(((last >> 32) as u16, Answer { status: Status::from_bits((last >> 49) as u16), result }))
    }

    /// Whether the doorbell has more to tell.
    pub(super) fn is_unrung(&self) -> bool {
        self.rung != self.head
    }

    /// Begins anew, as the controller does, which touches it no more.
    pub(super) fn restart(&mut self) {
        self.memory.words().iter().for_each(|word| word.store(0, Relaxed));
        (self.head, self.rung, self.phase) = (0, 0, true);
    }

    /// Whether an answer waits to be taken.
    pub(super) fn has_next(&self) -> bool {
        let last = self.memory.words()[usize::from(self.head) * COMPLETION_WORDS + 1].load(Relaxed);
        (u64::from_le(last) >> 48 & 1 == 1) == self.phase
    }

    /// What to write to the doorbell, if enough was taken.
    #[inline(always)]
    pub(super) fn bell(&mut self) -> Option<u32> {
        let taken = self.head.wrapping_sub(self.rung);
        let taken = if self.head < self.rung { taken.wrapping_add(self.entries) } else { taken };
        (taken >= self.batch).then(|| {
            self.rung = self.head;
            u32::from(self.head)
        })
    }
}

#[inline(always)]
fn next(index: u16, entries: u16) -> u16 {
    if index + 1 == entries { 0 } else { index + 1 }
}
