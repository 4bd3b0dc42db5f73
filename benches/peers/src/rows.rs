//! The rows of the table: their names, units, which direction is better, and the limit they are held against.
//!
//! A workload is what one child process runs; it may fill several rows (the sleeps fill three each).

use serde::{Deserialize, Serialize};

/// Which direction of a row's value is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Times and sizes.
    Lower,
    /// Rates.
    Higher,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The name on the command line and in the JSON lines.
    pub id: &'static str,
    /// The workload that fills it.
    pub workload: &'static str,
    /// What a reader sees.
    pub title: &'static str,
    /// The unit of the value.
    pub unit: &'static str,
    /// Which direction is better.
    pub better: Better,
    /// The row of the `limits` binary that bounds this one, if one does.
    pub limit: Option<&'static str>,
}

impl Row {
    /// Whether the row is measured by the `limits` binary alone.
    pub fn is_limit(&self) -> bool {
        LIMITS.contains(&self.id)
    }

    /// Whether the value follows the speed of the line between two cores, which on a virtual machine may change at any time.
    pub fn has_two_cores(&self) -> bool {
        TWO_CORES.contains(&self.id)
    }
}

/// The rows of the `limits` binary.
const LIMITS: &[&str] = &[
    "malloc_free",
    "rdtsc",
    "cache_line",
    "unpark",
    "spsc",
    "spsc_batch",
    "raw_1_poll",
    "raw_1",
    "raw_1_cpu",
    "raw_32",
    "raw_32_cpu",
    "raw_128",
    "raw_128_cpu",
    "raw_nop_1",
    "raw_nop_32",
    "raw_nop_128",
    "raw_echo",
    "raw_echo_cpu",
    "raw_echo_8",
    "raw_echo_8_cpu",
];

/// The rows that have two polling cores talk.
const TWO_CORES: &[&str] =
    &["cross_poll", "cross_1024", "events_32", "events_256", "events_1024", "channel_cross"];

/// One line of the result file: a value, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// [`Row::id`].
    pub row: String,
    /// The runtime's name, or `limits`.
    pub runtime: String,
    /// Counted from 1.
    pub pass: u32,
    /// In the row's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Why there is no value: a refusal, a panic, or the time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What a cache line there and back took just before and after, in ns; for rows with two cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_line: Option<f64>,
}

/// The headings, each with the id of the first row under it.
pub const GROUPS: &[(&str, &str)] = &[
    ("malloc_free", "What the hardware and the kernel allow"),
    ("spawn_join", "On one core"),
    ("cross_poll", "Between two cores"),
    ("timer", "Timers"),
    ("tcp_echo", "Network"),
    ("bytes_per_task", "Memory"),
    ("read_1_poll", "4 KiB random reads, O_DIRECT"),
    ("nop_1", "An operation that does nothing"),
    ("idle_0", "The idle turn"),
];

const fn row(
    id: &'static str,
    workload: &'static str,
    title: &'static str,
    unit: &'static str,
    limit: Option<&'static str>,
) -> Row {
    // These are the rates among the units.
    let better = if matches!(unit.as_bytes(), b"M/s" | b"k/s") { Better::Higher } else { Better::Lower };
    Row { id, workload, title, unit, better, limit }
}

