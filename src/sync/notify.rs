//! A signal without a value between the tasks of one core.
//!
//! Counts nothing and keeps at most one signal: what has happened stands in state of the user's own, which the woken
//! task looks at again.

use super::wait_list::{Key, Verdict, WaitList, poll_place};
use crate::sys::unwind::wake;
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Wakes one waiting task, or all of them. `!Send`.
///
/// ```
/// # use reactor::sync::Notify;
/// # use std::{cell::Cell, rc::Rc};
/// async fn drained(in_flight: Rc<Cell<usize>>, changed: Rc<Notify>) {
///     while in_flight.get() > 0 {
///         changed.notified().await;
///     }
/// }
/// # let _ = drained(Rc::default(), Rc::default());
/// ```
pub struct Notify {
    /// Each with the round that it waits for the end of, so oldest first.
    waiters: RefCell<WaitList<u64>>,
    /// A `notify_one` that found nobody.
    stored: Cell<bool>,
    /// How often `notify_waiters` was called: a future made before a call is ready after it.
    rounds: Cell<u64>,
    local: PhantomData<Rc<()>>,
}

impl Notify {
    /// A signal that nobody has given.
    pub const fn new() -> Self {
        Self {
            waiters: RefCell::new(WaitList::new()),
            stored: Cell::new(false),
            rounds: Cell::new(0),
            local: PhantomData,
        }
    }

    /// Wakes the task that waits longest; if none waits, the next to wait does not. Several calls store one signal.
    pub fn notify_one(&self) {
        let waker = self.waiters.borrow_mut().settle_front(Verdict::Granted);
        match waker {
            Some(waker) => waker.wake(),
            None => self.stored.set(true),
        }
    }

    /// Wakes every task whose [`notified`](Self::notified) was called before, polled already or not. Stores nothing.
    pub fn notify_waiters(&self) {
        let round = self.rounds.get().wrapping_add(1);
        self.rounds.set(round);
        // Who comes while the wakers run carries this round already and stays.
        loop {
            let mut waiters = self.waiters.borrow_mut();
            if waiters.front().is_none_or(|&joined| joined == round) {
                return;
            }
            let waker = waiters.settle_front(Verdict::Ended);
            drop(waiters);
            waker.into_iter().for_each(wake);
        }
    }

    /// Waits for a signal.
    ///
    /// Dropping the future leaves the line; a [`notify_one`](Self::notify_one) that had chosen it wakes the next.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, round: self.rounds.get(), place: None, done: false }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("stored", &self.stored.get()).finish_non_exhaustive()
    }
}

/// Made by [`Notify::notified`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    round: u64,
    place: Option<Key>,
    done: bool,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(crate::task::budget::proceed(cx));
        let this = &mut *self;
        let Some(key) = &this.place else {
            // Cloned before it is known that it is needed: a clone may run foreign code, which may come back here.
            let waker = cx.waker().clone();
            // A signal to everybody needs no stored one; that stays for somebody else.
            if this.done || this.round != this.notify.rounds.get() || this.notify.stored.replace(false) {
                this.done = true;
                return Poll::Ready(());
            }
            this.place = Some(this.notify.waiters.borrow_mut().push_back(this.round, waker));
            return Poll::Pending;
        };
        let _verdict = ready!(poll_place(cx.waker(), |waker, clone| {
            this.notify.waiters.borrow_mut().poll(key, waker, clone)
        }));
        if let Some(key) = this.place.take() {
            let removed = this.notify.waiters.borrow_mut().remove(key);
            drop(removed);
        }
        this.done = true;
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(key) = self.place.take() else { return };
        let removed = self.notify.waiters.borrow_mut().remove(key);
        if removed.verdict == Some(Verdict::Granted) {
            self.notify.notify_one();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::testing::{Count, poll};

    static_assertions::assert_not_impl_any!(Notify: Send, Sync);

    #[test]
    fn a_signal_that_finds_nobody_is_kept_once() {
        let notify = Notify::new();
        notify.notify_one();
        notify.notify_one();
        assert!(poll(&mut notify.notified()).is_ready());
        assert!(poll(&mut notify.notified()).is_pending());
    }

    #[test]
    fn one_signal_wakes_the_one_that_waits_longest() {
        let notify = Notify::new();
        let (first, second) = (Count::new(), Count::new());
        let (mut a, mut b) = (notify.notified(), notify.notified());
        assert!(first.poll(&mut a).is_pending());
        assert!(second.poll(&mut b).is_pending());
        notify.notify_one();
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        assert!(first.poll(&mut a).is_ready());
        assert!(second.poll(&mut b).is_pending());
    }

    #[test]
    fn a_dropped_waiter_that_was_chosen_passes_the_signal_on() {
        let notify = Notify::new();
        let count = Count::new();
        let (mut a, mut b) = (notify.notified(), notify.notified());
        assert!(poll(&mut a).is_pending());
        assert!(count.poll(&mut b).is_pending());
        notify.notify_one();
        drop(a);
        assert_eq!(count.wakes(), 1);
        drop(b);
        assert!(poll(&mut notify.notified()).is_ready(), "with nobody left it is stored");
    }

    #[test]
    fn a_signal_to_all_reaches_futures_not_polled_yet_and_stores_nothing() {
        let notify = Notify::new();
        let (mut waiting, mut unpolled) = (notify.notified(), notify.notified());
        assert!(poll(&mut waiting).is_pending());
        notify.notify_waiters();
        assert!(poll(&mut waiting).is_ready());
        assert!(poll(&mut unpolled).is_ready());
        assert!(poll(&mut notify.notified()).is_pending());
    }

    #[test]
    fn a_dropped_waiter_that_was_told_with_all_passes_nothing_on() {
        let notify = Notify::new();
        let mut waiting = notify.notified();
        assert!(poll(&mut waiting).is_pending());
        notify.notify_waiters();
        drop(waiting);
        assert!(poll(&mut notify.notified()).is_pending());
    }
}
