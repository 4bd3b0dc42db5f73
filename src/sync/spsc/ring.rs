//! The ring itself: two index words, each written by one side, each carrying the flag by which the other side waits.
//!
//! ```text
//!   tail: position, TX_GONE, CLOSED, WAITS        head: position, CLOSED, WAITS
//!   ─ the writer publishes by exchanging the word  ─ the reader publishes by exchanging the word
//!     that it wrote last for the new one: nothing    that it wrote last for the new one
//!     else to do while the reader is awake
//!   ─ a reader that found nothing adds WAITS: the  ─ a writer that found no room adds WAITS: the
//!     writer's exchange fails, which tells it to     reader's exchange fails, which tells it to
//!     clear the flag and wake the reader             clear the flag and wake the writer
//! ```
//!
//! One word decides between publishing and waiting, so no wake-up is lost and no fence is needed. `CLOSED` in the tail
//! word makes the writer's exchange fail too: what was not published before stays the writer's.

#![expect(unsafe_code, reason = "slots are handed from side to side by position")]

use super::wait::{Pace, Park, Side};
use crate::sys::{
    sync::{
        Arc, CachePadded, UnsafeCell,
        atomic::{AtomicUsize, Ordering},
    },
    waker_slot::WakerSlot,
};
use std::{mem::MaybeUninit, task::Waker};

/// The other side waits for this word's position to move. Set by the other side, cleared by the publishing one.
const WAITS: usize = 1;
/// The reader takes nothing any more. Set by the reader, in both words, the tail's first.
const CLOSED: usize = 2;
/// The writer is gone. Set by the writer, in the tail word.
const TX_GONE: usize = 4;
/// One position. What is below are flags; positions wrap.
const ONE: usize = 8;
const FLAGS: usize = ONE - 1;

/// # Invariants
/// Slots from the head's to the tail's position are full and the reader's; the others are empty and the writer's.
struct Ring<T> {
    tail: CachePadded<Index>,
    head: CachePadded<Index>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    capacity: usize,
}

/// A word and the waker of the side that waits for it to move.
struct Index {
    word: AtomicUsize,
    waiter: WakerSlot,
}

// SAFETY: the index words hand each slot from one side to the other; values change threads, hence `T: Send`.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above; the sides exist once each and need `&mut self`.
unsafe impl<T: Send> Sync for Ring<T> {}

pub(super) fn ring<T>(capacity: usize) -> (Writer<T>, Reader<T>) {
    let index = || CachePadded(Index { word: AtomicUsize::new(0), waiter: WakerSlot::default() });
    let slots = capacity.checked_next_power_of_two().filter(|slots| *slots <= usize::MAX / ONE / 2);
    let slots = slots.expect("a capacity whose ring can be allocated");
    let slots = (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let ring = Arc::new(Ring { tail: index(), head: index(), slots, capacity });
    (
        Writer { ring: ring.clone(), tail: 0, published: 0, head: 0, pace: Pace::default() },
        Reader { ring, head: 0, published: 0, tail: 0, pace: Pace::default() },
    )
}

/// The writing side. Positions are kept shifted, as in the words, without flags.
pub(super) struct Writer<T> {
    ring: Arc<Ring<T>>,
    /// Where the next value goes.
    tail: usize,
    /// What the tail word says.
    published: usize,
    /// What the head word said when it was last needed.
    head: usize,
    pace: Pace,
}

/// The reading side.
pub(super) struct Reader<T> {
    ring: Arc<Ring<T>>,
    /// Where the next value is.
    head: usize,
    /// What the head word says.
    published: usize,
    /// What the tail word said when it was last needed.
    tail: usize,
    pace: Pace,
}

impl<T> Ring<T> {
    #[inline(always)]
    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<T>> {
        let slots = &*self.slots;
        &slots[(position / ONE) & (slots.len() - 1)]
    }
}

impl Index {
    /// Moves the word from `old` to `new`, both without flags, and wakes the other side if it waits.
    ///
    /// Fails, with nothing moved, if the word says `CLOSED` and `refusable`.
    #[inline]
    fn publish(&self, old: usize, new: usize, refusable: bool) -> Result<(), ()> {
        // Release: publishes the slots to the other side's Acquire of this word.
        match self.word.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(word) => self.publish_flagged(word, new, refusable),
        }
    }

    #[cold]
    fn publish_flagged(&self, mut word: usize, new: usize, refusable: bool) -> Result<(), ()> {
        loop {
            if refusable && word & CLOSED != 0 {
                return Err(());
            }
            let kept = word & FLAGS & !WAITS;
            // Release as in `publish`.
            match self.word.compare_exchange(word, new | kept, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & WAITS != 0 {
            self.waiter.wake();
        }
        Ok(())
    }

    /// Waits for the word to move from `seen`, which is updated if it has, unless a flag in `ended` is set.
    fn park(&self, seen: &mut usize, ended: usize, waker: &Waker) -> Park {
        // First the waker, then the flag: who finds the flag finds the waker.
        self.waiter.register(waker);
        // Acquire: a wake that came before the registration had moved the word before.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & !FLAGS != *seen {
                *seen = word & !FLAGS;
                return Park::Moved;
            }
            if word & ended != 0 {
                return Park::Ended;
            }
            if word & WAITS != 0 {
                return Park::Waiting;
            }
            // Release: publishes the waker to the publishing side's exchange.
            match self.word.compare_exchange(word, word | WAITS, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Park::Waiting,
                Err(now) => word = now,
            }
        }
    }

    /// Sets `flag` and wakes the other side if it waits.
    fn flag(&self, flag: usize) {
        // Release: what was done before is seen with the flag.
        if self.word.fetch_or(flag, Ordering::AcqRel) & WAITS != 0 {
            self.waiter.wake();
        }
    }
}

