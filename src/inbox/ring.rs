//! The ring: claimed by one compare-and-swap, published by the slot's sequence number, never full and never lost.
//!
//! ```text
//!  tail word     position · CLOSED · PARKED · SPILLING            (all flags in one word: no fence, no lost wake-up)
//!  limit         the position that finds no room, as far as senders know (same cache line as the tail)
//!  slot          sequence number · event of 56 bytes              (one cache line, which the owner only reads)
//!  freed         what the owner has taken, published now and then  (the owner's cache line)
//!
//!            push ①                      pop ②
//!   sender ───────► ring ───────────────────────► owner
//!      │ full ③                           ▲
//!      └──────────► spill list ───────────┘ ④ only once the ring is drained
//! ```
//!
//! - ① claims `position` and clears `PARKED`; who cleared it owes the owner one wake-up call *after* publishing.
//! - ③ A full ring sets `SPILLING`: every later sender spills too, so order is kept; ④ the owner takes the whole list and
//!   clears the bit once every event claimed before it has been taken.
//! - The owner parks by setting `PARKED` only where `position` is what it has drained and no other flag is set.
//! - `CLOSED` refuses what comes after it and hands the event back.
//!
//! A slot's line crosses from sender to owner once per event, and nothing else does: senders find room by `limit`, which they renew
//! from `freed` when it is used up, and the owner looks at the tail only before it sleeps or when it has long been idle. Measured
//! between two cores against slots that the owner hands back by their sequence number: a round trip takes half the time.
#![expect(unsafe_code, reason = "slots are claimed by sequence number, as the compiler cannot see")]

use super::Event;
use crate::sys::sync::{
    CachePadded, Mutex, UnsafeCell,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    mem::MaybeUninit,
    sync::PoisonError,
};

/// Set by a sender that found the ring full, cleared by the owner when it takes the list.
const SPILLING: u64 = 1;
/// Set by the owner before it sleeps, cleared by whoever wakes it (or by itself).
const PARKED: u64 = 1 << 1;
/// Set by the owner when the core ends; never cleared.
const CLOSED: u64 = 1 << 2;
const POSITION_SHIFT: u32 = 3;

/// The owner looks for `SPILLING` after a ring's worth of events, or after this many polls that found nothing. Looking costs
/// the senders a cache miss, and a sender spills only when the ring is full: a ring's worth of events comes first.
pub(super) const EMPTY_POLLS_PER_LOOK: u32 = 1024;

/// The owner publishes `freed` so many times per round of the ring.
const PUBLICATIONS_PER_ROUND: u64 = 8;

#[repr(C, align(64))]
struct Slot {
    /// `p + 1`: the event of position `p` is there. Anything else: it is not, yet.
    sequence: AtomicU64,
    event: UnsafeCell<MaybeUninit<Event>>,
}

/// The shared side: any thread may push.
pub(crate) struct Inbox {
    senders: CachePadded<Senders>,
    freed: CachePadded<AtomicU64>,
    slots: Box<[Slot]>,
    spilled: Mutex<VecDeque<Event>>,
}

struct Senders {
    tail: AtomicU64,
    limit: AtomicU64,
}

// SAFETY: a slot's event is written only by the sender that claimed its position, below `limit` and so after the owner has taken
// the event of the round before, and read only by the owner after the sequence number says so; events are `Send`.
unsafe impl Send for Inbox {}
// SAFETY: as above.
unsafe impl Sync for Inbox {}

/// What a poke asks of who made it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Poked {
    /// The owner is awake.
    Awake,
    /// The owner had announced that it sleeps: this caller, and no other, wakes it.
    WakeOwner,
}

/// The owning core's side of one inbox. Made once.
pub(crate) struct Consumer {
    head: Cell<u64>,
    /// `freed` is published where these bits of the position are zero.
    publish_mask: u64,
    /// Events taken from the spill list, oldest first; they come before anything in the ring.
    backlog: RefCell<VecDeque<Event>>,
    /// Counts events taken and, at a rate, polls that found nothing; at `capacity` it is time to look for a spill list.
    since_look: Cell<u32>,
}

impl Inbox {
    /// An inbox whose ring holds `capacity` events (a power of two) before it spills.
    pub(crate) fn new(capacity: usize) -> (Self, Consumer) {
        assert!(
            capacity.is_power_of_two() && capacity > 1,
            "inbox capacity {capacity} is not a power of two"
        );
        let slots = (0..capacity as u64)
            .map(|_| Slot { sequence: AtomicU64::new(0), event: UnsafeCell::new(MaybeUninit::uninit()) })
            .collect();
        let senders = Senders { tail: AtomicU64::new(0), limit: AtomicU64::new(capacity as u64) };
        let inbox = Self {
            senders: CachePadded(senders),
            freed: CachePadded(AtomicU64::new(0)),
            slots,
            spilled: Mutex::new(VecDeque::new()),
        };
        let consumer = Consumer {
            head: Cell::new(0),
            publish_mask: (capacity as u64 / PUBLICATIONS_PER_ROUND).max(1) - 1,
            backlog: RefCell::default(),
            since_look: Cell::new(0),
        };
        (inbox, consumer)
    }

