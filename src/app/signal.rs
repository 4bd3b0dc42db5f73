//! SIGINT and SIGTERM: the first ends the application in order, the second at once.
//!
//! The handler does what a handler may: it counts, stores a function in a core's critical slot, and rings that core's doorbell.
#![expect(
    unsafe_code,
    reason = "signal handlers are registered with the promise that they are async-signal-safe"
)]

use super::{seat::Seat, state::App};
use signal_hook::{
    SigId,
    consts::{SIGINT, SIGTERM},
    low_level,
};
use std::{
    fs, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Applications that watch.
static WATCHING: AtomicUsize = AtomicUsize::new(0);

/// Watches for the sake of one application until it is dropped.
pub(super) struct Signals {
    ids: Vec<SigId>,
}

impl Signals {
    pub(super) fn watch(app: &Arc<App>) -> io::Result<Self> {
        let before = Before::look()?;
        // Counted first: from here on the default behaviour is off.
        WATCHING.fetch_add(1, Relaxed);
        let mut this = Self { ids: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            // As `nohup` and shells have it for programs that shall not be disturbed.
            if before.ignored & bit(signal) != 0 {
                continue;
            }
            let app = app.clone();
            // SAFETY: `arrived` is async-signal-safe, see there; the handler drops nothing, as `signal-hook` drops actions
            // outside of handlers.
            this.ids.push(unsafe { low_level::register(signal, move || arrived(&app, signal)) }?);
        }
        Ok(this)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
        WATCHING.fetch_sub(1, Relaxed);
    }
}

/// In the handler: atomics, one `write` to an eventfd, `_exit`; no lock, no allocation.
fn arrived(app: &App, signal: i32) {
    if app.signals.fetch_add(1, Relaxed) > 0 {
        low_level::exit(128 + signal);
    }
    // Each core has one slot; that all are taken by critical events of the program's own would take one that does not turn,
    // and then the second signal is there.
    app.handle.critical_any(end);
}

/// On a core, in its next turn.
fn end() {
    if let Some(seat) = Seat::try_current() {
        seat.app.request(None);
    }
}

/// What the process did about signals before the first application: one bit each, signal 1 the lowest.
struct Before {
    ignored: u64,
}

impl Before {
    /// Looks once in a process, and then sees to it that the default behaviour returns when nobody watches: the handlers of
    /// `signal-hook` stay installed for good.
    fn look() -> io::Result<&'static Self> {
        static BEFORE: OnceLock<Result<Before, i32>> = OnceLock::new();
        let look = || -> io::Result<Before> {
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            let (ignored, caught) = (mask(&status, "SigIgn:"), mask(&status, "SigCgt:"));
            for signal in [SIGINT, SIGTERM] {
                if (ignored | caught) & bit(signal) == 0 {
                    let default = move || {
                        if WATCHING.load(Relaxed) == 0 {
                            // It ends the process, so that there is nobody to tell of an error.
                            let _ends = low_level::emulate_default_handler(signal);
                        }
                    };
                    // SAFETY: an atomic load, and a function that is documented to be async-signal-safe.
                    unsafe { low_level::register(signal, default) }?;
                }
            }
            Ok(Before { ignored })
        };
        let looked = BEFORE.get_or_init(|| look().map_err(|error| error.raw_os_error().unwrap_or(0)));
        looked.as_ref().map_err(|&code| io::Error::from_raw_os_error(code))
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// A line of `/proc/self/status` such as `SigIgn: 0000000000001000`; nothing where it cannot be read.
fn mask(status: &str, name: &str) -> u64 {
    let digits = status.lines().find_map(|line| line.strip_prefix(name));
    digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_from_the_status_file() {
        let status = "Name:\tcat\nSigIgn:\t0000000000001002\nSigCgt:\t0000000000004000\n";
        assert_eq!(mask(status, "SigIgn:") & bit(SIGINT), 2);
        assert_eq!(mask(status, "SigCgt:"), bit(SIGTERM));
        assert_eq!(mask("", "SigIgn:"), 0);
    }
}
