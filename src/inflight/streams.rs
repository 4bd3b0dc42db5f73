//! Operations that the device answers more than once: one slot and a line of answers for each, beside the slab of
//! [`Inflight`](super::Inflight) for those that are answered once.
//!
//! A slot shares the operation's resource (`R` is counted) with the stream that awaits it. Answers that nobody has taken yet
//! stand in a line, a list through nodes that all lines share: none is allocated once there are enough of them. A line that
//! has grown to [`LINE_MAX`] tells the driver to cancel the operation; the stream asks again when it has taken all of them,
//! so that a consumer who is slow or gone never holds more than that and what the device answers before it has understood.
//! A cancel may find the operation at work and change nothing. The driver learns that from the device's answer to it, and
//! repeats it for as long as the operation is [in flight](Streams::in_flight).
//!
//! ```text
//!            ┌─1 queue──▶ Queued ──────────9 orphan──────────────────▶ free (never submitted)
//!            │               │ 3 submit
//!   insert ──┤               ▼ ┌────┐ 4 answer: into the line, awaiter woken
//!            └─2 start──▶ Flowing ◀─┘
//!                         │ │ │ └──5 answer: the line is full, cancel──▶ Pausing ◀─┐ 4
//!                         │ │ │                                         │ │ └──────┘
//!                         │ │ └─6 last answer──▶ Ended ◀─────6──────────┼─┘
//!                         │ │                      │ 7 poll, the line empty; 9 orphan ──▶ free
//!                         │ └────8 end─────▶ Ending ◀──────8────────────┤ (an answer goes back to the driver to abandon;
//!                         │ 9 orphan           │ 6 ──▶ Ended            │  the last one into the line)
//!                         ▼                    ▼ 9                      │
//!                     Orphaned ◀───────────────┴────────────9───────────┘
//!                         └──10 answer: back to the driver to abandon; after the last ──▶ free
//! ```
//!
//! Edges 1 and 2 are taken by the stream's poll, 3 to 6, 8 and 10 by the driver, 7 and 9 by the stream.

use super::{Id, KEYS_MAX};
use slab::Slab;
use std::task::Waker;

/// So many answers wait for the stream before the device is asked to stop: a batch that a task takes in one poll, some
/// microseconds of work; asking again costs two entries, for so many answers next to nothing.
pub(crate) const LINE_MAX: u32 = 64;

/// The streams on one queue: `R` is what each keeps alive, `C` what the device answers.
pub(crate) struct Streams<R, C> {
    slots: Slab<Slot<R>>,
    nodes: Slab<Node<C>>,
    /// Given to the next slot, always even: the names of streams are unmarked.
    generation: u32,
}

struct Slot<R> {
    resource: R,
    state: State,
    /// Nobody's after it was woken, until the stream is polled again.
    waker: Option<Waker>,
    line: Line,
    generation: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Queued,
    Flowing,
    Pausing,
    Ending,
    Ended { was_paused: bool },
    Orphaned,
}

impl State {
    fn is_in_flight(self) -> bool {
        !matches!(self, Self::Queued | Self::Ended { .. })
    }
}

struct Node<C> {
    answer: C,
    next: u32,
}

/// Answers in the order in which they came.
#[derive(Debug)]
pub(crate) struct Line {
    first: u32,
    last: u32,
    len: u32,
}

const NONE: u32 = u32::MAX;

impl Line {
    const EMPTY: Self = Self { first: NONE, last: NONE, len: 0 };

    fn push<C>(&mut self, nodes: &mut Slab<Node<C>>, answer: C) {
        let at = nodes.insert(Node { answer, next: NONE });
        assert!(at < KEYS_MAX, "answers that nobody takes: {at}");
        match self.last {
            NONE => self.first = at as u32,
            last => nodes[last as usize].next = at as u32,
        }
        self.last = at as u32;
        self.len += 1;
    }

