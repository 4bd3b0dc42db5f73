//! Wakers: plain on the core that owns the task, events from everywhere else, safe at any time.
//!
//! | | on the owner | elsewhere | the core is gone |
//! |---|---|---|---|
//! | clone | count | atomic count | atomic count |
//! | wake by value | run queue, count | one event, which carries the reference | count |
//! | wake by reference | run queue | one event, unless one is under way | nothing |
//! | drop | count | one event | atomic count |
//!
//! A waker made by the owner holds a local reference wherever it goes, one made abroad a shared reference (see [`super::header`]);
//! the two vtables tell them apart.
#![expect(unsafe_code, reason = "RawWaker vtables")]

use super::{
    abort::release_shared,
    chunk,
    end::free_orphan,
    header::{Header, Released},
    local::Local,
};
use std::{
    mem,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

static LOCAL: RawWakerVTable = RawWakerVTable::new(clone_local, wake_local, wake_by_ref, drop_local);
static SHARED: RawWakerVTable = RawWakerVTable::new(clone_shared, wake_shared, wake_by_ref, drop_shared);

/// The waker that a poll lends out: it holds no reference of its own, so it must not be dropped.
///
/// # Safety
/// `task` stays alive for as long as the waker is used, on its owner.
#[inline]
pub(super) unsafe fn lent(task: NonNull<Header>) -> mem::ManuallyDrop<Waker> {
    // SAFETY: the vtable's functions take a `Header` pointer; the caller keeps it alive.
    mem::ManuallyDrop::new(unsafe { Waker::new(task.as_ptr() as *const (), &LOCAL) })
}

/// The task that a waker lent or cloned on the owner stands for.
#[inline]
pub(super) fn task_of(waker: &Waker) -> Option<NonNull<Header>> {
    if std::ptr::eq(waker.vtable(), &LOCAL) { NonNull::new(waker.data() as *mut Header) } else { None }
}

/// A waker that takes over a local reference.
///
/// # Safety
/// The reference is the caller's to give.
pub(super) unsafe fn owned(task: NonNull<Header>) -> Waker {
    // SAFETY: the vtable's functions take a `Header` pointer with a local reference.
    unsafe { Waker::new(task.as_ptr() as *const (), &LOCAL) }
}

/// What a reference under way to the owner does where it arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// Wakes the task; its `WAKING` bit, a reference, ends.
    Wake,
    /// Wakes the task; a local reference ends.
    WakeAndRelease,
    /// A local reference ends.
    Release,
    /// The handle is dropped; its local reference ends.
    Detach,
    /// The task is aborted; a shared reference ends.
    Abort,
    /// A shared reference ends, the last of all.
    ReleaseShared,
}

/// An errand in an event. Run or dropped, on the owner, it is done.
struct Parcel {
    task: NonNull<Header>,
    errand: Errand,
}

// SAFETY: a parcel owns a reference, so the header is alive; headers may be reached from any thread.
unsafe impl Send for Parcel {}

impl Drop for Parcel {
    fn drop(&mut self) {
        // SAFETY: the parcel's reference keeps the header, and the header its home.
        let header = unsafe { self.task.as_ref() };
        let Some(local) = header.local() else {
            debug_assert!(false, "an inbox was dropped by another than its owner, and not closed");
            return;
        };
        match self.errand {
            Errand::Wake => {
                if header.end_waking() == Released::Last {
                    local.free(self.task);
                } else {
                    local.schedule(self.task);
                }
            }
            Errand::WakeAndRelease => {
                local.schedule(self.task);
                local.release(self.task);
            }
            Errand::Release => local.release(self.task),
            Errand::Detach => local.detach(self.task),
            Errand::Abort => {
                // SAFETY: on the owner.
                unsafe { (header.vtable.abort)(self.task, local) };
                // SAFETY: the parcel's reference.
                unsafe { release_shared(self.task) };
            }
            // SAFETY: the parcel's reference.
            Errand::ReleaseShared => unsafe { release_shared(self.task) },
        }
    }
}

/// Sends `errand` home, from elsewhere; on a core that is gone its reference ends here.
#[inline(never)]
pub(super) fn send_home(task: NonNull<Header>, errand: Errand) {
    let parcel = Parcel { task, errand };
    // SAFETY: the parcel's reference keeps the header, and the header its home, for the length of this call: the owner frees
    // neither before it has taken the parcel, and `Home::send` touches nothing of them after it has published it.
    let home = unsafe { chunk::home(task).as_ref() };
    if let Err(refused) = home.send(move || drop(parcel)) {
        // It holds nothing but the parcel, whose reference ends below instead of in its drop.
        mem::forget(refused);
        // SAFETY: the reference that the parcel carried is ours to end, and the core will never look at this task again.
        let header = unsafe { task.as_ref() };
        let released = match errand {
            Errand::Wake => header.end_waking(),
            // A local reference counts as a shared one once the core has ended.
            Errand::WakeAndRelease
            | Errand::Release
            | Errand::Detach
            | Errand::Abort
            | Errand::ReleaseShared => header.release_shared(),
        };
        if released == Released::Last {
            // SAFETY: that was the last reference, on whatever thread.
            unsafe { free_orphan(task) };
        }
    }
}

/// # Safety
/// `data` is the header of a task that the waker holds a reference to; the same goes for all functions below.
#[inline]
unsafe fn parts<'a>(data: *const ()) -> (NonNull<Header>, &'a Header, Option<&'a Local>) {
    // SAFETY: the caller's promise: a header's address is not null.
    let task = unsafe { NonNull::new_unchecked(data as *mut Header) };
    // SAFETY: as above.
    let header = unsafe { task.as_ref() };
    (task, header, header.local())
}

unsafe fn clone_local(data: *const ()) -> RawWaker {
    // SAFETY: the caller's promise.
    let (_, header, local) = unsafe { parts(data) };
    if local.is_some() {
        header.retain_local();
        RawWaker::new(data, &LOCAL)
    } else {
        header.retain_shared();
        RawWaker::new(data, &SHARED)
    }
}

unsafe fn clone_shared(data: *const ()) -> RawWaker {
    // SAFETY: the caller's promise.
    let (_, header, _) = unsafe { parts(data) };
    header.retain_shared();
    RawWaker::new(data, &SHARED)
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller's promise.
    let (task, header, local) = unsafe { parts(data) };
    match local {
        Some(local) => local.schedule(task),
        None => {
            if header.begin_waking() {
                send_home(task, Errand::Wake);
            }
        }
    }
}

unsafe fn wake_local(data: *const ()) {
    // SAFETY: the caller's promise.
    let (task, _, local) = unsafe { parts(data) };
    match local {
        Some(local) => {
            local.schedule(task);
            local.release_one(task);
        }
        None => send_home(task, Errand::WakeAndRelease),
    }
}

unsafe fn wake_shared(data: *const ()) {
    // SAFETY: the caller's promise, twice: the reference ends in the second call.
    unsafe { wake_by_ref(data) };
    // SAFETY: as above.
    unsafe { drop_shared(data) };
}

unsafe fn drop_local(data: *const ()) {
    // SAFETY: the caller's promise.
    let (task, _, local) = unsafe { parts(data) };
    match local {
        Some(local) => local.release_one(task),
        None => send_home(task, Errand::Release),
    }
}

unsafe fn drop_shared(data: *const ()) {
    // SAFETY: the caller's promise.
    let (task, ..) = unsafe { parts(data) };
    // SAFETY: the waker's reference, which ends here.
    unsafe { release_shared(task) };
}
