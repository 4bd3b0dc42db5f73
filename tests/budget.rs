//! What is always ready gives the core back: every leaf future has a share in how much one poll may do.

use futures::{SinkExt, StreamExt};
use reactor::{
    LocalExecutor, Outbox, Stats,
    bdev::{self, Access},
    sync::{Barrier, Gate, Mutex, Notify, Semaphore, local, mpsc, oneshot, spsc},
    time,
};
use std::{future::Future, time::Duration};

/// Results that come without waiting.
const READY: u64 = 10_000;
/// More than one poll may have of them, and more by what the turn under way has not counted yet.
const PER_POLL: u64 = 200;

/// Runs a task that takes `READY` results which are there already, and counts its polls.
#[track_caller]
fn gives_the_core_back(what: &str, task: impl AsyncFnOnce() + 'static) {
    let executor = LocalExecutor::new().unwrap();
    let task = executor.spawn_local(async move {
        let before = Stats::current().tasks;
        task().await;
        Stats::current().tasks - before
    });
    let polls = executor.block_on(task).unwrap();
    assert!(polls >= READY / PER_POLL, "{what}: {READY} results in {polls} polls");
}

/// The same for one result again and again.
#[track_caller]
fn again_and_again<F: Future>(what: &str, mut one: impl FnMut() -> F + 'static) {
    gives_the_core_back(what, async move || {
        for _ in 0..READY {
            one().await;
        }
    });
}

#[test]
fn who_sends_without_waiting() {
    let room = READY as usize;
    let (tx, _rx) = mpsc::channel(room);
    gives_the_core_back("mpsc", async move || {
        for n in 0..READY {
            tx.send(n).await.unwrap();
        }
    });
    let (mut tx, _rx) = mpsc::channel(room);
    gives_the_core_back("mpsc, a sink", async move || {
        for n in 0..READY {
            tx.feed(n).await.unwrap();
        }
    });
    let (mut tx, _rx) = mpsc::unbounded();
    gives_the_core_back("mpsc unbounded, a sink", async move || {
        for n in 0..READY {
            tx.feed(n).await.unwrap();
        }
    });
    let (tx, _rx) = local::channel(room);
    gives_the_core_back("local", async move || {
        for n in 0..READY {
            tx.send(n).await.unwrap();
        }
    });
    let (mut tx, _rx) = local::unbounded();
    gives_the_core_back("local unbounded, a sink", async move || {
        for n in 0..READY {
            tx.feed(n).await.unwrap();
        }
    });
    let (mut tx, _rx) = spsc::channel(room);
    gives_the_core_back("spsc", async move || {
        for n in 0..READY {
            tx.send(n).await.unwrap();
        }
    });
    gives_the_core_back("outbox", async move || {
        let outbox = Outbox::new(reactor::Core::current(), room);
        for _ in 0..READY {
            outbox.post(|| ()).await.unwrap();
        }
    });
}

#[test]
fn who_receives_without_waiting() {
    let (tx, mut rx) = mpsc::unbounded();
    (0..READY).for_each(|n| tx.send(n).unwrap());
    gives_the_core_back("mpsc", async move || while rx.next().await != Some(READY - 1) {});
    let (tx, mut rx) = mpsc::unbounded();
    (0..READY).for_each(|n| tx.send(n).unwrap());
    gives_the_core_back("mpsc, several", async move || {
        let mut received = Vec::new();
        while received.len() < READY as usize {
            rx.recv_many(&mut received, 1).await;
        }
    });
    let (tx, mut rx) = local::unbounded();
    (0..READY).for_each(|n| tx.send(n).unwrap());
    gives_the_core_back("local", async move || while rx.next().await != Some(READY - 1) {});
    let (tx, mut rx) = local::unbounded();
    (0..READY).for_each(|n| tx.send(n).unwrap());
    gives_the_core_back("local, several", async move || {
        let mut received = Vec::new();
        while received.len() < READY as usize {
            rx.recv_many(&mut received, 1).await;
        }
    });
    again_and_again("oneshot", || {
        let (tx, rx) = oneshot::channel();
        tx.send(()).unwrap();
        rx
    });
    again_and_again("local oneshot", || {
        let (tx, rx) = local::oneshot::channel();
        tx.send(()).unwrap();
        rx
    });
}

#[test]
fn who_passes_without_waiting() {
    gives_the_core_back("mutex", async || {
        let mutex = Mutex::new(0);
        for _ in 0..READY {
            *mutex.lock().await += 1;
        }
    });
    gives_the_core_back("semaphore", async || {
        let semaphore = Semaphore::new(1);
        for _ in 0..READY {
            drop(semaphore.acquire(1).await.unwrap());
        }
    });
    gives_the_core_back("notify", async || {
        let notify = Notify::new();
        for _ in 0..READY {
            notify.notify_one();
            notify.notified().await;
        }
    });
    gives_the_core_back("barrier", async || {
        let barrier = Barrier::new(1);
        for _ in 0..READY {
            barrier.wait().await;
        }
    });
    let gate = Gate::new();
    again_and_again("gate", move || gate.close());
}

#[test]
fn who_lags_behind_the_clock() {
    again_and_again("sleep", || time::sleep(Duration::ZERO));
    gives_the_core_back("interval", async || {
        // Burst: all that were missed come at once.
        let begin = time::Instant::now() - READY as u32 * Duration::from_nanos(1);
        let mut ticks = time::interval_at(begin, Duration::from_nanos(1));
        for _ in 0..READY {
            ticks.tick().await;
        }
    });
}

#[test]
fn whose_device_answers_at_once() {
    gives_the_core_back("null", async || {
        let disk = bdev::open("null", Access::ReadOnly).await.unwrap();
        let channel = disk.channel().unwrap();
        for _ in 0..READY {
            channel.read(0..1).await.unwrap();
        }
    });
}
