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
//! that sleeps is woken when there is something to take; see [`super::sleepers`]. The task itself stands in [`crate::task`].

use super::{Group, Handle, Inner, context, sleepers::Sleepers};
use crate::{
    sys::sync::CachePadded,
    task::{JoinError, JoinHandle, Runnable, Schedule, balanced},
};
use crossbeam_deque::{Injector, Steal, Stealer, Worker};
use slab::Slab;
use std::{
    future::Future,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
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
    match group.balance.register(group, shard, future) {
        Some((task, handle)) => {
            enqueue(&Arc::downgrade(group), task);
            handle
        }
        None => JoinHandle::failed(JoinError::CoreGone),
    }
}

/// A runtime's balanced tasks.
pub(super) struct Balance {
    /// Tasks that have not ended; looked at in every turn.
    live: CachePadded<AtomicUsize>,
    injector: Injector<Task>,
    queues: Box<[Queue]>,
    pub(super) sleepers: Sleepers,
    /// Cores that have started and not ended.
    running: AtomicUsize,
    /// Set when the last one has; under no lock, but before those of the queues.
    is_closed: AtomicBool,
}

/// As the queues hold it.
pub(super) type Task = Arc<dyn Runnable>;

/// One core's share.
struct Queue {
    stealer: Stealer<Task>,
    /// Until the core takes it.
    worker: Mutex<Option<Worker<Task>>>,
    /// Tasks that were started here and have not ended, for the end.
    started: Mutex<Slab<Task>>,
}

/// A task's place among those that were started.
struct Place {
    /// Weak: the runtime's queues hold tasks.
    group: Weak<Group>,
    shard: usize,
    key: usize,
}

impl Schedule for Place {
    fn enqueue(&self, task: Task) {
        enqueue(&self.group, task);
    }

    fn ended(&self) {
        if let Some(group) = self.group.upgrade() {
            group.balance.unregister(self);
        }
    }

    fn is_up_to_us(&self) -> bool {
        self.group.upgrade().is_some_and(|group| {
            let mut homes = group.iter().map(|peer| &peer.home).filter(|home| !home.is_closed()).peekable();
            homes.peek().is_some() && homes.all(|home| home.is_up_to_us())
        })
    }
}

/// Puts a task that is scheduled where a core of `group` finds it.
fn enqueue(group: &Weak<Group>, task: Task) {
    let mut task = Some(task);
    context::try_with(|core| {
        let is_here = std::ptr::eq(group.as_ptr(), Arc::as_ptr(&core.group));
        if let Some(task) = task.take_if(|_| is_here) {
            core.balanced.push(task);
            core.group.wake_sleeper();
        }
    });
    // From elsewhere. If the runtime is gone, so is the future.
    if let Some((group, task)) = task.and_then(|task| Some((group.upgrade()?, task))) {
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
    pub(super) fn start(&self, core: usize) -> Worker<Task> {
        self.running.fetch_add(1, AcqRel);
        let worker = lock(&self.queues[core].worker).take();
        worker.expect("a core of a runtime starts once")
    }

    /// Makes a task, unless it is over.
    fn register<F>(
        &self,
        group: &Arc<Group>,
        shard: usize,
        future: F,
    ) -> Option<(Task, JoinHandle<F::Output>)>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut started = lock(&self.queues[shard].started);
        // Acquire: pairs with the Release in `end`, which takes this lock afterwards: either it finds the task, or we see that it is
        // over.
        if self.is_closed.load(Acquire) {
            return None;
        }
        let entry = started.vacant_entry();
        let (task, handle) =
            balanced(future, Place { group: Arc::downgrade(group), shard, key: entry.key() });
        entry.insert(task.clone());
        self.live.fetch_add(1, Relaxed);
        Some((task, handle))
    }

    fn unregister(&self, place: &Place) {
        let registered = lock(&self.queues[place.shard].started).try_remove(place.key);
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
    fn take_injected(&self, own: &Worker<Task>) -> Option<Task> {
        persist(|| self.injector.steal_batch_with_limit_and_pop(own, INJECTED_MAX))
    }

    /// Takes half of what another core has: one to run, the rest into the core's own queue.
    fn steal(&self, core: usize, own: &Worker<Task>) -> Option<Task> {
        let others = self.queues[core + 1..].iter().chain(&self.queues[..core]);
        others.map(|other| &other.stealer).find_map(|other| persist(|| other.steal_batch_and_pop(own)))
    }

    /// A core ends: leaves its tasks to the others; the last one drops them all.
    fn end(&self, own: &Worker<Task>, core: usize, group: &Group) {
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
                task.cancel();
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

    fn poll_balanced(&self, task: Task) {
        if let Some(task) = task.run() {
            self.balanced.push(task);
            // Alone in the queue it goes on here as soon as anywhere.
            if self.balanced.len() > 1 {
                self.group.wake_sleeper();
            }
        }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
