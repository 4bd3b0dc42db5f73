//! `reactor perf`: reads, writes or verifies block devices from several cores.
//!
//! Opens and prepares the devices (`devices`), starts a `job` for each of them on each core, and adds up what they bring
//! home. A job counts in a `tally`, by the stop watch in `timing`.

mod devices;
mod job;
mod pattern;
mod places;
mod tally;
mod timing;
mod window;

use crate::args::{self, Rw};
use crate::failure::{Failure, chain};
use crate::progress::Progress;
use crate::report::{self, PerfReport};
use devices::{Opened, Scratch};
use job::{Place, Work};
use reactor::app::{self, Builder};
use reactor::sys::cpu::CpuSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tally::{Live, Outcome};

pub(crate) fn main(args: &args::Perf) -> Result<(), Failure> {
    args.check().map_err(Failure::Usage)?;
    let cores = match &args.cores {
        Some(cores) => cores.clone(),
        None => CpuSet::first(1).map_err(|e| Failure::Run(chain(&e)))?,
    };
    let runtime = Builder::new().cores(cores).mode(args.common.mode);
    let outcomes = runtime.run(async || run(args).await).map_err(|e| Failure::of_app(&e))??;

    let (rows, messages): (Vec<_>, Vec<_>) =
        outcomes.into_iter().map(|done| (done.row, done.messages)).unzip();
    let report = PerfReport::new(rows);
    crate::print(&if args.common.json { report::json(&report) } else { report.table() })?;
    match messages.concat() {
        errors if errors.is_empty() => Ok(()),
        errors => Err(Failure::Run(errors.join("\nerror: "))),
    }
}

async fn run(args: &args::Perf) -> Result<Vec<Outcome>, Failure> {
    if let Some(path) = &args.config {
        devices::load(path).await?;
    }
    let devices = if args.bdevs.is_empty() {
        let scratch =
            app::unblock(Scratch::new).await.map_err(|e| Failure::at("the temporary file", &e))??;
        // Open, it needs no name any more: however this ends, nothing is left behind.
        devices::open(args, &[devices::RAM_DEFAULT.to_owned(), scratch.spec()]).await?
    } else {
        devices::open(args, &args.bdevs).await?
    };
    let work = Work {
        rw: args.rw,
        reads: args.rwmixread.unwrap_or(50),
        io_bytes: args.bs,
        queue_depth: args.qd,
        time: args.time,
        seed: seed(),
    };
    for Opened { name, device } in &devices {
        device.set_limits(args.limit).map_err(|e| Failure::Usage(format!("{name}: {}", chain(&e))))?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    // The first Ctrl-C ends the measurement, and what was measured is still reported.
    let watched = stop.clone();
    let _watcher = reactor::spawn_local(async move {
        let _held_until_reported = app::shutdown_requested().await;
        // Relaxed: the flag says nothing about other memory.
        watched.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    })
    .abort_on_drop();

    let mut lives = Vec::new();
    let mut jobs = Vec::new();
    for Opened { name, device } in devices {
        for (index, core) in reactor::cores().enumerate() {
            let live = Arc::new(Live::default());
            lives.push(live.clone());
            let place = Place { bdev: name.clone(), index, count: reactor::cores().len() };
            let (device, stop) = (device.clone(), stop.clone());
            let job = reactor::call_on(core, async move || job::run(device, work, place, live, stop).await);
            jobs.push((name.clone(), job));
        }
    }
    let read = move || {
        let sum = |get: fn(&Live) -> u64| lives.iter().map(|live| get(live)).sum();
        (sum(|live| live.ios.load(Ordering::Relaxed)), sum(|live| live.errors.load(Ordering::Relaxed)))
    };
    let _progress = Progress::start(args.time, "IOPS", read);
    let mut outcomes = Vec::new();
    let mut failure = None;
    for (name, job) in jobs {
        match job.await.map_err(|e| Failure::at(name, &e)).and_then(|ended| ended) {
            Ok(outcome) => outcomes.push(outcome),
            Err(e) => {
                // The others need not go on; what they have in flight is still awaited.
                stop.store(true, Ordering::Relaxed);
                failure.get_or_insert(e);
            }
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(outcomes),
    }
}

/// Different in every run, so that what an earlier one wrote is not taken for this one's.
fn seed() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()) as u32
}

/// Whether what a device holds before the run matters to it.
fn reads_what_was_there(rw: Rw) -> bool {
    matches!(rw, Rw::Read | Rw::RandRead | Rw::RandMixed)
}

#[cfg(test)]
mod tests;
