//! Hierarchical timing wheel: what is due, in O(1) to arm and to cancel, and one comparison while nothing is.
//!
//! Holds what `timers` wakes. Knows no clock: it is told the time, in microseconds, and never goes back.
//!
//! Eleven levels of 64 slots cover all of `u64`. The level of an entry is given by the highest bit in which
//! its deadline differs from the wheel's time, and its slot by the deadline's six bits there:
//!
//! ```text
//!            level 2          level 1          level 0
//!   time     ..000011         010100           111001         shares all higher bits with every entry
//!   entry    ..000011         010111  differs                 → level 1, slot 0b010111
//! ```
//!
//! So within a level all entries lie in slots after the time's own (in level 0: from it on), and all of a
//! level come before all of the next. The first slot of the lowest occupied level is therefore always the
//! next to look at, which two bit scans find. When the time reaches a slot above level 0, its entries move
//! down: at most ten times in a life, in order, so that entries expire by deadline and those of one
//! microsecond in the order of their insertion.

use std::num::NonZeroU64;

/// Each level takes this many bits of the deadline.
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = u64::BITS.div_ceil(LEVEL_BITS) as usize;
/// No entry.
const NIL: u32 = u32::MAX;

/// Entries with deadlines in microseconds, which come out when their time has come.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// The time reached: every slot that begins at or before it has been emptied, but for entries due right
    /// now.
    now: u64,
    /// No slot begins before this. May lie too early after a cancellation, never too late.
    next_begin: u64,
    /// A bit for every level that has entries.
    levels: u16,
    /// A bit for every slot that has entries.
    occupied: [u64; LEVELS],
    slots: [Slot; LEVELS * SLOTS],
    entries: Vec<Entry<T>>,
    /// Head of the list of vacant entries, linked by `next`.
    vacant: u32,
}

/// Names an entry until it expires or is cancelled; afterwards it names nothing. (An index is reused 2³¹
/// times before a stale key could match again.)
///
/// One word, generation above index: two halves would be written apart and read together, a stall that cost 6
/// of the 28 ns of making, polling and dropping a sleep. Never zero, because generations are odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(NonZeroU64);

impl Key {
    #[inline]
    fn new(index: u32, generation: u32) -> Self {
        Self(NonZeroU64::new(u64::from(generation) << 32 | u64::from(index)).expect("generations are odd"))
    }

