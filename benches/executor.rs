//! The executor's own rows: tasks, wakers, channels, events, idle turns and timers, on one core and between two.
//!
//! `cargo bench --bench executor -- [--quick] [--json] [PART OF A ROW'S ID]...`. Compared with other runtimes in `peers`.

#[path = "executor/cross.rs"]
mod cross;
#[allow(dead_code, reason = "each bench uses its part")]
mod harness;
#[path = "executor/local.rs"]
mod local;

fn main() {
    let mut bench = harness::Bench::from_args("executor");
    local::rows(&mut bench);
    cross::rows(&mut bench);
    bench.print();
}
