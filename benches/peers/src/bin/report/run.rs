//! Starts the children: for each pass, for each workload, one process per runtime, bounded by a time limit.
//!
//! The order keeps what is compared close together in time, so that a drift of the machine hits all runtimes alike.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use peers::{Line, Row};

use crate::{Options, RUNTIMES};

const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Runs everything that the options ask for, and writes each line to `path` as it comes.
pub(crate) fn all(options: &Options, bins: &Path, path: &Path) -> Vec<Line> {
    let mut file = File::create(path).expect("the result file can be created");
    let mut lines = Vec::new();
    let mut failed = HashSet::new();
    let mut workloads: Vec<&str> = options.rows.iter().map(|row| row.workload).collect();
    workloads.dedup();
    for pass in 1..=options.passes {
        for workload in &workloads {
            for (runtime, binary, flags) in columns(workload) {
                let program = bins.join(binary);
                if !program.exists() || failed.contains(&(runtime, *workload)) {
                    continue;
                }
                say(format_args!("pass {pass}/{}: {workload} on {runtime}", options.passes));
                let start = || {
                    let mut command = child(options, &program, workload);
                    command.args(["--pass", &pass.to_string()]).args(flags);
                    if options.quick {
                        command.arg("--quick");
                    }
                    run(command)
                };
                let has_two_cores =
                    options.rows.iter().any(|row| row.workload == *workload && row.has_two_cores());
                let new = if has_two_cores { beside_the_line(options, bins, start) } else { start() };
                let new = match new {
                    Ok(new) => new,
                    Err(reason) => failures(&options.rows, workload, runtime, pass, &reason),
                };
                if new.iter().any(|line| line.failed.is_some()) {
                    failed.insert((runtime, *workload));
                }
                for line in new {
                    let text = serde_json::to_string(&line).expect("a line is plain data");
                    writeln!(file, "{text}").expect("the result file can be written");
                    lines.push(line);
                }
            }
            if options.realtime {
                // Whatever else lives on the machine has waited.
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
    say(format_args!(""));
    lines
}

/// Shows in one line of a terminal how far it has come. Into a file or a pipe it would write nothing but escapes.
fn say(now: fmt::Arguments<'_>) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{now}");
    }
}

/// A child process, before anything that belongs to everybody on the machine if the options ask for that.
///
/// In turns (`SCHED_RR`): a thread that spins must not hold back one of its own process on the same core for ever.
fn child(options: &Options, program: &Path, workload: &str) -> Command {
    let mut command = if options.realtime {
        let mut command = Command::new("chrt");
        command.args(["--rr", "10"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.arg(workload);
    command
}

/// Measures the line between the cores before and after, and measures again if it has changed meanwhile.
fn beside_the_line(
    options: &Options,
    bins: &Path,
    start: impl Fn() -> Result<Vec<Line>, String>,
) -> Result<Vec<Line>, String> {
    const TRIES: usize = 4;
    const CHANGED: f64 = 1.4;
    let probe = || {
        let mut command = child(options, &bins.join("peer-limits"), "cache_line");
        command.arg("--quick");
        run(command)?.first().and_then(|line| line.value).ok_or("the cache line was not measured".to_owned())
    };
    let mut tries = 1;
    loop {
        let before = probe()?;
        let mut lines = start()?;
        let after = probe()?;
        if tries < TRIES && before.max(after) > CHANGED * before.min(after) {
            tries += 1;
            continue;
        }
        lines.iter_mut().for_each(|line| line.cache_line = Some((before + after) / 2.0));
        return Ok(lines);
    }
}

type Column = (&'static str, &'static str, &'static [&'static str]);

/// Who runs a workload: the limits are not a runtime's, and the idle turn is `reactor`'s own row.
fn columns(workload: &str) -> Vec<Column> {
    let is_limit = peers::row_named(workload).is_some_and(Row::is_limit);
    if is_limit {
        return vec![("limits", "peer-limits", &[])];
    }
    let own = workload.starts_with("idle_");
    RUNTIMES.iter().copied().filter(|(name, ..)| !own || *name == "reactor").collect()
}

/// The lines that a child printed, or why it printed none.
fn run(mut command: Command) -> Result<Vec<Line>, String> {
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("did not start: {error}"))?;
    let start = Instant::now();
    // What a child prints fits a pipe's buffer, so nobody needs to read while it runs.
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > TIME_LIMIT => {
                child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
                return Err(format!("not done after {} s", TIME_LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let (mut out, mut err) = (String::new(), String::new());
    let _ = child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out));
    let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err));
    if !status.success() {
        // The line after "thread … panicked at …:" is the panic's message.
        let mut text = err.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
        return Err(format!("{status}: {}", text.next().unwrap_or("no message")));
    }
    out.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
}

fn failures(rows: &[&Row], workload: &str, runtime: &str, pass: u32, reason: &str) -> Vec<Line> {
    let rows = rows.iter().filter(|row| row.workload == workload);
    rows.map(|row| Line {
        row: row.id.to_owned(),
        runtime: runtime.to_owned(),
        pass,
        value: None,
        failed: Some(reason.to_owned()),
        cache_line: None,
    })
    .collect()
}
