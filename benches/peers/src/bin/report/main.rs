//! Runs every runtime's binary, row by row and pass by pass, and shows the medians: a table, a drawing, and all lines.
//!
//! `run` starts the children, `table` prints, `chart` draws. Called through run.sh, which builds the binaries first.

mod chart;
mod run;
mod table;

use std::collections::BTreeMap;

use peers::{Better, Line, ROWS, Row};

/// Column name, binary, and what the binary is told besides the workload.
pub(crate) const RUNTIMES: &[(&str, &str, &[&str])] = &[
    ("reactor", "peer-reactor", &[]),
    ("monoio", "peer-monoio", &[]),
    ("glommio", "peer-glommio", &[]),
    ("compio", "peer-compio", &[]),
    ("kimojio", "peer-kimojio", &[]),
    ("tokio", "peer-tokio", &[]),
    ("tokio LocalSet", "peer-tokio", &["--localset"]),
    ("smol", "peer-smol", &[]),
    ("fio", "peer-fio", &[]),
];

const USAGE: &str = "usage: run.sh [--quick] [--realtime] [--rows GLOB] [--passes N]";

/// What the command line asks for.
pub(crate) struct Options {
    pub quick: bool,
    pub realtime: bool,
    pub passes: u32,
    pub rows: Vec<&'static Row>,
}

fn main() {
    let options = options().unwrap_or_else(|error| {
        eprintln!("{error}\n{USAGE}");
        std::process::exit(2)
    });
    let exe = std::env::current_exe().expect("the own path is known");
    let bins = exe.parent().expect("a binary stands in a directory").to_owned();
    let target = bins.parent().unwrap_or(&bins).to_owned();

    if !options.realtime {
        warn_if_busy();
    }
    let lines_path = target.join("peers.jsonl");
    let results = Results::new(run::all(&options, &bins, &lines_path));
    print!("{}", table::render(&options.rows, &results));
    let chart_path = target.join("peers.svg");
    chart::draw(&options.rows, &results, &chart_path).expect("the drawing is written");
    println!("\nlines: {}\ndrawing: {}", lines_path.display(), chart_path.display());
}

/// Polling rows need both cores to themselves: with others at work their values say more about the others.
fn warn_if_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse::<f64>().ok());
    if let Some(load) = load.filter(|&load| load > 0.5) {
        eprintln!(
            "warning: others use this machine (load {load}): rows with two cores are not to be trusted"
        );
    }
}

fn options() -> Result<Options, String> {
    let (mut quick, mut realtime, mut passes, mut glob) = (false, false, None, "*".to_owned());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => quick = true,
            "--realtime" => realtime = true,
            "--rows" => glob = args.next().ok_or("--rows takes a glob, such as 'cross_*'")?,
            "--passes" => {
                let passes_arg = args.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                passes = Some(passes_arg.ok_or("--passes takes a number of at least 1")?);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    let rows: Vec<&Row> = ROWS.iter().filter(|row| matches(&glob, row.id)).collect();
    if rows.is_empty() {
        let ids: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        return Err(format!("no row matches {glob}; rows are {}", ids.join(" ")));
    }
    // The limits that the chosen rows are held against are measured with them.
    let rows = ROWS
        .iter()
        .filter(|row| rows.iter().any(|chosen| chosen.id == row.id || chosen.limit == Some(row.id)))
        .collect();
    Ok(Options { quick, realtime, passes: passes.unwrap_or(if quick { 1 } else { 3 }), rows })
}

/// A glob with `*` and `?`.
fn matches(glob: &str, name: &str) -> bool {
    match (glob.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => matches(&glob[1..], name) || (!name.is_empty() && matches(glob, &name[1..])),
        (Some('?'), Some(_)) => matches(&glob[1..], &name[1..]),
        (Some(a), Some(b)) if a == b => matches(&glob[1..], &name[1..]),
        _ => false,
    }
}

/// The medians of each row and runtime.
pub(crate) struct Results {
    /// Or why there is none.
    values: BTreeMap<Key, Result<f64, String>>,
    /// The values of rows with two cores, counted in cache lines that go there and back instead of in nanoseconds.
    in_lines: BTreeMap<Key, f64>,
    cache_lines: BTreeMap<Key, f64>,
}

/// Row and runtime.
type Key = (String, String);

impl Results {
    fn new(lines: Vec<Line>) -> Self {
        let mut samples: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let mut in_lines: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let mut cache_lines: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let mut failures = BTreeMap::new();
        for line in lines {
            let better = peers::row_named(&line.row).map(|row| row.better);
            let key = (line.row, line.runtime);
            if let (Some(value), Some(cache_line)) = (line.value, line.cache_line) {
                let value =
                    if better == Some(Better::Lower) { value / cache_line } else { value * cache_line };
                in_lines.entry(key.clone()).or_default().push(value);
                cache_lines.entry(key.clone()).or_default().push(cache_line);
            }
            match line.value {
                Some(value) => samples.entry(key).or_default().push(value),
                None => drop(failures.insert(key, line.failed.unwrap_or_default())),
            }
        }
        let medians = |samples: BTreeMap<Key, Vec<f64>>| -> BTreeMap<Key, f64> {
            samples.into_iter().map(|(key, mut values)| (key, peers::median(&mut values))).collect()
        };
        let mut values: BTreeMap<_, _> =
            medians(samples).into_iter().map(|(key, value)| (key, Ok(value))).collect();
        // A runtime that fails in one pass of several has not done the row.
        values.extend(failures.into_iter().map(|(key, reason)| (key, Err(reason))));
        Results { values, in_lines: medians(in_lines), cache_lines: medians(cache_lines) }
    }

    pub fn get(&self, row: &str, runtime: &str) -> Option<&Result<f64, String>> {
        self.values.get(&(row.to_owned(), runtime.to_owned()))
    }

    pub fn value(&self, row: &str, runtime: &str) -> Option<f64> {
        self.get(row, runtime)?.as_ref().ok().copied()
    }

    /// What a cache line there and back took next to the row's measurements.
    pub fn cache_line(&self, row: &str, runtime: &str) -> Option<f64> {
        self.cache_lines.get(&(row.to_owned(), runtime.to_owned())).copied()
    }

    /// The value that runtimes are compared by: with two cores in units of the line between them, which changes its speed.
    pub fn comparable(&self, row: &str, runtime: &str) -> Option<f64> {
        let value = self.value(row, runtime)?;
        Some(self.in_lines.get(&(row.to_owned(), runtime.to_owned())).copied().unwrap_or(value))
    }

    /// The runtime that is best at a row, `reactor` left out, and its [`comparable`](Self::comparable) value.
    pub fn best_peer(&self, row: &Row) -> Option<(&'static str, f64)> {
        let peers = RUNTIMES.iter().filter(|(name, ..)| *name != "reactor");
        let values = peers.filter_map(|(name, ..)| Some((*name, self.comparable(row.id, name)?)));
        match row.better {
            Better::Lower => values.min_by(|a, b| a.1.total_cmp(&b.1)),
            Better::Higher => values.max_by(|a, b| a.1.total_cmp(&b.1)),
        }
    }

    /// The limit that a row is held against.
    pub fn limit(&self, row: &Row) -> Option<f64> {
        self.value(row.limit?, "limits")
    }
}
