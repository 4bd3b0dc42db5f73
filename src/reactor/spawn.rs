//! Starting tasks and sending events, from a reactor.

use super::{Core, context};
use crate::task::{JoinError, JoinHandle, Named, Plain, call_remote};
use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Starts `future` as a task of this core: it stays here, so it need not be `Send`, and runs from the next batch on.
///
/// One allocation holds task and result, from memory that the core reuses. Dropping the handle detaches the task. A panic
/// reaches who awaits the handle and leaves the core running.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
#[inline]
#[track_caller]
pub fn spawn_local<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    context::with_home("spawn_local", |home, local| local.spawn(home, Plain { future }))
}

/// The same under a name, which shutdown and statistics show instead of the future's type.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
#[track_caller]
pub fn spawn_named<F: Future + 'static>(
    name: impl Into<Cow<'static, str>>,
    future: F,
) -> JoinHandle<F::Output> {
    let name = name.into();
    context::with_home("spawn_named", |home, local| local.spawn(home, Named { name, future }))
}

/// Runs `future` on `core`, this one or another: SPDK's `spdk_event_allocate` and `_call`, with an answer.
///
/// Events arrive in the order in which they were sent, and are never lost: the future is polled as soon as the core takes the
/// event. It travels inline if it is small (32 bytes), so that neither side allocates; the result comes back the same way. If the
/// core has ended the handle says [`JoinError::CoreGone`].
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor: other threads have [`Handle`](crate::Handle).
#[inline]
#[track_caller]
pub fn spawn_on<F>(core: Core, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    call("spawn_on", core, move || future)
}

/// Runs an async closure on `core`. The closure is `Send`; its future is made on `core` and never leaves it, so it may hold
/// channels, pollers and other things that belong there.
///
/// ```no_run
/// # async fn f(core: reactor::Core) -> Result<(), reactor::JoinError> {
/// let name = String::from("sixteen bytes at");
/// let len = reactor::call_on(core, async move || {
///     let shared = std::rc::Rc::new(name); // not `Send`, and need not be
///     reactor::yield_now().await;
///     shared.len()
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor: other threads have [`Handle`](crate::Handle).
#[inline]
#[track_caller]
pub fn call_on<F, T>(core: Core, closure: F) -> JoinHandle<T>
where
    F: AsyncFnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    call("call_on", core, move || async move { closure().await })
}

#[inline]
#[track_caller]
fn call<M, F, T>(what: &'static str, core: Core, make: M) -> JoinHandle<T>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    context::with_local(what, |current, home, local| match current.group.peer(core) {
        Some(peer) => call_remote(home, local, peer.core.index(), make),
        None => JoinHandle::failed(JoinError::CoreGone),
    })
}

/// Runs `f` on `core`, fire and forget: the cheapest event there is. A panic in it is reported by the panic hook and goes no
/// further.
///
/// # Errors
/// [`JoinError::CoreGone`] if the core has ended; `f` is dropped.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor: other threads have [`Handle`](crate::Handle).
#[inline]
#[track_caller]
pub fn post(core: Core, f: impl FnOnce() + Send + 'static) -> Result<(), JoinError> {
    context::with("post", |current| match current.group.peer(core) {
        Some(peer) => peer.home.send(f).map_err(|_refused| JoinError::CoreGone),
        None => Err(JoinError::CoreGone),
    })
}

/// Runs a clone of `closure` on every core of this runtime, all at once, and returns their results in order.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) when first polled outside of a reactor.
pub async fn on_every_core<F, T>(closure: F) -> Vec<Result<T, JoinError>>
where
    F: AsyncFnOnce() -> T + Clone + Send + 'static,
    T: Send + 'static,
{
    let calls: Vec<_> =
        super::core::cores_for("on_every_core").map(|core| call_on(core, closure.clone())).collect();
    in_order(calls).await
}

/// The results of calls that are all under way.
pub(super) async fn in_order<T: 'static>(calls: Vec<JoinHandle<T>>) -> Vec<Result<T, JoinError>> {
    let mut results = Vec::with_capacity(calls.len());
    for call in calls {
        results.push(call.await);
    }
    results
}

/// Lets the core's other tasks run: the task goes on in the next batch, behind those that are ready now.
///
/// The run loop looks at events, pollers, devices and timers between batches, but not after every one that is small: after eight
/// polls at the latest.
#[inline]
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// See [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
