//! Ending the application, and being told that it ends.

use super::{seat::Seat, state::App};
use std::{
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Ends the application: hooks run, `main` and all tasks are dropped, the cores end, and the process's exit code is `code`.
/// Returns at once; the caller runs on until its next await.
///
/// Of several codes the first that is not 0 counts. Other threads have [`Control::stop`](super::Control::stop).
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor, and on one that no application runs.
#[track_caller]
pub fn stop(code: u8) {
    Seat::current("app::stop").app.request(Some(code));
}

/// Has `hook` run on this core when the application ends: before `main` and tasks are dropped, the newest hook first, each
/// after the one before it is done.
///
/// A hook that panics is reported and the rest go on; the application's result is then an error. What a hook registers runs
/// next.
///
/// ```
/// # reactor::app::Builder::new().run(async || {
/// let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new())); // need not be `Send`: it stays here
/// let later = log.clone();
/// reactor::app::on_shutdown(async move || later.borrow_mut().push("closed"));
/// # })?;
/// # Ok::<(), reactor::app::Error>(())
/// ```
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor, and on one that no application runs.
#[track_caller]
pub fn on_shutdown<F>(hook: F)
where
    F: AsyncFnOnce() + 'static,
{
    let location = Location::caller();
    let hook = Box::new(move || -> futures::future::LocalBoxFuture<'static, ()> {
        Box::pin(async move { hook().await })
    });
    Seat::current("app::on_shutdown").add_hook(hook, location);
}

/// Whether the application is ending.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor, and on one that no application runs.
#[track_caller]
pub fn is_shutdown_requested() -> bool {
    Seat::current("app::is_shutdown_requested").app.is_requested()
}

/// Waits until the application ends, and gives a guard that holds up the end: as long as it lives, and the deadline has not
/// passed, no task is dropped and no core stops. So a task finishes what it has begun:
///
/// ```
/// # use reactor::app;
/// # async fn accept() {}
/// # async fn close_connections() {}
/// # app::Builder::new().run(async || {
/// # app::stop(0);
/// # let mut accept = std::pin::pin!(accept());
/// let _guard = app::shutdown_requested().await;
/// close_connections().await; // not dropped half-way
/// # })?;
/// # Ok::<(), app::Error>(())
/// ```
///
/// A future that waits holds up the end just as well, until it is dropped or polled once more.
///
/// What a task or `main` returns is kept until somebody takes it, and a guard that is returned holds up the end with it: a `main` that
/// has nothing to do but wait says `drop(app::shutdown_requested().await)`. As the last expression alone, without a semicolon, the guard
/// would be the value of `main`, and the application would end by its deadline, which names the guard.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor, and on one that no application runs.
#[track_caller]
pub fn shutdown_requested() -> ShutdownRequested {
    let app = Seat::current("app::shutdown_requested").app.clone();
    ShutdownRequested { app, key: None, location: Location::caller() }
}

/// See [`shutdown_requested`].
#[must_use = "futures do nothing unless awaited"]
pub struct ShutdownRequested {
    app: Arc<App>,
    key: Option<usize>,
    location: &'static Location<'static>,
}

impl Future for ShutdownRequested {
    type Output = ShutdownGuard;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ShutdownGuard> {
        let Self { app, key, location } = &mut *self;
        app.poll_requested(key, location, cx).map(|key| ShutdownGuard { app: app.clone(), key })
    }
}

impl Drop for ShutdownRequested {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.app.release(key);
        }
    }
}

impl fmt::Debug for ShutdownRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownRequested").finish_non_exhaustive()
    }
}

/// Holds up the end of the application until it is dropped; see [`shutdown_requested`].
#[must_use = "the end is held up for as long as the guard lives: keep it in a variable, or drop it if nothing is left to do"]
pub struct ShutdownGuard {
    app: Arc<App>,
    key: usize,
}

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        self.app.release(self.key);
    }
}

impl fmt::Debug for ShutdownGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownGuard").finish_non_exhaustive()
    }
}
