//! A task that is no core's: any of them polls it, one at a time.
//!
//! ```text
//!              ┌───────────────── woken meanwhile ④ ─────────────────┐
//!              ▼                                                     │
//!   spawn ─► SCHEDULED ── run ② ─► RUNNING ── pending ③ ─► idle      │
//!              ▲                    │   └────────────────────────────┘
//!              └──── wake, abort ① ─│── from idle
//!                                   └─ ready, panicked, aborted, runtime over ⑤ ─► DONE ─► output: handle ⑥, or nobody ⑦
//! ```
//!
//! ① [`State::schedule`] · ② [`State::begin`] · ③④ [`State::pause`] · ⑤ [`State::finish`] · ⑥ `Joint::poll_output` · ⑦ [`State::detach`].
//! Future and output share their place, which belongs to who has set `RUNNING`, and after `DONE` to the handle, or to who finished if
//! the handle is gone. One allocation holds all of it. The queues are a [`Schedule`]'s: nothing here knows a reactor.
#![expect(unsafe_code, reason = "future and output in a cell that the state guards")]

use super::{JoinError, JoinHandle, Panic, budget, elsewhere::Joint};
use crate::sys::{
    sync::{
        UnsafeCell,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire},
        },
    },
    unwind::contained,
    waker_slot::WakerSlot,
};
use futures::task::{ArcWake, waker_ref};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// In a queue, or to be put there after the poll. Set by who wakes it, cleared by who runs it.
const SCHEDULED: u8 = 1;
/// Being run. Set and cleared by who does; stands for ever once the task is `DONE`.
const RUNNING: u8 = 1 << 1;
/// The output is in place, the future gone. Set once, by who runs it.
const DONE: u8 = 1 << 2;
/// To be dropped instead of polled. Set by `abort`.
const ABORTED: u8 = 1 << 3;
/// The handle is gone. Set once.
const DETACHED: u8 = 1 << 4;

/// Where a balanced task is, and who may touch its future.
struct State(AtomicU8);

/// What `State::begin` found.
#[derive(PartialEq, Eq)]
enum Begun {
    Poll,
    Abort,
    /// It is over, and the caller had an old place in a queue.
    Nothing,
}

impl State {
    /// One that is about to be queued.
    fn new() -> Self {
        Self(AtomicU8::new(SCHEDULED))
    }

    /// Something has happened, `mark` or nothing in particular. `true` if the caller puts the task in a queue.
    #[must_use]
    fn schedule(&self, mark: u8) -> bool {
        // AcqRel: what the waker's caller wrote is seen by the run that follows, also where another wake came first.
        self.0.fetch_or(SCHEDULED | mark, AcqRel) & (SCHEDULED | RUNNING | DONE) == 0
    }

    /// Taken from a queue: from now on the cell is the caller's.
    fn begin(&self) -> Begun {
        // What is queued is SCHEDULED and, unless it is over, not RUNNING: both change places.
        // AcqRel: pairs with `schedule`, and with the `pause` of whichever core ran it before.
        match self.0.fetch_xor(SCHEDULED | RUNNING, AcqRel) {
            before if before & DONE != 0 => Begun::Nothing,
            before if before & ABORTED != 0 => Begun::Abort,
            _ => Begun::Poll,
        }
    }

    /// The cell is the caller's, wherever the task is queued, unless it is over; nobody runs it. `true` if it is the caller's.
    fn seize(&self) -> bool {
        // AcqRel: as in `begin`.
        self.0.fetch_or(RUNNING, AcqRel) & DONE == 0
    }

    /// The poll is over, and the cell nobody's. `true` if the task is to be queued again.
    fn pause(&self) -> bool {
        // AcqRel: what this poll wrote is seen by the next, on whatever core.
        self.0.fetch_and(!RUNNING, AcqRel) & SCHEDULED != 0
    }

    /// The output is in place. `true` if it is the handle's, otherwise it stays the caller's.
    fn finish(&self) -> bool {
        // AcqRel: publishes the output to `is_done`, or learns that the handle is gone.
        self.0.fetch_or(DONE, AcqRel) & DETACHED == 0
    }

    /// Whether the output is the handle's to take.
    fn is_done(&self) -> bool {
        // Acquire: pairs with `finish`.
        self.0.load(Acquire) & DONE != 0
    }

    /// The handle goes. `true` if the output is left to it.
    fn detach(&self) -> bool {
        // AcqRel: as `is_done`; or leaves the output to `finish`.
        self.0.fetch_or(DETACHED, AcqRel) & DONE != 0
    }
}

/// The queues that balanced tasks wait in, as one of them sees them.
pub(crate) trait Schedule: Send + Sync + 'static {
    /// Puts the task where a core finds it.
    fn enqueue(&self, task: Arc<dyn Runnable>);

    /// The task is over: nobody needs to keep it.
    fn ended(&self);

    /// Whether only the calling thread can have tasks go on.
    fn is_up_to_us(&self) -> bool;
}

/// A balanced task as the queues hold it.
pub(crate) trait Runnable: Send + Sync {
    /// Polls it, on a core. Returned if it is to be queued again.
    fn run(self: Arc<Self>) -> Option<Arc<dyn Runnable>>;

    /// Drops its future and tells who awaits it. Called by the last core, when nobody runs it and nobody will.
    fn cancel(&self);
}

/// Aborts a task whatever its type.
pub(super) trait Abort: Send + Sync {
    fn abort(self: Arc<Self>);
}

