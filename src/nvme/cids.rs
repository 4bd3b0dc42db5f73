//! Command identifiers: what a completion calls its command, and whose that is.

use crate::inflight::Id;

/// Identifiers for `capacity` commands at a time: a slot in the low bits, and above it how often the slot was used, so that a
/// completion that comes twice or far too late is nobody's.
pub(super) struct Cids {
    slots: Box<[Slot]>,
    /// The one freed last is used next, as it is at hand in the cache.
    free: Vec<u16>,
    slot_bits: u32,
    /// How often commands were counted older.
    age: u8,
    /// Those of commands that the controller was asked to abort.
    kept: Vec<Kept>,
}

/// An identifier that no other command gets: the controller may yet look for it, to abort what it finds.
struct Kept {
    cid: u16,
    /// Its command was answered.
    is_answered: bool,
}

/// Changed in the slot of a kept identifier, so that nothing has that at first sight: it costs the others nothing. Always above the slot.
const HIDDEN: u16 = 1 << 15;

struct Slot {
    /// The identifier of its command, or of the one that it had last.
    cid: u16,
    /// The count when its command got it.
    since: u8,
    owner: Option<Id>,
}

/// The specification keeps it for "no command" (Base 2.0 §5.16.1.2).
const NO_COMMAND: u16 = u16::MAX;

impl Cids {
    /// # Panics
    /// If `capacity` is 0 or above 32,767: each slot has two identifiers at least.
    pub(super) fn new(capacity: u16) -> Self {
        assert!((1..1 << 15).contains(&capacity), "commands at a time: {capacity}");
        let slots = (0..capacity).map(|index| Slot { cid: index, since: 0, owner: None }).collect();
        let slot_bits = u32::from(capacity).next_power_of_two().trailing_zeros();
        Self { slots, free: (0..capacity).rev().collect(), slot_bits, age: 0, kept: Vec::new() }
    }

    /// How many commands may have one at a time.
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether two are left.
    pub(super) fn has_two(&self) -> bool {
        self.free.len() >= 2
    }

    /// How many commands have one.
    #[inline(always)]
    pub(super) fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The slot of the identifier that is taken next; none if all are in use.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<usize> {
        self.free.last().copied().map(usize::from)
    }

    /// An identifier for `owner`'s command, that of the [next](Self::next) slot; none if all are in use.
    #[inline(always)]
    pub(super) fn take(&mut self, owner: Id) -> Option<u16> {
        let index = usize::from(self.free.pop()?);
        let slot = &mut self.slots[index];
        slot.cid = slot.cid.wrapping_add(1 << self.slot_bits);
        if slot.cid == NO_COMMAND {
            slot.cid = slot.cid.wrapping_add(1 << self.slot_bits);
        }
        slot.since = self.age;
        slot.owner = Some(owner);
        Some(slot.cid)
    }

    /// Whose command has this identifier; it has it no longer.
    #[inline(always)]
    pub(super) fn release(&mut self, cid: u16) -> Option<Id> {
        let index = self.index(cid);
        let slot = self.slots.get_mut(usize::from(index))?;
        if slot.cid != cid {
            return None;
        }
        let owner = slot.owner.take()?;
        self.free.push(index);
        Some(owner)
    }

    #[inline(always)]
    fn index(&self, cid: u16) -> u16 {
        cid & ((1_u32 << self.slot_bits) - 1) as u16
    }

    /// The identifier of a command of `owner`'s, unless it is kept.
    pub(super) fn of(&self, owner: Id) -> Option<u16> {
        let slot = self.slots.iter().find(|slot| slot.owner == Some(owner))?;
        (!self.is_kept(slot.cid ^ HIDDEN)).then_some(slot.cid)
    }

    /// Keeps an identifier from other commands until it is [let go of](Self::let_go). False if no command has it, or it is kept.
    pub(super) fn keep(&mut self, cid: u16) -> bool {
        let index = usize::from(self.index(cid));
        let slot = self.slots.get_mut(index).filter(|slot| slot.cid == cid && slot.owner.is_some());
        let Some(slot) = slot else { return false };
        slot.cid ^= HIDDEN;
        self.kept.push(Kept { cid, is_answered: false });
        true
    }

    /// Whether it is kept for a command that has not been answered.
    pub(super) fn is_kept(&self, cid: u16) -> bool {
        self.kept.iter().any(|kept| kept.cid == cid && !kept.is_answered)
    }

    /// As [`release`](Self::release), of one that is kept: no other command gets it yet.
    #[cold]
    pub(super) fn release_kept(&mut self, cid: u16) -> Option<Id> {
        let index = usize::from(self.index(cid));
        let kept = self.kept.iter_mut().find(|kept| kept.cid == cid && !kept.is_answered)?;
        kept.is_answered = true;
        self.slots[index].owner.take()
    }

