//! fio, the storage engineer's own measure, in the rows that read a file: its engine `io_uring` with registered buffers and file.
//!
//! It is no runtime: a loop in C that does nothing with what it reads.

use std::process::Command;

use peers::{Idle, Measure, data_file, finish, print_reads};

fn main() -> ! {
    let measure = Measure::from_args("fio");
    let depth = match measure.workload.as_str() {
        "read_1" => 1,
        "read_32" => 32,
        "read_128" => 128,
        "read_1_poll" => measure.refuse("waits for interrupts, but on disks with polling queues"),
        _ => measure.refuse("reads and writes disks only"),
    };
    if Command::new("fio").arg("--version").output().is_err() {
        measure.refuse("is not there: apt-get install fio");
    }
    let (rate, cost) = reads(depth, if measure.quick { 1 } else { 3 });
    print_reads(&measure, &measure.workload, Idle::Park, rate, cost);
    finish()
}

/// Reads per second, in thousands, and CPU microseconds per read.
fn reads(depth: u32, seconds: u32) -> (f64, f64) {
    let mut fio = Command::new("fio");
    fio.args(["--name=reads", "--readonly", "--rw=randread", "--bs=4k", "--direct=1", "--norandommap"]);
    fio.args(["--ioengine=io_uring", "--fixedbufs", "--registerfiles", "--thread", "--cpus_allowed=0"]);
    fio.args(["--time_based", "--ramp_time=200ms", "--output-format=json"]);
    fio.arg(format!("--filename={}", data_file().display()));
    fio.args([format!("--iodepth={depth}"), format!("--runtime={seconds}")]);
    // As many at a time as come: one by one is what it does unasked.
    let batch = depth.min(16);
    fio.args([format!("--iodepth_batch_submit={batch}"), format!("--iodepth_batch_complete_max={batch}")]);
    let output = fio.output().expect("fio was there");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("not what fio says: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    let job = &report["jobs"][0];
    let number = |value: &serde_json::Value| value.as_f64().expect("fio gives numbers");
    let iops = number(&job["read"]["iops"]);
    let busy = (number(&job["usr_cpu"]) + number(&job["sys_cpu"])) / 100.0;
    (iops / 1e3, busy * 1e6 / iops)
}
