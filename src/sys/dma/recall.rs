//! A pool and the reserve: joining it, taking from it, and giving back what others wait for.
//!
//! ```text
//!            another core waits for the reserve, and this one has leases
//!   plain ───────────────────────────────────────────────────────────────► recalled
//!     ▲                                                                       │  idle chunks go back,
//!     └─────── nobody waits before this core, or it has no leases left ◄──────┘  idle buffers of others are put aside or lent
//! ```
//!
//! A pool learns of it by the poke that it joined with, and looks on its own thread. While it is recalled it hands out its own
//! memory alone: what comes back of the rest is put aside until its chunk is whole, or the first in line can use it.
#![expect(unsafe_code, reason = "idle slots are reached through raw pointers, and become buffers when lent")]

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::Waker;

use super::bytes::DmaBuf;
use super::config::{DmaConfig, HugePages};
use super::error::AllocError;
use super::idle::retain;
use super::lease::Memory;
use super::pool::DmaPool;
use super::reserve::{DmaReserve, Lent};
use super::shared::{CLASSES, Local};
use super::slot::Slot;
use super::supply::class_of;
use super::table::ChunkNumber;
use crate::sys::sync::atomic::Ordering::Relaxed;

/// A pool's part in the reserve.
pub(super) struct Recall {
    member: RefCell<Option<Rc<Member>>>,
    is_recalled: Cell<bool>,
    /// Idle buffers that are leased, by class; empty but for the time of a recall.
    aside: [Cell<*mut Slot>; CLASSES],
    pub(super) counts: Counts,
}

/// What went to and fro.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) taken: Cell<u64>,
    pub(super) given: Cell<u64>,
    pub(super) lent: Cell<u64>,
    pub(super) borrowed: Cell<u64>,
}

struct Member {
    reserve: DmaReserve,
    id: u64,
    poke: Waker,
    /// What the pool had before.
    before: (usize, HugePages),
}

impl Recall {
    pub(super) fn none() -> Self {
        Self {
            member: RefCell::default(),
            is_recalled: Cell::new(false),
            aside: [const { Cell::new(ptr::null_mut()) }; CLASSES],
            counts: Counts::default(),
        }
    }

    #[inline]
    pub(super) fn is_recalled(&self) -> bool {
        self.is_recalled.get()
    }

    pub(super) fn aside(&self) -> &[Cell<*mut Slot>; CLASSES] {
        &self.aside
    }

    fn member(&self) -> Option<Rc<Member>> {
        self.member.borrow().clone()
    }

    /// Whether the reserve could ever have a buffer of so many bytes.
    pub(super) fn may_have(&self, bytes: usize) -> bool {
        self.member().is_some_and(|member| member.reserve.may_have(bytes))
    }

    /// What the reserve has at most.
    pub(super) fn limit(&self) -> usize {
        self.member().map_or(0, |member| member.reserve.limit())
    }

    /// As [`DmaReserve::take`]; `None` as well if there is no reserve.
    pub(super) fn take(&self, least: usize, wanted: usize) -> Result<Option<Memory>, AllocError> {
        let Some(member) = self.member() else { return Ok(None) };
        let taken = member.reserve.take(member.id, least, wanted)?;
        self.counts.taken.set(self.counts.taken.get() + u64::from(taken.is_some()));
        Ok(taken)
    }

    /// The buffer of another core that was lent for the first in line here, if it has `len` bytes.
    pub(super) fn fetch(&self, len: usize) -> Option<DmaBuf> {
        let member = self.member()?;
        let mut buf = member.reserve.fetch(member.id)?;
        if buf.len() < len {
            // It was meant for one who has given up.
            return None;
        }
        buf.truncate(len);
        self.counts.borrowed.set(self.counts.borrowed.get() + 1);
        Some(buf)
    }

    /// The first in line here waits for `bytes` of the reserve's as well. False if it is to look again.
    pub(super) fn stand(&self, bytes: usize) -> bool {
        match self.member().filter(|member| member.reserve.may_have(bytes)) {
            Some(member) => member.reserve.stand(member.id, bytes),
            None => true,
        }
    }

    /// Nobody waits here any more.
    pub(super) fn withdraw(&self) {
        if let Some(member) = self.member() {
            member.reserve.withdraw(member.id);
        }
    }
}

impl DmaPool {
    /// The reserve that this pool takes from when its own memory is all out, if it has one: that of the application.
    #[must_use]
    pub fn reserve(&self) -> Option<DmaReserve> {
        self.lists().recall.member().map(|member| member.reserve.clone())
    }

    /// From now on the pool has `config`'s share of its own and takes more from `reserve`. When that concerns it, `poke` has it
    /// [`attend`](Self::attend) on its own thread.
    ///
    /// `poke` is no stranger's: it may be cloned and woken at any time on any thread, and does not come back from in there.
    pub(crate) fn join(&self, config: &DmaConfig, reserve: &DmaReserve, poke: Waker) {
        self.leave();
        let local = self.lists();
        let before = (local.limit.replace(config.own), local.huge_pages.replace(config.pages));
        let id = reserve.join(poke.clone());
        let member = Member { reserve: reserve.clone(), id, poke, before };
        local.recall.member.replace(Some(Rc::new(member)));
        self.come_home();
    }

