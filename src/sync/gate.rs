//! A gate in front of something that shuts down: who is inside is waited for, nobody new comes in.
//!
//! SPDK waits for its channels and outstanding operations before it lets a device go; seastar calls this a gate.

use super::{
    error::Closed,
    wait_list::{Key, Verdict, WaitList, poll_place},
};
use crate::sys::unwind::wake;
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Counts who is inside and closes once they have left. Clones are the same gate. `!Send`.
///
/// ```
/// # use reactor::sync::Gate;
/// let gate = Gate::new();
/// let inside = gate.enter()?;
/// let all_left = gate.close();             // from now on nobody enters
/// assert!(gate.enter().is_err());
/// drop(inside);                            // `all_left.await` is ready
/// # drop(all_left);
/// # Ok::<(), reactor::sync::Closed>(())
/// ```
#[derive(Clone, Default)]
pub struct Gate {
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    inside: Cell<usize>,
    closed: Cell<bool>,
    closers: RefCell<WaitList<()>>,
}

impl Gate {
    /// An open gate with nobody inside.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters; the guard leaves when it is dropped.
    ///
    /// # Errors
    /// [`Closed`] once [`close`](Self::close) was called.
    pub fn enter(&self) -> Result<GateGuard, Closed> {
        if self.is_closed() {
            return Err(Closed);
        }
        self.state.inside.set(self.state.inside.get() + 1);
        Ok(GateGuard { state: self.state.clone() })
    }

    /// Closes the gate now; the future is ready when everybody has left.
    ///
    /// The gate stays closed if the future is dropped. Several tasks may wait.
    pub fn close(&self) -> GateClose {
        self.state.closed.set(true);
        GateClose { state: self.state.clone(), place: None }
    }

    /// Whether the gate was closed.
    pub fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// How many guards are alive.
    pub fn inside(&self) -> usize {
        self.state.inside.get()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inside", &self.inside()).field("closed", &self.is_closed()).finish()
    }
}

/// Somebody inside a [`Gate`].
#[must_use = "dropping the guard leaves the gate"]
pub struct GateGuard {
    state: Rc<State>,
}

impl fmt::Debug for GateGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateGuard")
    }
}

impl Drop for GateGuard {
    fn drop(&mut self) {
        let inside = self.state.inside.get() - 1;
        self.state.inside.set(inside);
        if inside > 0 {
            return;
        }
        // Only who closed the gate waits, and then nobody enters any more.
        loop {
            let waker = self.state.closers.borrow_mut().settle_front(Verdict::Ended);
            match waker {
                Some(waker) => wake(waker),
                None => return,
            }
        }
    }
}

/// Made by [`Gate::close`].
#[must_use = "the gate is closed, but only awaiting this waits for those inside"]
pub struct GateClose {
    state: Rc<State>,
    place: Option<Key>,
}

impl fmt::Debug for GateClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateClose")
    }
}

impl Future for GateClose {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(crate::task::budget::proceed(cx));
        if self.state.inside.get() == 0 {
            return Poll::Ready(());
        }
        let this = &mut *self;
        if let Some(key) = &this.place {
            let polled = poll_place(cx.waker(), |waker, clone| {
                this.state.closers.borrow_mut().poll(key, waker, clone)
            });
            return polled.map(|_| ());
        }
        // A clone may run foreign code, which may let the last one out.
        let waker = cx.waker().clone();
        if this.state.inside.get() == 0 {
            return Poll::Ready(());
        }
        this.place = Some(this.state.closers.borrow_mut().push_back((), waker));
        Poll::Pending
    }
}

impl Drop for GateClose {
    fn drop(&mut self) {
        if let Some(key) = self.place.take() {
            let removed = self.state.closers.borrow_mut().remove(key);
            drop(removed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::testing::{Count, poll};

    static_assertions::assert_not_impl_any!(Gate: Send, Sync);

    #[test]
    fn close_waits_for_everybody_inside_and_lets_nobody_in() {
        let (gate, count) = (Gate::new(), Count::new());
        let (a, b) = (gate.enter().unwrap(), gate.enter().unwrap());
        let mut close = gate.close();
        assert!(count.poll(&mut close).is_pending());
        assert_eq!(gate.enter().unwrap_err(), Closed);
        drop(a);
        assert_eq!((gate.inside(), count.wakes()), (1, 0));
        drop(b);
        assert_eq!(count.wakes(), 1);
        assert!(count.poll(&mut close).is_ready());
    }

    #[test]
    fn an_empty_gate_closes_at_once_and_every_closer_is_told() {
        let gate = Gate::new();
        let inside = gate.enter().unwrap();
        let (mut first, mut second) = (gate.close(), gate.close());
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending());
        drop(inside);
        assert!(poll(&mut first).is_ready());
        assert!(poll(&mut second).is_ready());
        assert!(poll(&mut gate.close()).is_ready());
    }

    #[test]
    fn dropping_the_close_keeps_the_gate_closed() {
        let gate = Gate::new();
        let inside = gate.enter().unwrap();
        let mut close = gate.close();
        assert!(poll(&mut close).is_pending());
        drop(close);
        assert!(gate.enter().is_err());
        drop(inside);
    }
}
