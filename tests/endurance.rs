//! A mirror of two files, one of them below a module that errs, under a mixed load from two cores: what fails, stalls, is taken out,
//! comes back, grows, shrinks, is held and reset meanwhile costs nobody a byte, and at its end under full load no I/O, no
//! buffer and no descriptor is left.
//!
//! It goes on for `REACTOR_ENDURANCE_SECONDS`, three unless told otherwise, and through everything once at least.
//! `.ci/endurance.sh` runs a minute.

#[path = "endurance/content.rs"]
mod content;
#[path = "endurance/layout.rs"]
mod layout;
#[path = "endurance/stack.rs"]
mod stack;
#[path = "endurance/worker.rs"]
mod worker;

use content::Known;
use futures::future::{join, join_all};
use layout::{COUNTERS, WORKERS};
use reactor::LocalExecutor;
use reactor::bdev::{Access, Descriptor, Event, open, unregister};
use reactor::sys::dma::DmaPool;
use stack::{NAME, OUT, Stack, gone};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use worker::{Shared, Worker};

/// What a worker takes home.
struct Report {
    number: u64,
    known: Vec<Known>,
    extra: Vec<Known>,
    cuts: u64,
    counted: u64,
    maybe_counted: u64,
}

#[test]
fn a_mirror_lives_through_everything_and_loses_nothing() {
    let seconds = std::env::var("REACTOR_ENDURANCE_SECONDS").ok();
    let seconds = seconds.map_or(3, |text| text.parse().expect("REACTOR_ENDURANCE_SECONDS is a number"));
    let descriptors = descriptors();
    let files = [0; 2].map(|_| tempfile::NamedTempFile::new().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);

    let executor = LocalExecutor::new().unwrap();
    let (stack, disk) = executor.block_on(Stack::new(&files));
    let shared = Shared {
        layout: stack.layout,
        ended: Default::default(),
        cuts: Default::default(),
        is_calm: AtomicBool::new(false),
        is_broken: AtomicBool::new(false),
    };
    let (reports, rounds) = thread::scope(|scope| {
        let cores = [0, 1].map(|core| {
            let (shared, disk) = (&shared, disk.clone());
            scope.spawn(move || be_core(shared, disk, core))
        });
        let control = || executor.block_on(trouble(stack, disk, &shared, end));
        let rounds = shared.unless_broken(control);
        let reports: Vec<Report> = cores.into_iter().flat_map(|core| core.join().unwrap()).collect();
        (reports, rounds)
    });
    let left = executor.enter_with(|| DmaPool::local().stats().in_use);
    drop(executor);
    assert_eq!(left, 0, "buffers are left");

    let [one, other] = files.each_ref().map(|file| std::fs::read(file.path()).unwrap());
    drop(files);
    assert_eq!(descriptors, self::descriptors(), "descriptors are left: {:?}", names());
    assert_eq!(one.len(), other.len());
    let size = shared.layout.block_size;
    let differ = one.chunks(size).zip(other.chunks(size)).position(|(one, other)| one != other);
    assert_eq!(differ, None, "the first block in which the members differ, of {}", one.len() / size);
    check(&shared, &reports, &one);
    let ended = shared.ended.each_ref().map(|ended| ended.load(SeqCst));
    println!("{rounds} rounds, {} and {} I/Os, no mismatch", ended[0], ended[1]);
}

/// The load of one core, until the device is gone. Whatever it has is back then.
fn be_core(shared: &Shared, disk: Descriptor, core: usize) -> Vec<Report> {
    shared.unless_broken(|| {
        let executor = LocalExecutor::new().unwrap();
        let reports = executor.block_on(async {
            let mut workers: Vec<Worker> = (0..WORKERS)
                .map(|number| Worker::new(shared, &disk, core, core as u64 * WORKERS + number))
                .collect();
            drop(disk);
            let reader = open(NAME, Access::ReadOnly).await.unwrap();
            let looks = join_all((0..2).map(|number| worker::look(&reader, shared, number)));
            join(join_all(workers.iter_mut().map(Worker::run)), looks).await;
            drop(reader);
            workers.into_iter().map(Worker::into_report).collect()
        });
        // What was to be done behind the backs of futures that were dropped.
        while executor.turn().is_busy() {}
        let pool = executor.enter_with(|| DmaPool::local().stats());
        assert_eq!((pool.in_use, pool.waiting), (0, 0), "buffers are left on core {core}");
        reports
    })
}

/// What happens to the mirror meanwhile, round after round until the time is over, and how it ends. Yields the rounds.
async fn trouble(mut stack: Stack<'_>, disk: Descriptor, shared: &Shared, end: Instant) -> u64 {
    let mut events = disk.events();
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        stack.a_member_cannot_read(shared).await;
        stack.grow(shared).await;
        stack.a_member_cannot_write(shared).await;
        stack.hold(&disk, shared).await;
        stack.a_member_stalls(shared).await;
        stack.shrink(&disk, shared).await;
        stack.a_member_is_taken_out_and_comes_back(shared).await;
        stack.reset(&disk, shared).await;
        rounds += 1;
    }
    // What was given up before leaves the members different until they have been made equal, for which the mirror must be there.
    shared.is_calm.store(true, SeqCst);
    shared.load(20).await;
    drop(disk.quiesce().await.unwrap());
    shared.load(20).await;

    let removal = unregister(NAME).unwrap();
    while events.try_next().expect("the removal is told") != Event::Removed {}
    drop((stack, disk));
    gone(removal, shared).await;
    gone(unregister(OUT).unwrap(), shared).await;
    rounds
}

fn check(shared: &Shared, reports: &[Report], file: &[u8]) {
    let layout = shared.layout;
    let block = |lba: u64| &file[layout.bytes(lba) as usize..layout.bytes(lba + 1) as usize];
    let is_long = file.len() as u64 > layout.bytes(layout.ordinary_end());
    for report in reports {
        let mut all: Vec<_> = (layout.span(report.number)..).zip(&report.known).collect();
        if is_long && report.cuts == shared.cuts.load(SeqCst) {
            all.extend((layout.extra(report.number)..).zip(&report.extra));
        }
        for (lba, known) in all {
            let is = content::describe(block(lba));
            assert!(known.allows(block(lba)), "block {lba}: {known:x?} holds {is}");
        }
    }
    let counted: u64 = reports.iter().map(|report| report.counted).sum();
    let maybe: u64 = reports.iter().map(|report| report.maybe_counted).sum();
    let count: u64 = (0..COUNTERS).map(|lba| content::word(block(lba), 0)).sum();
    assert!((counted..=counted + maybe).contains(&count), "{counted} counts, {maybe} perhaps: {count}");
    assert!(counted > 0);
}

impl Worker<'_> {
    fn into_report(self) -> Report {
        let Self { number, known, extra, cuts, counted, maybe_counted, .. } = self;
        Report { number, known, extra, cuts, counted, maybe_counted }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn names() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
}
