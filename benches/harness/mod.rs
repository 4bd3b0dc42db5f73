//! What the benches share: options, timing, rows with their targets, and how they are printed.
//!
//! Written for `harness = false`: a bench's `main` makes a [`Bench`], hands it one closure per row, and prints it.
//! Beside it stands `memory`, an allocator that counts, for the benches that declare it.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Whether a row's value must not be above its target, or not below.
#[derive(Clone, Copy, PartialEq)]
pub enum Target {
    /// Times.
    AtMost(f64),
    /// Rates.
    AtLeast(f64),
    /// Something to hold others against.
    None,
}

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Measure {
    /// A few milliseconds a row: whether it runs, not what it gives.
    pub quick: bool,
}

struct Row {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    target: Target,
    value: f64,
}

/// The rows of one bench.
pub struct Bench {
    name: &'static str,
    measure: Measure,
    is_json: bool,
    filters: Vec<String>,
    rows: Vec<Row>,
    group: &'static str,
    groups: Vec<(usize, &'static str)>,
}

impl Bench {
    /// Reads the options that follow `cargo bench --`.
    pub fn from_args(name: &'static str) -> Self {
        let mut bench = Self {
            name,
            measure: Measure { quick: false },
            is_json: false,
            filters: Vec::new(),
            rows: Vec::new(),
            group: "",
            groups: Vec::new(),
        };
        for arg in std::env::args().skip(1) {
            match arg.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--quick" => bench.measure.quick = true,
                "--json" => bench.is_json = true,
                option if option.starts_with('-') => {
                    eprintln!(
                        "unknown option {option}\nusage: cargo bench -- [--quick] [--json] [PART OF A ROW'S ID]..."
                    );
                    std::process::exit(2);
                }
                filter => bench.filters.push(filter.to_owned()),
            }
        }
        bench
    }

    /// The heading of the rows that follow.
    pub fn group(&mut self, title: &'static str) {
        self.group = title;
    }

    /// Measures a row, if it is asked for. `value` gives it in `unit`.
    pub fn row(
        &mut self,
        id: &'static str,
        title: &'static str,
        unit: &'static str,
        target: Target,
        value: impl FnOnce(Measure) -> f64,
    ) {
        if !self.filters.is_empty() && !self.filters.iter().any(|part| id.contains(part.as_str())) {
            return;
        }
        if self.groups.last().map(|(_, group)| *group) != Some(self.group) {
            self.groups.push((self.rows.len(), self.group));
        }
        let value = value(self.measure);
        self.rows.push(Row { id, title, unit, target, value });
    }

    /// Prints the rows: a table, or one JSON object per line.
    pub fn print(self) {
        if self.is_json {
            self.rows.iter().for_each(|row| println!("{}", row.json(self.name)));
            return;
        }
        let width = self.rows.iter().map(|row| row.title.chars().count()).max().unwrap_or(0);
        println!("{:<width$}        {:>10}  {:>10}", self.name, "measured", "target");
        for (index, row) in self.rows.iter().enumerate() {
            if let Some((_, group)) = self.groups.iter().find(|(first, _)| *first == index) {
                println!("\n{group}");
            }
            println!("{}", row.line(width));
        }
        println!();
    }
}

impl Row {
    fn is_missed(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.value > most,
            Target::AtLeast(least) => self.value < least,
            Target::None => false,
        }
    }

    fn line(&self, width: usize) -> String {
        let target = match self.target {
            Target::AtMost(most) => format!("≤ {}", number(most)),
            Target::AtLeast(least) => format!("≥ {}", number(least)),
            Target::None => String::new(),
        };
        let mark = if self.is_missed() { "  missed" } else { "" };
        let (title, unit, value) = (self.title, self.unit, number(self.value));
        format!("{title:<width$}  {unit:<4}  {value:>10}  {target:>10}{mark}").trim_end().to_owned()
    }

    /// Ids, names and units are plain words: nothing to escape.
    fn json(&self, bench: &str) -> String {
        let target = match self.target {
            Target::AtMost(most) => format!(",\"target_max\":{most}"),
            Target::AtLeast(least) => format!(",\"target_min\":{least}"),
            Target::None => String::new(),
        };
        format!(
            "{{\"bench\":\"{bench}\",\"row\":\"{}\",\"unit\":\"{}\",\"value\":{}{target},\"missed\":{}}}",
            self.id,
            self.unit,
            self.value,
            self.is_missed()
        )
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

impl Measure {
    /// Nanoseconds per operation of `run(count)`, which does `count` operations: the median of several rounds.
    pub async fn ns(self, mut run: impl AsyncFnMut(u64)) -> f64 {
        let (rounds, round) =
            if self.quick { (3, Duration::from_millis(4)) } else { (7, Duration::from_millis(60)) };
        let mut count = 64;
        loop {
            let start = Instant::now();
            run(count).await;
            let taken = start.elapsed();
            if taken >= round / 2 {
                count = (count as f64 * round.as_secs_f64() / taken.as_secs_f64()).max(1.0) as u64;
                break;
            }
            count *= 2;
        }
        let mut samples = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let start = Instant::now();
            run(count).await;
            samples.push(start.elapsed().as_nanos() as f64 / count as f64);
        }
        median(&mut samples)
    }

    /// The same for operations that await nothing.
    pub fn ns_blocking(self, mut run: impl FnMut(u64)) -> f64 {
        let timed = pin!(self.ns(async |count| run(count)));
        match timed.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ns) => ns,
            Poll::Pending => unreachable!("nothing in the loop waits"),
        }
    }
}

/// The middle of the samples.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
