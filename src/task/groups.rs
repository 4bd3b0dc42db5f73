//! How many unfinished tasks each light thread of a core has, and who waits for the last of them.
//!
//! The tasks of group 0 belong to no light thread and are not counted. Counted up by `Local::create`, down by `Local::announce`.
#![expect(unsafe_code, reason = "task headers, reached from the arena")]

use super::local::Local;
use std::{
    cell::{Cell, RefCell},
    task::Waker,
};

/// Tasks that belong to no light thread.
pub(crate) const NO_GROUP: u16 = 0;

/// The light threads that tasks belong to, by number.
impl Local {
    /// Whose time the running task or poller spends, and whom the tasks that it starts belong to.
    pub(crate) fn group(&self) -> u16 {
        self.group.get()
    }

    /// Runs `f` as if from a task of `group`.
    pub(crate) fn in_group<R>(&self, group: u16, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Cell<u16>, u16);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _restore = Restore(&self.group, self.group.replace(group));
        f()
    }

    /// Makes the task that is being polled one of `group`'s.
    pub(crate) fn join_group(&self, group: u16) {
        let Some(task) = self.polling.get() else { return };
        // SAFETY: the run loop's reference.
        let header = unsafe { task.as_ref() };
        let before = header.group();
        header.set_group(group);
        self.group.set(group);
        if group != NO_GROUP {
            self.census.started(group);
        }
        if before != NO_GROUP {
            self.leave_group(before);
        }
    }

    /// A task starts in the current group, which is returned.
    #[inline]
    pub(super) fn enter_group(&self) -> u16 {
        let group = self.group.get();
        if group != NO_GROUP {
            self.census.started(group);
        }
        group
    }

    /// A task of `group` has ended.
    #[cold]
    pub(super) fn leave_group(&self, group: u16) {
        for waiter in self.census.ended(group) {
            self.guarded_once(|| waiter.wake());
        }
    }

    /// Unfinished tasks of `group`.
    pub(crate) fn tasks_of(&self, group: u16) -> usize {
        self.census.tasks(group)
    }

    /// Has `waker` woken when a task of `group` ends; there is one.
    pub(crate) fn wait_for_task_of(&self, group: u16, waker: &Waker) {
        // Cloned outside of the borrow: it may be a stranger's.
        self.census.wait(group, waker.clone());
    }

    /// Aborts all tasks of `group`.
    pub(crate) fn abort_group(&self, group: u16) {
        self.arena.for_each(|task| {
            // SAFETY: a task of this core that was not freed yet; an abort frees none.
            if unsafe { task.as_ref() }.group() == group {
                self.abort(task);
            }
        });
    }

    /// Has the task that is being polled dropped when this poll returns.
    pub(crate) fn abort_polled(&self) {
        if let Some(task) = self.polling.get() {
            self.abort(task);
        }
    }
}

/// Unfinished tasks by group, of one core.
#[derive(Default)]
pub(super) struct Census {
    groups: RefCell<Vec<Group>>,
}

#[derive(Default)]
struct Group {
    tasks: usize,
    /// Woken when the next task of the group ends: its owner may wait for that, and shutdown beside it.
    waiters: Vec<Waker>,
}

impl Census {
    #[cold]
    pub(super) fn started(&self, group: u16) {
        let mut groups = self.groups.borrow_mut();
        let index = usize::from(group);
        if groups.len() <= index {
            groups.resize_with(index + 1, Group::default);
        }
        groups[index].tasks += 1;
    }

    /// Returns who is to be woken, outside of this borrow.
    #[cold]
    pub(super) fn ended(&self, group: u16) -> Vec<Waker> {
        let mut groups = self.groups.borrow_mut();
        let Some(group) = groups.get_mut(usize::from(group)) else { return Vec::new() };
        group.tasks -= 1;
        std::mem::take(&mut group.waiters)
    }

    pub(super) fn tasks(&self, group: u16) -> usize {
        self.groups.borrow().get(usize::from(group)).map_or(0, |group| group.tasks)
    }

    /// Has `waker` woken when the next task of `group` ends.
    pub(super) fn wait(&self, group: u16, waker: Waker) {
        let mut groups = self.groups.borrow_mut();
        let waiters = groups.get_mut(usize::from(group)).map(|group| &mut group.waiters);
        let one_too_many = match waiters {
            Some(waiters) if !waiters.iter().any(|other| other.will_wake(&waker)) => {
                waiters.push(waker);
                None
            }
            _ => Some(waker),
        };
        drop(groups);
        // A stranger's code, hence outside of the borrow.
        drop(one_too_many);
    }
}
