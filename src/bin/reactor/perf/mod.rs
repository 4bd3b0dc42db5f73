//! `reactor perf`: reads, writes or verifies block devices from several cores.
//!
//! Opens and prepares the devices (`devices`), starts a `job` for each of them on each core, and adds up what they bring
//! home (`jobs`). A job counts in a `tally`, by the stop watch in `timing`. What happens to devices meanwhile stands in `moments`.

mod devices;
mod job;
mod jobs;
mod moments;
mod pattern;
mod places;
mod tally;
mod timing;
mod window;

use crate::args::{self, Common, Load, Rw};
use crate::failure::{Failure, chain};
use crate::report::{self, PerfReport};
use devices::{Opened, Scratch};
use futures::FutureExt;
use moments::Moments;
use reactor::app::{self, Builder};
use reactor::sys::cpu::CpuSet;
use std::sync::atomic::Ordering;

pub(crate) use job::Disk;
pub(crate) use jobs::{Jobs, Source, must_fit};
pub(crate) use moments::Moment;
pub(crate) use tally::Outcome;

pub(crate) fn main(args: &args::Perf) -> Result<(), Failure> {
    args.load.check(&args.bdevs).map_err(Failure::Usage)?;
    report(&args.load, &args.common, async || run(args).await)
}

/// Has `run` measure on the cores that were asked for, and reports what it brings.
pub(crate) fn report(
    load: &Load,
    common: &Common,
    run: impl AsyncFnOnce() -> Result<Vec<Outcome>, Failure>,
) -> Result<(), Failure> {
    let cores = match &load.cores {
        Some(cores) => cores.clone(),
        None => CpuSet::first(1).map_err(|e| Failure::Run(chain(&e)))?,
    };
    let runtime = Builder::new().cores(cores).mode(common.mode);
    let outcomes = runtime.run(run).map_err(|e| Failure::of_app(&e))??;

    let (rows, messages): (Vec<_>, Vec<_>) =
        outcomes.into_iter().map(|done| (done.row, done.messages)).unzip();
    let report = PerfReport::new(rows);
    crate::print(&if common.json { report::json(&report) } else { report.table() })?;
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
    for Opened { name, device } in &devices {
        device.set_limits(args.limit).map_err(|e| Failure::Usage(format!("{name}: {}", chain(&e))))?;
    }
    let moments = Moments::new(&args.at, args.load.time).await?;
    let mut jobs = Jobs::new(&args.load);
    for device in devices {
        jobs.start(&device.name.clone(), device);
    }
    let stop = jobs.stop();
    let stopped = stop.clone();
    let happen = reactor::spawn_local(async move {
        let happened = moments.happen().await;
        if happened.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        happened
    });
    let mut happen = happen.abort_on_drop();
    let outcomes = jobs.finish().await?;
    // What has begun is brought to its end, unless the run was.
    let happened =
        if stopped.load(Ordering::Relaxed) { (&mut happen).now_or_never() } else { Some(happen.await) };
    match happened {
        Some(ended) => ended.map_err(|e| Failure::at("--at", &e))?.map(|()| outcomes),
        None => Ok(outcomes),
    }
}

/// Whether what a device holds before the run matters to it.
fn reads_what_was_there(rw: Rw) -> bool {
    matches!(rw, Rw::Read | Rw::RandRead | Rw::RandMixed)
}

#[cfg(test)]
mod tests;
