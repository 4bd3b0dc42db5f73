//! How the owner gives up references, and how a task's memory goes back.
#![expect(unsafe_code, reason = "task headers are reached through counted pointers")]

use super::{
    end::drop_header,
    header::{Header, Released},
    local::Local,
    state::{DONE, HANDLE, OUTPUT},
};
use std::ptr::NonNull;

impl Local {
    /// The handle is dropped: the task goes on, and nobody wants its output.
    pub(super) fn detach(&self, task: NonNull<Header>) {
        // SAFETY: the handle's reference.
        let header = unsafe { task.as_ref() };
        header.change_state(HANDLE, 0);
        let awaiter = header.replace_awaiter(None);
        // Both may run a stranger's code and unwind; the reference ends first where that is possible.
        if header.state() & OUTPUT != 0 {
            self.guarded_once(|| {
                // SAFETY: on the owner, done.
                unsafe { (header.vtable.drop_output)(task) }
            });
        }
        self.release(task);
        drop(awaiter);
    }

    /// Gives up one local reference.
    #[inline]
    pub(super) fn release(&self, task: NonNull<Header>) {
        // SAFETY: the reference that ends.
        if unsafe { task.as_ref() }.release_local() {
            self.end_local(task);
        }
    }

    /// The same where it is hardly ever the last.
    #[inline]
    pub(super) fn release_one(&self, task: NonNull<Header>) {
        #[cold]
        #[inline(never)]
        fn last(local: &Local, task: NonNull<Header>) {
            local.end_local(task);
        }
        // SAFETY: the reference that ends.
        if unsafe { task.as_ref() }.release_local() {
            last(self, task);
        }
    }

    #[inline]
    fn end_local(&self, task: NonNull<Header>) {
        // SAFETY: not freed yet.
        if unsafe { task.as_ref() }.end_local() == Released::Last {
            self.free(task);
        }
    }

    /// Takes back the memory of a task without references.
    #[inline(always)]
    pub(super) fn free(&self, task: NonNull<Header>) {
        debug_assert!({
            // SAFETY: not freed yet.
            let state = unsafe { task.as_ref() }.state();
            state & DONE != 0 && state & OUTPUT == 0
        });
        // SAFETY: nobody else is left; the stage is empty and the awaiter was taken or never set.
        unsafe { drop_header(task) };
        // SAFETY: its header has just been dropped.
        unsafe { self.arena.free(task) };
    }
}
