//! An application as other threads see it.

use super::{Builder, Error, run::run_to_end, seat::Seat, state::App};
use crate::{Handle, signal};
use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
};

/// Ends an application, or asks it for its cores, from any thread. Cheap to clone; outlives the application.
#[derive(Clone)]
pub struct Control {
    app: Arc<App>,
}

/// The application that runs the calling core, for other threads to [`stop`](Control::stop).
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor, and on one that no application runs.
#[track_caller]
pub fn control() -> Control {
    Control::new(Seat::current("app::control").app.clone())
}

impl Control {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// As [`stop`](super::stop).
    pub fn stop(&self, code: u8) {
        self.app.request(Some(code));
    }

    /// Whether the application is ending.
    pub fn is_shutdown_requested(&self) -> bool {
        self.app.is_requested()
    }

    /// Sends work to the application's cores.
    pub fn handle(&self) -> Handle {
        self.app.handle.clone()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("name", &self.app.name).finish_non_exhaustive()
    }
}

/// An application on threads of its own, started by [`Builder::start`]. Dropping it stops the application and waits for its end.
///
/// ```
/// use reactor::app::{self, Builder};
///
/// let running = Builder::new().cores(1).start(async || drop(app::shutdown_requested().await))?;
/// let handle = running.handle();
/// let answer = handle.spawn_on(handle.cores()[0], async { 6 * 7 });
/// assert_eq!(answer.wait().unwrap(), 42);
/// running.stop(0);
/// running.join()?;
/// # Ok::<(), app::Error>(())
/// ```
#[must_use = "dropping it stops the application"]
pub struct Running<T> {
    control: Control,
    thread: Option<thread::JoinHandle<Result<T, Error>>>,
}

impl<T: Send + 'static> Running<T> {
    pub(super) fn start<F>(mut builder: Builder, main: F) -> Result<Self, Error>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        let ids = builder.resolve_cores()?;
        signal::block(builder.blocked_signals.iter().copied())?;
        let core = ids[0];
        let (sender, started) = mpsc::sync_channel(1);
        let body = move || {
            // The starter waits for this, or for the thread's end.
            let ended = run_to_end(builder, ids, main, |control| drop(sender.send(control)))?;
            ended.into_result()
        };
        let thread = thread::Builder::new()
            .name(format!("reactor_{core}"))
            .spawn(body)
            .map_err(|error| Error::Core { core, source: super::CoreError::Thread(error) })?;
        match started.recv() {
            Ok(control) => Ok(Self { control, thread: Some(thread) }),
            Err(_) => match thread.join() {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) => unreachable!("an application says that it has started before it ends"),
                Err(payload) => std::panic::resume_unwind(payload),
            },
        }
    }
}

impl<T> Running<T> {
    /// As [`stop`](super::stop).
    pub fn stop(&self, code: u8) {
        self.control.stop(code);
    }

    /// Sends work to the application's cores.
    pub fn handle(&self) -> Handle {
        self.control.handle()
    }

    /// The application, for yet other threads.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits until the application ends, by itself or by [`stop`](Self::stop), and returns what [`Builder::run`] does.
    ///
    /// # Errors
    /// As [`Builder::run`], but for what concerns the start.
    ///
    /// # Panics
    /// With the panic of `main`; on a reactor, which must not wait for another.
    #[track_caller]
    pub fn join(mut self) -> Result<T, Error> {
        crate::reactor::context::forbid_blocking("Running::join");
        let thread = self.thread.take().expect("joined once, as that takes it");
        thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.control.app.request(None);
        // A reactor must not wait for another: it leaves the application to its end.
        if crate::Core::try_current().is_none() {
            match thread.join() {
                // Stopped: that is what was asked for.
                Ok(Ok(_) | Err(Error::Stopped { .. })) => {}
                Ok(Err(error)) => self.control.app.say(format_args!("{error}")),
                // Reported by the panic hook.
                Err(_panic) => {}
            }
        }
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("control", &self.control).finish_non_exhaustive()
    }
}
