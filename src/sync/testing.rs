//! What the tests of this room share: wakers and values that count.
#![cfg_attr(loom, expect(dead_code, reason = "the models count little"))]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Counts the wakes of its wakers, and how many wakers are alive.
pub(crate) struct Count(Arc<Wakes>);

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Wakes(AtomicUsize::new(0))))
    }

    pub(crate) fn waker(&self) -> Waker {
        self.0.clone().into()
    }

    pub(crate) fn wakes(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    /// How many clones of the waker are alive.
    pub(crate) fn wakers(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(&self.waker()))
    }
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Makes values that count their drops.
#[derive(Clone)]
pub(crate) struct Drops(Arc<Tally>);

#[derive(Default)]
struct Tally {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl Drops {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn value(&self) -> Dropped {
        self.0.made.fetch_add(1, Ordering::SeqCst);
        Dropped(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.dropped.load(Ordering::SeqCst)
    }

    /// How many values were made and not dropped.
    pub(crate) fn alive(&self) -> isize {
        self.0.made.load(Ordering::SeqCst) as isize - self.count() as isize
    }
}

/// Made by [`Drops::value`].
pub(crate) struct Dropped(Arc<Tally>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}
