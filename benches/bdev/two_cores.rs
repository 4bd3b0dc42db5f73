//! What a second core adds.

use super::harness::Measure;
use super::{fill, open, read};
use reactor::{app::Builder, bdev, call_on, spawn_local, sys::cpu::CpuSet};
use std::time::{Duration, Instant};

/// How many times as many reads two cores do in the same time: the median of runs that alternate.
pub fn two_cores_over_one(measure: Measure, device: &'static str) -> f64 {
    let (time, runs) =
        if measure.quick { (Duration::from_millis(5), 1) } else { (Duration::from_millis(300), 5) };
    let reads_on = |cores| {
        let cores = CpuSet::first(cores).expect("the machine has the cores");
        let run = Builder::new().cores(cores).run(async move || {
            let disk = open(device).await;
            fill(&disk.channel().expect("the core has a channel")).await;
            let reads = |core| {
                let disk = disk.clone();
                call_on(core, async move || reads_within(disk, time).await)
            };
            let mut total = 0;
            for reads in reactor::cores().map(reads).collect::<Vec<_>>() {
                total += reads.await.expect("the core counts its reads");
            }
            total
        });
        run.expect("the cores start") as f64
    };
    let mut ratios: Vec<_> = (0..runs).map(|_| reads_on(1).recip() * reads_on(2)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[runs / 2]
}

/// Reads of 32 tasks until `time` is over.
async fn reads_within(disk: bdev::Descriptor, time: Duration) -> u64 {
    const ROUND: u64 = 64;
    let channel = disk.channel().expect("the core has a channel");
    let end = Instant::now() + time;
    let task = |seed| {
        let channel = channel.clone();
        spawn_local(async move {
            let mut rounds = 0;
            while Instant::now() < end {
                read(channel.clone(), seed, ROUND, false).await;
                rounds += 1;
            }
            rounds * ROUND
        })
    };
    let mut total = 0;
    for task in (0..32).map(task).collect::<Vec<_>>() {
        total += task.await.expect("it returns");
    }
    total
}
