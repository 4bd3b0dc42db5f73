//! Events to one core, bounded: the sender waits while too many of its own are under way.
//!
//! ```text
//!   sender's core                                     target core
//!   sent ─── event + credit ────────────────────────► run, then `delivered` + 1 (a plain store: one writer)
//!     ▲                                                  │ every half a window, if somebody waits
//!     └──────────────── waker ◄──────────────────────────┘
//! ```
//!
//! The sender reads `delivered` only when its last reading leaves no room. How the two sides meet stands in [`super::window`].
#![expect(unsafe_code, reason = "credits point to counters that the runtime keeps")]

use super::{Core, Handle, context, group::Group, window::Window};
use crate::{
    sys::{sync, waker_slot::WakerSlot},
    task::{Home, JoinError},
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Sends events to one core, at most so many at a time: what [`post`](crate::post) sends without a bound, this makes wait.
///
/// It counts the events that it has sent and that have not run yet. With `capacity` of them under way the next
/// [`post`](Self::post) waits, and those after it behind it; they go on in order once half of the window has run. It
/// belongs to the core that made it; tasks of that core may share it. Other threads bound what they send by a channel,
/// [`sync::mpsc`](crate::sync::mpsc), or by waiting for answers.
///
/// ```
/// # let executor = reactor::LocalExecutor::new()?;
/// # executor.block_on(async {
/// use reactor::{Core, Outbox};
/// let outbox = Outbox::new(Core::current(), 32);
/// for i in 0..1_000 {
///     outbox.post(move || assert!(i < 1_000)).await?;
///     assert!(outbox.under_way() <= 32);
/// }
/// # Ok::<(), reactor::JoinError>(())
/// # })?;
/// # Ok::<(), reactor::Error>(())
/// ```
pub struct Outbox {
    counters: Arc<Counters>,
    target: sync::Arc<Home>,
    runtime: Handle,
    core: Core,
    capacity: u64,
    sent: Cell<u64>,
    /// What `delivered` was when last read.
    seen: Cell<u64>,
    waiting: RefCell<VecDeque<Rc<Place>>>,
    key: usize,
}

/// A post's place among those that wait.
#[derive(Default)]
struct Place {
    waker: Cell<Option<Waker>>,
}

/// What the two cores share. Kept by the runtime until no credit is left.
pub(super) struct Counters {
    window: Window,
    waker: WakerSlot,
    /// The address of the target's home.
    target: usize,
}

impl Outbox {
    /// Events to `core`, at most `capacity` of them under way.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor; if `core` is of another runtime; if `capacity` is 0.
    #[track_caller]
    pub fn new(core: Core, capacity: usize) -> Self {
        assert!(capacity > 0, "an outbox of capacity 0 could not send anything: give it 1 at least");
        let runtime = context::with("Outbox::new", super::Inner::handle);
        let Some(peer) = runtime.group.peer(core) else {
            panic!(
                "core {core} is none of this runtime's: an outbox serves cores of its own, `Handle::post` reaches others"
            )
        };
        let capacity = capacity as u64;
        let counters = Arc::new(Counters {
            window: Window::new(capacity),
            waker: WakerSlot::default(),
            target: address(&peer.home),
        });
        let (target, key) = (peer.home.clone(), runtime.group.outboxes().insert(counters.clone()));
        Self {
            counters,
            target,
            core,
            capacity,
            sent: Cell::new(0),
            seen: Cell::new(0),
            waiting: RefCell::default(),
            key,
            runtime,
        }
    }

    /// Runs `f` on the target core, fire and forget, as soon as there is room. A panic in `f` is reported by the panic hook there
    /// and goes no further; the room is given back.
    ///
    /// Dropping the future before it is ready drops `f`, and nothing is sent.
    ///
    /// # Errors
    /// [`JoinError::CoreGone`] if the core has ended; `f` is dropped here.
    pub fn post<F: FnOnce() + Send + 'static>(&self, f: F) -> Post<'_, F> {
        Post { outbox: self, f: Some(f), place: None }
    }

    /// The same now, if there is room and nobody waits; otherwise hands `f` back.
    ///
    /// # Errors
    /// `Ok(Err(f))` if it would have to wait; [`JoinError::CoreGone`] if the core has ended.
    pub fn try_post<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<Result<(), F>, JoinError> {
        if self.waiting.borrow().is_empty() && self.has_room() { self.send(f).map(Ok) } else { Ok(Err(f)) }
    }

    /// Events sent that have not run yet.
    pub fn under_way(&self) -> usize {
        self.look();
        (self.sent.get() - self.seen.get()) as usize
    }

    /// How many may be under way.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Where they go.
    pub fn core(&self) -> Core {
        self.core
    }

    fn look(&self) {
        self.seen.set(self.counters.window.delivered());
    }

    #[inline]
    fn has_room(&self) -> bool {
        if self.sent.get() - self.seen.get() < self.capacity {
            return true;
        }
        self.look();
        self.sent.get() - self.seen.get() < self.capacity
    }

    #[inline]
    fn send<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), JoinError> {
        let credit = Credit(NonNull::from(&*self.counters));
        self.sent.set(self.sent.get() + 1);
        let sent = self.target.send(move || {
            // Ends with the call, also should it unwind.
            let _credit = credit;
            f();
        });
        // What was refused is dropped, credit and all.
        sent.map_err(|refused| {
            drop(refused);
            if !self.counters.is_target() {
                self.sent.set(self.sent.get() - 1);
            }
            JoinError::CoreGone
        })
    }

    /// Waits for the bell, or finds room after all.
    fn wait(&self, waker: &Waker) -> Poll<()> {
        let counters = &self.counters;
        counters.waker.register(waker);
        counters.window.announce();
        if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The next one in line takes its turn.
    fn wake_next(&self) {
        let next = self.waiting.borrow().front().cloned();
        if let Some(waker) = next.and_then(|place| place.waker.take()) {
            waker.wake();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let (runtime, key) = (Arc::downgrade(&self.runtime.group), self.key);
        // Runs, or is dropped, after everything that this outbox has sent. Refused: what was sent is being dropped at this
        // moment, and the runtime keeps the counters to its end.
        let last = move || {
            if let Some(runtime) = runtime.upgrade() {
                let counters = runtime.outboxes().remove(key);
                drop(counters);
            }
        };
        drop(self.target.send(last));
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("core", &self.core)
            .field("capacity", &self.capacity)
            .field("under_way", &self.under_way())
            .finish()
    }
}

/// See [`Outbox::post`].
#[must_use = "futures do nothing unless awaited"]
pub struct Post<'a, F> {
    outbox: &'a Outbox,
    f: Option<F>,
    place: Option<Rc<Place>>,
}

impl<F> Unpin for Post<'_, F> {}

impl<F: FnOnce() + Send + 'static> Future for Post<'_, F> {
    type Output = Result<(), JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outbox = self.outbox;
        let is_next = match &self.place {
            None => outbox.waiting.borrow().is_empty(),
            Some(place) => outbox.waiting.borrow().front().is_some_and(|first| Rc::ptr_eq(first, place)),
        };
        if !(is_next && outbox.has_room()) && self.wait(cx, is_next).is_pending() {
            return Poll::Pending;
        }
        std::task::ready!(crate::task::budget::proceed(cx));
        let f = self.f.take().expect("a post was polled after it was ready");
        let sent = outbox.send(f);
        self.leave();
        Poll::Ready(sent)
    }
}

