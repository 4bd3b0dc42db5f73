//! Aborting a task from anywhere: by its header, or by a flag where its result goes through a channel.
#![expect(unsafe_code, reason = "the handle is a counted pointer to a task's header")]

use super::{
    balanced::Abort,
    header::{Header, Released},
    remote::AbortFlag,
    waker::{Errand, send_home},
};
use std::{fmt, ptr::NonNull, sync::Arc};

/// Aborts a task from any thread.
pub struct AbortHandle(pub(super) Target);

pub(super) enum Target {
    /// Holds a shared reference.
    Header(NonNull<Header>),
    Flag(Arc<AbortFlag>),
    /// A task that is no core's.
    Joint(Arc<dyn Abort>),
}

// SAFETY: holds a shared reference, counted atomically, and only sends events with it.
unsafe impl Send for AbortHandle {}
// SAFETY: as above.
unsafe impl Sync for AbortHandle {}

impl AbortHandle {
    /// See [`JoinHandle::abort`](super::JoinHandle::abort).
    pub fn abort(&self) {
        match &self.0 {
            // SAFETY: the handle's reference.
            Target::Header(task) => unsafe { abort(*task) },
            Target::Flag(flag) => flag.raise(),
            Target::Joint(task) => task.clone().abort(),
        }
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Target::Header(task) => {
                // SAFETY: the handle's reference.
                unsafe { task.as_ref() }.retain_shared();
                Target::Header(*task)
            }
            Target::Flag(flag) => Target::Flag(flag.clone()),
            Target::Joint(task) => Target::Joint(task.clone()),
        })
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        if let Target::Header(task) = self.0 {
            // SAFETY: the handle's reference, which ends here.
            unsafe { release_shared(task) };
        }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").finish_non_exhaustive()
    }
}

/// Aborts, on the owner or by an event.
///
/// # Safety
/// The caller holds a reference.
pub(super) unsafe fn abort(task: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { task.as_ref() };
    match header.local() {
        // SAFETY: on the owner.
        Some(local) => unsafe { (header.vtable.abort)(task, local) },
        None => {
            header.retain_shared();
            send_home(task, Errand::Abort);
        }
    }
}

/// Ends a shared reference, on any thread.
///
/// # Safety
/// The reference is the caller's to end.
pub(super) unsafe fn release_shared(task: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { task.as_ref() };
    match header.local() {
        Some(local) => {
            if header.release_shared() == Released::Last {
                local.free(task);
            }
        }
        None => {
            if !header.release_shared_unless_last() {
                send_home(task, Errand::ReleaseShared);
            }
        }
    }
}
