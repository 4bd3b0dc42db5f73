//! Fair counting on one core: the common half of [`Semaphore`](super::Semaphore), [`Mutex`](super::Mutex) and the
//! bounded [`local::channel`](super::local::channel).
//!
//! Permits go to the waiters in order of arrival; nobody overtakes, however little is asked for. The wakers are woken
//! after the state is let go of, so that they may come back here.

use super::{
    error::{Closed, TryAcquireError},
    wait_list::{Key, Verdict, WaitList, poll_place},
};
use crate::sys::unwind::wake;
use std::{
    cell::{Cell, RefCell},
    task::{Context, Poll, ready},
};

/// Permits, and those who wait for them.
///
/// # Invariants
/// `ordinary` is set while nobody waits and nothing is closed. While somebody waits, `available` is less than what the
/// first of them asks for.
pub(super) struct Permits {
    available: Cell<usize>,
    ordinary: Cell<bool>,
    state: RefCell<State>,
}

struct State {
    closed: bool,
    waiters: WaitList<usize>,
}

impl Permits {
    pub(super) fn new(available: usize) -> Self {
        Self {
            available: Cell::new(available),
            ordinary: Cell::new(true),
            state: RefCell::new(State { closed: false, waiters: WaitList::new() }),
        }
    }

    pub(super) fn available(&self) -> usize {
        self.available.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }

    /// Takes `count` permits now, unless they are short or somebody waits already.
    #[inline]
    pub(super) fn try_acquire(&self, count: usize) -> Result<(), TryAcquireError> {
        let available = self.available.get();
        if self.ordinary.get() && count <= available {
            self.available.set(available - count);
            Ok(())
        } else if self.is_closed() {
            Err(TryAcquireError::Closed)
        } else {
            Err(TryAcquireError::NoPermits)
        }
    }

    /// Takes `count` permits or waits in line with `place`, which the caller gives to [`cancel`](Self::cancel) when it is
    /// dropped.
    #[inline]
    pub(super) fn poll_acquire(
        &self,
        place: &mut Option<Key>,
        count: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        ready!(crate::task::budget::proceed(cx));
        if place.is_none() && self.try_acquire(count).is_ok() {
            return Poll::Ready(Ok(()));
        }
        self.poll_line(place, count, cx)
    }

    fn poll_line(
        &self,
        place: &mut Option<Key>,
        count: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        let Some(key) = place else {
            // Cloned before it is known that it is needed: a clone may run foreign code, which may come back here.
            let waker = cx.waker().clone();
            return match self.try_acquire(count) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(TryAcquireError::Closed) => Poll::Ready(Err(Closed)),
                Err(TryAcquireError::NoPermits) => {
                    *place = Some(self.state.borrow_mut().waiters.push_back(count, waker));
                    self.ordinary.set(false);
                    Poll::Pending
                }
            };
        };
        let verdict = ready!(poll_place(cx.waker(), |waker, clone| {
            self.state.borrow_mut().waiters.poll(key, waker, clone)
        }));
        if let Some(key) = place.take() {
            let removed = self.state.borrow_mut().waiters.remove(key);
            drop(removed);
        }
        Poll::Ready(if verdict == Verdict::Granted { Ok(()) } else { Err(Closed) })
    }

    /// Leaves the line; permits that were granted meanwhile go to the next.
    pub(super) fn cancel(&self, place: &mut Option<Key>) {
        let Some(key) = place.take() else { return };
        let removed = self.state.borrow_mut().waiters.remove(key);
        match removed.verdict {
            Some(Verdict::Granted) => self.release(removed.ask),
            Some(Verdict::Ended) => {}
            // The next may ask for less than the one that left.
            None => self.release(0),
        }
    }

    /// Gives `count` permits back, to the waiters first.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        self.available.set(self.available.get().checked_add(count).expect("more permits than usize holds"));
        if !self.ordinary.get() {
            self.grant();
        }
    }

    #[cold]
    fn grant(&self) {
        loop {
            let mut state = self.state.borrow_mut();
            let available = self.available.get();
            match state.waiters.front() {
                None => return self.ordinary.set(!state.closed),
                Some(&ask) if ask > available => return,
                Some(&ask) => self.available.set(available - ask),
            }
            let waker = state.waiters.settle_front(Verdict::Granted);
            drop(state);
            waker.into_iter().for_each(wake);
        }
    }

    /// Refuses everybody who waits and who comes; granted permits stay granted.
    pub(super) fn close(&self) {
        self.state.borrow_mut().closed = true;
        self.ordinary.set(false);
        loop {
            let waker = self.state.borrow_mut().waiters.settle_front(Verdict::Ended);
            match waker {
                Some(waker) => wake(waker),
                None => return,
            }
        }
    }
}
