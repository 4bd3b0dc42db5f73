//! The threads that `unblock` calls on, and the queue before them.
//!
//! A mutex and a condition variable: a call that is worth a thread takes microseconds at least, and the queue tens of nanoseconds.

use crate::{JoinError, Panic, reactor::context, sys::cpu};
use slab::Slab;
use std::{
    collections::VecDeque,
    convert::Infallible,
    mem,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    rc::Rc,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Calls waiting for a thread that run even if nobody awaits them any more; what is beyond waits in its caller's name.
const QUEUE_MAX: usize = 256;

/// A thread without work ends after this time: long enough to outlive the pauses of a busy program.
const IDLE: Duration = Duration::from_secs(10);

/// Calls that block are few beside I/O that does not; more threads than this would fight the reactors for processors.
pub(crate) const THREADS_MAX: usize = 8;

/// A job as the queue knows it.
pub(super) trait Call: Send + Sync {
    /// Calls the function and leaves its result.
    fn call(&self);
    /// Leaves an error instead.
    fn fail(&self, error: JoinError);
    fn location(&self) -> &'static Location<'static>;
}

/// The threads of one application, or of a reactor that stands alone.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    threads_max: usize,
    /// Where its threads may run; wherever they are started, if empty.
    cpus: Vec<usize>,
    state: Mutex<State>,
    has_work: Condvar,
    has_ended: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<dyn Call>>,
    /// One entry per thread, with what it calls at the moment.
    threads: Slab<Option<&'static Location<'static>>>,
    idle: usize,
    is_closing: bool,
}

/// The pool that a core's calls go to: its application's, or one of its own whose threads end with it.
struct CorePool {
    pool: Pool,
    is_own: bool,
}

impl Drop for CorePool {
    fn drop(&mut self) {
        if self.is_own {
            self.pool.begin_close();
        }
    }
}

impl Pool {
    pub(crate) fn new(threads_max: usize, cpus: Vec<usize>) -> Self {
        let (state, has_work, has_ended) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { threads_max, cpus, state, has_work, has_ended }) }
    }

    #[track_caller]
    pub(super) fn current() -> Self {
        context::with("app::unblock", |_| ());
        let own = || CorePool { pool: Self::new(THREADS_MAX, Vec::new()), is_own: true };
        Self::of_core(own)
    }

    /// Has the current core's calls go to this pool: before the first of them.
    pub(crate) fn serve_core(&self) {
        Self::of_core(|| CorePool { pool: self.clone(), is_own: false });
    }

    #[track_caller]
    fn of_core(make: impl FnOnce() -> CorePool) -> Self {
        let made = context::singleton(|| Ok::<_, Infallible>(Rc::new(make())));
        made.unwrap_or_else(|never| match never {}).pool.clone()
    }

    pub(super) fn push(&self, job: Arc<dyn Call>) {
        let mut state = self.shared.state();
        if state.is_closing {
            drop(state);
            return job.fail(JoinError::CoreGone);
        }
        state.queue.push_back(job);
        // Those that were notified and have not woken yet still count as idle, and their jobs as queued.
        if state.queue.len() > state.idle && state.threads.len() < self.shared.threads_max {
            let key = state.threads.insert(None);
            drop(state);
            self.start_thread(key);
        } else {
            drop(state);
            self.shared.has_work.notify_one();
        }
    }

    fn start_thread(&self, key: usize) {
        let shared = self.shared.clone();
        let started = thread::Builder::new().name(format!("unblock_{key}")).spawn(move || shared.serve(key));
        if let Err(error) = started {
            let mut state = self.shared.state();
            state.threads.remove(key);
            // As long as there is one thread, it will get to all of them.
            let stranded =
                if state.threads.is_empty() { mem::take(&mut state.queue) } else { VecDeque::new() };
            drop(state);
            for job in stranded {
                let message =
                    format!("the system starts no thread for `app::unblock`, raise `ulimit -u`: {error}");
                job.fail(JoinError::Panicked(Panic::new(Box::new(message))));
            }
        }
    }

    /// Its future is dropped: forgets the job if it is beyond the bound.
    pub(super) fn withdraw(&self, job: *const ()) {
        let mut state = self.shared.state();
        let position = state.queue.iter().position(|other| Arc::as_ptr(other).cast::<()>() == job);
        let withdrawn =
            position.filter(|&position| position >= QUEUE_MAX).and_then(|at| state.queue.remove(at));
        drop(state);
        drop(withdrawn);
    }

    /// No more jobs: threads end when the queue is empty.
    fn begin_close(&self) {
        self.shared.state().is_closing = true;
        self.shared.has_work.notify_all();
    }

    /// Waits until all calls have returned, `patience` at most; returns where the others were made.
    pub(crate) fn close(&self, patience: Duration) -> Vec<&'static Location<'static>> {
        self.begin_close();
        let until = Instant::now().checked_add(patience);
        let mut state = self.shared.state();
        while !state.threads.is_empty() {
            let left = until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            let woken = self.shared.has_ended.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let running = state.threads.iter().filter_map(|(_, call)| *call);
        running.chain(state.queue.iter().map(|job| job.location())).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn serve(&self, key: usize) {
        if !self.cpus.is_empty() {
            // Refused: it then stays on the core that started it, and the scheduler has them share.
            let _refused = cpu::confine(&self.cpus);
        }
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.threads[key] = Some(job.location());
                drop(state);
                // The function's panic goes to the awaiter; this is for what else is a stranger's: a waker, and the drop of a
                // result that nobody wants. The panic hook has reported it.
                let _reported = catch_unwind(AssertUnwindSafe(move || {
                    job.call();
                    drop(job);
                }));
                state = self.state();
                state.threads[key] = None;
                continue;
            }
            if state.is_closing {
                break;
            }
            state.idle += 1;
            let (woken, waited) =
                self.has_work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads.remove(key);
        drop(state);
        self.has_ended.notify_all();
    }
}
