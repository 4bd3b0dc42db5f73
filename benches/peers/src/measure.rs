//! Timing, pinning and printing: what stands between a workload and its JSON line.
//!
//! A child process measures one workload of one runtime: it finds an iteration count that fills a round, takes the
//! median of several rounds, and prints one [`Line`] per row.

use std::cell::Cell;
use std::io::Write;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Line, ROWS};

/// What a child process was asked for.
#[derive(Clone, Debug)]
pub struct Measure {
    runtime: &'static str,
    pass: u32,
    /// The workload's name.
    pub workload: String,
    /// Short rounds: for a look, not for a comparison.
    pub quick: bool,
}

impl Measure {
    /// Reads `<workload> [--quick] [--pass N]` from the command line; other flags belong to the runtime.
    pub fn from_args(runtime: &'static str) -> Self {
        let mut measure = Measure { runtime, pass: 1, workload: String::new(), quick: false };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => measure.quick = true,
                "--pass" => {
                    measure.pass = args.next().and_then(|n| n.parse().ok()).expect("--pass takes a number")
                }
                flag if flag.starts_with("--") => {}
                workload => measure.workload = workload.to_owned(),
            }
        }
        measure
    }

    /// Prints the value of one row.
    pub fn print(&self, row: &str, value: f64) {
        self.line(row, Some(value), None);
    }

    /// Prints that this runtime cannot do the workload, and ends the process.
    pub fn refuse(&self, reason: &str) -> ! {
        for row in ROWS.iter().filter(|row| row.workload == self.workload) {
            self.line(row.id, None, Some(reason.to_owned()));
        }
        finish()
    }

    fn line(&self, row: &str, value: Option<f64>, failed: Option<String>) {
        let runtime = self.runtime.to_owned();
        let line = Line { row: row.to_owned(), runtime, pass: self.pass, value, failed, cache_line: None };
        println!("{}", serde_json::to_string(&line).expect("a line is plain data"));
    }

    /// Nanoseconds per operation of `run(count)`, which does `count` operations: the median of several rounds.
    pub async fn ns_per_op(&self, mut run: impl AsyncFnMut(u64)) -> f64 {
        let (rounds, round) =
            if self.quick { (3, Duration::from_millis(15)) } else { (5, Duration::from_millis(60)) };
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
        let mut samples = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            run(count).await;
            samples.push(start.elapsed().as_nanos() as f64 / count as f64);
        }
        median(&mut samples)
    }

    /// The same for operations that need no runtime.
    pub fn ns_per_op_blocking(&self, mut run: impl FnMut(u64)) -> f64 {
        let timed = std::pin::pin!(self.ns_per_op(async |count| run(count)));
        match timed.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ns) => ns,
            Poll::Pending => unreachable!("nothing in the loop waits"),
        }
    }
}

/// The middle of the samples, or 0 if there are none.
pub fn median(samples: &mut [f64]) -> f64 {
    percentile(samples, 50)
}

/// The sample below which `percent` of all lie, or 0 if there are none.
pub fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    match samples.len() {
        0 => 0.0,
        len => samples[(len * percent / 100).min(len - 1)],
    }
}

thread_local! {
    static CORE: Cell<usize> = const { Cell::new(0) };
}

/// The core that this thread was bound to.
pub fn this_core() -> usize {
    CORE.get()
}

/// Binds this thread to one core.
pub fn pin(core: usize) {
    CORE.set(core);
    assert!(core_affinity::set_for_current(core_affinity::CoreId { id: core }), "cannot pin to core {core}");
}

/// Lets this thread have both cores again, for a runtime that binds its threads itself.
pub fn unpin() {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut cores = CpuSet::new();
    cores.set(0);
    cores.set(1);
    sched_setaffinity(None, &cores).expect("cores 0 and 1 are allowed");
}

/// Starts a thread on core 1, which usually runs until the process ends.
///
/// Returns when it is there: it begins on the caller's core, where it might wait for as long as the caller spins.
pub fn far_thread(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let (arrived, arrival) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        pin(1);
        arrived.send(()).expect("the caller waits");
        run();
    });
    arrival.recv().expect("the far thread was bound to its core");
    thread
}

/// The CPU time that this thread has used.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The processor time of a thread, for others to look up.
pub(crate) struct CpuOf {
    path: String,
}

impl CpuOf {
    pub(crate) fn this_thread() -> Self {
        Self { path: format!("/proc/self/task/{}/schedstat", rustix::thread::gettid().as_raw_nonzero()) }
    }

    pub(crate) fn used(&self) -> Duration {
        let text = std::fs::read_to_string(&self.path).expect("the kernel keeps schedstats");
        let ns = text
            .split(' ')
            .next()
            .and_then(|ns| ns.parse().ok())
            .expect("the first number is the time in ns");
        Duration::from_nanos(ns)
    }
}

/// Keeps this thread busy for a while without returning to the runtime.
pub fn spin_for(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Ends the process at once: other cores serve for ever, and how a runtime shuts down is not measured here.
pub fn finish() -> ! {
    std::io::stdout().flush().expect("stdout is open");
    std::process::exit(0)
}
