//! The two lists a task can be in: the run queue (single links, FIFO) and the live list (double links).
//!
//! Both are intrusive, so that neither a wake nor a spawn allocates. Only the owning core touches them.
#![expect(unsafe_code, reason = "intrusive lists through task headers")]

use super::header::Header;
use std::{cell::Cell, ptr::NonNull};

type Link = Option<NonNull<Header>>;

/// Tasks that are to be polled, oldest first.
#[derive(Default)]
pub(super) struct RunQueue {
    first: Cell<Link>,
    last: Cell<Link>,
    len: Cell<usize>,
}

impl RunQueue {
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// Appends a task that is not in the queue.
    #[inline]
    pub(super) fn push(&self, task: NonNull<Header>) {
        // SAFETY: a queued task is kept alive by its `SCHEDULED` bit, and only the owner, who calls this, links.
        match self.last.replace(Some(task)) {
            Some(last) => unsafe { last.as_ref() }.set_queue_next(Some(task)),
            None => self.first.set(Some(task)),
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes the oldest.
    #[inline]
    pub(super) fn pop(&self) -> Link {
        let task = self.first.get()?;
        // SAFETY: as in `push`.
        let next = unsafe { task.as_ref() }.take_queue_next();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        self.len.set(self.len.get() - 1);
        Some(task)
    }
}

/// Every task of the core whose memory is in use, newest first.
#[derive(Default)]
pub(super) struct LiveList {
    first: Cell<Link>,
    len: Cell<usize>,
}

impl LiveList {
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    pub(super) fn first(&self) -> Link {
        self.first.get()
    }

    #[inline]
    pub(super) fn insert(&self, task: NonNull<Header>) {
        let next = self.first.replace(Some(task));
        // SAFETY: tasks in the list are alive until `remove`; only the owner, who calls this, links.
        unsafe { task.as_ref() }.set_live_links(None, next);
        if let Some(next) = next {
            // SAFETY: as above.
            unsafe { next.as_ref() }.set_live_prev(Some(task));
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(super) fn remove(&self, task: NonNull<Header>) {
        // SAFETY: as in `insert`.
        let (prev, next) = unsafe { task.as_ref() }.live_links();
        match prev {
            // SAFETY: as in `insert`.
            Some(prev) => unsafe { prev.as_ref() }.set_live_next(next),
            None => self.first.set(next),
        }
        if let Some(next) = next {
            // SAFETY: as in `insert`.
            unsafe { next.as_ref() }.set_live_prev(prev);
        }
        self.len.set(self.len.get() - 1);
    }
}
