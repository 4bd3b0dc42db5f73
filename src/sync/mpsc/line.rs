//! Where the senders of a full channel wait: in order, and nobody overtakes.
//!
//! While anybody waits, the tail word says so and refuses everybody else, so only those whose turn it is move the tail, and
//! they do so under the lock. That makes the count of who can be admitted exact. A channel that is never full never
//! takes the lock.

use super::{array::Array, tail::Tail};
use crate::sync::{
    error::{Closed, SendError, TrySendError},
    wait_list::{Key, Verdict, WaitList, poll_place},
};
use crate::sys::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering, fence},
    },
    unwind::wake,
};
use std::{
    sync::{LockResult, PoisonError},
    task::{Context, Poll, Waker, ready},
};

/// The waiting senders of one channel.
pub(super) struct Line {
    /// Whether somebody is in line, for the receiver.
    waited_in: AtomicBool,
    state: Mutex<State>,
}

struct State {
    waiters: WaitList<()>,
    /// How many have been told that it is their turn and have not sent yet.
    admitted: usize,
    closed: bool,
}

impl State {
    /// Admits the first in line if there is room for it beside those admitted already.
    fn admit_one<T>(&mut self, array: &Array<T>) -> Option<Waker> {
        if self.waiters.is_empty() || !array.has_room_ahead(self.admitted) {
            return None;
        }
        self.admitted += 1;
        self.waiters.settle_front(Verdict::Granted)
    }
}

impl Line {
    pub(super) fn new() -> Self {
        let state = State { waiters: WaitList::new(), admitted: 0, closed: false };
        Self { waited_in: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Whether somebody waits. Told apart from nobody by the fences in `join` and in the receiver's `popped`.
    #[inline]
    pub(super) fn is_waited_in(&self) -> bool {
        self.waited_in.load(Ordering::Relaxed)
    }

    /// Sends `value`, in line if there is no room. The caller gives `place` to [`leave`](Self::leave) when it is
    /// dropped.
    pub(super) fn poll_send<T>(
        &self,
        array: &Array<T>,
        value: &mut Option<T>,
        place: &mut Option<Key>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        ready!(crate::task::budget::proceed(cx));
        if place.is_none() {
            let unsent = value.take().expect("polled again after it was ready");
            let unsent = match array.push(unsent, false) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(TrySendError::Closed(unsent)) => return Poll::Ready(Err(SendError(unsent))),
                Err(TrySendError::Full(unsent)) => unsent,
            };
            // In its place before the clone, which may unwind.
            *value = Some(unsent);
            match self.join(array, cx.waker().clone()) {
                Ok(key) => *place = Some(key),
                Err(Closed) => return Poll::Ready(Err(SendError(value.take().expect("just put there")))),
            }
        }
        self.poll_in_line(array, value, place, cx)
    }

    #[cold]
    fn join<T>(&self, array: &Array<T>, waker: Waker) -> Result<Key, Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        let is_first = state.waiters.is_empty();
        if is_first && state.admitted == 0 {
            array.tail().set_line(true);
            self.waited_in.store(true, Ordering::Relaxed);
        }
        let key = state.waiters.push_back((), waker);
        // Partner: the fence in the receiver's `popped`. Either it sees `waited_in`, or this side sees its empty slot.
        fence(Ordering::SeqCst);
        let admitted = state.admit_one(array);
        drop(state);
        // The first has admitted itself, if anybody, and is about to look.
        if let (Some(waker), false) = (admitted, is_first) {
            waker.wake();
        }
        Ok(key)
    }

    fn poll_in_line<T>(
        &self,
        array: &Array<T>,
        value: &mut Option<T>,
        place: &mut Option<Key>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        let Some(key) = place else { return Poll::Pending };
        let verdict =
            ready!(poll_place(cx.waker(), |waker, clone| self.lock().waiters.poll(key, waker, clone)));
        let Some(key) = place.take() else { return Poll::Pending };
        let mut state = self.lock();
        let removed = state.waiters.remove(key);
        let unsent = value.take().expect("a place in line is left with the value");
        let sent = if verdict == Verdict::Granted {
            state.admitted -= 1;
            let sent = array.push(unsent, true);
            debug_assert!(!matches!(sent, Err(TrySendError::Full(_))), "admitted without room");
            sent.map_err(SendError::from)
        } else {
            Err(SendError(unsent))
        };
        self.end_if_empty(&state, array.tail());
        drop(state);
        drop(removed);
        Poll::Ready(sent)
    }

    /// Gives up a place; a turn that had come goes to the next.
    pub(super) fn leave<T>(&self, array: &Array<T>, place: &mut Option<Key>) {
        let Some(key) = place.take() else { return };
        let mut state = self.lock();
        let removed = state.waiters.remove(key);
        if removed.verdict == Some(Verdict::Granted) {
            state.admitted -= 1;
        }
        self.end_if_empty(&state, array.tail());
        drop(state);
        drop(removed);
        self.admit(array);
    }

    /// Wakes as many as there is room for.
    #[cold]
    pub(super) fn admit<T>(&self, array: &Array<T>) {
        while self.is_waited_in() {
            let waker = self.lock().admit_one(array);
            match waker {
                Some(waker) => wake(waker),
                None => return,
            }
        }
    }

    /// Ends the wait of everybody; the tail is closed already.
    pub(super) fn close(&self, tail: &Tail) {
        loop {
            let mut state = self.lock();
            state.closed = true;
            let waker = state.waiters.settle_front(Verdict::Ended);
            self.end_if_empty(&state, tail);
            drop(state);
            match waker {
                Some(waker) => wake(waker),
                None => return,
            }
        }
    }

    fn end_if_empty(&self, state: &State, tail: &Tail) {
        if state.waiters.is_empty() && state.admitted == 0 && self.is_waited_in() {
            self.waited_in.store(false, Ordering::Relaxed);
            tail.set_line(false);
        }
    }

    fn lock(&self) -> impl std::ops::DerefMut<Target = State> + '_ {
        // Nothing under the lock leaves the state half changed, so a panic elsewhere does not matter.
        let locked: LockResult<_> = self.state.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}
