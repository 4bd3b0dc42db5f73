//! Futures that are polled every turn instead of woken.

use super::{Poller, Work, context};
use std::{
    cell::{Cell, OnceCell},
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A future that its core polls every turn, without waiting for a wake-up, until it is done.
///
/// For state machines that look at hardware: they need no waker, and the core does not sleep while they run.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) when first polled outside of a reactor.
pub fn poll_every_turn<F: Future>(future: F) -> PollFuture<F> {
    PollFuture { future, poller: OnceCell::new(), waker: Rc::default() }
}

pin_project_lite::pin_project! {
    /// See [`poll_every_turn`].
    #[must_use = "futures do nothing unless polled"]
    pub struct PollFuture<F> {
        #[pin]
        future: F,
        poller: OnceCell<Poller>,
        waker: Rc<Cell<Option<Waker>>>,
    }
}

impl<F: Future> Future for PollFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            this.poller.take();
            return Poll::Ready(output);
        }
        this.waker.set(Some(cx.waker().clone()));
        let waker = this.waker.clone();
        this.poller.get_or_init(|| {
            context::with("poll_every_turn", |_| ());
            Poller::register("poll_every_turn", move || {
                // Waking is not work: whether the future found some, only its own turn can say.
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
                Work::Idle
            })
        });
        Poll::Pending
    }
}

impl<F> fmt::Debug for PollFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFuture").finish_non_exhaustive()
    }
}
