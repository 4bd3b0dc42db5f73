//! The slab of submitted operations: what a device has been asked and what it may still touch.
//!
//! Shared by the drivers (`uring`, later `nvme`), which know how to ask; knows neither rings nor queue pairs. A slot owns
//! the operation's [resource](Parcel) from the moment the future gives it away until the device has answered, whatever
//! becomes of the future: awaited, dropped, or forgotten.
//!
//! ```text
//!            ┌─1 queue──▶ Queued ──────────5 orphan────────────▶ free (never submitted: resource back at once)
//!            │               │ 3 submit
//!   insert ──┤               ▼
//!            └─2 start──▶ Waiting ──4 complete──▶ Completed ──6 poll, 7 orphan──▶ free
//!                            │ 8 orphan
//!                            ▼
//!                         Orphaned ──9 complete──▶ free (the driver gets the resource to abandon)
//! ```
//!
//! Edges 1 and 2 are taken by the future's first poll, 3, 4 and 9 by the driver, 5 to 8 by the future. A forgotten future
//! stays at Completed: its slot is lost, its memory never is.
//!
//! Operations that are answered more than once have a slab of their own, `streams`: the slots here pay nothing for them.

mod parcel;
mod streams;

pub(crate) use parcel::{Parcel, Payload};
pub(crate) use streams::{Answered, LINE_MAX, Line, Next, Streams};

use slab::Slab;
use std::task::Waker;

/// Names one operation for as long as the process may hear of it: the slab key, and a generation that tells the slot's
/// successive tenants apart. The generation's lowest bit is a mark that the driver chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Id {
    key: u32,
    generation: u32,
}

impl Id {
    /// The form that travels through the device and back: generation above, key below.
    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.key)
    }

    /// Reads back what [`to_bits`](Self::to_bits) wrote.
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { key: bits as u32, generation: (bits >> 32) as u32 }
    }

    /// What the driver marked the operation with.
    #[inline]
    pub(crate) fn mark(self) -> bool {
        self.generation & 1 == 1
    }

    /// The same operation, marked or not.
    pub(crate) fn marked(self, mark: bool) -> Self {
        Self { generation: self.generation & !1 | u32::from(mark), ..self }
    }
}

/// Keys stay below this, so that the driver has the bits above and some identities for itself.
pub(crate) const KEYS_MAX: usize = (1 << 30) - 4;

/// The operations in flight on one queue: `R` is what a slot keeps alive, `C` what the device answers.
pub(crate) struct Inflight<R, C> {
    slots: Slab<Slot<R, C>>,
    /// Given to the next slot, always even. It wraps after 2^31 operations, by when no completion of the first is outstanding.
    generation: u32,
}

struct Slot<R, C> {
    resource: R,
    state: State<C>,
    generation: u32,
}

enum State<C> {
    Queued(Waker),
    Waiting(Waker),
    Completed(C),
    Orphaned,
}

/// What the driver does after a completion.
#[must_use]
pub(crate) enum Completed<R> {
    /// Somebody awaits it.
    Wake(Waker),
    /// Nobody does: release the resource, and whatever the answer brought.
    Abandoned(R),
}

/// What the future learns when it asks.
#[must_use]
pub(crate) enum Polled<R, C> {
    /// The resource, and what the device answered. The slot is free.
    Ready(R, C),
    /// Not yet: the waker will be woken.
    Pending,
    /// Not yet, and another waker would be woken. Cloning may run anything, so the caller clones its waker with nothing
    /// borrowed and brings it with [`renew`](Inflight::renew).
    Stale,
}

/// What the future that gives up its operation does next. Wakers and resources are returned so that they are dropped
/// after the driver's borrow has ended: dropping them may run anything.
#[must_use]
pub(crate) enum Orphan<R, C> {
    /// The device never saw it.
    Unsubmitted(R, Waker),
    /// The device works on it: the slot keeps the resource, a cancel may be sent.
    InFlight(Waker),
    /// The device had answered.
    Answered(R, C),
}

