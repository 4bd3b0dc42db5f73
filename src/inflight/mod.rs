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

mod ask;
mod parcel;
mod streams;

pub(crate) use parcel::{Parcel, Payload};
pub(crate) use streams::{Answered, LINE_MAX, Line, Next, Streams};

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
pub(crate) const KEYS_MAX: usize = (1 << 30) - 8;

/// The operations in flight on one queue: `R` is what a slot keeps alive, `C` what the device answers.
pub(crate) struct Inflight<R, C> {
    slots: Vec<Slot<R, C>>,
    /// The slot freed last, which the next operation gets as it is at hand in the cache. Each free slot names another.
    free: u32,
    /// Given to the next slot, always even. It wraps after 2^31 operations, by when no completion of the first is outstanding.
    generation: u32,
}

/// Filled and emptied field by field, where it stands: what is built elsewhere and moved here is written in words and read back in
/// vectors, which waits for the stores.
struct Slot<R, C> {
    state: State<C>,
    generation: u32,
    /// Whom the answer wakes, in the first two states after `Free`.
    waker: Option<Waker>,
    /// `None` in `Free` only.
    resource: Option<R>,
}

#[derive(Clone, Copy)]
enum State<C> {
    /// The next free slot.
    Free(u32),
    Queued,
    Waiting,
    Completed(C),
    Orphaned,
}

/// No slot.
const NONE: u32 = u32::MAX;

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
    Unsubmitted(R, Option<Waker>),
    /// The device works on it: the slot keeps the resource, a cancel may be sent.
    InFlight(Option<Waker>),
    /// The device had answered.
    Answered(R, C),
}