impl<T> Writer<T> {
    /// Writes `value`, which the reader sees after [`publish`](Self::publish).
    #[inline]
    pub(super) fn write(&mut self, value: T) -> Result<(), T> {
        if self.look() == 0 {
            return Err(value);
        }
        // SAFETY: there is room, so this slot is empty and the writer's.
        self.ring.slot(self.tail).with_mut(|slot| unsafe { (*slot).write(value) });
        self.tail = self.tail.wrapping_add(ONE);
        Ok(())
    }

    /// Hands over what was written, and wakes the reader if it waits. Fails if the reader has closed: what was not handed
    /// over is still there for [`unwrite`](Self::unwrite).
    #[inline]
    pub(super) fn publish(&mut self) -> Result<(), ()> {
        if self.published == self.tail {
            return Ok(());
        }
        self.ring.tail.publish(self.published, self.tail, true)?;
        self.published = self.tail;
        Ok(())
    }

    /// Takes back what was written last, if it was not handed over.
    pub(super) fn unwrite(&mut self) -> Option<T> {
        if self.tail == self.published {
            return None;
        }
        self.tail = self.tail.wrapping_sub(ONE);
        // SAFETY: written by `write` and not published, so it is full and the writer's; the position moved back.
        Some(self.ring.slot(self.tail).with(|slot| unsafe { (*slot).assume_init_read() }))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ring.tail.word.load(Ordering::Acquire) & CLOSED != 0
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity
    }
}

impl<T> Side for Writer<T> {
    #[inline]
    fn known(&self) -> usize {
        self.ring.capacity - self.tail.wrapping_sub(self.head) / ONE
    }

    #[inline]
    fn look(&mut self) -> usize {
        if self.known() == 0 {
            // Acquire: pairs with the Release in the reader's publish: the slots have been read.
            self.head = self.ring.head.word.load(Ordering::Acquire) & !FLAGS;
        }
        self.known()
    }

    fn used(&self) -> usize {
        self.tail / ONE
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn park(&mut self, waker: &Waker) -> Park {
        self.ring.head.park(&mut self.head, CLOSED, waker)
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        // A reader that has closed gets nothing more; what it was not given is dropped here.
        if self.publish().is_err() {
            while self.unwrite().is_some() {}
        }
        self.ring.tail.flag(TX_GONE);
    }
}

impl<T> Reader<T> {
    /// Takes the next value. Its slot is the writer's after [`publish`](Self::publish).
    #[inline]
    pub(super) fn read(&mut self) -> Option<T> {
        if self.look() == 0 {
            return None;
        }
        // SAFETY: before the tail, so full and the reader's; the position moves on, so it is read once.
        let value = self.ring.slot(self.head).with(|slot| unsafe { (*slot).assume_init_read() });
        self.head = self.head.wrapping_add(ONE);
        Some(value)
    }

    /// Hands the slots of what was read back, and wakes the writer if it waits.
    #[inline]
    pub(super) fn publish(&mut self) {
        if self.published != self.head {
            let moved = self.ring.head.publish(self.published, self.head, false);
            debug_assert!(moved.is_ok(), "the writer refuses no room");
            self.published = self.head;
        }
    }

    /// Whether nothing will come after what is there. To be asked before looking for values.
    pub(super) fn is_ended(&self) -> bool {
        self.ring.tail.word.load(Ordering::Acquire) & (TX_GONE | CLOSED) != 0
    }

    /// Takes nothing that is not published yet.
    pub(super) fn close(&mut self) {
        self.ring.tail.word.fetch_or(CLOSED, Ordering::AcqRel);
        self.ring.head.flag(CLOSED);
    }
}

impl<T> Side for Reader<T> {
    #[inline]
    fn known(&self) -> usize {
        self.tail.wrapping_sub(self.head) / ONE
    }

    #[inline]
    fn look(&mut self) -> usize {
        if self.known() == 0 {
            // Acquire: pairs with the Release in the writer's publish: the slots have been written.
            self.tail = self.ring.tail.word.load(Ordering::Acquire) & !FLAGS;
        }
        self.known()
    }

    fn used(&self) -> usize {
        self.head / ONE
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn park(&mut self, waker: &Waker) -> Park {
        self.ring.tail.park(&mut self.tail, TX_GONE | CLOSED, waker)
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.close();
        // The tail stands still now. A value at a time: should a drop panic, the rest is leaked and nothing dropped twice.
        while self.read().is_some() {}
        self.publish();
    }
}
