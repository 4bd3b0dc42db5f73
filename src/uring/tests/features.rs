//! Features by themselves: each forced away, a submission thread, a ring that polls.

use super::{block_on, open_direct, pipe, poll_once, ring_with, settle, sleep::sleep_on, turn};
use crate::reactor::driver::Driver;
use crate::sys::dma::DmaPool;
use crate::uring::{Config, Features, Probe, Ring, SubmissionThread};
use rustix::io::Errno;
use std::rc::Rc;
use std::time::Duration;

fn threaded(idle: Duration) -> Config {
    Config { submission_thread: Some(SubmissionThread { idle, cpu: None }), ..Config::default() }
}

/// Reads, NOPs and a cancel.
fn works(ring: &Rc<Ring>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 16 * 4096]).unwrap();
    let fd = open_direct(file.path());
    for page in 0..16 {
        let buf = DmaPool::local().try_alloc(4096).unwrap();
        let (read, buf) = block_on(ring, ring.read_at(&fd, buf, page * 4096));
        assert_eq!((read.unwrap(), buf[4095]), (4096, 7));
    }
    let mut nops: Vec<_> = (0..200).map(|_| Box::pin(ring.nop())).collect();
    assert!(nops.iter_mut().all(|nop| poll_once(nop).is_pending()));
    for nop in nops {
        block_on(ring, nop).unwrap();
    }
    let (read, _write) = pipe();
    let mut waiting = Box::pin(ring.read_at(&read, vec![0; 8], 0));
    assert!(poll_once(&mut waiting).is_pending());
    turn(ring);
    drop(waiting);
    settle(ring);
    assert_eq!(ring.counters().submitted, ring.counters().completed);
}

#[test]
fn a_ring_works_without_each_of_the_features() {
    for feature in Features::all().iter() {
        for config in [Config::default(), threaded(Duration::from_millis(10))] {
            let ring = ring_with(Config { features: Features::all().without(feature), ..config });
            assert!(!ring.features().contains(feature), "{feature}");
            works(&ring);
        }
    }
    let bare = ring_with(Config { features: Features::default(), ..threaded(Duration::from_millis(10)) });
    assert_eq!(bare.features(), Features::default());
    works(&bare);
}

/// The probe has what a ring of this kernel has, and says it.
#[test]
fn the_probe_names_the_features() {
    let probe = Probe::get().unwrap();
    let ring = ring_with(Config::default());
    for feature in Features::all().iter() {
        assert!(!ring.features().contains(feature) || probe.features().contains(feature), "{feature}");
        let line = format!("{feature}: {}", if probe.features().contains(feature) { "yes" } else { "no" });
        assert!(probe.to_string().lines().any(|has| has == line), "{probe}");
    }
    assert_eq!(Features::default().to_string(), "none");
    assert_eq!((Features::POLLING | Features::FILE_TABLE).to_string(), "file table, polling");
}

/// 17 rings: a thread has 16 numbers. Those of dropped rings are given back, or the 17th would not get one.
#[test]
fn rings_give_their_numbers_back() {
    for _ in 0..3 {
        let rings: Vec<_> = (0..17).map(|_| ring_with(Config::default())).collect();
        let numbers = rings.iter().filter(|ring| ring.features().contains(Features::RING_NUMBER)).count();
        assert_eq!(numbers, 16);
        assert!(rings.iter().all(|ring| block_on(ring, ring.nop()).is_ok()));
    }
}

/// While the thread is awake, handing over takes no system call; asleep, it is woken by one.
#[test]
fn a_submission_thread_takes_entries_awake_or_asleep() {
    let ring = ring_with(threaded(Duration::from_secs(3600)));
    if !ring.features().contains(Features::SUBMISSION_THREAD) {
        return println!("the kernel gives no submission thread");
    }
    works(&ring);
    let before = ring.counters();
    for _ in 0..100 {
        block_on(&ring, ring.nop()).unwrap();
    }
    let after = ring.counters();
    assert_eq!((after.enters - before.enters, after.submitted - before.submitted), (0, 100));

    let ring = ring_with(threaded(Duration::from_millis(1)));
    let until_asleep = || {
        while !ring.thread_sleeps() {
            std::thread::yield_now()
        }
    };
    for _ in 0..3 {
        until_asleep();
        let before = ring.counters().enters;
        let mut nop = Box::pin(ring.nop());
        assert!(poll_once(&mut nop).is_pending());
        turn(&ring);
        assert!(ring.counters().enters > before, "woken");
        block_on(&ring, nop).unwrap();
    }
    works(&ring);
}

