//! Futures dropped at every await: no buffer goes before its answer, no descriptor is left behind.

use super::{LATE, core_without};
use crate::{
    fs::{self, Advice, File, OpenOptions},
    uring::{
        Features,
        tests::{descriptors_under, quarantine::Quarantine},
    },
};
use futures::future::LocalBoxFuture;
use rustix::fs::OFlags;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

/// What each future may use up: it is made anew for each.
#[derive(Clone)]
struct Stage {
    file: File,
    direct: Option<File>,
    dir: PathBuf,
    buffers: Quarantine,
}

impl Stage {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

type Make = fn(Stage) -> LocalBoxFuture<'static, ()>;

/// Gives each future its name, and drops what it yields: after a drop on the way nobody knows what was done.
macro_rules! each {
    ($($name:literal: |$stage:ident| $call:expr;)*) => {
        [$(($name, (|$stage: Stage| Box::pin(async move { drop($call.await) })) as Make)),*]
    };
}

fn all() -> Vec<(&'static str, Make)> {
    let data = each! {
        "read_at": |s| s.file.read_at(s.buffers.lend(64), 0);
        "misaligned": |s| s.direct.as_ref().unwrap_or(&s.file).read_at(s.buffers.lend(64), 1);
        "write_at": |s| s.file.write_at(s.buffers.lend(64), 0);
        "read_exact_at": |s| s.file.read_exact_at(s.buffers.lend(1 << 16), 0);
        "write_all_at": |s| s.file.write_all_at(s.buffers.lend(64), 0);
        "read_vectored_at": |s| s.file.read_vectored_at(vec![s.buffers.lend(64), s.buffers.lend(9)], 0);
        "write_vectored_at": |s| s.file.write_vectored_at(vec![s.buffers.lend(64), s.buffers.lend(9)], 0);
        "read_exact_vectored_at": |s| s.file.read_exact_vectored_at((0..2000).map(|_| s.buffers.lend(8)).collect(), 0);
        "write_all_vectored_at": |s| s.file.write_all_vectored_at((0..2000).map(|_| s.buffers.lend(8)).collect(), 0);
        "write": |s| fs::write(s.at("new"), s.buffers.lend(64));
        "read": |s| fs::read(s.at("file"));
        "read_to_string": |s| fs::read_to_string(s.at("file"));
        "copy": |s| fs::copy(s.at("file"), s.at("new"));
        "copy_range_to": |s| s.file.copy_range_to(0..20, &s.file, 4096);
        "sync_all": |s| s.file.sync_all();
        "sync_data": |s| s.file.sync_data();
        "allocate": |s| s.file.allocate(0..8192);
        "reserve": |s| s.file.reserve(0..8192);
        "punch_hole": |s| s.file.punch_hole(0..4096);
        "zero_range": |s| s.file.zero_range(0..4096);
        "collapse_range": |s| s.file.collapse_range(0..4096);
        "insert_range": |s| s.file.insert_range(0..4096);
        "advise": |s| s.file.advise(0..4096, Advice::WillNeed);
        "advise much": |s| s.file.advise(0..1 << 33, Advice::Sequential);
        "set_len": |s| s.file.set_len(5);
    };
    let names = each! {
        "open": |s| File::open(s.at("file"));
        "create": |s| OpenOptions::new().write(true).create(true).open(s.at("new"));
        "close": |s| File::from_std(std::fs::File::open(s.at("file")).unwrap()).unwrap().close();
        "metadata": |s| s.file.metadata();
        "metadata by path": |s| fs::metadata(s.at("file"));
        "symlink_metadata": |s| fs::symlink_metadata(s.at("file"));
        "try_exists": |s| fs::try_exists(s.at("new"));
        "alignment": |s| s.file.alignment();
        "rename": |s| fs::rename(s.at("file"), s.at("new"));
        "rename_no_replace": |s| fs::rename_no_replace(s.at("file"), s.at("new"));
        "exchange": |s| fs::exchange(s.at("file"), s.at("dir"));
        "remove_file": |s| fs::remove_file(s.at("file"));
        "hard_link": |s| fs::hard_link(s.at("file"), s.at("new"));
        "symlink": |s| fs::symlink("file", s.at("new"));
        "read_link": |s| fs::read_link(s.at("file"));
        "canonicalize": |s| fs::canonicalize(s.at("file"));
        "set_permissions": |s| fs::set_permissions(s.at("file"), 0o600);
        "create_dir": |s| fs::create_dir(s.at("new"));
        "create_dir_all": |s| fs::create_dir_all(s.at("new/below/that"));
        "remove_dir": |s| fs::remove_dir(s.at("dir"));
        "remove_dir_all": |s| fs::remove_dir_all(s.at("dir"));
        "read_dir": |s| async move { fs::read_dir(&s.dir).await?.next_entry().await?.unwrap().metadata().await };
    };
    data.into_iter().chain(names).collect()
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Polls the future so often, each time after it was woken, and drops it. Returns whether it had finished.
fn dropped_after(polls: usize, hidden: &[Features], (name, make): (&'static str, Make)) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, [7; 10_000]).unwrap();
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    let buffers = Quarantine::default();
    let core = core_without(hidden);
    let mut options = std::fs::File::options();
    let open = |flags: OFlags| {
        use std::os::unix::fs::OpenOptionsExt;
        options.read(true).write(true).custom_flags(flags.bits() as i32).open(&path)
    };
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut open = open;
    let (file, direct) = (open(OFlags::empty()).unwrap(), open(OFlags::DIRECT).ok());
    let mut future = core.enter_with(|| {
        let direct = direct.map(|file| File::from_std(file).unwrap());
        let file = File::from_std(file).unwrap();
        make(Stage { file, direct, dir: dir.path().to_owned(), buffers: buffers.clone() })
    });
    let mut is_done = false;
    for _ in 0..polls {
        is_done = core.enter_with(|| future.as_mut().poll(&mut Context::from_waker(&waker))).is_ready();
        if is_done {
            break;
        }
        while !woken.0.swap(false, SeqCst) {
            core.turn();
            std::thread::yield_now();
        }
    }
    core.enter_with(|| drop(future));
    // The end of the core waits for the kernel's answers.
    drop(core);
    assert_eq!(buffers.lent(), 0, "{name} after {polls} polls");
    buffers.check();
    // A call that a thread has begun goes on, and keeps its descriptors that long.
    let patience = Instant::now() + Duration::from_secs(60);
    while descriptors_under(dir.path()) > 0 {
        assert!(Instant::now() < patience, "{name} after {polls} polls leaves a descriptor open");
        std::thread::yield_now();
    }
    is_done
}

fn every_await_of_every_future(hidden: &[Features]) {
    for kind in all() {
        let awaits = (0..).find(|&polls| dropped_after(polls, hidden, kind)).unwrap();
        // One future per poll count up to its end: those with one await are done at the second poll.
        assert!((2..60).contains(&awaits), "{}: {awaits} polls", kind.0);
    }
}

#[test]
fn a_future_dropped_at_any_await_leaves_nothing_behind() {
    every_await_of_every_future(&[]);
}

#[test]
fn a_future_dropped_while_a_thread_works_for_it_leaves_nothing_behind() {
    every_await_of_every_future(&LATE);
}
