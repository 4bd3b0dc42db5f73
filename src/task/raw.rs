//! The part of a task that knows its future's type, behind a table of functions.
#![expect(unsafe_code, reason = "type erasure: one allocation holds header, future and output")]

use super::{
    JoinError, Local,
    chunk::Block,
    header::Header,
    state::{FUTURE_DROPPED, OUTPUT},
    waker,
};
use std::{
    borrow::Cow,
    cell::UnsafeCell,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

/// A task's allocation.
///
/// # Invariants
/// `stage` holds the future until `FUTURE_DROPPED` is set, the output while `OUTPUT` is set, and nothing otherwise. It is never
/// moved, and touched by the owning core only, which looks at the header's state first: loom sees it there, so that this cell,
/// which handles reach by its offset, can be a plain one.
#[repr(C)]
struct Task<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

/// What the owner does with a task whose future it does not know. Each takes the task's header, on the owner.
pub(crate) struct VTable {
    /// Polls the future; when ready, drops it and puts its output in place, and leaves it to the caller to set `FUTURE_DROPPED`
    /// and `OUTPUT`. Unwinds if the future does.
    pub(super) poll: unsafe fn(NonNull<Header>) -> Poll<()>,
    /// Tells the future, which is in place, that its poll has panicked.
    pub(super) panicked: unsafe fn(NonNull<Header>, JoinError) -> JoinError,
    /// Drops the future, if that has not begun yet.
    pub(super) drop_future: unsafe fn(NonNull<Header>),
    /// Puts an error in the output's place. The future is gone.
    pub(super) fail: unsafe fn(NonNull<Header>, JoinError),
    /// Where in the task the output stands: a `Result<F::Output, JoinError>`.
    pub(super) output_offset: usize,
    /// Drops the output, if it is in place.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// Sees to it that the future is dropped instead of polled, here or where it runs.
    pub(super) abort: unsafe fn(NonNull<Header>, &Local),
    /// What people call the task: its name, or the type of its future, which is in place and not being polled.
    pub(super) name: unsafe fn(NonNull<Header>) -> Cow<'static, str>,
}

/// A future as a task keeps it: plain, named, or standing for one elsewhere.
pub(crate) trait Run: Future + Sized + 'static {
    /// What people call it.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self>())
    }

    /// Its poll has panicked: it may keep the error for whom it works for, and give back another for the task's own output.
    fn panicked(&self, error: JoinError) -> JoinError {
        error
    }

    /// Sees to it that it ends.
    fn abort(&self, task: NonNull<Header>, local: &Local) {
        local.abort(task);
    }

    /// The table of functions for tasks of this type.
    const VTABLE: &'static VTable = &VTable {
        poll: poll::<Self>,
        panicked: panicked::<Self>,
        drop_future: drop_future::<Self>,
        fail: fail::<Self>,
        output_offset: std::mem::offset_of!(Task<Self>, stage),
        drop_output: drop_output::<Self>,
        abort: abort::<Self>,
        name: name::<Self>,
    };
}

/// The memory that a task of `F` needs.
pub(super) const fn block<F: Run>() -> Block {
    Block::of::<Task<F>>()
}

/// Fills a block with a task.
///
/// # Safety
/// `block` is free memory for a [`block`] of `F`.
#[inline]
pub(super) unsafe fn write<F: Run>(block: NonNull<u8>, header: Header, future: F) -> NonNull<Header> {
    let task = block.cast::<Task<F>>();
    let stage = UnsafeCell::new(Stage { future: ManuallyDrop::new(future) });
    // SAFETY: the caller's promise.
    unsafe { task.write(Task { header, stage }) };
    task.cast()
}

/// # Safety
/// On the owner; `task` is a task of `F`, and its `OUTPUT` bit is set.
#[inline]
unsafe fn take_output<F: Future>(task: NonNull<Header>) -> Result<F::Output, JoinError> {
    // SAFETY: the caller's promise.
    let task = unsafe { task.cast::<Task<F>>().as_ref() };
    task.header.change_state(OUTPUT, 0);
    // SAFETY: the output was in place, and nobody will take it again: its bit is cleared.
    unsafe { ManuallyDrop::take(&mut (*task.stage.get()).output) }
}