    /// Parts with the reserve, and has what it had before. What is leased goes back as far as it is idle, and the rest when the pool
    /// ends.
    pub(crate) fn leave(&self) {
        let Some(member) = self.lists().recall.member.take() else { return };
        let local = self.lists();
        local.limit.set(member.before.0);
        local.huge_pages.set(member.before.1);
        self.take_returned();
        self.end_recall();
        self.give_idle();
        member.reserve.leave(member.id);
        self.come_home();
    }

    /// Looks after what others wait for, and after those who wait here.
    pub(crate) fn attend(&self) {
        self.take_returned();
        self.serve(None);
    }

    /// The core has nothing to do: what it has leased and has no use for goes back. Nothing is counted for that: only if no
    /// buffer is out at all.
    pub(super) fn rest(&self) {
        let local = self.lists();
        if local.leased.get() > 0 && local.in_use() == 0 {
            self.give_idle();
        }
    }

    /// Sees to those on other cores who wait for what this one has leased.
    pub(super) fn help(&self) {
        let local = self.lists();
        let Some(member) = local.recall.member() else { return };
        loop {
            if local.leased.get() == 0 || !member.reserve.is_recalling(member.id) {
                return self.end_recall();
            }
            self.begin_recall();
            let lent = member.reserve.lend(member.id, |bytes| {
                let slot = local.pop_aside(class_of(bytes))?;
                // SAFETY: just popped, and of a class that has so many bytes.
                Some(unsafe { self.hand_out(slot, bytes) })
            });
            match lent {
                Lent::Yes => local.recall.counts.lent.set(local.recall.counts.lent.get() + 1),
                Lent::Nothing => return,
                Lent::NobodyWaits => {}
            }
        }
    }

    /// While others wait for what is leased, whatever comes back from other cores is looked at at once. False if something has.
    pub(super) fn listen(&self) -> bool {
        let recall = &self.lists().recall;
        match recall.member().filter(|_| recall.is_recalled()) {
            Some(member) => self.shared().returns.await_next(member.poke.clone()),
            None => true,
        }
    }

    fn begin_recall(&self) {
        let local = self.lists();
        if local.recall.is_recalled.replace(true) {
            return;
        }
        local.settle();
        local.count_idle();
        self.give_idle();
        let chunks = local.chunks.borrow();
        for (free, aside) in local.free.iter().zip(&local.recall.aside) {
            let is_own = |slot: &Slot| !chunks.of_slot(slot.chunk).memory().is_leased();
            retain(free, is_own, |slot| link(aside, slot));
        }
    }

    fn end_recall(&self) {
        let local = self.lists();
        if !local.recall.is_recalled.replace(false) {
            return;
        }
        for aside in &local.recall.aside {
            retain(aside, |_| false, |slot| local.push(slot));
        }
        if !local.waiting.is_waited() {
            self.shared().returns.withdraw();
        }
        local.settle();
    }

    /// Gives back the leased chunks of which nothing is out.
    fn give_idle(&self) {
        let local = self.lists();
        local.count_idle();
        local.give(|_| true);
    }
}

impl Local {
    /// A slot of the chunk has come back and is the first of its free list: it is put aside if it is leased.
    pub(super) fn recall_slot(&self, number: ChunkNumber) {
        let Some((class, is_idle)) = ({
            let chunks = self.chunks.borrow();
            let leased = chunks.get(number).filter(|chunk| chunk.memory().is_leased());
            leased.map(|chunk| (chunk.class(), chunk.is_idle()))
        }) else {
            return;
        };
        let slot = self.pop(class).expect("it has just come back");
        link(&self.recall.aside[class], slot);
        if is_idle {
            self.give(|candidate| candidate == number);
        }
    }

    /// Gives back those idle leased chunks that `choose` takes.
    fn give(&self, choose: impl Fn(ChunkNumber) -> bool) {
        let ended = self.take_apart(|number, chunk| chunk.memory().is_leased() && choose(number));
        let given = &self.recall.counts.given;
        given.set(given.get() + ended.len() as u64);
        ended.into_iter().for_each(|memory| self.unmap(memory));
    }

    /// A buffer that was put aside, of `class` or larger.
    fn pop_aside(&self, class: usize) -> Option<NonNull<Slot>> {
        let head = self.recall.aside.iter().skip(class).find(|head| !head.get().is_null())?;
        let slot = NonNull::new(head.get())?;
        // SAFETY: what is in the list is a live slot that nobody else has.
        head.set(unsafe { slot.as_ref() }.next.load(Relaxed));
        self.count_out(slot);
        Some(slot)
    }
}

fn link(head: &Cell<*mut Slot>, slot: NonNull<Slot>) {
    // SAFETY: the caller has the slot from another list of the pool's.
    unsafe { slot.as_ref() }.next.store(head.get(), Relaxed);
    head.set(slot.as_ptr());
}
