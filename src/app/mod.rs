//! Applications: how a program's cores start, what runs first on them, and how all of it ends.
//!
//! ```text
//!  Builder ── run ──► cores pinned, executors made ──► subsystems init ──► main
//!                                                                           │ returns, stop(code), SIGINT, SIGTERM
//!  cores end, main core last ◄── subsystems fini ◄── main dropped ◄── light threads exit ◄── hooks, newest first
//! ```
//!
//! SPDK's `spdk_app_start` and `spdk_app_stop`. `builder` says what there is to choose and `run` carries it out: `seat` makes
//! a core, `crew` keeps those on threads of their own, `supervise` is what the main core does from the first turn to the last.
//! `shutdown` is the way in for those who end the application or want to know that it ends; `state` is what they share.
//! [`unblock()`] runs what would block a core on threads beside it.
//!
//! ```
//! use reactor::app;
//!
//! #[reactor::main]
//! async fn main() -> reactor::Result<()> {
//!     app::on_shutdown(async || println!("goodbye"));
//!     let line = app::unblock(|| std::fs::read_to_string("/proc/version")).await??;
//!     println!("running on {line}");
//!     Ok(())
//! }
//! ```

mod buffers;
mod builder;
mod cores;
mod crew;
mod entry;
mod error;
mod report;
mod run;
mod running;
mod seat;
mod shutdown;
mod signal;
mod state;
mod subsystem;
mod supervise;
mod watchdog;

pub use self::{
    builder::Builder,
    cores::{CoreList, IntoCores},
    entry::{main_entry, test_entry},
    error::{CoreError, Error},
    running::{Control, Running, control},
    shutdown::{
        ShutdownGuard, ShutdownRequested, is_shutdown_requested, on_shutdown, shutdown_requested, stop,
    },
    subsystem::Subsystem,
};
pub use crate::{
    reactor::Mode,
    unblock::{Unblock, unblock},
};
