//! Tasks that one core starts on another: the task runs there, its result slot stays here.
//!
//! ```text
//!   home core                                     target core
//!   proxy ── event: future + answer ────────────► task, polled at once
//!     ▲                                             │ ready, panicked, dropped
//!     └───── event: result ◄────────────────────────┘
//! ```
//!
//! The proxy is a task header without a future, in the home core's memory: the handle awaits it like any task, and neither side
//! touches the other's cache lines but through the two inboxes. A caller that is no reactor gets a channel instead of a proxy.
#![expect(unsafe_code, reason = "the answer carries a counted pointer to the proxy")]

use super::{
    JoinError, JoinHandle, Panic, chunk,
    end::free_orphan,
    header::{Header, Released},
    home::Home,
    local::Local,
    raw::{self, Run},
    spawn::Plain,
    state::DONE,
};
use crate::sys::{sync, unwind::contained, waker_slot::WakerSlot};
use futures::channel::oneshot;
use pin_project_lite::pin_project;
use std::{
    borrow::Cow,
    cell::Cell,
    marker::PhantomData,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::{Context, Poll},
};

/// Runs `make()` on the core's `target`-th peer, from the core `home`.
#[inline]
pub(crate) fn call_remote<M, F, T>(home: &Home, local: &Local, target: usize, make: M) -> JoinHandle<T>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let Some(proxy) = local.create_proxy(home, Proxy::<T> { target, output: PhantomData }) else {
        return JoinHandle::failed(JoinError::Cancelled);
    };
    // SAFETY: a fresh task with `T` as output, a reference and the bit for its handle; the other reference is the answer's.
    let handle = unsafe { JoinHandle::from_task(proxy) };
    let mut answer =
        Answer { proxy, home: local.index.get() as u32, is_started: false, output: PhantomData::<T> };
    // A refused event is dropped, and with it the answer, which then says so.
    drop(local.send_to_peer(target, move || {
        answer.is_started = true;
        Home::with_current(|home, local| {
            let (answer, is_listed) = (Cell::new(Some(answer)), Cell::new(false));
            local.spawn_polled(home, Remote { future: make(), answer, is_listed });
        });
    }));
    handle
}

/// Stands for a task on another core.
struct Proxy<T> {
    target: usize,
    output: PhantomData<T>,
}

impl<T> Future for Proxy<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        unreachable!("a proxy is never scheduled")
    }
}

impl<T: 'static> Run for Proxy<T> {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("(a task on another core)")
    }

    fn abort(&self, task: NonNull<Header>, local: &Local) {
        let ticket = Ticket(task.as_ptr() as usize);
        // Refused: the core is gone, and the answer says so already.
        let _refused = local.send_to_peer(self.target, move || {
            Home::with_current(|_, local| local.abort_listed(ticket));
        });
    }
}

/// Names a task on the core where it runs: the address of its proxy, which stands until the answer has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(usize);

/// The one answer that a proxy gets. Dropped without a result it says that the task was cancelled.
struct Answer<T: Send + 'static> {
    /// With a local reference of the proxy's.
    proxy: NonNull<Header>,
    /// The core that it belongs to. Looked up in the header it would cost this core the cache line that its owner is using.
    home: u32,
    /// Whether the target has taken the event.
    is_started: bool,
    output: PhantomData<T>,
}

// SAFETY: the proxy is touched at home only; what travels is its address and a `T: Send`.
unsafe impl<T: Send + 'static> Send for Answer<T> {}

impl<T: Send + 'static> Answer<T> {
    fn ticket(&self) -> Ticket {
        Ticket(self.proxy.as_ptr() as usize)
    }

    #[inline]
    fn send(self, result: Result<T, JoinError>) {
        let this = ManuallyDrop::new(self);
        this.deliver(result);
    }

    /// Called once: the answer's reference goes with the delivery.
    #[inline]
    fn deliver(&self, result: Result<T, JoinError>) {
        let delivery = Delivery { proxy: self.proxy, result: ManuallyDrop::new(result) };
        let mut delivery = Some(delivery);
        Home::with_current(|_, local| {
            let delivery = delivery.take()?;
            if local.index.get() == self.home as usize {
                // The event to another core was refused, or a task of this core was started through its own inbox.
                delivery.arrive();
            } else {
                // Refused: the home core is gone; dropping the delivery ends the reference.
                drop(local.send_to_peer(self.home as usize, move || delivery.arrive()));
            }
            Some(())
        });
        if let Some(delivery) = delivery {
            // On no core: an event that nobody ran is dropped with the inbox of a core that never started.
            // SAFETY: the delivery's reference keeps the proxy, and the proxy its home, until the event is taken; if it is refused, then
            // until it is dropped, which is the last that happens here.
            drop(unsafe { chunk::home(self.proxy).as_ref() }.send(move || delivery.arrive()));
        }
    }
}

impl<T: Send + 'static> Drop for Answer<T> {
    fn drop(&mut self) {
        // The task was dropped: its core has ended, or refused it to begin with, or it was aborted there.
        let is_gone = !self.is_started || Home::with_current(|_, local| local.is_closing()).unwrap_or(true);
        self.deliver(Err(if is_gone { JoinError::CoreGone } else { JoinError::Cancelled }));
    }
}

/// A result on its way to the proxy.
struct Delivery<T> {
    proxy: NonNull<Header>,
    /// Taken by `arrive`, dropped by `drop`.
    result: ManuallyDrop<Result<T, JoinError>>,
}

// SAFETY: see `Answer`.
unsafe impl<T: Send> Send for Delivery<T> {}

