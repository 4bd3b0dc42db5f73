//! Operations that wait for a worker which the kernel has forgotten to make or to wake: they are nudged on.

use super::{SETUPS, block_on, pipe, poll_once, ring_with, settle, turn};
use crate::uring::{Config, Fd, Ring, Setup};
use rustix::fs::{Mode, OFlags};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Turns until `is_so`; false if it takes too long.
fn turn_until(ring: &Ring, mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        turn(ring);
        if start.elapsed() > LONG {
            return false;
        }
    }
    true
}

fn fifo(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    path
}

/// Opens it for writing at a worker, which waits for a reader.
fn open(ring: &Rc<Ring>, path: &Path) -> Task {
    let opened = ring.open(path, OFlags::WRONLY | OFlags::CREATE, Mode::RUSR | Mode::WUSR);
    Box::pin(async { drop(opened.await.unwrap()) })
}

/// Whether this thread has workers, and all of them wait for something. (Another may have been made for a nudge by then.)
fn are_workers_asleep() -> bool {
    let name = format!("iou-wrk-{}", rustix::thread::gettid().as_raw_nonzero());
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let stats: Vec<_> =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok()).collect();
    let mut workers = stats.iter().filter(|stat| stat.contains(&name)).peekable();
    workers.peek().is_some() && workers.all(|stat| stat.contains(") S "))
}

/// `first` holds the only worker that there may be, and `second` is queued. Then there may be more, which the kernel forgets to make:
/// just what it leaves behind where two workers rely on each other.
fn goes_on_behind(setup: Setup, first: impl Fn(&Rc<Ring>) -> Task, second: impl Fn(&Rc<Ring>) -> Task) {
    let ring = ring_with(Config { setup, workers_max: [1, 1], ..Config::default() });
    let (mut first, mut second) = (first(&ring), second(&ring));
    assert!(poll_once(&mut first).is_pending());
    assert!(turn_until(&ring, are_workers_asleep), "{setup:?}: no worker waits");
    assert!(poll_once(&mut second).is_pending());
    turn(&ring);
    ring.queues().uring().submitter().register_iowq_max_workers(&mut [16, 16]).unwrap();
    let has_gone_on = turn_until(&ring, || poll_once(&mut second).is_ready());
    assert!(has_gone_on, "{setup:?}: it waits for a worker");
    assert!(poll_once(&mut first).is_pending());
    drop(first);
    settle(&ring);
}

/// Does it with each setup, on a thread that has no workers yet.
fn for_each_setup(test: fn(Setup)) {
    for setup in SETUPS {
        std::thread::spawn(move || test(setup)).join().unwrap();
    }
}

#[test]
fn an_open_behind_one_that_hangs_goes_on() {
    for_each_setup(|setup| {
        let dir = tempfile::tempdir().unwrap();
        let (hanging, ready) = (fifo(dir.path(), "hanging"), fifo(dir.path(), "ready"));
        let _reader = rustix::fs::open(&ready, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        goes_on_behind(setup, |ring| open(ring, &hanging), |ring| open(ring, &ready));
    });
}

#[test]
fn a_splice_behind_one_that_hangs_goes_on() {
    for_each_setup(|setup| {
        let ((empty, _write), (full, write)) = (pipe(), pipe());
        rustix::io::write(&write, &[7; 8]).unwrap();
        let ((_reader, sink), (_other_reader, other)) = (pipe(), pipe());
        let (sink, other) = (Fd::from(sink), Fd::from(other));
        let splice = |ring: &Rc<Ring>, from: &Fd, to: &Fd| -> Task {
            let spliced = ring.splice((from, None), (to, None), 8);
            Box::pin(async { assert_eq!(spliced.await.unwrap(), 8) })
        };
        goes_on_behind(setup, |ring| splice(ring, &empty, &sink), |ring| splice(ring, &full, &other));
    });
}

/// Once its nudge is answered, an operation that hangs costs nothing: the core may sleep as long as it does.
#[test]
fn an_operation_that_hangs_is_nudged_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path(), "hanging");
    for setup in SETUPS {
        let ring = ring_with(Config { setup, ..Config::default() });
        let mut hanging = open(&ring, &path);
        assert!(poll_once(&mut hanging).is_pending());
        assert_eq!(ring.queues().nudging(), (true, 0));
        assert!(
            turn_until(&ring, || ring.queues().nudging() == (false, 0)),
            "{setup:?}: it is nudged for ever"
        );
        let enters = ring.counters().enters;
        for _ in 0..1000 {
            turn(&ring);
        }
        let counters = ring.counters();
        assert_eq!(
            (counters.submitted, counters.completed),
            (1, 0),
            "{setup:?}: nobody's operations do not count"
        );
        assert_eq!(counters.enters, enters, "{setup:?}");
        assert!(poll_once(&mut hanging).is_pending());
        drop(hanging);
        settle(&ring);
    }
}

/// What is answered by then is not nudged, and what holds no worker not even delayed.
#[test]
fn what_does_not_hang_is_not_nudged() {
    let dir = tempfile::tempdir().unwrap();
    for setup in SETUPS {
        let ring = ring_with(Config { setup, ..Config::default() });
        let (read, write) = pipe();
        let mut reading = Box::pin(ring.read_at(&read, vec![0; 8], 0));
        assert!(poll_once(&mut reading).is_pending());
        block_on(&ring, ring.nop()).unwrap();
        assert_eq!(ring.queues().nudging(), (false, 0));
        rustix::io::write(&write, &[7; 8]).unwrap();
        assert!(matches!(block_on(&ring, reading), (Ok(8), _)));
        // A slow disk may have it nudged: once more then.
        let is_quick = || {
            let start = Instant::now();
            block_on(&ring, open(&ring, &dir.path().join("file")));
            start.elapsed() < Duration::from_millis(8)
        };
        while !is_quick() {
            assert!(turn_until(&ring, || ring.queues().nudging() == (false, 0)));
        }
        while ring.queues().nudging() == (true, 0) {
            turn(&ring);
        }
        assert_eq!(ring.queues().nudging(), (false, 0));
        assert!(ring.queues().is_quiet());
    }
}
