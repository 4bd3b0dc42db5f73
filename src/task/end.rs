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
use crate::sys::sync::Arc;
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

    /// Drops every future, and the outputs that nobody has taken; from now on no task starts.
    pub(crate) fn cancel_all(&self) {
        self.is_closing.set(true);
        // Tasks end while we look for the next one.
        self.arena.freeze();
        self.arena.for_each(|task| {
            // SAFETY: a task of this core that was not freed yet.
            let header = unsafe { task.as_ref() };
            let state = header.state();
            if state & DONE != 0 && state & OUTPUT == 0 {
                return;
            }
            // The run loop or the handle holds a local reference; this one keeps the task until it has been dealt with.
            header.retain_local();
            self.cancel(task);
            // SAFETY: on the owner, done.
            self.guarded_once(|| unsafe { (header.vtable.drop_output)(task) });
            self.release(task);
        });
        while let Some(task) = self.queue.pop() {
            // SAFETY: the queue's reference: everything is done by now.
            unsafe { task.as_ref() }.change_state(SCHEDULED, 0);
            self.release(task);
        }
    }

    /// Refuses all events from now on, and lets go of the tasks that others still refer to. Follows `cancel_all`; afterwards this
    /// thread is no longer the owner.
    pub(crate) fn close(&self, home: &Arc<Home>) {
        // SAFETY: a task of this core that was not freed yet.
        self.arena.for_each(|task| unsafe { task.as_ref() }.begin_counting());
        self.consumer.close(&home.inbox);
        while let Some(event) = self.consumer.pop_closed(&home.inbox) {
            self.guarded_once(|| drop(event));
        }
        // They hold each other. Only now: the events just dropped have sent their answers.
        self.peers.replace(Rc::new([]));
        self.arena.hand_over(home, |task| {
            // SAFETY: kept by the count that began above, until this very line.
            if unsafe { task.as_ref() }.end_counting() == Released::Last {
                // SAFETY: nobody refers to it.
                unsafe { free_orphan(task) };
            }
        });
    }
}

/// Frees a task whose core is gone, on any thread. With the last of its chunk goes a share of the home.
///
/// # Safety
/// No reference is left, and the task was handed over.
pub(super) unsafe fn free_orphan(task: NonNull<Header>) {
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
