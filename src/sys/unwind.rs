//! Where a stranger's panic ends: whatever user code runs inside of the runtime, a panic of it goes no further than here.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

/// Calls `f`; `None` if it panicked, which the panic hook has reported. Whoever calls this takes care that what `f` touches may be
/// used after a panic.
#[inline]
pub(crate) fn contained<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Some(result),
        Err(payload) => {
            drop_payload(payload);
            None
        }
    }
}

/// Wakes one of several that are to be woken: should it panic, the others are woken all the same.
pub(crate) fn wake(waker: Waker) {
    contained(|| waker.wake());
}

/// Drops a panic's payload, whose own drop may panic once more.
#[cold]
pub(crate) fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}
