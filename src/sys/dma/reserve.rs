//! Memory that belongs to no core: what a core takes when its own is all out, and gives back when others wait for it.
//!
//! ```text
//!              take                          a chunk idle as a whole, when others wait or the core sleeps
//!   reserve ─────────► a core's pool ────────────────────────────────────────────────────────────────► reserve
//!      ▲  stand: the line                         a buffer that will do, when the first in line has nothing else
//!      └──────────────────── others' pools ◄──── lend ──── goes home when dropped, as any buffer does
//! ```
//!
//! Memory is leased chunk by chunk. A core that finds the reserve dry stands in its line, once however many of its callers wait;
//! that has every core with leases look, on its own thread, for what it can spare (`recall`). The line is served in order.
//!
//! One lock guards it all: it is taken when a pool grows or is dry, and while somebody waits. No waker but the pools' own is woken
//! here, and that outside of the lock.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::PoisonError;
use std::task::Waker;

use super::bytes::DmaBuf;
use super::config::{DmaConfig, HugePages, PageBytes};
use super::error::AllocError;
use super::lease::{Lease, Memory};
use super::mapping::{self, HUGE, Mapping, Pages};
use super::stats::ReserveStats;
use super::supply::CHUNK_MAX;
use crate::sys::sync::{Arc, Mutex, MutexGuard};

/// Idle memory that is kept for the next who asks, unless it is huge pages, which are all kept: they were set aside for this.
const IDLE_MAX: usize = 64 << 20;

/// Memory for buffers that several cores share; a clone is the same reserve.
///
/// An application has one, see [`DmaConfig`](super::DmaConfig); [`DmaPool::reserve`](super::DmaPool::reserve) leads to it. It
/// ends with its last handle and the last buffer in its memory.
///
/// Who waits is served in order: the callers of one core in theirs, and the cores in that in which the first caller of each
/// found nothing. A core with memory of its own goes on with that, while it leaves what it has leased to those in line: it hands out
/// nothing of it any more, gives chunks back as soon as all of their buffers are, and lends single buffers that will do.
#[derive(Clone)]
pub struct DmaReserve(Arc<Shared>);

struct Shared {
    limit: usize,
    wish: HugePages,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Mapped, or about to be.
    mapped: usize,
    pages: PageBytes,
    idle: Vec<Mapping>,
    idle_bytes: usize,
    members: BTreeMap<u64, Member>,
    /// Who waits, and for how many bytes.
    line: VecDeque<(u64, usize)>,
    next_id: u64,
    stats: ReserveStats,
}

/// A pool.
struct Member {
    /// Has the pool look here, on its own thread.
    poke: Waker,
    leased: usize,
    /// Lent to it, and not fetched yet.
    gift: Option<DmaBuf>,
}

/// Pools that are to look, once the lock is let go of.
#[derive(Default)]
struct Pokes(Vec<Waker>);

/// What came of lending.
pub(super) enum Lent {
    /// The first in line has it; there may be another.
    Yes,
    /// Who is first has to wait.
    Nothing,
    /// Nobody is before us.
    NobodyWaits,
}

impl DmaReserve {
    /// The reserve of an application that has so many cores.
    ///
    /// # Errors
    /// [`AllocError::HugePages`] if those are required and there is none.
    pub(crate) fn new(config: &DmaConfig, cores: usize) -> Result<Self, AllocError> {
        let (limit, wish) = (config.reserve_bytes(cores), config.pages);
        let reserve = Self(Arc::new(Shared { limit, wish, state: Mutex::default() }));
        if wish == HugePages::Required {
            // Better now than with the first I/O.
            let first = reserve.0.map(HUGE, HUGE, HUGE)?;
            if limit >= HUGE {
                let mut state = reserve.0.lock();
                state.mapped += first.len();
                *state.pages.of(first.pages()) += first.len();
                let unwanted = state.keep(first);
                debug_assert!(unwanted.is_none(), "huge pages are kept");
            }
        }
        Ok(reserve)
    }

    /// What the reserve holds and has done.
    #[must_use]
    pub fn stats(&self) -> ReserveStats {
        let state = self.0.lock();
        ReserveStats {
            limit_bytes: self.0.limit,
            mapped_bytes: state.mapped,
            pages: state.pages,
            leased_bytes: state.mapped - state.idle_bytes,
            waiting: state.line.len(),
            ..state.stats
        }
    }

    /// Whether it could ever have so many bytes in one piece.
    pub(super) fn may_have(&self, bytes: usize) -> bool {
        mapping::needed(bytes, self.0.wish) <= self.0.limit
    }

