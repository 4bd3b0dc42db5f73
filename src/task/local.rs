//! The owner's half of a core: run queue, memory; and the steps of a task's life.
//!
//! How it gives up references stands in [`super::release`]. All of it is plain memory: [`Home::local`] hands it out on the owning
//! thread only.
#![expect(unsafe_code, reason = "task headers are reached through counted pointers")]

use super::{
    JoinError, JoinHandle, Panic,
    arena::Arena,
    budget,
    groups::{Census, NO_GROUP},
    header::Header,
    home::Home,
    queue::RunQueue,
    raw::{self, Run},
    remote::Ticket,
    state::{ABORTED, DONE, FUTURE_DROPPED, HANDLE, OUTPUT, PROXY, SCHEDULED},
};
use crate::{
    inbox::Consumer,
    sys::{sync::Arc, unwind::drop_payload},
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    rc::Rc,
};

/// The owner's half.
pub(crate) struct Local {
    pub(super) queue: RunQueue,
    pub(super) arena: Arena,
    pub(super) consumer: Consumer,
    /// The cores of the runtime, in order, this one included; from `connect` to `close`.
    pub(super) peers: RefCell<Rc<[Arc<Home>]>>,
    /// Its own place among them.
    pub(super) index: Cell<usize>,
    /// The task being polled, for who catches its panic and for [`is_polled`](Self::is_polled). Polls do not nest. Between two
    /// polls it may name the one before, where no code but the run loop's comes by.
    pub(super) polling: Cell<Option<NonNull<Header>>>,
    /// Tasks started from elsewhere that have waited at least once, for aborts that come from there.
    listed: RefCell<HashMap<Ticket, NonNull<Header>>>,
    /// The light thread that new tasks belong to: that of the task being polled.
    pub(super) group: Cell<u16>,
    /// Unfinished tasks of each light thread.
    pub(super) census: Census,
    pub(super) is_closing: Cell<bool>,
}

impl Local {
    pub(super) fn new(consumer: Consumer) -> Self {
        Self {
            queue: RunQueue::default(),
            arena: Arena::new(),
            consumer,
            peers: RefCell::new(Rc::new([])),
            index: Cell::new(0),
            polling: Cell::new(None),
            listed: RefCell::default(),
            group: Cell::new(NO_GROUP),
            census: Census::default(),
            is_closing: Cell::new(false),
        }
    }

    /// Starts `future` as a task of this core: it runs in a later batch. On a core that is ending it is dropped instead, and
    /// the handle says [`JoinError::Cancelled`].
    #[inline]
    pub(crate) fn spawn<F: Run>(&self, home: &Home, future: F) -> JoinHandle<F::Output> {
        if self.is_closing.get() {
            return JoinHandle::failed(JoinError::Cancelled);
        }
        let task = self.create(home, HANDLE, 2, future);
        self.schedule(task);
        // SAFETY: a fresh task of `F`, with a reference and the bit for its handle.
        unsafe { JoinHandle::from_task(task) }
    }

    /// Starts `future` and polls it at once, unless a task is being polled; nobody awaits it.
    #[inline]
    pub(crate) fn spawn_polled<F: Run<Output = ()>>(&self, home: &Home, future: F) {
        if self.is_closing.get() {
            return;
        }
        let task = self.create(home, SCHEDULED, 1, future);
        if self.polling.get().is_some() {
            return self.queue.push(task);
        }
        let group = self.group.get();
        self.step(task);
        self.polling.set(None);
        self.group.set(group);
    }

    /// Whether the task is being polled, or dropped for an abort: its future is not to be looked at.
    pub(super) fn is_polled(&self, task: NonNull<Header>) -> bool {
        self.polling.get() == Some(task)
    }

    /// A task that is polled nowhere: it stands for one elsewhere until its output is put in place. `None` on a core that ends.
    #[inline]
    pub(super) fn create_proxy<F: Run>(&self, home: &Home, future: F) -> Option<NonNull<Header>> {
        (!self.is_closing.get()).then(|| self.create(home, HANDLE | PROXY, 2, future))
    }

    #[inline]
    fn create<F: Run>(&self, home: &Home, state: u8, refs: u32, future: F) -> NonNull<Header> {
        let block = self.arena.alloc(NonNull::from(home), const { raw::block::<F>() });
        // What runs elsewhere is not the light thread's.
        let group = if state & PROXY == 0 { self.enter_group() } else { NO_GROUP };
        let header = Header::new(F::VTABLE, home.id, state, refs, group);
        // SAFETY: a fresh block for that.
        unsafe { raw::write(block, header, future) }
    }

