//! Who awaits a task, in one word: nearly always a task of the same core.
//!
//! Such a task is woken, kept and let go as the owner does it, without a look at its waker's functions; any other waker goes in
//! a box.
#![expect(
    unsafe_code,
    reason = "a counted pointer to a task's header, or a box, told apart by the lowest bit"
)]

use super::{header::Header, local::Local, waker};
use std::{
    ptr::NonNull,
    task::{Context, Waker},
};

/// Set in the address of a boxed waker.
const BOXED: usize = 1;
const _: () = assert!(align_of::<Waker>() > BOXED && align_of::<Header>() > BOXED);

/// Who awaits a task.
///
/// # Invariants
/// The address of a header, with a local reference; or that of a `Box<Waker>` plus `BOXED`. Touched by the owning core only.
pub(super) struct Awaiter(NonNull<()>);

enum Kind {
    Task(NonNull<Header>),
    Boxed(NonNull<Waker>),
}

impl Awaiter {
    /// Has the waker in `cx` woken when the task is done.
    #[inline]
    pub(super) fn set(task: &Header, local: &Local, cx: &Context<'_>) {
        let new = cx.waker();
        if task.with_awaiter(|old| old.is_some_and(|old| old.is(new))) {
            return;
        }
        // The old one is dropped, and a stranger's cloned, while nobody looks at the header: either may run anything.
        let new = Self::new(new, local);
        drop(task.replace_awaiter(Some(new)));
    }

    #[inline]
    fn new(waker: &Waker, local: &Local) -> Self {
        match waker::task_of(waker) {
            // SAFETY: whoever lent the waker keeps the task.
            Some(task) if unsafe { task.as_ref() }.local().is_some_and(|its| std::ptr::eq(its, local)) => {
                // SAFETY: as above; on its owner.
                unsafe { task.as_ref() }.retain_local();
                Self(task.cast())
            }
            _ => Self::boxed(waker),
        }
    }

    #[cold]
    fn boxed(waker: &Waker) -> Self {
        let waker = NonNull::from(Box::leak(Box::new(waker.clone())));
        Self(waker.map_addr(|address| address | BOXED).cast())
    }

    #[inline]
    fn kind(&self) -> Kind {
        if self.0.addr().get() & BOXED == 0 {
            return Kind::Task(self.0.cast());
        }
        let waker = self.0.as_ptr().map_addr(|address| address & !BOXED);
        // SAFETY: the bit was added to the address of a box.
        Kind::Boxed(unsafe { NonNull::new_unchecked(waker.cast()) })
    }

    /// Whether waking `waker` would do the same.
    #[inline]
    fn is(&self, waker: &Waker) -> bool {
        match self.kind() {
            Kind::Task(task) => waker::task_of(waker) == Some(task),
            // SAFETY: the box is ours.
            Kind::Boxed(boxed) => unsafe { boxed.as_ref() }.will_wake(waker),
        }
    }

    /// Wakes, on the owner.
    #[inline]
    pub(super) fn wake(self, local: &Local) {
        let kind = self.kind();
        std::mem::forget(self);
        match kind {
            Kind::Task(task) => {
                local.schedule(task);
                local.release_one(task);
            }
            Kind::Boxed(waker) => wake_boxed(waker),
        }
    }
}

#[cold]
fn wake_boxed(waker: NonNull<Waker>) {
    // SAFETY: the box was the awaiter's, which is gone.
    unsafe { Box::from_raw(waker.as_ptr()) }.wake();
}

impl Drop for Awaiter {
    fn drop(&mut self) {
        match self.kind() {
            // SAFETY: the awaiter's reference becomes the waker's.
            Kind::Task(task) => drop(unsafe { waker::owned(task) }),
            // SAFETY: the box is the awaiter's.
            Kind::Boxed(waker) => drop(unsafe { Box::from_raw(waker.as_ptr()) }),
        }
    }
}
