//! The bounded queue: an array of slots, each with a stamp that says for which position it is empty or full.
//!
//! ```text
//!   position p = lap + index        next(p): index + 1, or index 0 of the next lap
//!   stamp = p         empty, to be written at p            ─ the sender that claims p in the tail word writes it
//!   stamp = p + 1     full, to be read at p                ─ the receiver reads it
//!   stamp = p + lap   empty, to be written one lap later
//! ```
//!
//! Laps are longer than the array, so a stamp means one thing at any capacity, 1 included.

#![expect(unsafe_code, reason = "slots are handed from side to side by their stamps")]

use super::{line::Line, reader::Reader, tail::Tail};
use crate::sync::error::{Closed, TrySendError};
use crate::sys::sync::{
    Arc, CachePadded, UnsafeCell,
    atomic::{AtomicUsize, Ordering, fence},
};
use std::mem::MaybeUninit;

/// # Invariants
/// A slot is the claimant's of position `p` while its stamp is `p`, and the reader's while it is `p + 1`.
pub(super) struct Array<T> {
    tail: CachePadded<Tail>,
    line: CachePadded<Line>,
    lap: usize,
    slots: Box<[Slot<T>]>,
}

struct Slot<T> {
    stamp: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the stamps hand each slot from one side to the other; values change threads, hence `T: Send`.
unsafe impl<T: Send> Send for Array<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Array<T> {}

/// The one side that reads.
pub(super) struct ArrayReader<T> {
    array: Arc<Array<T>>,
    head: usize,
}

pub(super) fn array<T>(capacity: usize) -> (Arc<Array<T>>, ArrayReader<T>) {
    let lap = capacity.checked_add(1).and_then(usize::checked_next_power_of_two);
    let slot = |stamp| Slot { stamp: AtomicUsize::new(stamp), value: UnsafeCell::new(MaybeUninit::uninit()) };
    let array = Arc::new(Array {
        tail: CachePadded(Tail::new()),
        line: CachePadded(Line::new()),
        lap: lap.expect("a capacity that can be allocated"),
        slots: (0..capacity).map(slot).collect(),
    });
    (array.clone(), ArrayReader { array, head: 0 })
}

impl<T> Array<T> {
    #[inline(always)]
    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[position & (self.lap - 1)]
    }

    /// The position `count` after `position`, at most the capacity. Positions wrap where the tail word's do.
    #[inline(always)]
    fn ahead(&self, position: usize, count: usize) -> usize {
        let index = (position & (self.lap - 1)) + count;
        let lap = position & !(self.lap - 1);
        let capacity = self.slots.len();
        Tail::wrap(if index < capacity {
            lap + index
        } else {
            lap.wrapping_add(self.lap) + (index - capacity)
        })
    }

    #[inline(always)]
    fn next(&self, position: usize) -> usize {
        self.ahead(position, 1)
    }

    /// Appends `value` and wakes the receiver if it waits. While senders wait, only one whose turn it is may do so.
    #[inline]
    pub(super) fn push(&self, value: T, is_its_turn: bool) -> Result<(), TrySendError<T>> {
        let mut word = self.tail.load();
        loop {
            if word.is_closed() {
                return Err(TrySendError::Closed(value));
            }
            if word.has_line() && !is_its_turn {
                return Err(TrySendError::Full(value));
            }
            let position = word.position();
            if self.is_empty_at(position) {
                match self.tail.claim(word, self.next(position)) {
                    Ok(()) => {
                        // SAFETY: the stamp says empty and the claim of this position is ours alone.
                        unsafe { self.fill(position, value) };
                        self.tail.notify(word);
                        return Ok(());
                    }
                    Err(now) => word = now,
                }
            } else {
                // Still full from the lap before, or claimed by somebody else since: the word tells which.
                let now = self.tail.load();
                if now.position() == position {
                    return Err(TrySendError::Full(value));
                }
                word = now;
            }
        }
    }

    /// Appends as many of `values`, from the front, as there is room for, with one claim. Returns how many.
    pub(super) fn push_many(&self, values: &mut Vec<T>) -> Result<usize, Closed> {
        let mut word = self.tail.load();
        loop {
            if word.is_closed() {
                return Err(Closed);
            }
            let position = word.position();
            let mut count = if word.has_line() { 0 } else { values.len().min(self.slots.len()) };
            // The reader empties the slots in order: if the last is empty, all are, and its Acquire covers them all.
            while count > 0 && !self.is_empty_at(self.ahead(position, count - 1)) {
                count /= 2;
            }
            if count == 0 {
                // As in `push`: without room only if the tail has not moved meanwhile.
                let now = self.tail.load();
                if now == word {
                    return Ok(0);
                }
                word = now;
                continue;
            }
            match self.tail.claim(word, self.ahead(position, count)) {
                Ok(()) => {
                    let mut at = position;
                    // A `Vec` yields what it has: no claimed position is left unwritten.
                    for value in values.drain(..count) {
                        // SAFETY: the stamp says empty and the claim of this position is ours alone.
                        unsafe { self.fill(at, value) };
                        at = self.next(at);
                    }
                    self.tail.notify(word);
                    return Ok(count);
                }
                Err(now) => word = now,
            }
        }
    }

    /// # Safety
    /// `position` was claimed by the caller, and its slot is empty.
    #[inline(always)]
    unsafe fn fill(&self, position: usize, value: T) {
        let slot = self.slot(position);
        // SAFETY: as the caller says, so the slot is the caller's.
        slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
        // Release: publishes the value to the Acquire in `pop`.
        slot.stamp.store(position + 1, Ordering::Release);
    }

    #[inline(always)]
    fn is_empty_at(&self, position: usize) -> bool {
        // Acquire: pairs with the Release in `pop`: the slot has been read.
        self.slot(position).stamp.load(Ordering::Acquire) == position
    }

    /// Whether more than `ahead` positions from the tail on are empty. Exact while the line keeps the tail where it is.
    pub(super) fn has_room_ahead(&self, ahead: usize) -> bool {
        ahead < self.slots.len() && self.is_empty_at(self.ahead(self.tail.load().position(), ahead))
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }
}

impl<T> Reader for ArrayReader<T> {
    type Item = T;

    #[inline]
    fn pop(&mut self) -> Option<T> {
        let array = &*self.array;
        let slot = array.slot(self.head);
        // Acquire: pairs with the Release in `push`.
        if slot.stamp.load(Ordering::Acquire) != self.head + 1 {
            return None;
        }
        // SAFETY: the stamp says full at this position, which is the reader's; it moves on, so the value is read once.
        let value = slot.value.with(|cell| unsafe { (*cell).assume_init_read() });
        // Release: gives the slot to the Acquire in `push`, one lap later.
        slot.stamp.store(Tail::wrap(self.head.wrapping_add(array.lap)), Ordering::Release);
        self.head = array.next(self.head);
        Some(value)
    }

    #[inline]
    fn popped(&mut self) {
        // Partner: the fence in `Line::join`. Either that sender sees the slot empty, or this side sees it wait.
        fence(Ordering::SeqCst);
        if self.array.line.is_waited_in() {
            self.array.line.admit(&*self.array);
        }
    }

    fn position(&self) -> usize {
        self.head
    }

    fn tail(&self) -> &Tail {
        &self.array.tail
    }
}

impl<T> ArrayReader<T> {
    pub(super) fn close(&mut self) {
        self.array.tail.close();
        self.array.line.close(&self.array.tail);
    }
}

impl<T> Drop for ArrayReader<T> {
    fn drop(&mut self) {
        self.close();
        self.drain();
    }
}