/// A balanced task.
///
/// # Invariants
/// `stage` never moves, and is touched as the state says.
struct Balanced<F: Future, S> {
    state: State,
    awaiter: WakerSlot,
    schedule: S,
    stage: UnsafeCell<Stage<F>>,
}

enum Stage<F: Future> {
    Future(F),
    Output(Result<F::Output, JoinError>),
    Empty,
}

// SAFETY: the state gives the cell to one thread at a time; future and output are `Send`.
unsafe impl<F: Future<Output: Send> + Send, S: Sync> Sync for Balanced<F, S> {}
// SAFETY: as above.
unsafe impl<F: Future<Output: Send> + Send, S: Send> Send for Balanced<F, S> {}

/// Makes a task of `future`, to be put in a queue by the caller, and its handle.
pub(crate) fn balanced<F, S>(future: F, schedule: S) -> (Arc<dyn Runnable>, JoinHandle<F::Output>)
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    let task = Arc::new(Balanced {
        state: State::new(),
        awaiter: WakerSlot::default(),
        schedule,
        stage: UnsafeCell::new(Stage::Future(future)),
    });
    (task.clone(), JoinHandle::from_joint(task))
}

impl<F, S> Balanced<F, S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    /// Lends the stage.
    ///
    /// # Safety
    /// The state says that it is the caller's, and the caller does not lend it twice.
    unsafe fn with_stage<R>(&self, f: impl FnOnce(Pin<&mut Stage<F>>) -> R) -> R {
        self.stage.with_mut(|stage| {
            // SAFETY: the caller's promise; it never moves, by the invariant.
            f(unsafe { Pin::new_unchecked(&mut *stage) })
        })
    }

    /// Replaces the future by the output, and tells who awaits it. The stage is the caller's.
    fn finish(&self, output: Result<F::Output, JoinError>) {
        // SAFETY: the caller's; the future may unwind when it is dropped, which has been reported by the panic hook.
        contained(|| unsafe { self.with_stage(|mut stage| stage.set(Stage::Empty)) });
        // SAFETY: as above.
        unsafe { self.with_stage(|mut stage| stage.set(Stage::Output(output))) };
        if self.state.finish() {
            // The waker is a stranger's, perhaps.
            contained(|| self.awaiter.wake());
        } else {
            self.drop_output();
        }
        self.schedule.ended();
    }

    /// Nobody wants the output, which is the caller's.
    fn drop_output(&self) {
        // SAFETY: the caller's.
        contained(|| unsafe { self.with_stage(|mut stage| stage.set(Stage::Empty)) });
    }
}

impl<F> Stage<F>
where
    F: Future,
{
    /// Polls the future, which is in place.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: nothing is moved out; the future is pinned with the stage.
        match unsafe { self.get_unchecked_mut() } {
            // SAFETY: as above.
            Self::Future(future) => unsafe { Pin::new_unchecked(future) }.poll(cx),
            _ => unreachable!("an unfinished task has its future"),
        }
    }
}

impl<F, S> Runnable for Balanced<F, S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    fn run(self: Arc<Self>) -> Option<Arc<dyn Runnable>> {
        match self.state.begin() {
            Begun::Nothing => return None,
            Begun::Abort => {
                self.finish(Err(JoinError::Cancelled));
                return None;
            }
            Begun::Poll => {}
        }
        budget::refill();
        let waker = waker_ref(&self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: the stage is ours since `begin`.
        let poll = || unsafe { self.with_stage(|stage| stage.poll(&mut cx)) };
        let output = match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(value)) => Ok(value),
            Ok(Poll::Pending) => {
                return if self.state.pause() { Some(self) } else { None };
            }
            Err(payload) => Err(JoinError::Panicked(Panic::new(payload))),
        };
        self.finish(output);
        None
    }

    fn cancel(&self) {
        if self.state.seize() {
            self.finish(Err(JoinError::Cancelled));
        }
    }
}

impl<F, S> ArcWake for Balanced<F, S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    fn wake_by_ref(task: &Arc<Self>) {
        if task.state.schedule(0) {
            task.schedule.enqueue(task.clone());
        }
    }
}

impl<F, S> Abort for Balanced<F, S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    fn abort(self: Arc<Self>) {
        if self.state.schedule(ABORTED) {
            self.schedule.enqueue(self.clone());
        }
    }
}

/// What its one handle does.
impl<F, S> Joint<F::Output> for Balanced<F, S>
where
    F: Future<Output: Send> + Send + 'static,
    S: Schedule,
{
    fn poll_output(&self, cx: &mut Context<'_>) -> Poll<Result<F::Output, JoinError>> {
        if !self.state.is_done() {
            self.awaiter.register(cx.waker());
            // Once more: it may have finished before it could see who waits.
            if !self.state.is_done() {
                return Poll::Pending;
            }
        }
        // SAFETY: done, and the handle, which is polled by one thread at a time, is still there.
        let stage = unsafe {
            // Not pinned any more: the future is gone.
            self.with_stage(|stage| std::mem::replace(stage.get_unchecked_mut(), Stage::Empty))
        };
        match stage {
            Stage::Output(output) => Poll::Ready(output),
            _ => unreachable!("the output is taken once"),
        }
    }

    fn detach(&self) {
        if self.state.detach() {
            self.drop_output();
        }
    }

    fn to_abort(self: Arc<Self>) -> Arc<dyn Abort> {
        self
    }

    fn is_up_to_us(&self) -> bool {
        self.schedule.is_up_to_us()
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
