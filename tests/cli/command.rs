//! Running the command and reading what it says.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Child, Command, Output, Stdio};

fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
    command.args(line.split_whitespace());
    command
}

/// Runs `reactor` with the words of `line`.
pub fn reactor(line: &str) -> Run {
    let output = command(line).output().expect("the command starts");
    Run { line: line.to_owned(), output }
}

/// Runs `reactor` with the words of `line`, and ends it by Ctrl-C once `is_time` says so.
pub fn interrupted(line: &str, is_time: impl Fn() -> bool) -> Run {
    let started = command(line).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child: Child = started.expect("the command starts");
    while !is_time() && child.try_wait().expect("a child").is_none() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs, or waits to be looked at");
    let output = child.wait_with_output().expect("its output");
    Run { line: line.to_owned(), output }
}

/// What came of it.
#[derive(Debug)]
pub struct Run {
    line: String,
    output: Output,
}

impl Run {
    pub fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).expect("text")
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).expect("text")
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "reactor {}\n{}", self.line, self.stderr());
        self
    }

    /// Checks that it ends with `code`, prints nothing on standard output, and explains itself with `words`.
    #[track_caller]
    pub fn refuses(self, code: i32, words: &[&str]) {
        let run = self.exits(code);
        assert_eq!(run.stdout(), "", "reactor {}", run.line);
        let stderr = run.stderr();
        for word in words {
            assert!(stderr.contains(word), "reactor {}: {word:?} is not in\n{stderr}", run.line);
        }
    }

    /// The one JSON object that it printed, and nothing else.
    #[track_caller]
    pub fn json(self) -> Value {
        let run = self.exits(0);
        assert_eq!(run.stderr(), "", "reactor {}", run.line);
        serde_json::from_str(&run.stdout()).unwrap_or_else(|e| panic!("{e} in {:?}", run.stdout()))
    }
}

/// The number at `pointer`, which must be there.
#[track_caller]
pub fn number(value: &Value, pointer: &str) -> f64 {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer} in {value}"))
}

/// Two cores that this process may run on, or the only one, as a list; and how many.
pub fn two_cores() -> (String, usize) {
    let allowed = reactor::sys::cpu::allowed().expect("affinity is readable");
    let cores: Vec<_> = allowed.iter().take(2).map(|core| core.to_string()).collect();
    (cores.join(","), cores.len())
}