    fn slot(&self, position: u64) -> &Slot {
        // The mask keeps the index inside: capacity is a power of two.
        &self.slots[position as usize & (self.slots.len() - 1)]
    }

    /// Appends an event that runs `f`. Hands it back if the core is gone.
    ///
    /// Where the owner sleeps, returns what `bell` gives, with which the caller then wakes it. `bell` is asked before the event can
    /// be taken: afterwards it may be too late, as the event may carry what kept this inbox.
    #[inline]
    pub(crate) fn push<F, B>(&self, f: F, bell: impl FnOnce() -> B) -> Result<Option<B>, F>
    where
        F: FnOnce() + Send + 'static,
    {
        let mut tail = self.senders.tail.load(Relaxed);
        loop {
            if tail & (SPILLING | CLOSED) != 0 {
                return self.spill(f, bell);
            }
            let position = tail >> POSITION_SHIFT;
            // Acquire: pairs with the Release in `renew_limit`, and through it with the owner's in `pop`: the slot is free.
            if position >= self.senders.limit.load(Acquire) && !self.renew_limit(position) {
                return self.spill(f, bell);
            }
            // AcqRel: chains with `park` and `poke`. (The event itself is published by its sequence number.)
            match self.senders.tail.compare_exchange_weak(
                tail,
                (position + 1) << POSITION_SHIFT,
                AcqRel,
                Relaxed,
            ) {
                Ok(_) => {
                    let bell = (tail & PARKED != 0).then(bell);
                    let slot = self.slot(position);
                    slot.event.with_mut(|cell| {
                        // SAFETY: the exchange made this position ours alone, and below the limit its slot is free.
                        Event::write(unsafe { &mut *cell }, f);
                    });
                    // Release: publishes the event to the Acquire in `Consumer::pop`.
                    slot.sequence.store(position + 1, Release);
                    return Ok(bell);
                }
                Err(now) => tail = now,
            }
        }
    }

    /// Looks how far the owner has come. Whether there is room at `position`.
    #[cold]
    fn renew_limit(&self, position: u64) -> bool {
        // Acquire: pairs with the Release in `pop`. fetch_max: another sender may know better.
        let limit = self.freed.load(Acquire) + self.slots.len() as u64;
        self.senders.limit.fetch_max(limit, AcqRel).max(limit) > position
    }

    /// The slow path: the ring is full, was full, or the core is gone.
    #[cold]
    fn spill<F, B>(&self, f: F, bell: impl FnOnce() -> B) -> Result<Option<B>, F>
    where
        F: FnOnce() + Send + 'static,
    {
        let mut spilled = self.spilled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tail = self.senders.tail.load(Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(f);
            }
            // The lock is held, so the owner cannot take the list (and clear the bit) between here and the push below.
            match self.senders.tail.compare_exchange_weak(tail, (tail | SPILLING) & !PARKED, AcqRel, Relaxed)
            {
                Ok(_) => {
                    let bell = (tail & PARKED != 0).then(bell);
                    spilled.push_back(Event::new(f));
                    return Ok(bell);
                }
                Err(now) => tail = now,
            }
        }
    }

    /// Takes back the owner's announcement that it sleeps, without an event. Async-signal-safe.
    pub(crate) fn poke(&self) -> Poked {
        // AcqRel: what the caller wrote before is seen by `park`, whose exchange comes before or after in this word's order.
        let was_parked = self.senders.tail.fetch_and(!PARKED, AcqRel) & PARKED != 0;
        if was_parked { Poked::WakeOwner } else { Poked::Awake }
    }

    /// Whether the core is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.senders.tail.load(Acquire) & CLOSED != 0
    }
}

impl Consumer {
    /// Takes the oldest event and runs it; false if there is none.
    ///
    /// Where it lies in the ring it is copied once, to where it runs: passed from hand to hand it would be copied three times, and each
    /// would wait for the stores of the one before.
    #[inline]
    pub(crate) fn run_next(&self, inbox: &Inbox) -> bool {
        let mut place = MaybeUninit::uninit();
        let is_ring_next = self.backlog.borrow().is_empty();
        if is_ring_next && self.pop_into(inbox, &mut place) {
            // SAFETY: `pop_into` has put an event there, which nobody uses again.
            unsafe { Event::run_at(place.as_mut_ptr()) };
            return true;
        }
        let event =
            if is_ring_next { self.pop_spilled(inbox) } else { self.backlog.borrow_mut().pop_front() };
        event.map(Event::run).is_some()
    }

