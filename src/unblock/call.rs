//! Calls that block, on threads beside the reactors.
//!
//! ```text
//!  unblock(f) ── first poll ──► queue ──► a thread calls f ──► result, wakes the awaiter
//!                                 │ │
//!               runs all the same ┘ └ beyond the bound: dropping the future takes it back
//!               if its future goes
//! ```

use super::pool::{Call, Pool};
use crate::{JoinError, Panic, sys::waker_slot::WakerSlot};
use std::{
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// Calls `f`, which may block, on a thread beside the reactors, and gives its result.
///
/// Threads are few ([`Builder::unblock_threads`](crate::app::Builder::unblock_threads)) and so is the room to wait for them: further
/// calls await their turn, in order. Once `f` waits for a thread, dropping the future does not keep it from running; before, it
/// does.
///
/// ```
/// # reactor::app::Builder::new().run(async || {
/// let listing = reactor::app::unblock(|| std::fs::read_dir("/proc").map(Iterator::count)).await??;
/// assert!(listing > 0);
/// # Ok::<(), reactor::Error>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// [`JoinError::Panicked`] if `f` panics, or if the system starts no thread at all; [`JoinError::CoreGone`] if the application
/// has ended.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor, where one may block as one likes.
#[track_caller]
pub fn unblock<F, T>(f: F) -> Unblock<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Unblock { pool: Pool::current(), stage: UnblockStage::New(f, Location::caller()) }
}

/// See [`unblock()`].
#[must_use = "the function is called when the future is first polled"]
pub struct Unblock<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pool: Pool,
    stage: UnblockStage<F, T>,
}

enum UnblockStage<F, T> {
    New(F, &'static Location<'static>),
    Sent(Arc<Job<F, T>>),
    Done,
}

impl<F, T> Unpin for Unblock<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
}

impl<F, T> Future for Unblock<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match mem::replace(&mut this.stage, UnblockStage::Done) {
            UnblockStage::New(f, location) => {
                let job = Arc::new(Job {
                    stage: Mutex::new(Stage::Queued(f)),
                    waker: WakerSlot::default(),
                    location,
                });
                job.waker.register(cx.waker());
                this.stage = UnblockStage::Sent(job.clone());
                this.pool.push(job);
                Poll::Pending
            }
            UnblockStage::Sent(job) => {
                job.waker.register(cx.waker());
                if let Some(result) = job.take() {
                    return Poll::Ready(result);
                }
                this.stage = UnblockStage::Sent(job);
                Poll::Pending
            }
            UnblockStage::Done => panic!("a future of `app::unblock` was polled after it gave its result"),
        }
    }
}

impl<F, T> Drop for Unblock<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        if let UnblockStage::Sent(job) = &self.stage {
            if job.is_queued() {
                self.pool.withdraw(Arc::as_ptr(job).cast());
            }
        }
    }
}

impl<F, T> fmt::Debug for Unblock<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unblock").finish_non_exhaustive()
    }
}

/// A call, shared by its future and the queue: the one allocation.
struct Job<F, T> {
    stage: Mutex<Stage<F, T>>,
    waker: WakerSlot,
    location: &'static Location<'static>,
}

enum Stage<F, T> {
    Queued(F),
    Running,
    Done(Result<T, JoinError>),
    Taken,
}

impl<F, T> Job<F, T> {
    fn stage(&self) -> MutexGuard<'_, Stage<F, T>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_queued(&self) -> bool {
        matches!(*self.stage(), Stage::Queued(_))
    }

    fn take(&self) -> Option<Result<T, JoinError>> {
        let mut stage = self.stage();
        if !matches!(*stage, Stage::Done(_)) {
            return None;
        }
        match mem::replace(&mut *stage, Stage::Taken) {
            Stage::Done(result) => Some(result),
            _ => None,
        }
    }
}

impl<F, T> Call for Job<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn call(&self) {
        let stage = mem::replace(&mut *self.stage(), Stage::Running);
        if let Stage::Queued(f) = stage {
            let result = catch_unwind(AssertUnwindSafe(f));
            *self.stage() = Stage::Done(result.map_err(|payload| JoinError::Panicked(Panic::new(payload))));
            self.waker.wake();
        }
    }

    fn fail(&self, error: JoinError) {
        let stage = mem::replace(&mut *self.stage(), Stage::Done(Err(error)));
        self.waker.wake();
        drop(stage);
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}