impl<F> Post<'_, F> {
    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>, is_next: bool) -> Poll<()> {
        let place = self.place.get_or_insert_with(|| {
            let place = Rc::<Place>::default();
            self.outbox.waiting.borrow_mut().push_back(place.clone());
            place
        });
        drop(place.waker.replace(Some(cx.waker().clone())));
        if is_next { self.outbox.wait(cx.waker()) } else { Poll::Pending }
    }

    /// Gives up the place, and the turn if it had it.
    fn leave(&mut self) {
        let Some(place) = self.place.take() else { return };
        let was_next = {
            let mut waiting = self.outbox.waiting.borrow_mut();
            let index = waiting.iter().position(|other| Rc::ptr_eq(other, &place));
            if let Some(index) = index {
                drop(waiting.remove(index));
            }
            index == Some(0)
        };
        if was_next {
            self.outbox.wake_next();
        }
    }
}

impl<F> Drop for Post<'_, F> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<F> fmt::Debug for Post<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

/// One event's share of the window; given back when the event has run or was dropped.
struct Credit(NonNull<Counters>);

// SAFETY: `Counters` is `Sync`.
unsafe impl Send for Credit {}

impl Drop for Credit {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the runtime keeps the counters until the outbox's last event, which comes after this one, has been taken, or
        // to its end; and it outlives the inboxes of its cores.
        let counters = unsafe { self.0.as_ref() };
        if counters.is_target() && counters.window.deliver() {
            counters.waker.wake();
        }
    }
}

fn address(home: &Home) -> usize {
    std::ptr::from_ref(home).addr()
}

impl Counters {
    /// Whether the calling thread is turning the target, which takes events; the sender drops those that were refused.
    #[inline]
    fn is_target(&self) -> bool {
        Home::with_current(|home, _| address(home) == self.target).unwrap_or(false)
    }
}

/// The counters of all outboxes of a runtime that may have events under way.
pub(super) type Outboxes = slab::Slab<Arc<Counters>>;

impl Group {
    fn outboxes(&self) -> std::sync::MutexGuard<'_, Outboxes> {
        self.outboxes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
