//! Balanced tasks: `Send` futures that run on whichever core is free.
//!
//! ```text
//!   spawn, wake on a core ──► its own queue ──────► turn: a bounded batch, after the core's pinned tasks
//!   spawn, wake elsewhere ──► injector ─────┐          ▲
//!                                           └──────────┤ one batch at a time
//!   other cores' queues ───────────────────────────────┘ when there is nothing else to do: stolen
//! ```
//!
//! Each core has a work-stealing queue, which nobody touches as long as no balanced task lives. Pinned tasks never come here. A core
//! that sleeps is woken when there is something to take; see [`super::sleepers`].

use super::{Group, Handle, Inner, context, sleepers::Sleepers};
use crate::{
    sys::sync::CachePadded,
    task::{JoinError, JoinHandle, answering, budget},
};
use crossbeam_deque::{Injector, Steal, Stealer, Worker};
use futures::{
    future::BoxFuture,
    task::{ArcWake, waker_ref},
};
use slab::Slab;
use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU8, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll},
};

/// Polls of balanced tasks per turn and core: few enough that pinned tasks, which cannot go elsewhere, wait some microseconds at
/// most.
pub(super) const POLLS_MAX: usize = 32;
/// Taken from the injector at once: so that one core does not take what others could run beside it.
const INJECTED_MAX: usize = 8;

/// Runs `future` on whichever core of the runtime is free: for work that needs no particular core, such as checksums and
/// compression. What a core has started and not got to, idle cores take over, between any two of its polls.
///
/// The handle is as any other: dropping it detaches, a panic reaches who awaits it. When the last core ends, what is left is dropped
/// there, and the handle says [`JoinError::Cancelled`].
///
/// ```
/// # let executor = reactor::LocalExecutor::new()?;
/// # executor.block_on(async {
/// let blocks = [[1_u8; 4096], [2; 4096]];
/// let sums = blocks.map(|block| reactor::spawn_balanced(async move { block.iter().map(|&b| u64::from(b)).sum::<u64>() }));
/// let mut total = 0;
/// for sum in sums {
///     total += sum.await?;
/// }
/// assert_eq!(total, 3 * 4096);
/// # Ok::<(), reactor::JoinError>(())
/// # })?;
/// # Ok::<(), reactor::Error>(())
/// ```
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor: other threads have [`Handle::spawn_balanced`].
#[track_caller]
pub fn spawn_balanced<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    context::with("spawn_balanced", |core| spawn(&core.group, core.index, future))
}

impl Handle {
    /// Runs `future` on whichever core is free; see [`spawn_balanced`](crate::spawn_balanced). If all have ended, the handle says
    /// [`JoinError::CoreGone`].
    pub fn spawn_balanced<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn(&self.group, 0, future)
    }
}

fn spawn<F>(group: &Arc<Group>, shard: usize, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (future, handle) = answering(future);
    match group.balance.register(group, shard, Box::pin(future)) {
        Some(task) => {
            enqueue(task);
            handle
        }
        None => JoinHandle::failed(JoinError::CoreGone),
    }
}

/// A runtime's balanced tasks.
pub(super) struct Balance {
    /// Tasks that have not ended; looked at in every turn.
    live: CachePadded<AtomicUsize>,
    injector: Injector<Arc<Task>>,
    queues: Box<[Queue]>,
    pub(super) sleepers: Sleepers,
    /// Cores that have started and not ended.
    running: AtomicUsize,
    /// Set when the last one has; under no lock, but before those of the queues.
    is_closed: AtomicBool,
}

/// One core's share.
struct Queue {
    stealer: Stealer<Arc<Task>>,
    /// Until the core takes it.
    worker: Mutex<Option<Worker<Arc<Task>>>>,
    /// Tasks that were started here and have not ended, for the end.
    started: Mutex<Slab<Arc<Task>>>,
}

/// Waits for a wake-up, in no queue.
const IDLE: u8 = 0;
/// In a queue, or to be put there after the poll. Set by who wakes it, cleared by who polls it.
const SCHEDULED: u8 = 1;
/// Being polled. Set and cleared by who does.
const RUNNING: u8 = 1 << 1;
/// The future is gone. Set once.
const DONE: u8 = 1 << 2;