impl<R, C> Inflight<R, C> {
    /// Makes room for `capacity` operations; more will fit.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { slots: Slab::with_capacity(capacity), generation: 0 }
    }

    /// Slots in use, those whose answer nobody has fetched included.
    #[cfg(all(test, not(loom)))]
    fn len(&self) -> usize {
        self.slots.len()
    }

    /// Edge 1: keeps `resource` for an operation that waits for room at the device.
    pub(crate) fn queue(&mut self, resource: R, waker: Waker, mark: bool) -> Id {
        self.insert(resource, State::Queued(waker), mark)
    }

    /// Edge 2: keeps `resource` for an operation that is handed to the device now.
    #[inline(always)]
    pub(crate) fn start(&mut self, resource: R, waker: Waker, mark: bool) -> Id {
        self.insert(resource, State::Waiting(waker), mark)
    }

    // Built where it stays: moved here by calls, it would be written in words and read back in vectors, which stalls.
    #[inline(always)]
    fn insert(&mut self, resource: R, state: State<C>, mark: bool) -> Id {
        let generation = self.generation | u32::from(mark);
        self.generation = self.generation.wrapping_add(2);
        let key = self.slots.insert(Slot { resource, state, generation });
        assert!(key < KEYS_MAX, "operations in flight: {key}");
        Id { key: key as u32, generation }
    }

    /// Edge 3: the device takes a queued operation. False if its future has given it up since.
    pub(crate) fn submit(&mut self, id: Id) -> bool {
        let Some(slot) = self.slots.get_mut(id.key as usize) else { return false };
        if slot.generation != id.generation {
            return false;
        }
        match std::mem::replace(&mut slot.state, State::Orphaned) {
            State::Queued(waker) => slot.state = State::Waiting(waker),
            _ => panic!("submitted twice: {id:?}"),
        }
        true
    }

    /// Edges 4 and 9: the device has answered.
    ///
    /// # Panics
    /// If no operation of this name is in flight: a stale or repeated completion must not reach another's task.
    #[inline]
    pub(crate) fn complete(&mut self, id: Id, answer: C) -> Completed<R> {
        let slot = self.slots.get_mut(id.key as usize);
        let found = slot.as_ref().map(|slot| slot.generation);
        let Some(slot) = slot.filter(|slot| slot.generation == id.generation) else {
            panic!("stale completion: {id:?}, the slot's generation is {found:?}");
        };
        match std::mem::replace(&mut slot.state, State::Completed(answer)) {
            State::Waiting(waker) => Completed::Wake(waker),
            State::Orphaned => Completed::Abandoned(self.slots.remove(id.key as usize).resource),
            State::Completed(_) => panic!("repeated completion: {id:?}"),
            State::Queued(_) => panic!("completion of an operation that was never submitted: {id:?}"),
        }
    }

    /// Edge 6: the future asks, and while the answer is outstanding has `waker` woken by it.
    #[inline]
    pub(crate) fn poll(&mut self, id: Id, waker: &Waker) -> Polled<R, C> {
        match &mut self.tenant(id).state {
            State::Completed(_) => {
                let slot = self.slots.remove(id.key as usize);
                let State::Completed(answer) = slot.state else { unreachable!("matched above") };
                Polled::Ready(slot.resource, answer)
            }
            State::Queued(current) | State::Waiting(current) => {
                if current.will_wake(waker) {
                    Polled::Pending
                } else {
                    Polled::Stale
                }
            }
            State::Orphaned => panic!("polled after it was dropped: {id:?}"),
        }
    }

    /// Has `waker` woken by the answer from now on. Returns the one displaced, to be dropped with nothing borrowed; as an error
    /// the waker itself, if the answer has come meanwhile: then the future polls again.
    pub(crate) fn renew(&mut self, id: Id, waker: Waker) -> Result<Waker, Waker> {
        match &mut self.tenant(id).state {
            State::Queued(current) | State::Waiting(current) => Ok(std::mem::replace(current, waker)),
            State::Completed(_) | State::Orphaned => Err(waker),
        }
    }

    /// Edges 5, 7 and 8: the future gives up.
    pub(crate) fn orphan(&mut self, id: Id) -> Orphan<R, C> {
        let slot = self.tenant(id);
        if let State::Waiting(_) = slot.state {
            let State::Waiting(waker) = std::mem::replace(&mut slot.state, State::Orphaned) else {
                unreachable!("matched above")
            };
            return Orphan::InFlight(waker);
        }
        let slot = self.slots.remove(id.key as usize);
        match slot.state {
            State::Queued(waker) => Orphan::Unsubmitted(slot.resource, waker),
            State::Completed(answer) => Orphan::Answered(slot.resource, answer),
            State::Waiting(_) | State::Orphaned => panic!("dropped twice: {id:?}"),
        }
    }

    /// The operation, with its mark, if the device has been given it and has not answered. `id` names it unmarked.
    pub(crate) fn in_flight(&self, id: Id) -> Option<Id> {
        let slot = self.slots.get(id.key as usize)?;
        let whole = Id { generation: slot.generation, ..id };
        let is_there = matches!(slot.state, State::Waiting(_) | State::Orphaned);
        (is_there && whole.marked(false) == id).then_some(whole)
    }

    /// The operations that the device has not answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Id> + '_ {
        self.slots
            .iter()
            .filter(|(_, slot)| matches!(slot.state, State::Waiting(_) | State::Orphaned))
            .map(|(key, slot)| Id { key: key as u32, generation: slot.generation })
    }

    #[inline]
    fn tenant(&mut self, id: Id) -> &mut Slot<R, C> {
        let slot = &mut self.slots[id.key as usize];
        assert!(slot.generation == id.generation, "not this operation's slot: {id:?}, {}", slot.generation);
        slot
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