    /// Takes the oldest event.
    pub(crate) fn pop(&self, inbox: &Inbox) -> Option<Event> {
        if !self.backlog.borrow().is_empty() {
            return self.backlog.borrow_mut().pop_front();
        }
        let mut place = MaybeUninit::uninit();
        if !self.pop_into(inbox, &mut place) {
            return self.pop_spilled(inbox);
        }
        // SAFETY: `pop_into` has put an event there.
        Some(unsafe { place.assume_init() })
    }

    /// Copies the oldest event of the ring to `place`; false if there is none, and nothing is there.
    #[inline(always)]
    fn pop_into(&self, inbox: &Inbox, place: &mut MaybeUninit<Event>) -> bool {
        let head = self.head.get();
        let slot = inbox.slot(head);
        // Acquire: pairs with the Release in `push` that published the event.
        if slot.sequence.load(Acquire) != head + 1 {
            return false;
        }
        slot.event.with(|cell| {
            // SAFETY: the sequence number says that position `head` is published; only this consumer takes it, once.
            unsafe { std::ptr::copy_nonoverlapping(cell, place, 1) }
        });
        self.head.set(head + 1);
        if (head + 1) & self.publish_mask == 0 {
            // Release: frees the slots to the Acquire in `renew_limit`.
            inbox.freed.store(head + 1, Release);
        }
        self.since_look.set(self.since_look.get() + 1);
        true
    }

    /// Looks for a spill list, now and then.
    #[inline]
    fn pop_spilled(&self, inbox: &Inbox) -> Option<Event> {
        let capacity = inbox.slots.len() as u32;
        let since_look = self.since_look.get();
        if since_look < capacity {
            self.since_look.set(since_look + capacity.div_ceil(EMPTY_POLLS_PER_LOOK));
            return None;
        }
        self.since_look.set(0);
        self.take_spilled(inbox)
    }

    /// The next `pop` that finds the ring empty looks for a spill list.
    pub(super) fn look_next(&self, inbox: &Inbox) {
        self.since_look.set(inbox.slots.len() as u32);
    }

    #[cold]
    fn take_spilled(&self, inbox: &Inbox) -> Option<Event> {
        let tail = inbox.senders.tail.load(Acquire);
        // Claimed but unpublished events come first: the next poll will find them.
        if tail & SPILLING == 0 || tail >> POSITION_SHIFT != self.head.get() {
            return None;
        }
        let mut spilled = inbox.spilled.lock().unwrap_or_else(PoisonError::into_inner);
        // No sender claims ring positions while the bit stands, so `head` is still the position in the word.
        inbox.senders.tail.fetch_and(!SPILLING, AcqRel);
        let mut backlog = self.backlog.borrow_mut();
        std::mem::swap(&mut *backlog, &mut spilled);
        backlog.pop_front()
    }

    /// Announces that the owner is about to sleep. `false` if there is, or may soon be, an event to take first.
    pub(crate) fn park(&self, inbox: &Inbox) -> bool {
        // Not even to be tried while events wait that were taken but not run.
        if !self.backlog.borrow().is_empty() {
            return false;
        }
        let drained = self.head.get() << POSITION_SHIFT;
        // AcqRel: see `poke`. Fails where a sender has claimed, spilled or closed.
        let parked = inbox.senders.tail.compare_exchange(drained, drained | PARKED, AcqRel, Relaxed).is_ok();
        self.look_next(inbox);
        parked
    }

    /// The owner is awake, for whatever reason.
    pub(crate) fn unpark(&self, inbox: &Inbox) {
        inbox.senders.tail.fetch_and(!PARKED, AcqRel);
    }

    /// Refuses all later events. What was accepted before is still there for `pop_closed`.
    pub(crate) fn close(&self, inbox: &Inbox) {
        inbox.senders.tail.fetch_or(CLOSED, AcqRel);
    }

    /// After [`close`](Self::close): the next event, waiting for senders that have claimed a slot and not filled it yet.
    pub(crate) fn pop_closed(&self, inbox: &Inbox) -> Option<Event> {
        loop {
            self.look_next(inbox);
            if let Some(event) = self.pop(inbox) {
                return Some(event);
            }
            let tail = inbox.senders.tail.load(Acquire);
            debug_assert!(tail & CLOSED != 0, "pop_closed on an open inbox");
            if tail >> POSITION_SHIFT == self.head.get() && tail & SPILLING == 0 {
                return None;
            }
            crate::sys::sync::hint::spin_loop();
        }
    }
}