/// A balanced task.
pub(super) struct Task {
    /// Weak: the runtime's queues hold tasks.
    group: Weak<Group>,
    state: AtomicU8,
    /// Never contended: `state` lets one core in. `None` once it is done.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    shard: usize,
    key: usize,
}

impl ArcWake for Task {
    fn wake_by_ref(task: &Arc<Self>) {
        // AcqRel: what the waker's caller wrote is seen by the poll that follows, also where another wake came first.
        if task.state.fetch_or(SCHEDULED, AcqRel) == IDLE {
            enqueue(task.clone());
        }
    }
}

/// Puts a task that is `SCHEDULED` where a core finds it.
fn enqueue(task: Arc<Task>) {
    let mut task = Some(task);
    context::try_with(|core| {
        let task = task.take_if(|task| std::ptr::eq(task.group.as_ptr(), Arc::as_ptr(&core.group)));
        if let Some(task) = task {
            core.balanced.push(task);
            core.group.wake_sleeper();
        }
    });
    // From elsewhere. If the runtime is gone, so is the future.
    if let Some((group, task)) = task.and_then(|task| Some((task.group.upgrade()?, task))) {
        group.balance.injector.push(task);
        group.wake_sleeper();
    }
}

impl Group {
    /// There is work for any core: wakes one that sleeps, if any.
    #[inline]
    fn wake_sleeper(&self) {
        if let Some(peer) = self.balance.sleepers.take().and_then(|core| self.get(core)) {
            peer.home.poke();
        }
    }
}

