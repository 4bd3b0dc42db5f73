//! A core as its tasks and senders see it: an inbox for everyone, and behind it what only the owner touches.
//!
//! [`Home`] is shared by reference count and reached from any thread through task headers; [`Local`] is its owner-only half,
//! handed out by [`Home::local`] only on the thread that is turning this core at the moment.
#![expect(unsafe_code, reason = "owner-only state behind a shared pointer")]

use super::local::Local;
use crate::{
    inbox::{Inbox, Poked},
    sys::sync::Arc,
};
use std::{
    ptr::null,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
};

/// Tells homes apart in half of the room that a pointer takes, in every task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HomeId(u32);

impl HomeId {
    const NONE: Self = Self(0);

    fn next() -> Self {
        // Not loom's: it says nothing but the number.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let last = LAST.fetch_update(Relaxed, Relaxed, |last| last.checked_add(1));
        Self(last.expect("a process makes less than 2^32 cores") + 1)
    }
}

/// The home that a thread is turning.
#[derive(Clone, Copy)]
struct Current {
    id: HomeId,
    home: *const Home,
}

const NOBODY: Current = Current { id: HomeId::NONE, home: null() };

crate::sys::sync::thread_local_cell! {
    static CURRENT: Current = NOBODY;
}

/// One core, as tasks and senders know it.
pub(crate) struct Home {
    pub(super) inbox: Inbox,
    /// Wakes the owner from its sleep. Called at most once per sleep; by who has sent an event, through a share of its own.
    bell: std::sync::Arc<dyn Fn() + Send + Sync>,
    pub(super) id: HomeId,
    /// The thread that turns it, once there is one.
    owner: OnceLock<ThreadId>,
    local: Local,
}

// SAFETY: `inbox` and `bell` are `Sync`. `local` is reached only through `Home::local` (and `Entered`), on the owning thread.
unsafe impl Sync for Home {}
// SAFETY: `local` may be dropped on another thread, with the last orphaned task: by then its queue is empty, and its arena
// is plain memory.
unsafe impl Send for Home {}

/// While it lives, the calling thread is the owner of one home.
pub(crate) struct Entered {
    before: Current,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.before));
    }
}

/// Anyone.
impl Home {
    /// A home whose inbox holds `capacity` events before it spills, and whose owner is woken by `bell`.
    pub(crate) fn new(capacity: usize, bell: std::sync::Arc<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let (inbox, consumer) = Inbox::new(capacity);
        Arc::new(Self {
            inbox,
            bell,
            id: HomeId::next(),
            owner: OnceLock::new(),
            local: Local::new(consumer),
        })
    }

    /// Has the core run `f` as an event, waking it if it sleeps. Hands `f` back if the core is gone.
    #[inline]
    pub(crate) fn send<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), F> {
        // By the time that the bell rings the event may be done, and with it whatever kept this home.
        if let Some(bell) = self.inbox.push(f, || self.bell.clone())? {
            bell();
        }
        Ok(())
    }

    /// Wakes the core if it sleeps. Async-signal-safe if `bell` is.
    pub(crate) fn poke(&self) {
        match self.inbox.poke() {
            Poked::Awake => {}
            Poked::WakeOwner => (self.bell)(),
        }
    }

    /// Whether the core is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// The calling thread is the one that will turn this core.
    pub(crate) fn own(&self) {
        self.owner.get_or_init(|| thread::current().id());
    }

    /// Whether only the calling thread can have this core go on.
    pub(crate) fn is_up_to_us(&self) -> bool {
        !self.is_closed() && self.is_owned_by_us()
    }

    /// Whether the calling thread is the one that turns this core, or did.
    pub(super) fn is_owned_by_us(&self) -> bool {
        self.owner.get() == Some(&thread::current().id())
    }

    /// The owner's half, if the calling thread is turning this core.
    #[inline]
    pub(crate) fn local(&self) -> Option<&Local> {
        // SAFETY: borrowed from the home itself.
        unsafe { Self::local_of(self.id) }
    }

    /// The owner's half of the home with that number, if the calling thread is turning it.
    ///
    /// # Safety
    /// The home outlives `'a`.
    #[inline]
    pub(super) unsafe fn local_of<'a>(id: HomeId) -> Option<&'a Local> {
        let current = CURRENT.with(std::cell::Cell::get);
        // SAFETY: a home outlives the guard that made it current; the rest is the caller's promise.
        (current.id == id).then(|| unsafe { &(*current.home).local })
    }

    /// Lends the home that the calling thread is turning, if any.
    #[inline]
    pub(crate) fn with_current<R>(f: impl FnOnce(&Home, &Local) -> R) -> Option<R> {
        let home = CURRENT.with(std::cell::Cell::get).home;
        // SAFETY: a home outlives the guard that made it current.
        (!home.is_null()).then(|| unsafe { f(&*home, &(*home).local) })
    }

    /// Makes the calling thread the owner until the guard is dropped.
    ///
    /// # Safety
    /// One thread at most is the owner of a home over its whole life, and the guard is dropped on it, in order of nesting,
    /// before the home is.
    pub(crate) unsafe fn enter(&self) -> Entered {
        let now = Current { id: self.id, home: self };
        Entered { before: CURRENT.with(|current| current.replace(now)) }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Empty if the owner closed it. An owner that was forgotten instead leaves its events here.
        self.local.consumer.close(&self.inbox);
        while let Some(event) = self.local.consumer.pop_closed(&self.inbox) {
            drop(event);
        }
    }
}