    fn pop<C>(&mut self, nodes: &mut Slab<Node<C>>) -> Option<C> {
        if self.first == NONE {
            return None;
        }
        let Node { answer, next } = nodes.remove(self.first as usize);
        self.first = next;
        if next == NONE {
            self.last = NONE;
        }
        self.len -= 1;
        Some(answer)
    }
}

/// What the driver does after an answer. Nothing of it happens inside of the driver's borrow.
#[must_use]
pub(crate) enum Answered<R> {
    /// The stream awaits it, or will find it when next polled.
    Kept(Option<Waker>),
    /// As above, and the line is full: the operation is to be cancelled.
    Full(Option<Waker>),
    /// Nobody will take it: release what it brought.
    Abandoned(R),
}

/// What the stream learns when it asks.
#[must_use]
pub(crate) enum Next<C> {
    /// The oldest answer; more may come.
    Answer(C),
    /// The last answer. The slot is free.
    Last {
        /// The answer.
        answer: C,
        /// Whether the driver had cancelled the operation because the line was full.
        was_paused: bool,
    },
    /// None yet: the waker will be woken.
    Pending,
    /// None yet, and the stream brings a clone of its waker with [`renew`](Streams::renew).
    Stale,
}

impl<R: Clone, C> Streams<R, C> {
    pub(crate) fn new() -> Self {
        Self { slots: Slab::new(), nodes: Slab::new(), generation: 0 }
    }

    /// Edge 1: keeps `resource` for an operation that waits for room at the device.
    pub(crate) fn queue(&mut self, resource: R, waker: Waker) -> Id {
        self.insert(resource, State::Queued, waker)
    }

    /// Edge 2: keeps `resource` for an operation that is handed to the device now.
    pub(crate) fn start(&mut self, resource: R, waker: Waker) -> Id {
        self.insert(resource, State::Flowing, waker)
    }

    fn insert(&mut self, resource: R, state: State, waker: Waker) -> Id {
        let generation = self.generation;
        self.generation = generation.wrapping_add(2);
        let slot = Slot { resource, state, waker: Some(waker), line: Line::EMPTY, generation };
        let key = self.slots.insert(slot);
        assert!(key < KEYS_MAX, "streams in flight: {key}");
        Id { key: key as u32, generation }
    }

    /// Edge 3: the device takes a queued operation. False if its stream has given it up since.
    pub(crate) fn submit(&mut self, id: Id) -> bool {
        let Some(slot) = self.slots.get_mut(id.key as usize) else { return false };
        if slot.generation != id.generation {
            return false;
        }
        assert!(slot.state == State::Queued, "submitted twice: {id:?} is {:?}", slot.state);
        slot.state = State::Flowing;
        true
    }

    /// Edges 4, 5, 6 and 10: the device has answered. `is_last` says that it will not again.
    ///
    /// # Panics
    /// If no operation of this name is in flight.
    pub(crate) fn answer(&mut self, id: Id, answer: C, is_last: bool) -> Answered<R> {
        let slot = self.slots.get_mut(id.key as usize);
        let found = slot.as_ref().map(|slot| (slot.generation, slot.state));
        let Some(slot) = slot.filter(|slot| slot.generation == id.generation) else {
            panic!("stale answer: {id:?}, the slot is {found:?}");
        };
        match (slot.state, is_last) {
            (State::Flowing | State::Pausing | State::Ending, true) => {
                slot.state = State::Ended { was_paused: slot.state == State::Pausing };
            }
            (State::Flowing, false) if slot.line.len + 1 == LINE_MAX => {
                slot.state = State::Pausing;
                slot.line.push(&mut self.nodes, answer);
                return Answered::Full(slot.waker.take());
            }
            (State::Flowing | State::Pausing, false) => {}
            (State::Ending | State::Orphaned, false) => return Answered::Abandoned(slot.resource.clone()),
            (State::Orphaned, true) => {
                return Answered::Abandoned(self.slots.remove(id.key as usize).resource);
            }
            (State::Queued | State::Ended { .. }, _) => {
                panic!("answer to an operation that is not in flight: {id:?} is {:?}", slot.state)
            }
        }
        slot.line.push(&mut self.nodes, answer);
        Answered::Kept(slot.waker.take())
    }

