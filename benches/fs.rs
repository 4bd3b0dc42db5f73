//! The rows of files: reads and writes through the page cache in memory, and copies against those of `cp`.
//!
//! `cargo bench --bench fs -- [--quick] [--json] [PART OF A ROW'S ID]...`.

#[allow(dead_code, reason = "each bench uses its part")]
mod harness;

use harness::{Bench, Measure, Target::*};
use reactor::{
    LocalExecutor, Mode,
    fs::{self, File, OpenOptions},
    spawn_local,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PAGE: usize = 4096;

fn main() {
    let mut bench = Bench::from_args("fs");
    bench.group("File on tmpfs, 4 KiB at random");
    bench.row("read_1", "reads, depth 1", "k/s", None, |m| rate(m, 1, false));
    bench.row("read_32", "reads, depth 32", "k/s", AtLeast(700.0), |m| rate(m, 32, false));
    bench.row("write_1", "writes, depth 1", "k/s", None, |m| rate(m, 1, true));
    bench.row("write_32", "writes, depth 32", "k/s", AtLeast(700.0), |m| rate(m, 32, true));

    bench.group("Time of a copy over that of `cp`");
    bench.row("copy_tmpfs", "within a tmpfs", "×", AtMost(1.1), |m| over_cp(m, &memory(), &memory(), 1));
    bench.row("copy_disk", "within the disk", "×", AtMost(1.1), |m| over_cp(m, &disk(), &disk(), 1));
    bench.row("copy_between", "from the disk to a tmpfs", "×", AtMost(1.1), |m| {
        over_cp(m, &disk(), &memory(), 1)
    });
    bench.row("copy_holes", "15 of 16 parts being holes", "×", AtMost(1.1), |m| {
        over_cp(m, &disk(), &disk(), 16)
    });
    bench.print();
}

/// In memory, where the system has such a place.
fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| disk())
}

fn disk() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

fn on_core<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Interrupt);
    executor.block_on(async { spawn_local(work).await.expect("the work ends") })
}

/// Reads into one buffer, or writes from it, again and again.
async fn transfer(file: File, pages: u64, mut random: u64, count: u64, writes: bool) {
    let mut buf = vec![1; PAGE];
    for _ in 0..count {
        // xorshift64: nothing that a file system would notice is wrong with it.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = random % pages * PAGE as u64;
        let result;
        (result, buf) = if writes { file.write_at(buf, at).await } else { file.read_at(buf, at).await };
        assert_eq!(result.expect("the file is there"), PAGE);
    }
}

/// Thousand transfers per second.
fn rate(measure: Measure, depth: u64, writes: bool) -> f64 {
    on_core(async move {
        let (dir, pages) = (memory(), (64 << 20) / PAGE as u64);
        let path = dir.path().join("file");
        fs::write(&path, vec![1; 64 << 20]).await.expect("there is room for 64 MiB");
        let file = OpenOptions::new().read(true).write(true).open(path).await.expect("it is there");
        let ns = measure.ns(async |count| {
            let task = |seed: u64| spawn_local(transfer(file.clone(), pages, seed << 32 | 1, count, writes));
            for task in (1..=depth).map(task).collect::<Vec<_>>() {
                task.await.expect("it returns");
            }
        });
        1e6 * depth as f64 / ns.await
    })
}

/// A file of which one part in so many is there, in runs of 256 KiB.
fn source(dir: &TempDir, len: usize, one_in: usize) -> PathBuf {
    use std::os::unix::fs::FileExt;
    const RUN: usize = 256 << 10;
    let path = dir.path().join("from");
    let file = std::fs::File::create(&path).expect("there is room for a file");
    file.set_len(len as u64).expect("there is room for it");
    for at in (0..len).step_by(RUN * one_in) {
        file.write_all_at(&[7; RUN], at as u64).expect("there is room for it");
    }
    path
}

/// How many times as long a copy takes: the best of runs that alternate, as a machine's memory is slow when it is new to it.
fn over_cp(measure: Measure, from: &TempDir, to: &TempDir, one_in: usize) -> f64 {
    let (len, runs) = if measure.quick { (4 << 20, 2) } else { (256 << 20, 15) };
    let (from, to) = (source(from, len, one_in), to.path().join("to"));
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..runs {
        theirs = theirs.min(fresh(&to, || {
            let status = Command::new("cp").arg(&from).arg(&to).status();
            assert!(status.is_ok_and(|status| status.success()), "cp copies");
        }));
        let executor = LocalExecutor::new().expect("the core starts");
        let copy = || executor.block_on(fs::copy(&from, &to));
        ours = ours.min(fresh(&to, || assert_eq!(copy().expect("there is room for it"), len as u64)));
    }
    ours.as_secs_f64() / theirs.as_secs_f64()
}

/// How long `copy` takes to where nothing is.
fn fresh(to: &Path, copy: impl FnOnce()) -> Duration {
    let _missing = std::fs::remove_file(to);
    let start = Instant::now();
    copy();
    start.elapsed()
}
