//! The tail word: where the next message goes, who waits, and whether the channel has ended.
//!
//! ```text
//!   word = position | flag bits                        set by                 cleared by
//!   RX_WAITS    the receiver sleeps at this position   receiver               the sender that claims it, which wakes it
//!   CLOSED      nothing is accepted any more           receiver               –
//!   TX_GONE     nothing will come any more             last sender            –
//!   LINE        senders wait; nobody overtakes them    first sender in line   last one, under the line's lock
//! ```
//!
//! A sender claims a position by exchanging the word, and by that one read-modify-write learns all of it: the receiver's
//! wait needs no fence and no flag of its own. A position that is claimed but not written yet keeps the receiver from
//! sleeping, since the word has moved.

use crate::sys::{
    sync::atomic::{AtomicUsize, Ordering},
    waker_slot::WakerSlot,
};
use std::task::Waker;

const RX_WAITS: usize = 1;
const CLOSED: usize = 2;
const TX_GONE: usize = 4;
const LINE: usize = 8;
/// Positions stand above the flags.
const SHIFT: u32 = 4;

/// The word, the receiver's waker, and the number of senders.
pub(super) struct Tail {
    word: AtomicUsize,
    senders: AtomicUsize,
    receiver: WakerSlot,
}

/// A value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(usize);

/// What a receiver that wants to wait is told.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Park {
    /// Nothing was sent; the waker will be woken.
    Waiting,
    /// A position was claimed: look again, though its message may not be written yet.
    Moved,
    /// Nothing will come.
    Ended,
}

impl Word {
    #[inline(always)]
    pub(super) fn position(self) -> usize {
        self.0 >> SHIFT
    }

    #[inline(always)]
    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    #[inline(always)]
    pub(super) fn has_line(self) -> bool {
        self.0 & LINE != 0
    }
}

impl Tail {
    /// At position 0, with one sender.
    pub(super) fn new() -> Self {
        Self { word: AtomicUsize::new(0), senders: AtomicUsize::new(1), receiver: WakerSlot::default() }
    }

    /// `position` as it stands in the word.
    #[inline(always)]
    pub(super) fn wrap(position: usize) -> usize {
        position & (usize::MAX >> SHIFT)
    }

    /// Acquire: sees what was done before the word was last moved.
    #[inline]
    pub(super) fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Moves the word from `old` to `position`. The claimant writes its message and then calls [`notify`](Self::notify)
    /// with `old`.
    #[inline]
    pub(super) fn claim(&self, old: Word, position: usize) -> Result<(), Word> {
        let new = position << SHIFT | old.0 & (CLOSED | TX_GONE | LINE);
        // Acquire: sees the waker of a waiting receiver. The message itself is published by its slot.
        match self.word.compare_exchange_weak(old.0, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(now) => Err(Word(now)),
        }
    }

    /// Wakes the receiver if the word that was claimed said that it waits.
    #[inline]
    pub(super) fn notify(&self, claimed: Word) {
        if claimed.0 & RX_WAITS != 0 {
            self.receiver.wake();
        }
    }

    /// Moves the word on by one position, flags kept: a sender's own second step after a claim.
    pub(super) fn skip(&self) {
        // Release: publishes what the sender has installed for that position.
        self.word.fetch_add(1 << SHIFT, Ordering::Release);
    }

    /// Waits for the word to move from `position`.
    pub(super) fn park(&self, position: usize, waker: &Waker) -> Park {
        // First the waker, then the flag: who finds the flag finds the waker.
        self.receiver.register(waker);
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word >> SHIFT != position {
                return Park::Moved;
            }
            if word & (TX_GONE | CLOSED) != 0 {
                return Park::Ended;
            }
            if word & RX_WAITS != 0 {
                return Park::Waiting;
            }
            // Release: publishes the waker to the Acquire in `claim`.
            match self.word.compare_exchange(word, word | RX_WAITS, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Park::Waiting,
                Err(now) => word = now,
            }
        }
    }

    /// Whether nothing comes after `position`.
    pub(super) fn is_ended_at(&self, position: usize) -> bool {
        let word = self.load();
        word.position() == position && word.0 & (TX_GONE | CLOSED) != 0
    }

    /// Refuses claims from now on.
    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Keeps senders from claiming out of turn, or lets them again. Returns the word before.
    pub(super) fn set_line(&self, waits: bool) -> Word {
        Word(match waits {
            true => self.word.fetch_or(LINE, Ordering::AcqRel),
            false => self.word.fetch_and(!LINE, Ordering::AcqRel),
        })
    }

    pub(super) fn add_sender(&self) {
        // Relaxed: a new sender is made from a living one.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_sender(&self) {
        // Release and Acquire: what every sender has sent is before the end.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let word = self.word.fetch_or(TX_GONE, Ordering::AcqRel);
            self.notify(Word(word));
        }
    }
}
