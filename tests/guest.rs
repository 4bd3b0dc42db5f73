//! What takes hardware that a machine need not have: tests that run inside of a virtual one, which `tests/guest/run` starts.
//!
//! Each test starts a machine with this very program in it, which there does what it would not do outside: write to disks, say. Where
//! what the script needs is not installed, the test is skipped and says so; `.ci/setup.sh` installs it.

use std::io::Write;
use std::process::Command;

#[cfg(feature = "nvme")]
#[path = "guest/formats.rs"]
mod formats;
#[path = "guest/host_loop.rs"]
mod host_loop;
#[cfg(feature = "nvme")]
#[path = "guest/kernel_namespace.rs"]
mod kernel_namespace;
#[cfg(all(feature = "nvme", feature = "testing"))]
#[path = "guest/nvme_bdev.rs"]
mod nvme_bdev;
#[cfg(feature = "cli")]
#[path = "guest/nvme_tools.rs"]
mod nvme_tools;
#[cfg(feature = "nvme")]
#[path = "guest/passthru.rs"]
mod passthru;
#[cfg(feature = "nvme")]
#[path = "guest/pcie.rs"]
mod pcie;
#[cfg(feature = "nvme")]
#[path = "guest/pcie_hot.rs"]
mod pcie_hot;
#[cfg(feature = "nvme")]
#[path = "guest/pcie_life.rs"]
mod pcie_life;
#[cfg(feature = "nvme")]
#[path = "guest/pcie_paths.rs"]
mod pcie_paths;
#[cfg(feature = "nvme")]
#[path = "guest/pcie_refusals.rs"]
mod pcie_refusals;
#[cfg(feature = "nvme")]
#[path = "guest/pcie_ways.rs"]
mod pcie_ways;
#[path = "guest/polled_disk.rs"]
mod polled_disk;
mod support;

/// How the script says that something is not installed.
const MISSING: i32 = 77;

/// Runs the calling test, whose name this is, in a machine with these options of `tests/guest/run`: there `stories` are run, one after
/// the other.
fn in_guest(test: &str, options: &[&str], stories: &[fn()]) {
    // Set by the script's machine for what runs in it.
    if std::env::var_os("REACTOR_GUEST").is_some() {
        return stories.iter().for_each(|story| story());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/run");
    let program = std::env::current_exe().unwrap();
    let run = Command::new(script)
        .args(options)
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
    if run.status.code() == Some(MISSING) {
        // Past the harness, which shows what failing tests say and nothing else.
        let _ = writeln!(std::io::stderr(), "{test} is skipped: {}", said.trim());
        return;
    }
    println!("{said}");
    assert!(run.status.success(), "{}", run.status);
    assert!(said.contains("1 passed"), "no test is called {test}");
}

/// How often interrupts whose names are of this kind have reached processors.
fn interrupts(is_of_kind: impl Fn(&str) -> bool) -> u64 {
    let all = std::fs::read_to_string("/proc/interrupts").unwrap();
    let counts =
        |line: &str| line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok()).sum::<u64>();
    all.lines().filter(|line| is_of_kind(line)).map(counts).sum()
}

/// Those of the first disk's own queues; not those of its administration.
fn interrupts_of_queues() -> u64 {
    interrupts(|name| name.contains("nvme0q") && !name.ends_with("nvme0q0"))
}
