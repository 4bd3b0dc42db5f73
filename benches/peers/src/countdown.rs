//! Lets one task wait until others have done something a number of times, without a yield in between.
//!
//! A loop that yields would not do: monoio puts a task that wakes itself before all others, which then never run.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

#[derive(Default)]
pub(crate) struct Countdown {
    left: Cell<usize>,
    waiter: Cell<Option<Waker>>,
}

impl Countdown {
    /// Starts to count anew.
    pub(crate) fn start(&self, from: usize) {
        self.left.set(from);
    }

    /// One less; the last one wakes who waits.
    pub(crate) fn count(&self) {
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            self.waiter.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Waits for the last one; one task at a time.
    pub(crate) async fn zero(&self) {
        poll_fn(|context| match self.left.get() {
            0 => Poll::Ready(()),
            _ => {
                self.waiter.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
