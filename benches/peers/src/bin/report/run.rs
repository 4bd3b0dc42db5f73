//! Starts the children: for each pass, for each workload, one process per runtime, bounded by a time limit.
//!
//! The order keeps what is compared close together in time, so that a drift of the machine hits all runtimes alike.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
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
                eprint!("\r\x1b[Kpass {pass}/{}: {workload} on {runtime}", options.passes);
                let mut command = Command::new(program);
                command.arg(workload).args(["--pass", &pass.to_string()]).args(flags);
                if options.quick {
                    command.arg("--quick");
                }
                let new = match run(command) {
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
        }
    }
    eprint!("\r\x1b[K");
    lines
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
    })
    .collect()
}
