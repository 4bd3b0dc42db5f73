//! The owner's handle of a light thread.
//!
//! ```text
//!        new                    exit                 last task has ended
//!   ───────────► open ────────────────────► exiting ─────────────────────► gone
//!                 │                            │ drop
//!                 └────────────────────────────┴───► tasks aborted ──────► gone
//! ```

use super::reference::{Identity, ThreadRef, enter};
use crate::{
    JoinHandle,
    reactor::{Core, Inner, Poller, Work, context},
    task::Local,
};
use std::{
    borrow::Cow,
    cell::Cell,
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

/// A named group of tasks and pollers on one core, with its own account of time: SPDK's `spdk_thread`.
///
/// It owns what is started in it: tasks that its tasks start, and pollers that they register, belong to it as well. What they send by
/// [`spawn_on`](crate::spawn_on), [`post`](crate::post) or [`spawn_balanced`](crate::spawn_balanced) does not, to their own core
/// neither. Others reach it through a [`ThreadRef`]. [`exit`](Self::exit) stops its pollers and waits for its tasks; dropping it aborts them.
///
/// When its application ends, a light thread exits, and shutdown waits for its tasks: one that would wait for ever ends by itself
/// once [`shutdown_requested`](crate::app::shutdown_requested) says so, or the deadline names its thread. A light thread costs nothing in the turn but a comparison per task, and a reading of the clock where the core goes from one to another.
///
/// ```
/// # let executor = reactor::LocalExecutor::new()?;
/// # executor.block_on(async {
/// use reactor::LightThread;
/// let thread = LightThread::new("nvmf_tgt_poll_group_0");
/// let answer = thread.spawn_local(async { 6 * 7 });
/// assert_eq!(answer.await?, 42);
/// assert_eq!(thread.stats().tasks, 0);
/// thread.exit().await;
/// # Ok::<(), reactor::JoinError>(())
/// # })?;
/// # Ok::<(), reactor::Error>(())
/// ```
#[must_use = "dropping a light thread aborts its tasks"]
pub struct LightThread {
    thread: ThreadRef,
    has_exited: Cell<bool>,
    _bound_to_its_core: PhantomData<Rc<()>>,
}

/// What a light thread has spent, and what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadStats {
    /// Time in its tasks, and in calls of its pollers that found something to do.
    pub busy: Duration,
    /// The rest of the time since it was made: `busy / (busy + idle)` is its share of the core.
    pub idle: Duration,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Pollers, those called every turn and the timed ones.
    pub pollers: usize,
}

