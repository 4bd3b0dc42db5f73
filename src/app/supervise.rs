//! What the main core does from its first turn to its last: start, `main`, and the end in its order.

use super::{Error, report, seat::Seat, state::App, subsystem::Subsystems};
use crate::{JoinError, Panic, call_on, thread::exit_all, time};
use futures::future::join_all;
use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

/// What became of `main`, and what went wrong around it, the worst first.
pub(super) struct Ended<T> {
    pub(super) value: Option<T>,
    panic: Option<Box<dyn Any + Send>>,
    pub(super) errors: Vec<Error>,
    /// What [`stop`](super::stop) was given, once all cores have ended.
    pub(super) code: Option<u8>,
}

impl<T> Ended<T> {
    /// # Panics
    /// With the panic of `main`.
    pub(super) fn resume_panic(mut self) -> Self {
        match self.panic.take() {
            Some(payload) => std::panic::resume_unwind(payload),
            None => self,
        }
    }

    pub(super) fn into_result(self) -> Result<T, Error> {
        let mut this = self.resume_panic();
        if !this.errors.is_empty() {
            return Err(this.errors.swap_remove(0));
        }
        match (this.value, this.code.unwrap_or(0)) {
            (Some(value), 0) => Ok(value),
            (_, code) => Err(Error::Stopped { code }),
        }
    }
}

/// Runs subsystems, `main` and hooks. Afterwards the cores may end.
pub(super) async fn supervise<T>(
    app: &Arc<App>,
    mut subsystems: Subsystems,
    main: impl AsyncFnOnce() -> T,
) -> Ended<T> {
    let mut errors = Vec::new();
    // A stop while they start is no error of theirs.
    if let Some(Err(error)) = until_requested(app, subsystems.init()).await {
        errors.push(error);
    }
    let start = main;
    let mut main = Main::Absent;
    if errors.is_empty() && !app.is_requested() {
        main = Main::Runs(Box::pin(async { start().await }));
        until_requested(app, poll_fn(|cx| main.poll(cx))).await;
    }
    app.request(None);

    let mut winding = pin!(time::timeout(report::clamp(app.deadline), wind_down(app)));
    // `main` goes on meanwhile.
    let wound = poll_fn(|cx| {
        let _has_ended = main.poll(cx);
        winding.as_mut().poll(cx)
    });
    match wound.await {
        Ok(panics) => errors.extend(panics),
        Err(_elapsed) => errors.insert(0, report::deadline_passed(app).await),
    }
    main.drop_future();

    match time::timeout(report::left(app), subsystems.fini(app)).await {
        Ok(panics) => errors.extend(panics),
        Err(_elapsed) => errors.insert(0, report::fini_stuck(app, subsystems.ending())),
    }
    let (value, panic) = main.into_parts();
    Ended { value, panic, errors, code: None }
}

/// Runs `future` until it is done or the application is asked to end.
async fn until_requested<F: Future>(app: &App, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        app.watch(cx);
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if app.is_requested() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// All that happens while `main` and tasks still run. Returns what panicked.
async fn wind_down(app: &App) -> Vec<Error> {
    let panics = run_hooks(app).await;
    // After the hooks, which may need them, and before the guards, which may wait for them.
    light_threads_gone(app).await;
    guards_gone(app).await;
    panics
}

/// The newest first, each on the core where it was registered.
async fn run_hooks(app: &App) -> Vec<Error> {
    let mut panics = Vec::new();
    while let Some(hook) = app.next_hook() {
        let ran = call_on(hook.core, async move || {
            let hook = Seat::current("a shutdown hook").take_hook(hook.key);
            if let Some(hook) = hook {
                hook().await;
            }
        });
        if let Err(JoinError::Panicked(panic)) = ran.await {
            let error = Error::hook_panicked(hook.location, panic.message());
            app.say(format_args!("{error}"));
            panics.push(error);
        }
    }
    panics
}

/// Those of all cores exit side by side: they may wait for each other.
async fn light_threads_gone(app: &App) {
    let exits = app.handle.cores().into_iter().map(|core| call_on(core, async || exit_all().await));
    // A core that has ended in a panic has none any more.
    let _exited_or_gone = join_all(exits).await;
}

async fn guards_gone(app: &App) {
    poll_fn(|cx| {
        app.watch(cx);
        if app.holders().is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The application's `main`: its panic goes to who started the application, after the end.
enum Main<F: Future> {
    Absent,
    Runs(Pin<Box<F>>),
    Returned(F::Output),
    Panicked(Box<dyn Any + Send>),
}

impl<F: Future> Main<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self::Runs(future) = self else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Self::Returned(value),
            Err(payload) => Self::Panicked(payload),
        };
        self.replace(ended);
        Poll::Ready(())
    }

    fn is_running(&self) -> bool {
        matches!(self, Self::Runs(_))
    }

    /// Drops the future, if it has not ended.
    fn drop_future(&mut self) {
        if self.is_running() {
            self.replace(Self::Absent);
        }
    }

    /// The future that goes may panic while it is dropped: that is a panic of `main` too.
    fn replace(&mut self, next: Self) {
        let before = std::mem::replace(self, next);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(before))) {
            *self = Self::Panicked(payload);
        }
    }

    fn into_parts(self) -> (Option<F::Output>, Option<Box<dyn Any + Send>>) {
        match self {
            Self::Returned(value) => (Some(value), None),
            Self::Panicked(payload) => (None, Some(payload)),
            Self::Absent | Self::Runs(_) => (None, None),
        }
    }
}

/// The message of what `subsystem` panicked with.
pub(super) fn panicked(what: String, payload: Box<dyn Any + Send>) -> Error {
    Error::Panicked { what, message: Panic::new(payload).message().into() }
}
