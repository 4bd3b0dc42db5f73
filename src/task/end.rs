//! The end of a core: its futures are dropped, its inbox is closed, and what others still refer to is let go.
//!
//! ```text
//!  cancel_all ① ──► (drivers drain, per-core objects go) ──► close: bias ② · refuse events ③ · drain ④ · unbias ⑤
//! ```
//!
//! ② Every count in `shared` is raised by a bias that no release can use up, so that nobody frees a task while ④ brings the
//! references under way home and ⑤ turns the local references that are left into shared ones. From ⑤ on whoever lets go of the
//! last one frees the task; with the last task of a chunk go the chunk and its share of the home.
#![expect(unsafe_code, reason = "references change their kind, and memory its owner")]

use super::{
    chunk,
    header::{Header, Released},
    home::Home,
    local::Local,
    state::{DONE, FUTURE_DROPPED, OUTPUT, PROXY, SCHEDULED},
};
use crate::sys::{sync::Arc, unwind::contained};
use std::{borrow::Cow, ptr::NonNull, rc::Rc};

impl Local {
    /// What people call the tasks that have not finished, in no order; without those being polled, such as the caller's.
    pub(crate) fn live_names(&self) -> Vec<Cow<'static, str>> {
        let mut names = Vec::new();
        self.arena.for_each(|task| {
            // SAFETY: a task of this core that was not freed yet.
            let header = unsafe { task.as_ref() };
            if header.state() & (DONE | FUTURE_DROPPED | PROXY) == 0 && !self.is_polled(task) {
                // SAFETY: on the owner; the future is there, and nobody is polling it.
                names.push(unsafe { (header.vtable.name)(task) });
            }
        });
        names
    }

    /// Drops every future; from now on no task starts. An output that nobody has taken is its handle's.
    pub(crate) fn cancel_all(&self) {
        self.is_closing.set(true);
        // Tasks end while we look for the next one.
        self.arena.freeze();
        self.arena.for_each(|task| {
            // SAFETY: a task of this core that was not freed yet.
            let header = unsafe { task.as_ref() };
            if header.state() & DONE != 0 {
                return;
            }
            // The run loop or the handle holds a local reference; this one keeps the task until it has been dealt with.
            header.retain_local();
            self.cancel(task);
            self.release(task);
        });
        while let Some(task) = self.queue.pop() {
            // SAFETY: the queue's reference: everything is done by now.
            unsafe { task.as_ref() }.change_state(SCHEDULED, 0);
            self.release(task);
        }
    }

    /// Refuses all events from now on, and lets go of the tasks that others still refer to. Follows `cancel_all`; afterwards this
    /// thread is no longer the owner, and then what is returned may go.
    #[must_use = "dropped once this thread is no longer the owner"]
    pub(crate) fn close(&self, home: &Arc<Home>) -> Orphans {
        // SAFETY: a task of this core that was not freed yet.
        self.arena.for_each(|task| unsafe { task.as_ref() }.begin_counting());
        self.consumer.close(&home.inbox);
        while let Some(event) = self.consumer.pop_closed(&home.inbox) {
            self.guarded_once(|| drop(event));
        }
        // They hold each other. Only now: the events just dropped have sent their answers.
        self.peers.replace(Rc::new([]));
        let mut orphans = Vec::new();
        self.arena.hand_over(home, |task| {
            // SAFETY: kept by the count that began above, until this very line.
            let header = unsafe { task.as_ref() };
            let has_output = header.state() & OUTPUT != 0;
            if header.end_counting() == Released::Last {
                if has_output {
                    orphans.push(task);
                } else {
                    // SAFETY: nobody refers to it.
                    unsafe { free_orphan(task) };
                }
            }
        });
        Orphans(orphans)
    }
}

/// Tasks whose handle was dropped abroad while the core ended: nobody refers to them, but their outputs are there. Dropping those may
/// run anything, in the midst of counting too, hence later.
pub(crate) struct Orphans(Vec<NonNull<Header>>);

impl Drop for Orphans {
    fn drop(&mut self) {
        for task in self.0.drain(..) {
            // SAFETY: nobody refers to it.
            unsafe { free_orphan(task) };
        }
    }
}

/// Ends a reference to a task whose core is gone, on any thread.
///
/// # Safety
/// The reference is the caller's to end, and the core is closed: local references count as shared ones.
pub(super) unsafe fn release_orphan(task: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if unsafe { task.as_ref() }.release_shared() == Released::Last {
        // SAFETY: that was the last reference.
        unsafe { free_orphan(task) };
    }
}

/// Frees a task whose core is gone, on any thread. With the last of its chunk goes a share of the home. An output that is still there
/// had its handle dropped on a foreign thread, so it may end on this one.
///
/// # Safety
/// No reference is left, and the task was handed over.
pub(super) unsafe fn free_orphan(task: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { task.as_ref() };
    if header.state() & OUTPUT != 0 {
        // SAFETY: nobody else is left to touch it.
        contained(|| unsafe { (header.vtable.drop_output)(task) });
    }
    // SAFETY: the caller's promise.
    unsafe { drop_header(task) };
    // SAFETY: as above.
    unsafe { chunk::free_orphan(task) };
}

/// # Safety
/// No reference is left.
#[inline]
pub(super) unsafe fn drop_header(task: NonNull<Header>) {
    #[cfg(all(test, loom))]
    // SAFETY: the caller's promise.
    unsafe { task.as_ref() }.memory.with_mut(|_| ());
    // SAFETY: as above.
    unsafe { task.drop_in_place() };
}
