//! The harness of the comparison: the workloads, written once against [`Runtime`], and what times and prints them.
//!
//! Each runtime is one small file in `src/bin` that implements [`Runtime`] and calls [`main`]; `src/bin/report` starts
//! those binaries, row by row and pass by pass, and reads the lines they print. README.md says how to read the result.

mod accept;
mod countdown;
mod cross;
mod echo;
mod http;
mod io;
mod local;
mod mailbox;
mod measure;
mod memory;
mod rows;
mod runtime;
mod timers;

pub use echo::{BUFFER, CONNECTIONS, run_against as run_echo_against};
pub use http::serve_hello;
pub use io::{PAGE, Places, data_file, open_direct, page_within, print_reads, reads_and_cpu};
pub use mailbox::{Job, Mailbox, serve_mailbox};
pub use measure::{
    Measure, cpu_time, far_thread, finish, median, percentile, pin, spin_for, this_core, unpin,
};
pub use memory::allocated_by;
pub use rows::{Better, GROUPS, Line, ROWS, Row, row_named};
pub use runtime::{Idle, Remote, Runtime, busy, joined, yield_once};

/// Runs the workload named on the command line on one runtime and prints its values as JSON lines.
///
/// A workload that the runtime declares it cannot do prints its reason instead.
pub fn main<R: Runtime>() -> ! {
    let measure = Measure::from_args(R::NAME);
    if let Some(reason) = R::cannot(&measure.workload) {
        measure.refuse(reason);
    }
    pin(0);
    match measure.workload.as_str() {
        "spawn_join" => local::spawn_join::<R>(&measure, 100),
        "spawn_join_alone" => local::spawn_join::<R>(&measure, 1),
        "yield" => local::yields::<R>(&measure, 100),
        "yield_alone" => local::yields::<R>(&measure, 1),
        "channel_local" => local::channel::<R>(&measure),
        "waker" => local::waker::<R>(&measure),
        "bytes_per_task" => local::bytes_per_task::<R>(&measure),
        "cross_poll" => cross::round_trip_polling::<R>(&measure),
        "cross_asleep" => cross::round_trip_asleep::<R>(&measure),
        "cross_1024" => cross::in_flight::<R>(&measure, 1024),
        "events_32" => cross::events::<R>(&measure, 32),
        "events_256" => cross::events::<R>(&measure, 256),
        "events_1024" => cross::events::<R>(&measure, 1024),
        "channel_cross" => cross::channel::<R>(&measure),
        "tcp_echo" => echo::run::<R>(&measure, 1),
        "tcp_echo_8" => echo::run::<R>(&measure, 8),
        "tcp_accept" => accept::run::<R>(&measure),
        "http" => http::run::<R>(&measure, http::Connections::Kept),
        "http_close" => http::run::<R>(&measure, http::Connections::Closed),
        "timer" => timers::create_cancel::<R>(&measure),
        "sleeps_10k" => timers::sleeps::<R>(&measure, 10_000, None),
        "sleeps_10k_slack" => timers::sleeps::<R>(&measure, 10_000, Some(timers::SLACK)),
        "sleeps_100k" => timers::sleeps::<R>(&measure, 100_000, None),
        "read_1_poll" => io::reads::<R>(&measure, Idle::Poll, 1),
        "read_1" => io::reads::<R>(&measure, Idle::Park, 1),
        "read_32" => io::reads::<R>(&measure, Idle::Park, 32),
        "read_128" => io::reads::<R>(&measure, Idle::Park, 128),
        "nop_1" => io::nops::<R>(&measure, 1),
        "nop_32" => io::nops::<R>(&measure, 32),
        "nop_128" => io::nops::<R>(&measure, 128),
        other => match R::own(other, &measure) {
            true => {}
            false => measure.refuse("this runtime has no such row"),
        },
    }
    finish()
}