/// Puts an output in place.
///
/// # Safety
/// On the owner; the future is gone and there is no output yet.
#[inline]
pub(super) unsafe fn put_output<F: Future>(task: NonNull<Header>, output: Result<F::Output, JoinError>) {
    // SAFETY: the caller's promise.
    let task = unsafe { task.cast::<Task<F>>().as_ref() };
    // SAFETY: the stage is ours and empty.
    unsafe { (*task.stage.get()).output = ManuallyDrop::new(output) };
    task.header.change_state(0, OUTPUT);
}

/// Puts the output of a task whose future has nothing to drop in place.
///
/// # Safety
/// On the owner; the future is in place and there is no output yet.
#[inline]
pub(super) unsafe fn replace_future<F: Future>(task: NonNull<Header>, output: Result<F::Output, JoinError>) {
    const { assert!(!std::mem::needs_drop::<F>()) };
    // SAFETY: the caller's promise.
    unsafe { task.as_ref() }.change_state(0, FUTURE_DROPPED);
    // SAFETY: the future is gone.
    unsafe { put_output::<F>(task, output) };
}

unsafe fn poll<F: Future>(task: NonNull<Header>) -> Poll<()> {
    // SAFETY: the caller's promise: a task of `F`, on its owner.
    let this = unsafe { task.cast::<Task<F>>().as_ref() };
    // SAFETY: the run loop's reference keeps the task during the poll.
    let waker = unsafe { waker::lent(task) };
    let mut cx = Context::from_waker(&waker);
    // SAFETY: not `FUTURE_DROPPED`, so the future is there; it never moves; `Local::polling` keeps others away.
    let future = unsafe { Pin::new_unchecked(&mut *(*this.stage.get()).future) };
    match future.poll(&mut cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(output) => {
            if std::mem::needs_drop::<F>() {
                // SAFETY: as above.
                unsafe { drop_future::<F>(task) };
            }
            // SAFETY: the future is gone, and this is its one output; the stage is the owner's, and nobody looks at it now.
            unsafe { (*this.stage.get()).output = ManuallyDrop::new(Ok(output)) };
            Poll::Ready(())
        }
    }
}

unsafe fn panicked<F: Run>(task: NonNull<Header>, error: JoinError) -> JoinError {
    // SAFETY: the caller's promise.
    let this = unsafe { task.cast::<Task<F>>().as_ref() };
    // SAFETY: the future is there, and nobody is polling it any more.
    unsafe { (*this.stage.get()).future.panicked(error) }
}

unsafe fn drop_future<F: Future>(task: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let this = unsafe { task.cast::<Task<F>>().as_ref() };
    if this.header.state() & FUTURE_DROPPED == 0 {
        // Before the drop, which may unwind: a future is not dropped twice.
        this.header.change_state(0, FUTURE_DROPPED);
        // SAFETY: the bit was clear, so the future is there; nobody looks at it again.
        unsafe { ManuallyDrop::drop(&mut (*this.stage.get()).future) };
    }
}

unsafe fn fail<F: Future>(task: NonNull<Header>, error: JoinError) {
    // SAFETY: the caller's promise.
    unsafe { put_output::<F>(task, Err(error)) };
}

unsafe fn drop_output<F: Future>(task: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if unsafe { task.as_ref() }.state() & OUTPUT != 0 {
        // SAFETY: as above; the bit is set.
        drop(unsafe { take_output::<F>(task) });
    }
}

unsafe fn abort<F: Run>(task: NonNull<Header>, local: &Local) {
    // SAFETY: the caller's promise.
    let this = unsafe { task.cast::<Task<F>>().as_ref() };
    if this.header.state() & FUTURE_DROPPED == 0 && !local.is_polled(task) {
        // SAFETY: the future is there, and nobody is polling it.
        unsafe { (*this.stage.get()).future.abort(task, local) };
    } else {
        // Finished, or aborting itself: `step` sees the mark after the poll.
        local.abort(task);
    }
}

unsafe fn name<F: Run>(task: NonNull<Header>) -> Cow<'static, str> {
    // SAFETY: the caller's promise.
    let this = unsafe { task.cast::<Task<F>>().as_ref() };
    // SAFETY: as above: the future is there, and nobody is polling it.
    unsafe { (*this.stage.get()).future.name() }
}
