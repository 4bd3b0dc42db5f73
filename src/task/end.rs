//! The end of a core: its futures are dropped, its inbox is closed, and what others still refer to is let go.
//!
//! ```text
//!  cancel_all ① ──► (drivers drain, per-core objects go) ──► close: bias ② · refuse events ③ · drain ④ · unbias ⑤
//! ```
//!
//! ② Every count in `shared` is raised by a bias that no release can use up, so that nobody frees a task while ④ brings the
//! references under way home and ⑤ turns the local references that are left into shared ones. From ⑤ on whoever lets go of the
//! last one frees the task, and with the last task goes the home.
#![expect(unsafe_code, reason = "references change their kind, and memory its owner")]

use super::{
    arena::{Block, free_block},
    header::{Header, Released},
    home::Home,
    local::Local,
    raw::VTable,
    state::{DONE, FUTURE_DROPPED, OUTPUT, PROXY, RUNNING, SCHEDULED},
};
use crate::sys::sync::Arc;
use std::{borrow::Cow, ptr::NonNull, rc::Rc};

impl Local {
    /// What people call the tasks that have not finished, the newest first; without those being polled, such as the caller's.
    pub(crate) fn live_names(&self) -> Vec<Cow<'static, str>> {
        let mut names = Vec::new();
        let mut next = self.live.first();
        while let Some(task) = next {
            // SAFETY: in the live list.
            let header = unsafe { task.as_ref() };
            if header.state() & (DONE | FUTURE_DROPPED | RUNNING | PROXY) == 0 {
                // SAFETY: on the owner.
                names.push(unsafe { (header.vtable.name)(task) });
            }
            next = header.live_links().1;
        }
        names
    }

    /// Drops every future, and the outputs that nobody has taken; from now on no task starts.
    pub(crate) fn cancel_all(&self) {
        self.is_closing.set(true);
        let mut next = self.live.first();
        while let Some(task) = next {
            // SAFETY: in the live list.
            let header = unsafe { task.as_ref() };
            let state = header.state();
            if state & DONE != 0 && state & OUTPUT == 0 {
                next = header.live_links().1;
                continue;
            }
            // The run loop or the handle holds a local reference; this one keeps the link until it has been read.
            header.retain_local();
            self.cancel(task);
            // SAFETY: on the owner, done.
            self.guarded_once(|| unsafe { (header.vtable.drop_output)(task) });
            next = header.live_links().1;
            self.release(task);
        }
        while let Some(task) = self.queue.pop() {
            // SAFETY: the queue's reference: everything is done by now.
            unsafe { task.as_ref() }.change_state(SCHEDULED, 0);
            self.release(task);
        }
    }

    /// Refuses all events from now on, and lets go of the tasks that others still refer to. Follows `cancel_all`; afterwards this
    /// thread is no longer the owner.
    pub(crate) fn close(&self, home: &Arc<Home>) {
        let mut next = self.live.first();
        while let Some(task) = next {
            // SAFETY: in the live list.
            let header = unsafe { task.as_ref() };
            header.begin_counting();
            next = header.live_links().1;
        }
        self.consumer.close(&home.inbox);
        while let Some(event) = self.consumer.pop_closed(&home.inbox) {
            self.guarded_once(|| drop(event));
        }
        // They hold each other. Only now: the events just dropped have sent their answers.
        self.peers.replace(Rc::new([]));
        while let Some(task) = self.live.first() {
            self.live.remove(task);
            // The reference to the home that its tasks did without while the owner held one.
            let _kept_by_the_task: *const Home = Arc::into_raw(home.clone());
            // SAFETY: kept by the count that began above, until this very line.
            if unsafe { task.as_ref() }.end_counting() == Released::Last {
                // SAFETY: nobody refers to it; the home's reference just made goes with it.
                unsafe { free_orphan(task) };
            }
        }
    }
}

/// Frees a task whose core is gone, on any thread, and its share of the home.
///
/// # Safety
/// No reference is left, and the task holds a reference to its home.
pub(super) unsafe fn free_orphan(task: NonNull<Header>) {
    // SAFETY: not freed yet.
    let home = unsafe { task.as_ref() }.home;
    // SAFETY: the caller's promise.
    let block = unsafe { drop_header(task) };
    // SAFETY: the caller's promise: a reference made by `Arc::into_raw` in `close`.
    drop(unsafe { Arc::from_raw(home.as_ptr().cast_const()) });
    // SAFETY: the memory came from an arena's `alloc` of this block.
    unsafe { free_block(task.cast(), block) };
}

/// # Safety
/// No reference is left.
pub(super) unsafe fn drop_header(task: NonNull<Header>) -> Block {
    // SAFETY: the caller's promise.
    let vtable: &'static VTable = unsafe { task.as_ref() }.vtable;
    #[cfg(all(test, loom))]
    // SAFETY: as above.
    unsafe { task.as_ref() }.memory.with_mut(|_| ());
    // SAFETY: as above.
    unsafe { task.drop_in_place() };
    vtable.block
}
