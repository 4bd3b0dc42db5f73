//! Names the main core when shutdown is stuck in it: whatever else is stuck, the main core names.

use super::state::App;
use std::{
    process,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// After the deadline the main core names and gives up what is stuck elsewhere, for which it takes [`GRACE`](super::report::GRACE)
/// and a little for each core.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_PER_CORE: Duration = Duration::from_millis(100);

/// Set when an application is over.
#[derive(Default)]
pub(super) struct Over {
    is_over: Mutex<bool>,
    has_changed: Condvar,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Over {
    fn set(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.has_changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its panics, which would be those of `eprintln`, have been reported.
        let _ended = thread.map(thread::JoinHandle::join);
    }

    /// Whether it is over after `patience` at most.
    fn wait(&self, patience: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.has_changed.wait_timeout_while(is_over, patience, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Ends the watch when it goes: after the last core, and also where that unwinds.
pub(super) struct EndOfWatch(pub(super) Arc<App>);

impl Drop for EndOfWatch {
    fn drop(&mut self) {
        self.0.over.set();
    }
}

/// Watches over the end of `app`, from the moment that it is asked for. If the main core is stuck and the application is the
/// whole program, ends the process, as nobody else will.
pub(super) fn watch(app: &Arc<App>) {
    let (keeper, app) = (app, app.clone());
    let watch = move || {
        let cores = app.handle.cores();
        let patience = PATIENCE + PATIENCE_PER_CORE * cores.len() as u32;
        if app.over.wait(app.deadline.saturating_add(patience)) {
            return;
        }
        let core = cores[0];
        app.say(format_args!(
            "shutdown is stuck: on the main core {core} a task does not return, or a device does not answer"
        ));
        if app.is_process {
            process::exit(app.code().filter(|&code| code != 0).unwrap_or(1).into());
        }
    };
    // Without it a stuck main core is not named; all else is as it was.
    let thread = thread::Builder::new().name("reactor_watch".into()).spawn(watch).ok();
    *keeper.over.thread.lock().unwrap_or_else(PoisonError::into_inner) = thread;
}
