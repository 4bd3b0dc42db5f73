//! What a turn costs and promises: system calls, order, back pressure, sleeping.

use super::sleep::sleep_on;
use super::{SETUPS, block_on, open_direct, pipe, poll_once, quarantine::Quarantine, ring, settle, turn};
use crate::reactor::driver::Driver;
use crate::uring::{Ring, Setup};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_batch_costs_one_system_call() {
    for setup in SETUPS {
        let ring = ring(setup, 64, 64);
        let mut nops: Vec<_> = (0..64).map(|_| Box::pin(ring.nop())).collect();
        assert!(nops.iter_mut().all(|nop| poll_once(nop).is_pending()));
        ring.flush();
        assert_eq!(ring.poll(), 64);
        assert!(nops.iter_mut().all(|nop| matches!(poll_once(nop), Poll::Ready(Ok(())))));
        let counters = ring.counters();
        assert_eq!((counters.enters, counters.submitted, counters.completed, counters.waits), (1, 64, 64, 0));
    }
}

#[test]
fn an_idle_turn_makes_no_system_call() {
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        let (read, _write) = pipe();
        let mut waiting = Box::pin(ring.read_at(&read, vec![0; 8], 0));
        assert!(poll_once(&mut waiting).is_pending());
        turn(&ring);
        let before = ring.counters().enters;
        for _ in 0..1000 {
            assert_eq!(turn(&ring), 0);
        }
        assert_eq!(ring.counters().enters, before, "{setup:?}: an operation waits, nothing has come");
    }
}

#[test]
fn the_last_waker_is_woken_once() {
    let ring = ring(Setup::Deferred, 8, 8);
    let mut nop = Box::pin(ring.nop());
    let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
    for waker in [&first, &last] {
        let waker = Waker::from(waker.clone());
        assert!(nop.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    settle(&ring);
    assert_eq!((first.0.load(Ordering::Relaxed), last.0.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(Arc::strong_count(&first) + Arc::strong_count(&last), 2, "no waker is kept");
}

/// A future that notes when it is done.
async fn noted(ring: Rc<Ring>, index: usize, done: Rc<RefCell<Vec<usize>>>) {
    ring.nop().await.unwrap();
    done.borrow_mut().push(index);
}

/// 64 operations through a submission queue of 4, with 8 at the kernel at most: none fails, none overtakes.
#[test]
fn a_full_ring_makes_operations_wait_in_order() {
    for setup in SETUPS {
        let ring = ring(setup, 4, 8);
        let done = Rc::new(RefCell::new(Vec::new()));
        let mut all: Vec<Pin<Box<dyn Future<Output = ()>>>> = (0..64)
            .map(|index| {
                Box::pin(noted(ring.clone(), index, done.clone())) as Pin<Box<dyn Future<Output = ()>>>
            })
            .collect();
        // Started in order; finished as their completions are reaped, which NOPs do in the order of submission.
        while !all.is_empty() {
            all.retain_mut(|future| poll_once(future).is_pending());
            turn(&ring);
            assert!(done.borrow().len() <= 64);
        }
        assert_eq!(*done.borrow(), (0..64).collect::<Vec<_>>());
        let counters = ring.counters();
        assert_eq!((counters.waits, counters.overflows), (60, 0), "{setup:?}");
    }
}

/// What never finishes fills the kernel's share; what waits behind it goes when one is dropped.
#[test]
fn room_made_by_a_drop_goes_to_the_oldest() {
    let ring = ring(Setup::Deferred, 4, 4);
    let (read, _write) = pipe();
    let mut stuck: Vec<_> = (0..4).map(|_| Box::pin(ring.read_at(&read, vec![0; 8], 0))).collect();
    assert!(stuck.iter_mut().all(|read| poll_once(read).is_pending()));
    let (mut second, mut third) = (Box::pin(ring.nop()), Box::pin(ring.nop()));
    assert!(poll_once(&mut second).is_pending() && poll_once(&mut third).is_pending());
    for _ in 0..100 {
        turn(&ring);
    }
    assert!(poll_once(&mut second).is_pending());
    drop(third);
    drop(stuck.pop());
    assert!(block_on(&ring, second).is_ok());
    drop(stuck);
    settle(&ring);
    assert_eq!(ring.counters().waits, 2);
}

/// Submissions are not forgotten when a flush cannot carry all of them and nothing completes.
#[test]
fn a_flush_carries_more_than_the_queue_holds() {
    let ring = ring(Setup::Deferred, 4, 64);
    let (read, _write) = pipe();
    let mut stuck: Vec<_> = (0..20).map(|_| Box::pin(ring.read_at(&read, vec![0; 8], 0))).collect();
    assert!(stuck.iter_mut().all(|read| poll_once(read).is_pending()));
    ring.flush();
    let counters = ring.counters();
    assert_eq!((counters.submitted, counters.enters), (20, 5));
}

/// A core that sleeps on the ring's descriptor wakes up: after a completion from an interrupt, and after one from another
/// thread that comes while it sleeps.
#[test]
fn the_descriptor_becomes_readable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 4096]).unwrap();
    let quarantine = Quarantine::default();
    for (setup, awake) in SETUPS.into_iter().flat_map(|setup| [(setup, 0), (setup, 3000)]) {
        let ring = ring(setup, 8, 8);
        let fd = open_direct(&path);
        // The first sleep and the later ones, after a short and a long time awake, are prepared differently.
        assert!(!ring.arm());
        for _ in 0..awake {
            turn(&ring);
        }
        let mut read = Box::pin(ring.read_at(&fd, quarantine.lend(4096), 0));
        assert!(poll_once(&mut read).is_pending());
        ring.flush();
        sleep_on(&ring);
        assert_eq!(ring.poll(), 1, "{setup:?}: one poll is enough after waking up");
        assert!(poll_once(&mut read).is_ready());

        // An answer that is there before the core falls asleep keeps it awake.
        let mut nop = Box::pin(ring.nop());
        assert!(poll_once(&mut nop).is_pending());
        assert!(ring.arm(), "{setup:?}: not handed over yet");
        ring.flush();
        assert!(ring.arm(), "{setup:?}: answered already");
        assert_eq!(ring.poll(), 1);

        let (read, write) = pipe();
        let mut read = Box::pin(ring.read_at(&read, vec![0; 8], 0));
        assert!(poll_once(&mut read).is_pending());
        ring.flush();
        let sleeper = rustix::thread::gettid().as_raw_nonzero();
        let writer = std::thread::spawn(move || {
            let stat = format!("/proc/self/task/{sleeper}/stat");
            while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
                std::thread::yield_now();
            }
            rustix::io::write(&write, b"12345").unwrap();
        });
        sleep_on(&ring);
        writer.join().unwrap();
        assert_eq!(ring.poll(), 1, "{setup:?}");
        let Poll::Ready((Ok(5), _)) = poll_once(&mut read) else { panic!("not read") };
    }
}
