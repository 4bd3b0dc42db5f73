//! Hot removal under full load: 128 I/Os at a time on each of two cores, and a third thread that opens and closes.

use super::modules::{How, Made, Pass, SHELF};
use super::{in_use, on_no_reactor, wait_turns};
use reactor::LocalExecutor;
use reactor::bdev::{
    self, Access, Descriptor, Error, modules::Null, modules::Ram, open, open_private, register, unregister,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const DEPTH: u64 = 128;

/// What all I/Os of a round have come to.
#[derive(Default)]
struct Account {
    /// By core.
    begun: [AtomicU64; 2],
    finished: AtomicU64,
    removed: AtomicU64,
}

/// Reads and writes until the device is gone.
async fn use_it(disk: &Descriptor, core: usize, task: u64, account: &Account) {
    let channel = disk.channel().unwrap();
    let mut dice = (core as u64 * DEPTH + task) * 2 + 1;
    loop {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (lba, blocks) = ((dice >> 33) % 1000, 1 + (dice >> 60));
        account.begun[core].fetch_add(1, SeqCst);
        let result = match dice >> 40 & 3 {
            0 => channel.flush().await,
            1 => channel.write_zeroes(lba..lba + blocks).await,
            _ => channel.read(lba..lba + blocks).await.map(drop),
        };
        match result {
            Ok(()) => account.finished.fetch_add(1, SeqCst),
            Err(Error::Removed) => {
                account.removed.fetch_add(1, SeqCst);
                return;
            }
            Err(e) => panic!("{e}"),
        };
        if dice >> 20 & 3 == 0 {
            wait_turns(1).await;
        }
    }
}

impl Account {
    /// Waits until each core has begun so many I/Os.
    fn wait_for(&self, each: u64) {
        while self.begun.iter().any(|begun| begun.load(SeqCst) < each) {
            thread::yield_now();
        }
    }

    /// Every I/O that began has ended, the last of each task because the device was gone.
    fn check(&self, what: &str) {
        let begun: u64 = self.begun.iter().map(|begun| begun.load(SeqCst)).sum();
        let (finished, removed) = (self.finished.load(SeqCst), self.removed.load(SeqCst));
        assert_eq!((begun, removed), (finished + removed, 2 * DEPTH), "{what}");
    }
}

/// Tells the visitor to stop, also if the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// One core's part of a round, on a thread of its own. Says how many of its buffers are left.
fn core(disk: &Descriptor, core: usize, account: &Account) -> u64 {
    LocalExecutor::new().unwrap().block_on(async {
        let all = (0..DEPTH).map(|task| use_it(disk, core, task, account));
        futures::future::join_all(all).await;
        // What the module never answered.
        SHELF.with(|shelf| shelf.borrow_mut().clear());
        in_use()
    })
}

/// Opens, uses and closes until told to stop. Says how often it came in, and how many of its buffers are left.
fn visitor(name: &str, stop: &AtomicBool) -> (u64, u64) {
    let mut visits = 0;
    let left = LocalExecutor::new().unwrap().block_on(async {
        while !stop.load(SeqCst) {
            let disk = match open(name, Access::ReadOnly).await {
                Ok(disk) => disk,
                Err(Error::NotFound { .. } | Error::Removed) => {
                    wait_turns(1).await;
                    continue;
                }
                Err(e) => panic!("{e}"),
            };
            let mut events = disk.events();
            match disk.channel() {
                Ok(channel) => match channel.read(0..8).await {
                    Ok(_) => {}
                    Err(Error::Removed) => assert_eq!(events.next().await, Some(bdev::Event::Removed)),
                    Err(e) => panic!("{e}"),
                },
                Err(Error::Removed) => {}
                Err(e) => panic!("{e}"),
            }
            visits += 1;
        }
        SHELF.with(|shelf| shelf.borrow_mut().clear());
        in_use()
    });
    (visits, left)
}

/// Registers a device of the given kind, and what is opened of it, over `layers` that pass on.
fn make(name: &str, kind: usize, layers: usize) -> Descriptor {
    let grace = Duration::from_secs(60);
    match kind {
        0 => register(name, Null::new(1 << 20).unwrap()),
        1 => register(name, Ram::new(1 << 20).unwrap()),
        2 => register(name, Made { grace, ..Made::new(How::AfterTurns(16)) }),
        3 => register(name, Made::new(How::AfterTurns(16))),
        4 => register(name, Made::new(How::Keeps)),
        _ => register(name, Made::new(How::Shelves)),
    }
    .unwrap();
    let base = on_no_reactor(open(name, Access::ReadWrite)).unwrap();
    (0..layers).fold(base, |base, _| open_private("over", Pass::over(&base), Access::ReadWrite).unwrap())
}

const KINDS: usize = 6;

#[test]
fn a_device_goes_under_full_load_and_every_io_ends_once() {
    const NAME: &str = "load-removal";
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let visitor = scope.spawn(|| visitor(NAME, &stop));
        let stop = Stop(&stop);
        for round in 0..KINDS * 4 {
            let (kind, layers) = (round % KINDS, round / KINDS % 3);
            let what = format!("kind {kind}, {layers} layers");
            let disk = make(NAME, kind, layers);
            let account = Account::default();
            thread::scope(|scope| {
                let (account, disk) = (&account, &disk);
                let cores: Vec<_> =
                    (0..2).map(|number| scope.spawn(move || core(disk, number, account))).collect();
                // Each core is at full depth, and has gone round where the device answers.
                account.wait_for(if kind >= 4 { DEPTH } else { 10 * DEPTH });
                drop(unregister(NAME).unwrap());
                for core in cores {
                    assert_eq!(core.join().unwrap(), 0, "buffers are left: {what}");
                }
            });
            account.check(&what);
        }
        drop(stop);
        let (visits, left) = visitor.join().unwrap();
        assert!(visits > 0);
        assert_eq!(left, 0, "the visitor's buffers are left");
    });
}

/// Holds, resets and resizes come and go under the same load; the end finds everything at rest.
#[test]
fn holds_and_resizes_under_load_are_exact() {
    const NAME: &str = "load-holds";
    let disk = make(NAME, 2, 1);
    let account = Account::default();
    thread::scope(|scope| {
        let (account, disk) = (&account, &disk);
        let (done, all_done) = mpsc::channel::<()>();
        for number in 0..2 {
            let done = done.clone();
            scope.spawn(move || {
                assert_eq!(core(disk, number, account), 0);
                drop(done);
            });
        }
        drop(done);
        account.wait_for(2 * DEPTH);
        on_no_reactor(async {
            let base = open(NAME, Access::ReadOnly).await.unwrap();
            for round in 0..20 {
                let disk = if round % 2 == 0 { disk } else { &base };
                let held = disk.quiesce().await.unwrap();
                let finished = account.finished.load(SeqCst);
                let counts = disk.on_every_channel(async |channel| {
                    // What waits at the door has its turns, and stays there.
                    wait_turns(20).await;
                    channel.stats().in_flight
                });
                for (_, in_flight) in counts.await {
                    assert_eq!(in_flight.unwrap(), 0);
                }
                assert!(account.finished.load(SeqCst) - finished <= 2 * DEPTH);
                drop(held);
                let more = account.finished.load(SeqCst) + DEPTH;
                while account.finished.load(SeqCst) < more {
                    thread::yield_now();
                }
            }
        });
        drop(unregister(NAME).unwrap());
        let _ = all_done.recv();
    });
    account.check("holds");
}
