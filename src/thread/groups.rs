//! A core's light threads by number, and what each has spent, charged when the run loop goes from one to another.
//!
//! Every task and poller carries the number of its light thread. A number is used again once its thread is gone and the last of
//! its tasks has ended.

use super::reference::{Identity, ThreadRef};
use crate::{
    reactor::Inner,
    task::{Local, NO_GROUP},
};
use std::cell::{Cell, RefCell};

/// A core's light threads.
#[derive(Default)]
pub(crate) struct Groups {
    /// Whose time it is.
    current: Cell<u16>,
    /// The light thread of number `n` is at `n - 1`.
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u16>>,
    /// Gone, but their numbers are still in tasks that have not ended.
    ending: RefCell<Vec<u16>>,
}

#[derive(Default)]
struct Slot {
    thread: Option<ThreadRef>,
    created_ticks: u64,
    spent_ticks: u64,
    is_exiting: bool,
}

impl Groups {
    /// From here on time is `group`'s. Costs a comparison as long as there is only one.
    #[inline]
    pub(crate) fn charge(&self, group: u16, core: &Inner) {
        if self.current.get() != group {
            self.switch(group, core);
        }
    }

    #[cold]
    fn switch(&self, group: u16, core: &Inner) {
        let ticks = core.lap();
        self.spend(self.current.replace(group), ticks);
    }

    /// Adds `ticks` to what `group` has spent.
    #[inline]
    pub(crate) fn spend(&self, group: u16, ticks: u64) {
        if group != NO_GROUP {
            if let Some(slot) = self.slots.borrow_mut().get_mut(usize::from(group) - 1) {
                slot.spent_ticks += ticks;
            }
        }
    }

    /// Whose time it is.
    pub(super) fn current(&self) -> u16 {
        self.current.get()
    }

    /// Gives a new light thread a number.
    ///
    /// # Panics
    /// Where 65,535 live already.
    pub(super) fn insert(
        &self,
        core: &Inner,
        local: &Local,
        make: impl FnOnce(u16) -> ThreadRef,
    ) -> ThreadRef {
        self.sweep(local);
        let created_ticks = core.clock().now_ticks();
        let mut slots = self.slots.borrow_mut();
        let number = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            u16::try_from(slots.len()).expect("at most 65535 light threads on a core: exit some")
        });
        let thread = make(number);
        slots[usize::from(number) - 1] =
            Slot { thread: Some(thread.clone()), created_ticks, spent_ticks: 0, is_exiting: false };
        thread
    }

    /// Frees the numbers of threads that are gone and whose tasks have ended.
    fn sweep(&self, local: &Local) {
        self.ending.borrow_mut().retain(|&number| {
            let has_tasks = local.tasks_of(number) > 0;
            if !has_tasks {
                self.free.borrow_mut().push(number);
            }
            has_tasks
        });
    }

    /// The thread is gone.
    pub(super) fn remove(&self, number: u16) {
        let thread = self.slots.borrow_mut()[usize::from(number) - 1].thread.take();
        drop(thread);
        self.ending.borrow_mut().push(number);
    }

    /// From now on it accepts no calls.
    pub(super) fn begin_exit(&self, number: u16) {
        self.slots.borrow_mut()[usize::from(number) - 1].is_exiting = true;
    }

    /// Whether `identity`'s thread is there and accepts calls.
    pub(super) fn is_open(&self, identity: &Identity) -> bool {
        let slots = self.slots.borrow();
        slots.get(usize::from(identity.number) - 1).is_some_and(|slot| {
            !slot.is_exiting && slot.thread.as_ref().is_some_and(|thread| thread.id() == identity.id)
        })
    }

    /// The thread of that number.
    pub(super) fn get(&self, number: u16) -> Option<ThreadRef> {
        self.slots.borrow().get(usize::from(number).checked_sub(1)?)?.thread.clone()
    }

    /// All threads, by number.
    pub(super) fn all(&self) -> Vec<ThreadRef> {
        self.slots.borrow().iter().filter_map(|slot| slot.thread.clone()).collect()
    }

    /// Ticks that a thread has spent, and since it was made.
    pub(super) fn ticks(&self, number: u16, core: &Inner) -> (u64, u64) {
        if self.current.get() == number {
            // Up to now.
            self.switch(number, core);
        }
        let slots = self.slots.borrow();
        let slot = &slots[usize::from(number) - 1];
        (slot.spent_ticks, core.clock().now_ticks().saturating_sub(slot.created_ticks))
    }
}
