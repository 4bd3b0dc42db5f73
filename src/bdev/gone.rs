//! Something that ends once, and who waits for that: [`Here`] belongs to it, [`Gone`] to those who wait.
//!
//! A device that is removed, a name that is being made, an examination: each keeps a [`Here`] for as long as it lasts.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Told to who waits when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Here(pub(super) Arc<Gone>);

/// Whether it has ended.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_gone: bool,
    waiting: Vec<Waker>,
}

impl Gone {
    /// Of what has ended already.
    pub(super) fn over() -> Self {
        Self(Mutex::new(State { is_gone: true, waiting: Vec::new() }))
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_gone
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned before the lock: that may run foreign code.
        let waker = cx.waker().clone();
        let mut state = self.state();
        if state.is_gone {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|known| known.will_wake(&waker)) {
            state.waiting.push(waker);
        }
        Poll::Pending
    }

    pub(super) async fn wait(self: Arc<Self>) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_gone = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}