    #[inline]
    fn index(self) -> u32 {
        self.0.get() as u32
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

/// A circular list of entries, oldest first.
#[derive(Debug, Clone, Copy)]
struct Slot {
    head: u32,
    /// No entry's deadline is earlier. May be too early after a cancellation; meaningless when empty.
    earliest: u64,
}

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    /// `None` while vacant.
    value: Option<T>,
    next: u32,
    previous: u32,
    /// Odd; moves on by two whenever the entry becomes vacant.
    generation: u32,
    /// The slot that it is linked in.
    place: u16,
}

impl<T> Wheel<T> {
    /// An empty wheel at time zero.
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            next_begin: u64::MAX,
            levels: 0,
            occupied: [0; LEVELS],
            slots: [Slot { head: NIL, earliest: 0 }; LEVELS * SLOTS],
            entries: Vec::new(),
            vacant: NIL,
        }
    }

    /// Has `value` come out of [`Wheel::expire_one`] at `deadline`; at the wheel's time if that is already
    /// later.
    ///
    /// Allocates only when more entries are armed than ever before.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> Key {
        let deadline = deadline.max(self.now);
        let index = self.allot(deadline, value);
        self.link(index, deadline);
        Key::new(index, self.entries[index as usize].generation)
    }

    /// Takes the entry out before its time; `None` if it has left already.
    #[inline]
    pub(crate) fn cancel(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get(key.index() as usize)?;
        if entry.generation != key.generation() {
            return None;
        }
        self.remove(key.index())
    }

    /// The entry's value; `None` if it has left.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index() as usize)?;
        if entry.generation == key.generation() { entry.value.as_mut() } else { None }
    }

    /// Turns the wheel to `now` and takes out the first entry that is due by then, or `None` when no more
    /// are.
    ///
    /// One comparison while nothing is due. Never gives an entry early. A `now` before an earlier one is
    /// taken as that one.
    #[inline]
    pub(crate) fn expire_one(&mut self, now: u64) -> Option<T> {
        if now < self.next_begin {
            // All slots begin after `now`, so that every entry keeps its level and slot.
            self.now = self.now.max(now);
            return None;
        }
        self.expire_one_slowly(now)
    }

    fn expire_one_slowly(&mut self, now: u64) -> Option<T> {
        loop {
            let first = self.first_slot();
            self.next_begin = first.map_or(u64::MAX, |(_, begin)| begin);
            let Some((place, begin)) = first.filter(|&(_, begin)| begin <= now) else {
                self.now = self.now.max(now);
                return None;
            };
            self.now = begin;
            if place < SLOTS {
                return self.remove(self.slots[place].head);
            }
            self.cascade(place);
        }
    }

    /// When the first entry is due, or `None` if there is none.
    ///
    /// Exact, unless the first entry of its slot was cancelled: then perhaps earlier, and exact once the
    /// wheel was turned there. Whoever sleeps until then is woken at most once for nothing.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.first_slot().map(|(place, _)| self.slots[place].earliest)
    }

    /// The first occupied slot and the microsecond that it begins with.
    #[inline]
    fn first_slot(&self) -> Option<(usize, u64)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let slot = self.occupied[level as usize].trailing_zeros();
        let shift = level * LEVEL_BITS;
        // The bits above this level are the time's own; the highest level has none.
        let above = self.now & u64::MAX.checked_shl(shift + LEVEL_BITS).unwrap_or(0);
        Some((level as usize * SLOTS + slot as usize, above | u64::from(slot) << shift))
    }

    /// Moves all entries of a slot above level 0 to lower levels. The time has just reached the slot.
    fn cascade(&mut self, place: usize) {
        let head = self.slots[place].head;
        self.vacate(place);
        // Opens the circle at its end.
        let last = self.entries[head as usize].previous;
        self.entries[last as usize].next = NIL;
        let mut index = head;
        while index != NIL {
            let entry = &self.entries[index as usize];
            let (next, deadline) = (entry.next, entry.deadline);
            self.link(index, deadline);
            index = next;
        }
    }

    /// Appends the entry to the slot that its deadline belongs in, seen from the wheel's time.
    #[inline]
    fn link(&mut self, index: u32, deadline: u64) {
        let distance = (self.now ^ deadline) | (SLOTS as u64 - 1);
        let level = distance.ilog2() / LEVEL_BITS;
        let shift = level * LEVEL_BITS;
        let slot = (deadline >> shift) as usize % SLOTS;
        let place = level as usize * SLOTS + slot;

        self.levels |= 1 << level;
        self.occupied[level as usize] |= 1 << slot;
        self.next_begin = self.next_begin.min(deadline >> shift << shift);

        let Slot { head, earliest } = self.slots[place];
        let (next, previous) = if head == NIL {
            self.slots[place] = Slot { head: index, earliest: deadline };
            (index, index)
        } else {
            self.slots[place].earliest = earliest.min(deadline);
            let tail = std::mem::replace(&mut self.entries[head as usize].previous, index);
            self.entries[tail as usize].next = index;
            (head, tail)
        };
        let entry = &mut self.entries[index as usize];
        entry.next = next;
        entry.previous = previous;
        entry.place = place as u16;
    }

    /// Unlinks the entry and makes it vacant.
    #[inline]
    fn remove(&mut self, index: u32) -> Option<T> {
        let vacant = std::mem::replace(&mut self.vacant, index);
        let entry = &mut self.entries[index as usize];
        let (place, next, previous) = (entry.place as usize, entry.next, entry.previous);
        entry.generation = entry.generation.wrapping_add(2);
        entry.next = vacant;
        let value = entry.value.take();
        if next == index {
            self.vacate(place);
        } else {
            self.entries[previous as usize].next = next;
            self.entries[next as usize].previous = previous;
            if self.slots[place].head == index {
                self.slots[place].head = next;
            }
        }
        value
    }

    /// Marks a slot as empty.
    #[inline]
    fn vacate(&mut self, place: usize) {
        let level = place / SLOTS;
        self.slots[place].head = NIL;
        self.occupied[level] &= !(1 << (place % SLOTS));
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Fills a vacant entry, or a new one.
    #[inline]
    fn allot(&mut self, deadline: u64, value: T) -> u32 {
        let index = self.vacant;
        if let Some(entry) = self.entries.get_mut(index as usize) {
            self.vacant = entry.next;
            entry.deadline = deadline;
            entry.value = Some(value);
            return index;
        }
        let index = self.entries.len();
        assert!(index < NIL as usize, "a core cannot hold more than {NIL} timers");
        self.entries.push(Entry {
            deadline,
            value: Some(value),
            next: NIL,
            previous: NIL,
            generation: 1,
            place: 0,
        });
        index as u32
    }
}

#[cfg(all(test, not(loom)))]
#[path = "wheel_tests.rs"]
mod tests;
