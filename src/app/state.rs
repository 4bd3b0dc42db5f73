//! What the cores of one application share: whether it is ending, who wants to know, and who must be waited for.

use super::watchdog::{self, Over};
use crate::{
    Core, Handle,
    sys::{unwind, waker_slot::WakerSlot},
    unblock::Pool,
};
use slab::Slab;
use std::{
    borrow::Cow,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// One application, from before its first core to after its last.
pub(super) struct App {
    pub(super) name: Cow<'static, str>,
    pub(super) handle: Handle,
    pub(super) pool: Pool,
    pub(super) deadline: Duration,
    /// Whether it is the whole program.
    pub(super) is_process: bool,
    pub(super) over: Over,
    /// Signals so far.
    pub(super) signals: AtomicUsize,
    is_requested: AtomicBool,
    ending: Mutex<Ending>,
    /// The main core's, which watches all of the above.
    supervisor: WakerSlot,
}

#[derive(Default)]
struct Ending {
    requested_at: Option<Instant>,
    /// The first code other than 0, or 0 if that was given.
    code: Option<u8>,
    /// Futures that wait for shutdown, and guards that hold it up.
    holders: Slab<Holder>,
    /// Oldest first.
    hooks: Vec<HookName>,
    running: Option<HookName>,
}

struct Holder {
    waker: Option<Waker>,
    location: &'static Location<'static>,
}

/// Where a hook is to be found.
#[derive(Clone, Copy)]
pub(super) struct HookName {
    pub(super) core: Core,
    /// Its place at its core's [`Seat`](super::seat::Seat).
    pub(super) key: usize,
    pub(super) location: &'static Location<'static>,
}

impl App {
    pub(super) fn new(
        name: Cow<'static, str>,
        handle: Handle,
        pool: Pool,
        deadline: Duration,
        is_process: bool,
    ) -> Self {
        Self {
            is_process,
            over: Over::default(),
            name,
            handle,
            pool,
            deadline,
            signals: AtomicUsize::new(0),
            is_requested: AtomicBool::new(false),
            ending: Mutex::default(),
            supervisor: WakerSlot::default(),
        }
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
        // Nothing in this file panics half-way.
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the application end, with `code` if one is given.
    pub(super) fn request(self: &Arc<Self>, code: Option<u8>) {
        let mut wakers = Vec::new();
        let mut ending = self.ending();
        if let Some(code) = code {
            if ending.code.unwrap_or(0) == 0 {
                ending.code = Some(code);
            }
        }
        let is_first = ending.requested_at.is_none();
        if is_first {
            ending.requested_at = Some(Instant::now());
            // Release: pairs with the Acquire in `is_requested`.
            self.is_requested.store(true, Ordering::Release);
            wakers.extend(ending.holders.iter_mut().filter_map(|(_, holder)| holder.waker.take()));
        }
        drop(ending);
        if is_first {
            watchdog::watch(self);
        }
        wakers.into_iter().for_each(unwind::wake);
        self.supervisor.wake();
    }

    pub(super) fn is_requested(&self) -> bool {
        // Acquire: what was done before `request` is seen by who knows of it.
        self.is_requested.load(Ordering::Acquire)
    }

    /// What [`stop`](super::stop) was given.
    pub(super) fn code(&self) -> Option<u8> {
        self.ending().code
    }

    /// The moment by which all is to be over; `None` if never, or if nobody has asked for the end yet.
    pub(super) fn until(&self) -> Option<Instant> {
        self.ending().requested_at?.checked_add(self.deadline)
    }

    /// For the main core: wakes it whenever something about the end has changed.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        self.supervisor.register(cx.waker());
    }

    /// For who waits for the end. Ready with a key that holds it up until [`release`](Self::release).
    pub(super) fn poll_requested(
        &self,
        key: &mut Option<usize>,
        location: &'static Location<'static>,
        cx: &Context<'_>,
    ) -> Poll<usize> {
        // Before the lock: a stranger's code, which may come back here.
        let waker = cx.waker().clone();
        let mut ending = self.ending();
        let is_requested = ending.requested_at.is_some();
        let place = *key.get_or_insert_with(|| ending.holders.insert(Holder { waker: None, location }));
        let holder = &mut ending.holders[place].waker;
        let before = if is_requested { holder.take() } else { holder.replace(waker) };
        drop(ending);
        // A stranger's code too.
        drop(before);
        if is_requested {
            *key = None;
            return Poll::Ready(place);
        }
        Poll::Pending
    }

    /// The holder is gone.
    pub(super) fn release(&self, key: usize) {
        let holder = self.ending().holders.remove(key);
        drop(holder);
        self.supervisor.wake();
    }

    /// Where those are that hold up the end.
    pub(super) fn holders(&self) -> Vec<&'static Location<'static>> {
        self.ending().holders.iter().map(|(_, holder)| holder.location).collect()
    }

    pub(super) fn add_hook(&self, hook: HookName) {
        self.ending().hooks.push(hook);
    }

    /// The newest hook that has not run, which is then the one that runs.
    pub(super) fn next_hook(&self) -> Option<HookName> {
        let mut ending = self.ending();
        ending.running = ending.hooks.pop();
        ending.running
    }

    /// The hook that runs, and those that have not yet.
    pub(super) fn hooks_left(&self) -> Vec<&'static Location<'static>> {
        let ending = self.ending();
        ending.running.iter().chain(ending.hooks.iter().rev()).map(|hook| hook.location).collect()
    }

    /// Writes a line to standard error, under the application's name.
    pub(super) fn say(&self, line: std::fmt::Arguments<'_>) {
        eprintln!("{}: {line}", self.name);
    }
}