impl Balance {
    pub(super) fn new(cores: usize) -> Self {
        let queue = |_| {
            let worker = Worker::new_fifo();
            Queue { stealer: worker.stealer(), worker: Mutex::new(Some(worker)), started: Mutex::default() }
        };
        Self {
            live: CachePadded(AtomicUsize::new(0)),
            injector: Injector::new(),
            queues: (0..cores).map(queue).collect(),
            sleepers: Sleepers::new(cores),
            running: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// A core starts; its queue is its own.
    ///
    /// # Panics
    /// If it has started before.
    pub(super) fn start(&self, core: usize) -> Worker<Arc<Task>> {
        self.running.fetch_add(1, AcqRel);
        let worker = lock(&self.queues[core].worker).take();
        worker.expect("a core of a runtime starts once")
    }

    fn register(
        &self,
        group: &Arc<Group>,
        shard: usize,
        future: BoxFuture<'static, ()>,
    ) -> Option<Arc<Task>> {
        let mut started = lock(&self.queues[shard].started);
        // Acquire: pairs with the Release in `end`, which takes this lock afterwards: either it finds the task, or we see that it is
        // over.
        if self.is_closed.load(Acquire) {
            return None;
        }
        let entry = started.vacant_entry();
        let task = Arc::new(Task {
            group: Arc::downgrade(group),
            state: AtomicU8::new(SCHEDULED),
            future: Mutex::new(Some(future)),
            shard,
            key: entry.key(),
        });
        entry.insert(task.clone());
        self.live.fetch_add(1, Relaxed);
        Some(task)
    }

    fn unregister(&self, task: &Task) {
        let registered = lock(&self.queues[task.shard].started).try_remove(task.key);
        if registered.is_some() {
            self.live.fetch_sub(1, Relaxed);
        }
    }

    /// Whether there is something to take anywhere.
    pub(super) fn has_work(&self) -> bool {
        self.live.load(Relaxed) > 0
            && (!self.injector.is_empty() || self.queues.iter().any(|queue| !queue.stealer.is_empty()))
    }

    /// Takes a few from the injector: one to run, the rest into the core's own queue.
    fn take_injected(&self, own: &Worker<Arc<Task>>) -> Option<Arc<Task>> {
        persist(|| self.injector.steal_batch_with_limit_and_pop(own, INJECTED_MAX))
    }

    /// Takes half of what another core has: one to run, the rest into the core's own queue.
    fn steal(&self, core: usize, own: &Worker<Arc<Task>>) -> Option<Arc<Task>> {
        let others = self.queues[core + 1..].iter().chain(&self.queues[..core]);
        others.map(|other| &other.stealer).find_map(|other| persist(|| other.steal_batch_and_pop(own)))
    }

    /// A core ends: leaves its tasks to the others; the last one drops them all.
    fn end(&self, own: &Worker<Arc<Task>>, core: usize, group: &Group) {
        self.sleepers.awake(core);
        while let Some(task) = own.pop() {
            self.injector.push(task);
        }
        if self.has_work() {
            // Also for who has woken this core meanwhile, in vain.
            group.wake_sleeper();
        }
        if self.running.fetch_sub(1, AcqRel) > 1 {
            return;
        }
        // Release: see `register`.
        self.is_closed.store(true, Release);
        for queue in &self.queues {
            let started = mem::take(&mut *lock(&queue.started));
            for (_, task) in started {
                task.state.store(DONE, Release);
                let future = lock(&task.future).take();
                drop_quietly(future);
                self.live.fetch_sub(1, Relaxed);
            }
        }
        // What is still queued has no future any more.
        while own.pop().or_else(|| persist(|| self.injector.steal())).is_some() {}
    }
}

impl Inner {
    /// Polls a few balanced tasks; takes those of other cores only if this one `is_idle`. One relaxed load if there are none.
    #[inline]
    pub(super) fn run_balanced(&self, is_idle: bool) -> usize {
        if self.group.balance.live.load(Relaxed) == 0 { 0 } else { self.run_balanced_batch(is_idle) }
    }

    fn run_balanced_batch(&self, is_idle: bool) -> usize {
        let (balance, own) = (&self.group.balance, &self.balanced);
        // Counted now: what wakes itself goes on next turn.
        let mut left = own.len().min(POLLS_MAX);
        let mut polls = 0;
        // First, so that a queue of one's own that never empties starves nobody.
        let injected = if balance.injector.is_empty() { None } else { balance.take_injected(own) };
        let mut next = injected.or_else(|| {
            left = left.checked_sub(1)?;
            own.pop()
        });
        if next.is_none() && is_idle {
            next = balance.steal(self.index, own);
        }
        while let Some(task) = next {
            polls += 1;
            self.poll_balanced(task);
            next = left.checked_sub(1).and_then(|fewer| {
                left = fewer;
                own.pop()
            });
        }
        polls
    }

    fn poll_balanced(&self, task: Arc<Task>) {
        // AcqRel: pairs with the wake, see `wake_by_ref`.
        if task.state.swap(RUNNING, AcqRel) & DONE != 0 {
            task.state.store(DONE, Relaxed);
            return;
        }
        budget::refill();
        let mut slot = lock(&task.future);
        let Some(future) = slot.as_mut() else { return };
        let waker = waker_ref(&task);
        // The future catches its own panics; a waker of who awaits it may unwind all the same.
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        if matches!(polled, Ok(Poll::Pending)) {
            drop(slot);
            // AcqRel: what this poll wrote is seen by the next, on whatever core.
            if task.state.fetch_and(!RUNNING, AcqRel) & SCHEDULED != 0 {
                self.balanced.push(task);
                // Alone in the queue it goes on here as soon as anywhere.
                if self.balanced.len() > 1 {
                    self.group.wake_sleeper();
                }
            }
            return;
        }
        task.state.store(DONE, Release);
        let future = slot.take();
        drop(slot);
        drop_quietly(future);
        self.group.balance.unregister(&task);
    }

    /// This core ends.
    pub(super) fn end_balanced(&self) {
        self.group.balance.end(&self.balanced, self.index, &self.group);
    }
}

/// Takes until it is clear whether there is something.
fn persist<T>(mut steal: impl FnMut() -> Steal<T>) -> Option<T> {
    loop {
        match steal() {
            Steal::Success(taken) => return Some(taken),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}

/// Drops a future, whose drop may unwind: that has been reported by the panic hook.
fn drop_quietly(future: Option<BoxFuture<'static, ()>>) {
    // The closure owns the future, which ends in it.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || {
        let _ends_here = future;
    })) {
        mem::forget(payload);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