impl<R, C: Copy> Inflight<R, C> {
    /// Makes room for `capacity` operations; more will fit.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), free: NONE, generation: 0 }
    }

    /// Slots in use, those whose answer nobody has fetched included.
    #[cfg(all(test, not(loom)))]
    fn len(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot.state, State::Free(_))).count()
    }

    /// Edge 1: keeps `resource` for an operation that waits for room at the device.
    pub(crate) fn queue(&mut self, resource: R, waker: Waker, mark: bool) -> Id {
        self.insert(|| resource, State::Queued, waker, mark)
    }

    /// Edge 2: keeps what `resource` makes for an operation that is handed to the device now.
    #[inline(always)]
    pub(crate) fn start(&mut self, resource: impl FnOnce() -> R, waker: Waker, mark: bool) -> Id {
        self.insert(resource, State::Waiting, waker, mark)
    }

    /// The resource is made when nothing can fail any more, or it would lie in memory elsewhere to be dropped if it did.
    #[inline(always)]
    fn insert(&mut self, resource: impl FnOnce() -> R, state: State<C>, waker: Waker, mark: bool) -> Id {
        if self.free == NONE {
            self.grow();
        }
        let key = self.free;
        let slot = &mut self.slots[key as usize];
        let State::Free(next) = slot.state else { unreachable!("a free slot is free") };
        self.free = next;
        let generation = self.generation | u32::from(mark);
        self.generation = self.generation.wrapping_add(2);
        slot.generation = generation;
        slot.state = state;
        // Nothing was there: what it asks for is not to be looked for.
        std::mem::forget((slot.waker.replace(waker), slot.resource.replace(resource())));
        Id { key, generation }
    }

    /// Makes a slot when none is free.
    #[cold]
    fn grow(&mut self) {
        let key = self.slots.len();
        assert!(key < KEYS_MAX, "operations in flight: {key}");
        self.slots.push(Slot { state: State::Free(NONE), generation: 0, waker: None, resource: None });
        self.free = key as u32;
    }

    /// Edge 3: the device takes a queued operation. False if its future has given it up since.
    pub(crate) fn submit(&mut self, id: Id) -> bool {
        let Some(slot) = self.slots.get_mut(id.key as usize) else { return false };
        if slot.generation != id.generation || matches!(slot.state, State::Free(_)) {
            return false;
        }
        assert!(matches!(slot.state, State::Queued), "submitted twice: {id:?}");
        slot.state = State::Waiting;
        true
    }

    /// Edges 4 and 9: the device has answered. Returns who awaits it; if nobody does, the driver [takes](Self::take_orphaned) the
    /// resource, and releases it and whatever the answer brought.
    ///
    /// # Panics
    /// If no operation of this name is in flight: a stale or repeated completion must not reach another's task.
    #[inline(always)]
    #[must_use]
    pub(crate) fn complete(&mut self, id: Id, answer: C) -> Option<Waker> {
        if let Some(slot) = self.slots.get_mut(id.key as usize) {
            if slot.generation == id.generation && matches!(slot.state, State::Waiting) {
                slot.state = State::Completed(answer);
                return slot.waker.take();
            }
        }
        self.check_orphaned(id);
        None
    }

    #[cold]
    fn check_orphaned(&self, id: Id) {
        let slot = self.slots.get(id.key as usize).filter(|slot| !matches!(slot.state, State::Free(_)));
        let found = slot.map(|slot| slot.generation);
        let Some(slot) = slot.filter(|slot| slot.generation == id.generation) else {
            panic!("stale completion: {id:?}, the slot's generation is {found:?}");
        };
        match slot.state {
            State::Orphaned => {}
            State::Completed(_) => panic!("repeated completion: {id:?}"),
            _ => panic!("completion of an operation that was never submitted: {id:?}"),
        }
    }

    /// The rest of edge 9: what an answered operation kept that nobody awaits.
    pub(crate) fn take_orphaned(&mut self, id: Id) -> R {
        self.check_orphaned(id);
        self.release(id)
    }

    /// Edge 6: the future asks, and while the answer is outstanding has `waker` woken by it.
    #[inline(always)]
    pub(crate) fn poll(&mut self, id: Id, waker: &Waker) -> Polled<R, C> {
        let slot = self.tenant(id);
        if let State::Completed(answer) = slot.state {
            return Polled::Ready(self.release(id), answer);
        }
        match &slot.waker {
            Some(current) if current.will_wake(waker) => Polled::Pending,
            Some(_) => Polled::Stale,
            None => polled_after_drop(id),
        }
    }

    /// Has `waker` woken by the answer from now on. Returns the one displaced, to be dropped with nothing borrowed; as an error
    /// the waker itself, if the answer has come meanwhile: then the future polls again.
    pub(crate) fn renew(&mut self, id: Id, waker: Waker) -> Result<Option<Waker>, Waker> {
        let slot = self.tenant(id);
        match slot.state {
            State::Queued | State::Waiting => Ok(slot.waker.replace(waker)),
            _ => Err(waker),
        }
    }

    /// Edges 5, 7 and 8: the future gives up.
    pub(crate) fn orphan(&mut self, id: Id) -> Orphan<R, C> {
        let slot = self.tenant(id);
        match slot.state {
            State::Waiting => {
                slot.state = State::Orphaned;
                Orphan::InFlight(slot.waker.take())
            }
            State::Queued => {
                let waker = slot.waker.take();
                Orphan::Unsubmitted(self.release(id), waker)
            }
            State::Completed(answer) => Orphan::Answered(self.release(id), answer),
            State::Orphaned | State::Free(_) => panic!("dropped twice: {id:?}"),
        }
    }

    /// Frees the slot.
    #[inline(always)]
    fn release(&mut self, id: Id) -> R {
        let slot = &mut self.slots[id.key as usize];
        slot.state = State::Free(self.free);
        self.free = id.key;
        slot.resource.take().expect("it is kept until now")
    }

    /// What an operation keeps that the device has not answered.
    ///
    /// # Panics
    /// If there is no such operation.
    #[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "NVMe's commands wait with their payload"))]
    pub(crate) fn resource(&self, id: Id) -> &R {
        let slot = self.slots.get(id.key as usize).filter(|slot| slot.generation == id.generation);
        slot.and_then(|slot| slot.resource.as_ref()).expect("an operation in flight")
    }

    /// The operations that are not answered, those that wait for room included.
    #[cfg_attr(
        not(feature = "nvme"),
        allow(dead_code, reason = "NVMe waits for all that was sent before a format")
    )]
    pub(crate) fn open(&self) -> impl Iterator<Item = Id> + '_ {
        let open = (0..).zip(&self.slots).filter(|(_, slot)| slot.is_open());
        open.map(|(key, slot)| Id { key, generation: slot.generation })
    }

    /// Those that a waker of this kind is to be woken for.
    #[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "NVMe aborts by it"))]
    pub(crate) fn awaited_by(&self, is_it: impl Fn(&Waker) -> bool) -> impl Iterator<Item = Id> {
        let awaited = move |slot: &Slot<R, C>| {
            matches!(slot.state, State::Queued | State::Waiting) && slot.waker.as_ref().is_some_and(&is_it)
        };
        let awaited = (0..).zip(&self.slots).filter(move |(_, slot)| awaited(slot));
        awaited.map(|(key, slot)| Id { key, generation: slot.generation })
    }

    /// Those that the device has and nobody awaits any more.
    #[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "NVMe waits for them, or aborts them"))]
    pub(crate) fn orphans(&self) -> impl Iterator<Item = Id> + '_ {
        let orphans = (0..).zip(&self.slots).filter(|(_, slot)| matches!(slot.state, State::Orphaned));
        orphans.map(|(key, slot)| Id { key, generation: slot.generation })
    }

    /// Whether this one is one of [them](Self::open).
    #[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "as above"))]
    pub(crate) fn is_open(&self, id: Id) -> bool {
        self.slots.get(id.key as usize).is_some_and(|slot| slot.generation == id.generation && slot.is_open())
    }

    /// The operation, with its mark, if the device has been given it and has not answered. `id` names it unmarked.
    pub(crate) fn in_flight(&self, id: Id) -> Option<Id> {
        let slot = self.slots.get(id.key as usize)?;
        let whole = Id { generation: slot.generation, ..id };
        (slot.is_in_flight() && whole.marked(false) == id).then_some(whole)
    }

    /// The operations that the device has not answered.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Id> + '_ {
        let in_flight = (0..).zip(&self.slots).filter(|(_, slot)| slot.is_in_flight());
        in_flight.map(|(key, slot)| Id { key, generation: slot.generation })
    }

    #[inline(always)]
    fn tenant(&mut self, id: Id) -> &mut Slot<R, C> {
        let slot = &mut self.slots[id.key as usize];
        if slot.generation != id.generation {
            not_its_slot(id, slot.generation);
        }
        slot
    }
}

// Apart, as what is formatted lies in memory.
#[cold]
fn not_its_slot(id: Id, found: u32) -> ! {
    panic!("not this operation's slot: {id:?}, {found}")
}

#[cold]
fn polled_after_drop(id: Id) -> ! {
    panic!("polled after it was dropped: {id:?}")
}

impl<R, C> Slot<R, C> {
    fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Waiting | State::Orphaned)
    }

    fn is_open(&self) -> bool {
        self.is_in_flight() || matches!(self.state, State::Queued)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