/// More operations than either queue holds, taken by a thread that runs beside us.
#[test]
fn a_submission_thread_keeps_the_order_of_what_waits() {
    let small = Config { entries: 4, in_flight_max: 8, ..threaded(Duration::from_millis(1)) };
    let ring = Ring::new(&small).unwrap();
    let mut nops: Vec<_> = (0..100).map(|_| Box::pin(ring.nop())).collect();
    assert!(nops.iter_mut().all(|nop| poll_once(nop).is_pending()));
    while !nops.is_empty() {
        let before = nops.len();
        let mut order = nops.iter_mut().map(|nop| poll_once(nop).is_ready()).collect::<Vec<_>>();
        nops.drain(..order.iter().take_while(|done| **done).count());
        order.retain(|done| *done);
        assert_eq!(before - nops.len(), order.len(), "none overtakes");
        turn(&ring);
    }
    assert_eq!(ring.counters().overflows, 0);
}

/// The core sleeps, the thread works, the completion wakes the core.
#[test]
fn a_core_may_sleep_while_the_submission_thread_works() {
    let ring = ring_with(threaded(Duration::from_millis(1)));
    for _ in 0..20 {
        let (read, write) = pipe();
        let mut read = Box::pin(ring.read_at(&read, vec![0; 8], 0));
        assert!(poll_once(&mut read).is_pending());
        ring.flush();
        let writer = std::thread::spawn(move || rustix::io::write(&write, b"12345").unwrap());
        while poll_once(&mut read).is_pending() {
            sleep_on(&ring);
            ring.poll();
        }
        writer.join().unwrap();
    }
}

/// A CPU that does not exist: the ring does without the thread.
#[test]
fn a_refused_submission_thread_is_done_without() {
    let thread = SubmissionThread { idle: Duration::from_millis(1), cpu: Some(100_000) };
    let ring = ring_with(Config { submission_thread: Some(thread), ..Config::default() });
    assert!(!ring.features().contains(Features::SUBMISSION_THREAD));
    works(&ring);
}

/// On a ring that polls, a device that cannot be asked refuses with the code that the fallback goes by, and the buffer comes back;
/// one that can is read. Either way the core keeps awake until then.
#[test]
fn a_polling_ring_keeps_awake_and_answers() {
    let ring = ring_with(Config { is_polling: true, ..Config::default() });
    assert!(ring.features().contains(Features::POLLING));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 4096]).unwrap();
    let fd = open_direct(file.path());
    let mut read = Box::pin(ring.read_at(&fd, DmaPool::local().try_alloc(4096).unwrap(), 0));
    assert!(poll_once(&mut read).is_pending());
    ring.flush();
    assert!(ring.arm(), "in flight: no interrupt would wake the core");
    match block_on(&ring, read) {
        (Ok(n), page) => assert_eq!((n, page[9]), (4096, 7)),
        (Err(e), page) => {
            println!("this device cannot be asked: {e}");
            assert_eq!((Errno::from_io_error(&e), page.len()), (Some(Errno::OPNOTSUPP), 4096));
        }
    }
    assert!(!ring.arm(), "nothing is in flight");
    // Dropped futures: their answers are waited for, as there is no cancelling.
    let mut read = Box::pin(ring.read_at(&fd, DmaPool::local().try_alloc(4096).unwrap(), 0));
    assert!(poll_once(&mut read).is_pending());
    drop(read);
    drop(ring);
    assert_eq!(DmaPool::local().stats().in_use, 0);
}
