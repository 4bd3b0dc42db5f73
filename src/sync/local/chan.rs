//! What both sides of a local channel share: the queue, the room in it, and the receiver's waker.

use crate::sync::{permits::Permits, waker_cell::WakerCell};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll},
};

/// The shared state. No method runs foreign code while the queue is borrowed.
pub(super) struct Chan<T> {
    queue: RefCell<VecDeque<T>>,
    receiver: WakerCell,
    senders: Cell<usize>,
    closed: Cell<bool>,
    /// One permit for each free place; none are counted without a bound.
    room: Option<Permits>,
}

impl<T> Chan<T> {
    pub(super) fn new(capacity: Option<usize>) -> Rc<Self> {
        Rc::new(Self {
            queue: RefCell::new(VecDeque::with_capacity(capacity.unwrap_or(0).min(64))),
            receiver: WakerCell::default(),
            senders: Cell::new(0),
            closed: Cell::new(false),
            room: capacity.map(Permits::new),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The permits of a bounded channel.
    pub(super) fn room(&self) -> Option<&Permits> {
        self.room.as_ref()
    }

    /// Appends `value`, for which the caller holds a permit if there is a bound, and wakes the receiver.
    #[inline]
    pub(super) fn push(&self, value: T) -> Result<(), T> {
        if self.closed.get() {
            return Err(value);
        }
        self.queue.borrow_mut().push_back(value);
        self.receiver.wake();
        Ok(())
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let value = self.queue.borrow_mut().pop_front()?;
        if let Some(room) = &self.room {
            room.release(1);
        }
        Some(value)
    }

    /// Moves at most `max` messages to `out`; returns how many.
    pub(super) fn pop_many(&self, out: &mut Vec<T>, max: usize) -> usize {
        let mut queue = self.queue.borrow_mut();
        let count = queue.len().min(max);
        out.extend(queue.drain(..count));
        drop(queue);
        if let (Some(room), 1..) = (&self.room, count) {
            room.release(count);
        }
        count
    }

    /// Pending while a message may still come.
    #[inline]
    pub(super) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_ended() {
            return Poll::Ready(());
        }
        self.receiver.register(cx.waker());
        Poll::Pending
    }

    /// Whether nothing will be pushed any more.
    pub(super) fn is_ended(&self) -> bool {
        self.closed.get() || self.senders.get() == 0
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        if let Some(room) = &self.room {
            room.close();
        }
    }

    /// The receiver is gone: drops what it will not take.
    pub(super) fn abandon(&self) {
        self.close();
        self.receiver.clear();
        // Moved out first: the values' drops may come back here.
        drop(self.queue.take());
    }

    pub(super) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    pub(super) fn drop_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if self.senders.get() == 0 {
            self.receiver.wake();
        }
    }
}