impl<T: 'static> Delivery<T> {
    #[inline]
    fn arrive(self) {
        let mut this = ManuallyDrop::new(self);
        let proxy = this.proxy;
        // SAFETY: taken once, here: `this` is not dropped.
        let result = unsafe { ManuallyDrop::take(&mut this.result) };
        Home::with_current(|_, local| {
            // SAFETY: the delivery's reference; on the owner.
            if unsafe { proxy.as_ref() }.state() & DONE == 0 {
                // SAFETY: a proxy has no future to drop, and no output yet.
                unsafe { raw::replace_future::<Proxy<T>>(proxy, result) };
                local.finish_elsewhere(proxy);
            } else {
                // The home core is ending and has answered for it.
                local.release(proxy);
                drop(result);
            }
        });
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        // Should that unwind, the reference ends all the same.
        contained(|| {
            // SAFETY: not taken: `arrive` keeps `self` from being dropped.
            unsafe { ManuallyDrop::drop(&mut self.result) }
        });
        // SAFETY: the delivery's reference.
        let header = unsafe { self.proxy.as_ref() };
        match header.local() {
            Some(local) => local.release(self.proxy),
            // The inbox was closed, so local references count as shared ones.
            None => {
                if header.release_shared() == Released::Last {
                    // SAFETY: that was the last one.
                    unsafe { free_orphan(self.proxy) };
                }
            }
        }
    }
}

pin_project! {
    /// The task on the target: runs the future, sends the answer.
    struct Remote<F, T>
    where
        T: Send,
        T: 'static,
    {
        #[pin]
        future: F,
        answer: Cell<Option<Answer<T>>>,
        // Whether an abort can find the task: only needed from the first time that it waits.
        is_listed: Cell<bool>,
    }

    impl<F, T> PinnedDrop for Remote<F, T>
    where
        T: Send,
        T: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            drop(take_answer(this.answer, this.is_listed));
        }
    }
}

/// The answer, and no abort finds the task any more.
#[inline]
fn take_answer<T: Send>(answer: &Cell<Option<Answer<T>>>, is_listed: &Cell<bool>) -> Option<Answer<T>> {
    let answer = answer.take()?;
    if is_listed.get() {
        Home::with_current(|_, local| local.unlist(answer.ticket()));
    }
    Some(answer)
}

impl<F: Future<Output = T>, T: Send + 'static> Future for Remote<F, T> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(value) => {
                if let Some(answer) = take_answer(this.answer, this.is_listed) {
                    answer.send(Ok(value));
                }
                Poll::Ready(())
            }
            Poll::Pending => {
                if !this.is_listed.get() {
                    list(this.answer, this.is_listed);
                }
                Poll::Pending
            }
        }
    }
}

/// Lets an abort find the task that is being polled.
#[cold]
fn list<T: Send>(answer: &Cell<Option<Answer<T>>>, is_listed: &Cell<bool>) {
    if let Some(held) = answer.take() {
        Home::with_current(|_, local| local.list_polled(held.ticket()));
        is_listed.set(true);
        answer.set(Some(held));
    }
}

impl<F: Future<Output = T> + 'static, T: Send + 'static> Run for Remote<F, T> {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<F>())
    }

    fn panicked(&self, error: JoinError) -> JoinError {
        if let Some(answer) = take_answer(&self.answer, &self.is_listed) {
            answer.send(Err(error));
        }
        JoinError::Cancelled
    }
}

/// Tells a task whose result goes through a channel that it is aborted.
pub(super) struct AbortFlag {
    is_raised: AtomicBool,
    waker: WakerSlot,
    /// Where the task runs.
    home: sync::Arc<Home>,
}

impl AbortFlag {
    fn new(home: sync::Arc<Home>) -> Self {
        Self { is_raised: AtomicBool::new(false), waker: WakerSlot::default(), home }
    }

    /// Whether only the calling thread can have the task go on.
    pub(super) fn is_up_to_us(&self) -> bool {
        self.home.is_up_to_us()
    }

    pub(super) fn raise(&self) {
        // Release: pairs with the Acquire in `Foreign::poll`.
        self.is_raised.store(true, Release);
        self.waker.wake();
    }
}

/// Runs `make()` on `target`, from a thread that is no reactor, or that of another runtime.
pub(crate) fn spawn_foreign<M, F, T>(target: &sync::Arc<Home>, make: M) -> JoinHandle<T>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let flag = Arc::new(AbortFlag::new(target.clone()));
    let abort = flag.clone();
    let sent = target.send(move || {
        Home::with_current(|home, local| {
            let future = Foreign { future: make(), sender: Some(sender), flag: abort };
            local.spawn_polled(home, Plain { future });
        });
    });
    match sent {
        Ok(()) => JoinHandle::from_channel(receiver, flag),
        Err(_) => JoinHandle::failed(JoinError::CoreGone),
    }
}

pin_project! {
    struct Foreign<F, T> {
        #[pin]
        future: F,
        sender: Option<oneshot::Sender<Result<T, JoinError>>>,
        flag: Arc<AbortFlag>,
    }
}

impl<F: Future<Output = T>, T> Future for Foreign<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.flag.waker.register(cx.waker());
        // Acquire: pairs with the Release in `raise`.
        let result = if this.flag.is_raised.load(Acquire) {
            Err(JoinError::Cancelled)
        } else {
            match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(value)) => Ok(value),
                Err(payload) => Err(JoinError::Panicked(Panic::new(payload))),
            }
        };
        if let Some(sender) = this.sender.take() {
            // Nobody listening: the handle was dropped, which detaches.
            let _detached = sender.send(result);
        }
        Poll::Ready(())
    }
}