    /// Edge 7: the stream asks, and while there is no answer has `waker` woken by the next one.
    pub(crate) fn poll(&mut self, id: Id, waker: &Waker) -> Next<C> {
        let slot = &mut self.slots[id.key as usize];
        assert!(slot.generation == id.generation, "not this stream's slot: {id:?}, {}", slot.generation);
        let Some(answer) = slot.line.pop(&mut self.nodes) else {
            return match &slot.waker {
                Some(current) if current.will_wake(waker) => Next::Pending,
                _ => Next::Stale,
            };
        };
        match slot.state {
            State::Ended { was_paused } if slot.line.len == 0 => {
                self.slots.remove(id.key as usize);
                Next::Last { answer, was_paused }
            }
            _ => Next::Answer(answer),
        }
    }

    /// Has `waker` woken by the next answer. Returns what it displaced, to be dropped with nothing borrowed; as an error the
    /// waker itself, if an answer has come meanwhile: then the stream polls again.
    pub(crate) fn renew(&mut self, id: Id, waker: Waker) -> Result<Option<Waker>, Waker> {
        let slot = &mut self.slots[id.key as usize];
        assert!(slot.generation == id.generation, "not this stream's slot: {id:?}, {}", slot.generation);
        if slot.line.len > 0 { Err(waker) } else { Ok(slot.waker.replace(waker)) }
    }

    /// Edge 9: the stream gives up. Returns whether the device works on the operation, so that a cancel may be sent; the
    /// answers in line, to be [taken](Self::take) and abandoned; and the waker, to be dropped with nothing borrowed.
    pub(crate) fn orphan(&mut self, id: Id) -> (bool, Line, Option<Waker>) {
        let slot = &mut self.slots[id.key as usize];
        assert!(slot.generation == id.generation, "not this stream's slot: {id:?}, {}", slot.generation);
        let (line, waker) = (std::mem::replace(&mut slot.line, Line::EMPTY), slot.waker.take());
        match slot.state {
            State::Flowing | State::Pausing | State::Ending => {
                slot.state = State::Orphaned;
                (true, line, waker)
            }
            State::Queued | State::Ended { .. } => {
                // The stream shares the resource, so that nothing of others is dropped here.
                self.slots.remove(id.key as usize);
                (false, line, waker)
            }
            State::Orphaned => panic!("dropped twice: {id:?}"),
        }
    }

    /// Edge 8, for all streams: the device is asked to give up everything. What comes from now on is abandoned, but for the last
    /// answer. Returns what nobody has taken so far, to be abandoned too.
    pub(crate) fn end_all(&mut self) -> Vec<(R, Line)> {
        let mut lines = Vec::new();
        for (_, slot) in &mut self.slots {
            if matches!(slot.state, State::Flowing | State::Pausing) {
                slot.state = State::Ending;
                if slot.line.len > 0 {
                    lines.push((slot.resource.clone(), std::mem::replace(&mut slot.line, Line::EMPTY)));
                }
            }
        }
        lines
    }

    /// Takes the oldest answer out of a line that left its stream.
    pub(crate) fn take(&mut self, line: &mut Line) -> Option<C> {
        line.pop(&mut self.nodes)
    }

    /// The resource of an operation that the device will answer again. `None` too for one that is long gone.
    pub(crate) fn in_flight(&self, id: Id) -> Option<&R> {
        let slot = self.slots.get(id.key as usize).filter(|slot| slot.generation == id.generation)?;
        slot.state.is_in_flight().then_some(&slot.resource)
    }

    /// The operations that the device will answer, and their resources.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (Id, &R)> {
        self.slots
            .iter()
            .filter(|(_, slot)| slot.state.is_in_flight())
            .map(|(key, slot)| (Id { key: key as u32, generation: slot.generation }, &slot.resource))
    }

    /// Slots in use, and answers that nobody has taken.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.slots.len(), self.nodes.len())
    }
}

#[cfg(all(test, not(loom)))]
#[path = "streams_tests.rs"]
mod tests;