/// A light thread in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Which one.
    pub thread: ThreadRef,
    /// What it has spent.
    pub stats: ThreadStats,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl LightThread {
    /// Starts a light thread on the current core.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor; where the core has 65,535 of them.
    #[track_caller]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        let thread = context::with_local("LightThread::new", |core, _, local| {
            core.groups.insert(core, local, |number| {
                let id = NEXT_ID.fetch_add(1, Relaxed);
                ThreadRef::new(Identity { runtime: core.handle(), core: core.core(), number, id, name })
            })
        });
        Self { thread, has_exited: Cell::new(false), _bound_to_its_core: PhantomData }
    }

    /// The light threads of the current core, with what they have spent. With [`on_every_core`](crate::on_every_core), those of
    /// the runtime.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn all() -> Vec<ThreadInfo> {
        context::with_local("LightThread::all", |core, _, local| {
            let threads = core.groups.all().into_iter();
            threads.map(|thread| ThreadInfo { stats: stats(&thread, core, local), thread }).collect()
        })
    }

    /// Refers to this thread from anywhere.
    pub fn to_ref(&self) -> ThreadRef {
        self.thread.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.thread.name()
    }

    /// Its number in this process, never used again.
    pub fn id(&self) -> u64 {
        self.thread.id()
    }

    /// The core that it runs on.
    pub fn core(&self) -> Core {
        self.thread.core()
    }

    /// Starts a task of this thread; see [`spawn_local`](crate::spawn_local).
    ///
    /// # Panics
    /// When its core is not the one being turned.
    #[track_caller]
    pub fn spawn_local<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.with("LightThread::spawn_local", |_, local| {
            local.in_group(self.number(), || crate::spawn_local(future))
        })
    }

    /// Registers a poller of this thread, called every turn; see [`Poller::register`].
    ///
    /// # Panics
    /// When its core is not the one being turned.
    #[track_caller]
    pub fn register_poller<W: Into<Work>>(
        &self,
        name: impl Into<Cow<'static, str>>,
        call: impl FnMut() -> W + 'static,
    ) -> Poller {
        self.with("LightThread::register_poller", |_, local| {
            local.in_group(self.number(), || Poller::register(name, call))
        })
    }

    /// Registers a timed poller of this thread; see [`Poller::every`].
    ///
    /// # Panics
    /// When its core is not the one being turned; if `period` is zero.
    #[track_caller]
    pub fn every<W: Into<Work>>(
        &self,
        name: impl Into<Cow<'static, str>>,
        period: Duration,
        call: impl FnMut() -> W + 'static,
    ) -> Poller {
        self.with("LightThread::every", |_, local| {
            local.in_group(self.number(), || Poller::every(name, period, call))
        })
    }

    /// Runs `f` as if from a task of this thread: what it starts belongs to the thread, and the time is the thread's.
    ///
    /// # Panics
    /// When its core is not the one being turned.
    #[track_caller]
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with("LightThread::enter", |core, local| enter(core, local, self.number(), f))
    }

    /// What it has spent, and what it has.
    ///
    /// # Panics
    /// When its core is not the one being turned.
    #[track_caller]
    pub fn stats(&self) -> ThreadStats {
        self.with("LightThread::stats", |core, local| stats(&self.thread, core, local))
    }

    /// Refuses further calls, stops the thread's pollers, and waits until its tasks have ended.
    ///
    /// A task of the thread itself may call it: then it waits for the others. Dropping the future aborts what is left, as dropping
    /// the thread does. An application's shutdown does the same to all threads, after the hooks.
    ///
    /// # Panics
    /// When first polled while its core is not the one being turned.
    pub async fn exit(self) {
        self.with("LightThread::exit", |core, _| begin_exit(core, self.number()));
        poll_fn(|cx| {
            self.with("LightThread::exit", |_, local| {
                let own = usize::from(local.group() == self.number());
                if local.tasks_of(self.number()) <= own {
                    return Poll::Ready(());
                }
                local.wait_for_task_of(self.number(), cx.waker());
                Poll::Pending
            })
        })
        .await;
        self.has_exited.set(true);
    }

    fn number(&self) -> u16 {
        self.thread.identity().number
    }

    #[track_caller]
    fn with<R>(&self, what: &'static str, f: impl FnOnce(&Inner, &Local) -> R) -> R {
        let Identity { runtime, core: home, .. } = self.thread.identity();
        context::with_local(what, |core, _, local| {
            assert!(
                core.is(runtime, *home),
                "`{what}` on core {}: `{}` is of core {home}",
                core.core(),
                self.name()
            );
            f(core, local)
        })
    }
}

/// Refuses further calls, and drops the pollers.
pub(super) fn begin_exit(core: &Inner, number: u16) {
    core.groups.begin_exit(number);
    core.pollers.remove_group(number);
}

fn stats(thread: &ThreadRef, core: &Inner, local: &Local) -> ThreadStats {
    let number = thread.identity().number;
    let (busy, age) = core.groups.ticks(number, core);
    let (every_turn, timed) = core.pollers.of_group(number);
    let time = |ticks| Duration::from_nanos(core.clock().ns_of(ticks));
    ThreadStats {
        busy: time(busy),
        idle: time(age.saturating_sub(busy)),
        // A timed poller is called by a task, which nobody but us calls one.
        tasks: local.tasks_of(number).saturating_sub(timed),
        pollers: every_turn + timed,
    }
}

impl Drop for LightThread {
    fn drop(&mut self) {
        let Identity { runtime, core: home, .. } = self.thread.identity();
        let has_exited = self.has_exited.get();
        if context::try_with(|core| core.is(runtime, *home)).unwrap_or(false) {
            return release(&self.thread, has_exited);
        }
        // Its core is not being turned at the moment. Refused: it has ended, and the tasks with it.
        let thread = self.thread.clone();
        let _core_gone = runtime.post(*home, move || release(&thread, has_exited));
    }
}

/// The thread is gone. On its core.
fn release(thread: &ThreadRef, has_exited: bool) {
    let number = thread.identity().number;
    context::with_local("LightThread", |core, _, local| {
        if !has_exited {
            local.abort_group(number);
        }
        core.groups.remove(number);
        core.pollers.remove_group(number);
    });
}

impl fmt::Debug for LightThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.thread.fmt(f)
    }
}