    pub(super) fn limit(&self) -> usize {
        self.0.limit
    }

    /// A pool is here; `poke` has it look, on its own thread.
    pub(super) fn join(&self, poke: Waker) -> u64 {
        let mut state = self.0.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.members.insert(id, Member { poke, leased: 0, gift: None });
        id
    }

    /// It is gone. What it has leased comes back in time.
    pub(super) fn leave(&self, id: u64) {
        self.withdraw(id);
        let member = self.0.lock().members.remove(&id);
        drop(member);
    }

    /// Memory for `least` bytes, about `wanted`; `None` if the pool has to wait for it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn take(&self, id: u64, least: usize, wanted: usize) -> Result<Option<Memory>, AllocError> {
        let mut state = self.0.lock();
        if state.line.front().is_some_and(|&(first, _)| first != id) {
            return Ok(None);
        }
        let found = state.idle.iter().position(|idle| idle.len() >= least && idle.len() % least == 0);
        let found = found.or_else(|| state.idle.iter().position(|idle| idle.len() >= least));
        let (mapping, unmapped) = match found {
            Some(at) => (Some(state.idle.swap_remove(at)), Vec::new()),
            None if state.mapped - state.idle_bytes + mapping::needed(least, self.0.wish) <= self.0.limit => {
                (None, state.make_room(mapping::needed(least, self.0.wish), self.0.limit))
            }
            None => return Ok(None),
        };
        let result = match mapping {
            Some(mapping) => {
                state.idle_bytes -= mapping.len();
                Ok(mapping)
            }
            None => {
                // Set aside, so that the kernel can be asked without the lock.
                let room = self.0.limit - state.mapped;
                let room = room.min(wanted.max(mapping::needed(least, self.0.wish)).next_multiple_of(HUGE));
                state.mapped += room;
                drop(state);
                drop(unmapped);
                let mapped = self.0.map(least, wanted, room);
                state = self.0.lock();
                state.mapped -= room - mapped.as_ref().map_or(0, Mapping::len);
                if let Ok(mapping) = &mapped {
                    *state.pages.of(mapping.pages()) += mapping.len();
                }
                mapped
            }
        };
        state.stats.peak_bytes = state.stats.peak_bytes.max(state.mapped);
        if let (Ok(mapping), Some(member)) = (&result, state.members.get_mut(&id)) {
            member.leased += mapping.len();
        }
        state.stats.taken += u64::from(result.is_ok());
        let mut pokes = state.settle(id);
        // What was set aside beyond need is there again.
        pokes.0.extend(state.poke_first().0);
        drop(state);
        pokes.wake();
        Ok(Some(Memory::leased(result?, Lease::new(self.clone(), id))))
    }

    /// Takes back what `id` has leased.
    pub(super) fn give(&self, id: u64, mapping: Mapping) {
        let mut state = self.0.lock();
        if let Some(member) = state.members.get_mut(&id) {
            member.leased -= mapping.len();
        }
        state.stats.given += 1;
        let unwanted = state.keep(mapping);
        let pokes = state.poke_first();
        drop(state);
        drop(unwanted);
        pokes.wake();
    }

    /// The pool waits for `bytes`. False if it has something to fetch already, or to [`take`](Self::take).
    #[must_use]
    pub(super) fn stand(&self, id: u64, bytes: usize) -> bool {
        let mut state = self.0.lock();
        if state.members.get(&id).is_none_or(|member| member.gift.is_some()) {
            return false;
        }
        let pokes = match state.line.iter_mut().find(|place| place.0 == id) {
            Some(place) if place.1 == bytes => Pokes::default(),
            Some(place) => {
                place.1 = bytes;
                state.poke_lenders(id)
            }
            None => {
                state.line.push_back((id, bytes));
                state.stats.waited += 1;
                state.poke_lenders(id)
            }
        };
        let is_there = state.line[0].0 == id && state.has(bytes, &self.0);
        drop(state);
        pokes.wake();
        !is_there
    }

    /// The pool waits no longer.
    pub(super) fn withdraw(&self, id: u64) {
        let mut state = self.0.lock();
        let gift = state.members.get_mut(&id).and_then(|member| member.gift.take());
        let pokes = state.settle(id);
        drop(state);
        drop(gift);
        pokes.wake();
    }

    /// What another core has lent to the pool.
    pub(super) fn fetch(&self, id: u64) -> Option<DmaBuf> {
        self.0.lock().members.get_mut(&id)?.gift.take()
    }

    /// Whether another pool waits before this one, which has leases: then it is to do without them.
    pub(super) fn is_recalling(&self, id: u64) -> bool {
        self.0.lock().line.front().is_some_and(|&(first, _)| first != id)
    }

    /// Lends to the first in line what `find` has for so many bytes, unless it is the pool itself. `find` runs within the lock.
    pub(super) fn lend(&self, id: u64, find: impl FnOnce(usize) -> Option<DmaBuf>) -> Lent {
        let mut state = self.0.lock();
        let Some(&(first, bytes)) = state.line.front().filter(|&&(first, _)| first != id) else {
            return Lent::NobodyWaits;
        };
        if state.has(bytes, &self.0) {
            // It was poked when that came back.
            return Lent::Nothing;
        }
        let Some(buf) = find(bytes) else { return Lent::Nothing };
        let member = state.members.get_mut(&first).expect("who is in line is a member");
        member.gift = Some(buf);
        let poke = member.poke.clone();
        state.stats.lent += 1;
        let mut pokes = state.settle(first);
        pokes.0.push(poke);
        drop(state);
        pokes.wake();
        Lent::Yes
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here unwinds between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn map(&self, least: usize, wanted: usize, room: usize) -> Result<Mapping, AllocError> {
        Mapping::between(least, wanted, room, self.wish)
            .map_err(|source| AllocError::refused(least, self.wish, source))
    }
}