    /// Other commands may have it.
    pub(super) fn let_go(&mut self, cid: u16) {
        if let Some(at) = self.kept.iter().position(|kept| kept.cid == cid) {
            let (kept, index) = (self.kept.swap_remove(at), self.index(cid));
            self.slots[usize::from(index)].cid = cid;
            if kept.is_answered {
                self.free.push(index);
            }
        }
    }

    /// The controller looks for none any more.
    pub(super) fn let_all_go(&mut self) {
        while let Some(kept) = self.kept.last() {
            self.let_go(kept.cid);
        }
    }

    /// Takes one from a command that will not be answered, and says which slot it was; none if there is no such command.
    pub(super) fn release_any(&mut self) -> Option<(usize, Id)> {
        let at = self.slots.iter().position(|slot| slot.owner.is_some())?;
        let owner = self.release(self.slots[at].cid)?;
        Some((at, owner))
    }

    /// Counts all commands older by one.
    pub(super) fn age(&mut self) {
        self.age = self.age.wrapping_add(1);
    }

    /// The identifiers of commands that are at least so old: they were counted so often.
    pub(super) fn older(&self, age: u8) -> impl Iterator<Item = u16> + '_ {
        let is_older = move |slot: &&Slot| slot.owner.is_some() && self.age.wrapping_sub(slot.since) >= age;
        let cid = |slot: &Slot| match self.is_kept(slot.cid ^ HIDDEN) {
            true => slot.cid ^ HIDDEN,
            false => slot.cid,
        };
        self.slots.iter().filter(is_older).map(cid)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_belongs_to_one_command_once() {
        for capacity in [1, 2, 3, 31, 32, 1023, (1 << 15) - 1] {
            let mut cids = Cids::new(capacity);
            let id = Id::from_bits;
            let mut take = |n| (cids.next().unwrap(), cids.take(id(n)).unwrap());
            let taken: Vec<_> = (0..capacity).map(|n| take(n.into())).collect();
            assert!(cids.next().is_none() && cids.take(id(0)).is_none());
            assert_eq!(cids.used(), usize::from(capacity));
            for (n, &(slot, cid)) in (0_u64..).zip(&taken) {
                assert!(slot < capacity.into());
                assert_eq!(cids.release(cid), Some(id(n)));
                assert_eq!(cids.release(cid), None, "a second time");
            }
            let again = cids.take(id(7)).unwrap();
            assert!(taken.iter().all(|&(_, cid)| cid != again), "the slot's next command has another");
            let spent: Vec<_> = (0..=u16::MAX).filter(|&cid| cid != again).collect();
            assert!(spent.into_iter().all(|cid| cids.release(cid).is_none()));
            assert_eq!(cids.release_any().map(|(_, id)| id), Some(id(7)));
        }
    }

    #[test]
    fn no_command_is_called_what_means_none() {
        let mut cids = Cids::new(2);
        let ids: Vec<_> = (0..2).map(|_| cids.take(Id::from_bits(0)).unwrap()).collect();
        ids.into_iter().for_each(|cid| _ = cids.release(cid));
        for _ in 0..1 << 17 {
            let one = cids.take(Id::from_bits(1)).unwrap();
            let other = cids.take(Id::from_bits(2)).unwrap();
            assert!(one != NO_COMMAND && other != NO_COMMAND && one != other);
            cids.release(one);
            cids.release(other);
        }
    }

    /// The controller may look for it to abort it, long after it was answered.
    #[test]
    fn an_identifier_that_is_kept_is_no_other_commands() {
        for capacity in [1, 3, (1 << 15) - 1] {
            let mut cids = Cids::new(capacity);
            let id = Id::from_bits;
            let cid = cids.take(id(1)).unwrap();
            assert_eq!(cids.of(id(1)), Some(cid));
            assert!(cids.keep(cid) && !cids.keep(cid) && cids.of(id(1)).is_none());
            cids.age();
            assert_eq!(cids.older(1).collect::<Vec<_>>(), [cid], "it is late all the same");
            assert!(cids.is_kept(cid) && cids.release(cid).is_none());
            assert_eq!((cids.release_kept(cid), cids.release_kept(cid)), (Some(id(1)), None));
            assert!(!cids.is_kept(cid));
            // As often as it takes for all identifiers to come by.
            for _ in 0..1 << 17 {
                let Some(other) = cids.take(id(2)) else { break };
                assert_ne!(other, cid);
                cids.release(other).unwrap();
            }
            assert_eq!(cids.used(), 1);
            cids.let_go(cid);
            cids.let_go(cid);
            assert_eq!(cids.used(), 0);
            // One that was not answered is its command's again.
            let cid = cids.take(id(3)).unwrap();
            assert!(cids.keep(cid));
            cids.let_all_go();
            assert_eq!((cids.of(id(3)), cids.release(cid)), (Some(cid), Some(id(3))));
        }
    }
}
