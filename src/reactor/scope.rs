//! Tasks that must not outlive something: owned by a scope, aborted when it goes.

use crate::task::{AbortHandle, JoinHandle};
use pin_project_lite::pin_project;
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Owns tasks of one core: dropping it aborts those that have not finished, whose futures are then dropped in the next turn.
///
/// ```no_run
/// # async fn f() {
/// let mut scope = reactor::TaskScope::new();
/// let answer = scope.spawn(async { 6 * 7 });
/// scope.spawn(std::future::pending::<()>());
/// assert_eq!(answer.await.unwrap(), 42);
/// scope.close().await; // aborts the one that waits for ever, and returns when it is gone
/// # }
/// ```
#[derive(Default)]
pub struct TaskScope {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    tasks: RefCell<Slab<Option<AbortHandle>>>,
    /// Who waits for the last task to end.
    waiter: Cell<Option<Waker>>,
}

impl TaskScope {
    /// An empty scope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task of this core that ends with the scope; dropping the handle leaves it to the scope.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&mut self, future: F) -> JoinHandle<F::Output> {
        let key = self.shared.tasks.borrow_mut().insert(None);
        let member = Member { shared: self.shared.clone(), key };
        let handle = super::spawn_local(Scoped { future, _member: member });
        if let Some(slot) = self.shared.tasks.borrow_mut().get_mut(key) {
            *slot = handle.abort_handle();
        }
        handle
    }

    /// Tasks that have not finished.
    pub fn len(&self) -> usize {
        self.shared.tasks.borrow().len()
    }

    /// Whether all have finished.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until all tasks have finished.
    pub async fn join(&mut self) {
        poll_fn(|cx| {
            if self.is_empty() {
                return Poll::Ready(());
            }
            self.shared.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Aborts all tasks and waits until their futures have been dropped.
    pub async fn close(mut self) {
        self.abort_all();
        self.join().await;
    }

    fn abort_all(&self) {
        let handles: Vec<_> =
            self.shared.tasks.borrow().iter().filter_map(|(_, handle)| handle.clone()).collect();
        for handle in handles {
            handle.abort();
        }
    }
}

impl Drop for TaskScope {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl fmt::Debug for TaskScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskScope").field("len", &self.len()).finish()
    }
}

/// A task's membership, which ends with its future.
struct Member {
    shared: Rc<Shared>,
    key: usize,
}

impl Drop for Member {
    fn drop(&mut self) {
        let handle = self.shared.tasks.borrow_mut().try_remove(self.key);
        drop(handle);
        if self.shared.tasks.borrow().is_empty() {
            if let Some(waker) = self.shared.waiter.take() {
                waker.wake();
            }
        }
    }
}

pin_project! {
    struct Scoped<F> {
        #[pin]
        future: F,
        _member: Member,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}