impl State {
    /// Whether the first in line could take so many bytes.
    fn has(&self, bytes: usize, shared: &Shared) -> bool {
        self.idle.iter().any(|idle| idle.len() >= bytes)
            || self.mapped - self.idle_bytes + mapping::needed(bytes, shared.wish) <= shared.limit
    }

    /// Keeps idle memory for the next who asks, and returns what is not worth it, to be unmapped outside of the lock.
    #[must_use]
    fn keep(&mut self, mapping: Mapping) -> Option<Mapping> {
        let len = mapping.len();
        let is_kept = mapping.pages() == Pages::Huge || self.idle_bytes + len <= IDLE_MAX;
        if is_kept && len <= CHUNK_MAX {
            self.idle_bytes += len;
            self.idle.push(mapping);
            return None;
        }
        self.forget(&mapping);
        Some(mapping)
    }

    fn forget(&mut self, mapping: &Mapping) {
        self.mapped -= mapping.len();
        *self.pages.of(mapping.pages()) -= mapping.len();
    }

    /// Takes out idle memory, to be unmapped outside of the lock, until `bytes` are left to map.
    fn make_room(&mut self, bytes: usize, limit: usize) -> Vec<Mapping> {
        let mut unmapped = Vec::new();
        while self.mapped + bytes > limit {
            let Some(mapping) = self.idle.pop() else { break };
            self.idle_bytes -= mapping.len();
            self.forget(&mapping);
            unmapped.push(mapping);
        }
        unmapped
    }

    /// `id` leaves the line, if it stands there. If it was first, there is another to look after.
    fn settle(&mut self, id: u64) -> Pokes {
        let was_first = self.line.front().is_some_and(|&(first, _)| first == id);
        self.line.retain(|&(other, _)| other != id);
        match self.line.front() {
            Some(&(first, _)) if was_first => {
                let mut pokes = self.poke_lenders(first);
                pokes.0.extend(self.poke_first().0);
                pokes
            }
            _ => Pokes::default(),
        }
    }

    fn poke_first(&self) -> Pokes {
        let first = self.line.front().and_then(|(first, _)| self.members.get(first));
        Pokes(first.map(|member| member.poke.clone()).into_iter().collect())
    }

    /// Those who could do something for `id`.
    fn poke_lenders(&self, id: u64) -> Pokes {
        let lenders = self.members.iter().filter(|(other, member)| **other != id && member.leased > 0);
        Pokes(lenders.map(|(_, member)| member.poke.clone()).collect())
    }
}

impl Pokes {
    fn wake(mut self) {
        mem::take(&mut self.0).into_iter().for_each(Waker::wake);
    }
}

impl PageBytes {
    /// The bytes of that kind.
    pub(super) fn of(&mut self, pages: Pages) -> &mut usize {
        match pages {
            Pages::Plain => &mut self.plain,
            Pages::Transparent => &mut self.transparent,
            Pages::Huge => &mut self.huge,
        }
    }
}

impl fmt::Debug for DmaReserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DmaReserve").field("stats", &self.stats()).finish()
    }
}
