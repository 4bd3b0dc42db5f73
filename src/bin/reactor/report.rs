//! What a job prints at its end: an aligned table, or one JSON object whose keys are kept.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::time::Duration;

/// The result of `reactor events`.
#[derive(Debug, Serialize)]
pub(crate) struct EventsReport {
    pub(crate) events_per_s: f64,
    pub(crate) cores: Vec<CoreEvents>,
}

/// One core's part in it.
#[derive(Debug, Serialize)]
pub(crate) struct CoreEvents {
    pub(crate) core: usize,
    pub(crate) events_per_s: f64,
}

/// The result of `reactor perf`.
#[derive(Debug, Serialize)]
pub(crate) struct PerfReport {
    pub(crate) jobs: Vec<Job>,
    pub(crate) total: Total,
}

/// One device on one core.
#[derive(Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) bdev: String,
    pub(crate) core: usize,
    pub(crate) iops: f64,
    pub(crate) mib_per_s: f64,
    pub(crate) lat_us: Latency,
    pub(crate) errors: u64,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) avg: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// The jobs together.
#[derive(Debug, Serialize)]
pub(crate) struct Total {
    pub(crate) iops: f64,
    pub(crate) errors: u64,
}

/// To tenths: what is beyond is noise, and hard to read.
pub(crate) fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// How many per second; zero where no time has passed.
pub(crate) fn rate(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

impl EventsReport {
    pub(crate) fn new(cores: Vec<CoreEvents>) -> Self {
        Self { events_per_s: tenths(cores.iter().map(|core| core.events_per_s).sum()), cores }
    }

    pub(crate) fn table(&self) -> String {
        let mut table = table(&["core", "events/s", "share"], 0);
        for core in &self.cores {
            let share =
                if self.events_per_s > 0.0 { core.events_per_s / self.events_per_s * 100.0 } else { 0.0 };
            table.add_row([core.core.to_string(), grouped(core.events_per_s), format!("{share:.1} %")]);
        }
        table.add_row(["total".to_owned(), grouped(self.events_per_s), String::new()]);
        lines(&table)
    }
}

impl PerfReport {
    pub(crate) fn new(jobs: Vec<Job>) -> Self {
        let total = Total {
            iops: tenths(jobs.iter().map(|job| job.iops).sum()),
            errors: jobs.iter().map(|job| job.errors).sum(),
        };
        Self { jobs, total }
    }

    pub(crate) fn table(&self) -> String {
        let head = ["bdev", "core", "IOPS", "MiB/s", "avg µs", "p50", "p99", "p99.9", "max", "errors"];
        let mut table = table(&head, 1);
        for job in &self.jobs {
            let Latency { avg, p50, p99, p999, max } = job.lat_us;
            let start = [job.bdev.clone(), job.core.to_string(), grouped(job.iops), grouped(job.mib_per_s)];
            let latencies = [avg, p50, p99, p999, max].map(micros);
            table.add_row(start.into_iter().chain(latencies).chain([job.errors.to_string()]));
        }
        let mib_per_s = self.jobs.iter().map(|job| job.mib_per_s).sum();
        let mut total = vec!["total".to_owned(), String::new(), grouped(self.total.iops), grouped(mib_per_s)];
        total.resize(head.len() - 1, String::new());
        total.push(self.total.errors.to_string());
        table.add_row(total);
        lines(&table)
    }
}

/// A report as one line of JSON.
pub(crate) fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("numbers and strings are JSON")
}

/// `1234567.8` as `1,234,568`; small numbers keep their digits.
pub(crate) fn grouped(number: f64) -> String {
    if number.abs() < 100.0 && number != 0.0 {
        return format!("{number:.2}");
    }
    thousands(&format!("{number:.0}"))
}

/// Digits with a comma before each three of the last.
pub(crate) fn thousands(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits or so: more would be noise.
fn micros(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.3}"),
        us if us < 1_000.0 => format!("{us:.1}"),
        us => grouped(us),
    }
}

/// A table without lines, numbers to the right, the first `names` columns to the left.
pub(crate) fn table(head: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if index < names { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((0, if index + 1 == head.len() { 0 } else { 2 }));
    }
    table
}

/// A table as text, without spaces at the ends of lines.
pub(crate) fn lines(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perf_report() -> PerfReport {
        let lat_us = Latency { avg: 0.0251, p50: 0.025, p99: 12.34, p999: 999.96, max: 12_345.6 };
        let job =
            |bdev: &str, iops| Job { bdev: bdev.into(), core: 0, iops, mib_per_s: 3.5, lat_us, errors: 2 };
        PerfReport::new(vec![job("null", 1_234_567.0), job("file:disk.img", 99.5)])
    }

    #[test]
    fn columns_are_aligned() {
        let table = perf_report().table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{table}");
        assert!(lines[1].starts_with("null ") && lines[1].contains("1,234,567"), "{table}");
        assert!(lines[3].starts_with("total ") && lines[3].ends_with(" 4"), "{table}");
    }

    #[test]
    fn json_has_the_keys_that_scripts_read() {
        let value: serde_json::Value = serde_json::from_str(&json(&perf_report())).expect("JSON");
        assert_eq!(value["jobs"][0]["lat_us"]["p999"], 999.96);
        assert_eq!(value["total"]["errors"], 4);
        let events = EventsReport::new(vec![CoreEvents { core: 3, events_per_s: 5.0 }]);
        assert_eq!(json(&events), r#"{"events_per_s":5.0,"cores":[{"core":3,"events_per_s":5.0}]}"#);
    }

    /// Sums of what is given in tenths are tenths too, whatever binary fractions make of them.
    #[test]
    fn sums_have_no_more_digits_than_their_parts() {
        let parts = [400_394.2, 16_011.9];
        assert_ne!(parts.iter().sum::<f64>().to_string(), "416406.1");
        let lat_us = Latency { avg: 0.0, p50: 0.0, p99: 0.0, p999: 0.0, max: 0.0 };
        let job = |iops| Job { bdev: "null".into(), core: 0, iops, mib_per_s: 0.0, lat_us, errors: 0 };
        assert_eq!(PerfReport::new(parts.map(job).into()).total.iops.to_string(), "416406.1");
        let cores = parts.map(|events_per_s| CoreEvents { core: 0, events_per_s });
        assert_eq!(EventsReport::new(cores.into()).events_per_s.to_string(), "416406.1");
    }

    #[test]
    fn shares_add_up() {
        let cores = [(0, 3.0), (1, 1.0)].map(|(core, events_per_s)| CoreEvents { core, events_per_s });
        let table = EventsReport::new(cores.into()).table();
        assert!(table.contains("75.0 %") && table.contains("25.0 %"), "{table}");
        assert!(EventsReport::new(Vec::new()).table().contains("total"));
    }

    #[test]
    fn numbers_read_easily() {
        for (number, text) in [(0.0, "0"), (1.5, "1.50"), (999.6, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(rate(5, Duration::ZERO), 0.0);
    }
}