    /// Puts the task in the run queue, unless it is there or done.
    #[inline]
    pub(super) fn schedule(&self, task: NonNull<Header>) {
        // SAFETY: the caller holds a reference.
        let header = unsafe { task.as_ref() };
        if header.state() & (SCHEDULED | DONE | PROXY) == 0 {
            header.change_state(0, SCHEDULED);
            self.queue.push(task);
        }
    }

    /// Makes the cores of the runtime known; this one is the `index`-th.
    pub(crate) fn connect(&self, index: usize, peers: impl Iterator<Item = Arc<Home>>) {
        self.index.set(index);
        self.peers.replace(peers.collect());
    }

    /// Sends `f` to the `index`-th core of the runtime. Hands it back if that is gone.
    #[inline]
    pub(super) fn send_to_peer<F: FnOnce() + Send + 'static>(&self, index: usize, f: F) -> Result<(), F> {
        match self.peers.borrow().get(index) {
            Some(peer) => peer.send(f),
            None => Err(f),
        }
    }

    /// Tasks whose memory is in use, proxies of tasks elsewhere included.
    pub(crate) fn live(&self) -> usize {
        self.arena.len()
    }

    /// Polls the tasks that are in the queue now, oldest first, at most `max`; and goes on with those that they wake while fewer
    /// than `polls` were polled. `on_group` hears of each change of light thread. Returns how many were polled.
    #[inline]
    pub(crate) fn run_tasks(&self, polls: usize, max: usize, mut on_group: impl FnMut(u16)) -> usize {
        let group = self.group.get();
        let most = self.queue.len().min(max).max(polls);
        let (mut left, mut announced) = (most, group);
        on_group(group);
        self.guarded(|| {
            while left > 0 {
                let Some(task) = self.queue.pop() else { return };
                left -= 1;
                // SAFETY: the queue keeps its tasks.
                let group = unsafe { task.as_ref() }.group();
                if group != announced {
                    // Should it unwind, then not for the task before.
                    self.polling.set(None);
                    on_group(group);
                    announced = group;
                }
                self.group.set(group);
                self.step(task);
            }
        });
        self.polling.set(None);
        self.group.set(group);
        budget::lift();
        most - left
    }

    /// Runs events, oldest first, at most `max`.
    #[inline]
    pub(crate) fn run_events(&self, home: &Home, max: usize) -> usize {
        let mut count = 0;
        self.guarded(|| {
            while count < max {
                // Before it runs: one that panics counts as well.
                count += 1;
                if !self.consumer.run_next(&home.inbox) {
                    count -= 1;
                    return;
                }
            }
        });
        if count > 0 {
            budget::lift();
        }
        count
    }

    /// Whether tasks are to be polled.
    pub(crate) fn has_ready(&self) -> bool {
        self.queue.len() > 0
    }

    /// Announces that the owner is about to sleep; `false` if it must not.
    pub(crate) fn park(&self, home: &Home) -> bool {
        if self.has_ready() {
            return false;
        }
        self.arena.trim();
        self.consumer.park(&home.inbox)
    }

    /// The owner is awake.
    pub(crate) fn unpark(&self, home: &Home) {
        self.consumer.unpark(&home.inbox);
    }

    /// Runs `f` again and again until it returns instead of unwinding. A panic of a task goes to who awaits it; any other
    /// has been reported by the panic hook and ends here.
    #[inline]
    fn guarded(&self, mut f: impl FnMut()) {
        while let Err(payload) = catch_unwind(AssertUnwindSafe(&mut f)) {
            match self.polling.take() {
                Some(task) => self.step_panicked(task, payload),
                None => drop_payload(payload),
            }
        }
    }

    /// Polls a task taken from the queue (its `SCHEDULED` bit set). Its group is the current one. Leaves `polling` as it was
    /// during the poll: whoever runs other code next sets it.
    #[inline(always)]
    fn step(&self, task: NonNull<Header>) {
        // SAFETY: the queue's reference.
        let header = unsafe { task.as_ref() };
        let state = header.change_state(SCHEDULED, 0);
        if state & (DONE | ABORTED) != 0 {
            return self.step_ended(task, state);
        }
        budget::refill();
        self.polling.set(Some(task));
        // SAFETY: on the owner, not done.
        if unsafe { (header.vtable.poll)(task) }.is_ready() {
            self.announce(task, FUTURE_DROPPED | OUTPUT);
            self.end_run(task);
        }
    }

    #[cold]
    fn step_ended(&self, task: NonNull<Header>, state: u8) {
        if state & DONE != 0 {
            self.release(task);
        } else {
            self.polling.set(Some(task));
            self.cancel(task);
            self.polling.set(None);
        }
    }

    /// A panic came out of `step`: of the future's poll or drop, of a dropped output, or of the waker of who awaits it.
    #[cold]
    fn step_panicked(&self, task: NonNull<Header>, payload: Box<dyn Any + Send>) {
        self.group.set(NO_GROUP);
        // SAFETY: `step` did not get to release the run loop's reference.
        let header = unsafe { task.as_ref() };
        let state = header.state();
        if state & DONE != 0 {
            drop_payload(payload);
            return self.end_run(task);
        }
        let mut error = JoinError::Panicked(Panic::new(payload));
        if state & FUTURE_DROPPED == 0 {
            // SAFETY: on the owner, outside of the poll that unwound; the future is there.
            error = unsafe { (header.vtable.panicked)(task, error) };
        }
        self.guarded_once(|| {
            // SAFETY: as above.
            unsafe { (header.vtable.drop_future)(task) }
        });
        if header.state() & OUTPUT == 0 {
            // SAFETY: on the owner; the future is gone, and it left no output.
            unsafe { (header.vtable.fail)(task, error) };
        }
        self.guarded_once(|| self.announce(task, 0));
        self.end_run(task);
    }

    pub(super) fn guarded_once(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            drop_payload(payload);
        }
    }

    /// Drops the future of a task that is not being polled, and tells who awaits it.
    pub(super) fn cancel(&self, task: NonNull<Header>) {
        // SAFETY: the caller holds a reference.
        let header = unsafe { task.as_ref() };
        if header.state() & (DONE | FUTURE_DROPPED) != 0 {
            return;
        }
        // SAFETY: on the owner, not being polled.
        self.guarded_once(|| unsafe { (header.vtable.drop_future)(task) });
        let error = if header.state() & PROXY != 0 { JoinError::CoreGone } else { JoinError::Cancelled };
        // SAFETY: on the owner; the future is gone, and an unfinished task has no output.
        unsafe { (header.vtable.fail)(task, error) };
        self.guarded_once(|| self.announce(task, 0));
        if header.state() & PROXY == 0 {
            self.end_run(task);
        }
    }

    /// Marks the task done, and with `set`, and tells who awaits it, or drops what nobody wants.
    #[inline]
    fn announce(&self, task: NonNull<Header>, set: u8) {
        // SAFETY: the run loop's reference.
        let header = unsafe { task.as_ref() };
        let state = header.change_state(0, DONE | set);
        if header.group() != NO_GROUP {
            self.leave_group(header.group());
        }
        if state & HANDLE == 0 {
            // SAFETY: on the owner, done.
            unsafe { (header.vtable.drop_output)(task) };
        } else if let Some(awaiter) = header.replace_awaiter(None) {
            awaiter.wake(self);
        }
    }

    /// Gives up the run loop's reference to a task that is done, or leaves it to the queue.
    #[inline]
    fn end_run(&self, task: NonNull<Header>) {
        // SAFETY: the reference that ends here, or in `step`.
        if unsafe { task.as_ref() }.state() & SCHEDULED == 0 {
            self.release(task);
        }
    }

    /// The output of a proxy, just put in place, has come from elsewhere.
    #[inline]
    pub(super) fn finish_elsewhere(&self, task: NonNull<Header>) {
        // Should the waker of who awaits it unwind, the proxy's reference ends all the same.
        self.guarded_once(|| self.announce(task, 0));
        self.end_run(task);
    }

    /// Lets the task that is being polled be found by `abort_listed`.
    pub(super) fn list_polled(&self, ticket: Ticket) {
        if let Some(task) = self.polling.get() {
            self.listed.borrow_mut().insert(ticket, task);
        }
    }

    /// The ticket's task has ended.
    pub(super) fn unlist(&self, ticket: Ticket) {
        self.listed.borrow_mut().remove(&ticket);
    }

    /// Aborts the ticket's task, if it has not ended.
    pub(super) fn abort_listed(&self, ticket: Ticket) {
        let task = self.listed.borrow().get(&ticket).copied();
        if let Some(task) = task {
            self.abort(task);
        }
    }

    /// Whether the core is ending.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Has the task dropped instead of polled.
    pub(super) fn abort(&self, task: NonNull<Header>) {
        // SAFETY: the caller holds a reference.
        if unsafe { task.as_ref() }.state() & DONE == 0 {
            // SAFETY: as above.
            unsafe { task.as_ref() }.change_state(0, ABORTED);
            self.schedule(task);
        }
    }
}
