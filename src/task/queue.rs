//! The run queue: tasks that are to be polled, linked through their headers, oldest first.
//!
//! Intrusive, so that a wake does not allocate. Only the owning core touches it.
#![expect(unsafe_code, reason = "an intrusive list through task headers")]

use super::header::Header;
use std::{cell::Cell, ptr::NonNull};

/// Tasks that are to be polled, oldest first.
///
/// # Invariants
/// With `len > 0`, `first` leads through `len - 1` links to `last`. With `len == 0` neither means anything.
pub(super) struct RunQueue {
    first: Cell<NonNull<Header>>,
    last: Cell<NonNull<Header>>,
    len: Cell<usize>,
}

impl Default for RunQueue {
    fn default() -> Self {
        let none = Cell::new(NonNull::dangling());
        Self { first: none.clone(), last: none, len: Cell::new(0) }
    }
}

impl RunQueue {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// Appends a task that is not in the queue.
    #[inline]
    pub(super) fn push(&self, task: NonNull<Header>) {
        let len = self.len.get();
        if len == 0 {
            self.first.set(task);
        } else {
            // SAFETY: a queued task is kept alive by its `SCHEDULED` bit, and only the owner, who calls this, links.
            unsafe { self.last.get().as_ref() }.set_queue_next(task);
        }
        self.last.set(task);
        self.len.set(len + 1);
    }

    /// Takes the oldest.
    #[inline]
    pub(super) fn pop(&self) -> Option<NonNull<Header>> {
        let len = self.len.get().checked_sub(1)?;
        let task = self.first.get();
        self.len.set(len);
        // SAFETY: as in `push`. The link of the last one is stale, and means nothing.
        self.first.set(unsafe { task.as_ref() }.queue_next());
        Some(task)
    }
}