/// All rows, in the order of the table.
pub const ROWS: &[Row] = &[
    row("malloc_free", "malloc_free", "malloc + free, 64 B", "ns", None),
    row("rdtsc", "rdtsc", "rdtsc", "ns", None),
    row("cache_line", "cache_line", "cache line there and back, 2 cores", "ns", None),
    row("unpark", "unpark", "park/unpark there and back, 2 cores", "µs", None),
    row("spsc", "spsc", "SPSC ring, 2 cores", "M/s", None),
    row("spsc_batch", "spsc_batch", "SPSC ring, batches of 16", "M/s", None),
    row("raw_1_poll", "raw_1_poll", "raw ring: reads, depth 1, polling", "k/s", None),
    row("raw_1", "raw_1", "raw ring: reads, depth 1, sleeping", "k/s", None),
    row("raw_1_cpu", "raw_1", "  CPU per read", "µs", None),
    row("raw_32", "raw_32", "raw ring: reads, depth 32", "k/s", None),
    row("raw_32_cpu", "raw_32", "  CPU per read", "µs", None),
    row("raw_128", "raw_128", "raw ring: reads, depth 128", "k/s", None),
    row("raw_128_cpu", "raw_128", "  CPU per read", "µs", None),
    row("raw_nop_1", "raw_nop_1", "raw ring: NOP, depth 1", "ns", None),
    row("raw_nop_32", "raw_nop_32", "raw ring: NOP, depth 32", "ns", None),
    row("raw_nop_128", "raw_nop_128", "raw ring: NOP, depth 128", "ns", None),
    row("raw_echo", "raw_echo", "raw ring: TCP echo, 64 connections", "k/s", None),
    row("raw_echo_cpu", "raw_echo", "  processor time each", "µs", None),
    row("raw_echo_8", "raw_echo_8", "raw ring: TCP echo, 8 messages each under way", "k/s", None),
    row("raw_echo_8_cpu", "raw_echo_8", "  processor time each", "µs", None),
    row("spawn_join", "spawn_join", "spawn + join, 100 at a time", "ns", Some("malloc_free")),
    row("spawn_join_alone", "spawn_join_alone", "spawn + join, one at a time", "ns", Some("malloc_free")),
    row("yield", "yield", "yield, 100 tasks", "ns", None),
    row("yield_alone", "yield_alone", "yield, one task", "ns", None),
    row("channel_local", "channel_local", "local channel there and back", "ns", None),
    row("waker", "waker", "wake by a cloned waker", "ns", None),
    row("cross_poll", "cross_poll", "spawn + answer, both polling", "ns", Some("cache_line")),
    row("cross_asleep", "cross_asleep", "spawn + answer, target asleep", "µs", Some("unpark")),
    row("cross_1024", "cross_1024", "spawns with answers, 1,024 in flight", "M/s", Some("spsc")),
    row("events_32", "events_32", "one-way events, window 32", "M/s", Some("spsc")),
    row("events_256", "events_256", "one-way events, window 256", "M/s", Some("spsc")),
    row("events_1024", "events_1024", "one-way events, window 1,024", "M/s", Some("spsc")),
    row("channel_cross", "channel_cross", "typed channel, messages", "M/s", Some("spsc")),
    row("timer", "timer", "create + poll + cancel", "ns", None),
    row("sleeps_10k_cpu", "sleeps_10k", "10,000 sleeps over 100 ms, CPU", "ms", None),
    row("sleeps_10k_p50", "sleeps_10k", "  lateness p50", "µs", None),
    row("sleeps_10k_p99", "sleeps_10k", "  lateness p99", "µs", None),
    row("sleeps_10k_slack_cpu", "sleeps_10k_slack", "the same with 200 µs of slack, CPU", "ms", None),
    row("sleeps_10k_slack_p50", "sleeps_10k_slack", "  lateness p50", "µs", None),
    row("sleeps_10k_slack_p99", "sleeps_10k_slack", "  lateness p99", "µs", None),
    row("sleeps_100k_cpu", "sleeps_100k", "100,000 sleeps over 100 ms, CPU", "ms", None),
    row("sleeps_100k_p50", "sleeps_100k", "  lateness p50", "µs", None),
    row("sleeps_100k_p99", "sleeps_100k", "  lateness p99", "µs", None),
    row("tcp_echo", "tcp_echo", "TCP echo, 64 connections, messages", "k/s", Some("raw_echo")),
    row("tcp_echo_cpu", "tcp_echo", "  server's processor time each", "µs", Some("raw_echo_cpu")),
    row(
        "tcp_echo_8",
        "tcp_echo_8",
        "TCP echo, 64 connections, 8 messages each under way",
        "k/s",
        Some("raw_echo_8"),
    ),
    row("tcp_echo_8_cpu", "tcp_echo_8", "  server's processor time each", "µs", Some("raw_echo_8_cpu")),
    row("tcp_accept", "tcp_accept", "TCP connections accepted and closed", "k/s", None),
    row("tcp_accept_cpu", "tcp_accept", "  server's processor time each", "µs", None),
    row("http", "http", "HTTP by hyper, 64 connections, requests", "k/s", None),
    row("http_cpu", "http", "  server's processor time each", "µs", None),
    row("http_close", "http_close", "  a connection for each request", "k/s", None),
    row("http_close_cpu", "http_close", "  server's processor time each", "µs", None),
    row("bytes_per_task", "bytes_per_task", "idle task beyond its future", "B", None),
    row("read_1_poll", "read_1_poll", "depth 1, polling", "k/s", Some("raw_1_poll")),
    row("read_1", "read_1", "depth 1, sleeping", "k/s", Some("raw_1")),
    row("read_1_cpu", "read_1", "  CPU per read", "µs", Some("raw_1_cpu")),
    row("read_32", "read_32", "depth 32", "k/s", Some("raw_32")),
    row("read_32_cpu", "read_32", "  CPU per read", "µs", Some("raw_32_cpu")),
    row("read_128", "read_128", "depth 128", "k/s", Some("raw_128")),
    row("read_128_cpu", "read_128", "  CPU per read", "µs", Some("raw_128_cpu")),
    row("nop_1", "nop_1", "NOP, depth 1", "ns", Some("raw_nop_1")),
    row("nop_32", "nop_32", "NOP, depth 32", "ns", Some("raw_nop_32")),
    row("nop_128", "nop_128", "NOP, depth 128", "ns", Some("raw_nop_128")),
    row("idle_0", "idle_0", "turn with no poller", "ns", Some("rdtsc")),
    row("idle_1", "idle_1", "turn with 1 poller", "ns", Some("rdtsc")),
    row("idle_10", "idle_10", "turn with 10 pollers", "ns", Some("rdtsc")),
    row("idle_100", "idle_100", "turn with 100 pollers", "ns", Some("rdtsc")),
    row("idle_timers", "idle_timers", "turn with 1,000 timers not due", "ns", Some("rdtsc")),
];

/// Looks a row up by its id.
pub fn row_named(id: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.id == id)
}
