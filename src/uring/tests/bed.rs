//! Sleeps in a ring, one by one: what ends them, what does not, and what the ring is like afterwards.

use super::{SETUPS, block_on, open_direct, pipe, poll_once, ring_using, ring_with, settle, turn};
use crate::reactor::driver::Driver;
use crate::sys::eventfd::EventFd;
use crate::uring::{Config, Features, Ring, Setup, SubmissionThread};
use io_uring::types::CancelBuilder;
use rustix::event::epoll;
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// So long that a lost ring of the bell fails the test, which does not wait for it otherwise.
const LONG: Duration = Duration::from_secs(20);
/// Of a sleep that nothing is to end.
const SHORT: Duration = Duration::from_micros(1_500);

/// Sleeps, and does what the next turn of the core would.
fn sleep(ring: &Ring, bell: &EventFd, others: Option<BorrowedFd<'_>>, timeout: Duration) -> Duration {
    let start = Instant::now();
    ring.bed().expect("the kernel knows how").sleep(bell.as_fd(), others, Some(timeout));
    let slept = start.elapsed();
    assert_eq!(ring.poll(), 0, "what woke the core is no operation");
    assert_eq!((ring.in_flight(), ring.counters().submitted), (0, ring.counters().completed));
    slept
}

fn is_ended(ring: &Ring, bell: &EventFd) -> bool {
    sleep(ring, bell, None, LONG) < LONG
}

/// Other threads of the tests interrupt no sleep, and a signal would end one of several only.
fn is_over_in_time(ring: &Ring, bell: &EventFd, others: Option<BorrowedFd<'_>>) -> bool {
    (0..3).any(|_| sleep(ring, bell, others, SHORT) >= SHORT)
}

fn rings() -> impl Iterator<Item = std::rc::Rc<Ring>> {
    let all = Features::all();
    let as_in_6_14 = (Setup::Deferred, all.without(Features::NO_IOWAIT));
    let setups = SETUPS.into_iter().map(move |setup| (setup, all));
    setups.chain([as_in_6_14]).map(|(setup, features)| ring_using(setup, features))
}

#[test]
fn each_ring_of_the_bell_ends_one_sleep_though_nobody_reads_the_counter() {
    for ring in rings() {
        let bell = EventFd::new().unwrap();
        for rings in 1..5 {
            (0..rings).for_each(|_| bell.signal());
            assert!(is_ended(&ring, &bell), "{rings} rings were lost");
            assert!(is_over_in_time(&ring, &bell, None), "the core would spin");
        }
        assert!(bell.drain(), "the counter was left alone");
    }
}

#[test]
fn a_ring_of_the_bell_during_the_sleep_ends_it() {
    for ring in rings() {
        let bell = EventFd::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..100 {
                let ringer = scope.spawn(|| bell.signal());
                assert!(is_ended(&ring, &bell));
                ringer.join().unwrap();
            }
        });
    }
}

#[test]
fn a_ring_of_a_full_counter_ends_a_sleep() {
    let (ring, bell) = (ring_using(Setup::Deferred, Features::all()), EventFd::new().unwrap());
    rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    assert!(is_ended(&ring, &bell));
    bell.signal();
    assert!(is_ended(&ring, &bell), "a full counter made no edge");
}

/// As when the sender of an event was held up between clearing the inbox's mark and ringing: the turns take its ring, or the next
/// sleep does.
#[test]
fn a_ring_of_the_bell_while_the_core_is_awake_ends_one_sleep_at_most() {
    for (ring, has_work) in rings().zip([false; 4]).chain(rings().zip([true; 4])) {
        let bell = EventFd::new().unwrap();
        assert!(is_over_in_time(&ring, &bell, None));
        bell.signal();
        if has_work {
            block_on(&ring, ring.nop()).unwrap();
        }
        assert_eq!(turn(&ring), 0);
        assert!(is_over_in_time(&ring, &bell, None), "the core would spin");
        bell.signal();
        assert!(is_ended(&ring, &bell));
    }
}

/// A set with an eventfd in it, as level-triggered as the parker's.
fn others() -> (OwnedFd, EventFd) {
    let (set, source) = (epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), EventFd::new().unwrap());
    epoll::add(&set, &source, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
    (set, source)
}

#[test]
fn what_stays_ready_among_the_others_ends_every_sleep_and_hides_no_ring() {
    for ring in rings() {
        let (bell, (set, source)) = (EventFd::new().unwrap(), others());
        let others = Some(set.as_fd());
        assert!(is_over_in_time(&ring, &bell, others));
        source.signal();
        for _ in 0..3 {
            assert!(sleep(&ring, &bell, others, LONG) < LONG, "the core would sleep over a driver's event");
        }
        bell.signal();
        assert!(sleep(&ring, &bell, others, LONG) < LONG);
        source.drain();
        // What was armed while it was ready, once.
        sleep(&ring, &bell, others, SHORT);
        assert!(is_over_in_time(&ring, &bell, others), "the core would spin");
        bell.signal();
        assert!(sleep(&ring, &bell, others, LONG) < LONG);
    }
}

/// With nothing queued before: the system call that hands it over is the one that waits.
#[test]
fn one_system_call_hands_over_and_waits() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 4096]).unwrap();
    let (ring, fd) = (ring_with(Config::default()), open_direct(file.path()));
    let bell = EventFd::new().unwrap();
    let bed = ring.bed().expect("the kernel knows how");
    let mut buf = crate::sys::dma::DmaPool::local().try_alloc(4096).unwrap();
    for _ in 0..100 {
        let before = ring.counters().enters;
        let mut read = Box::pin(ring.read_at(&fd, buf, 0));
        assert!(poll_once(&mut read).is_pending());
        bed.sleep(bell.as_fd(), None, Some(LONG));
        assert_eq!(ring.poll(), 1);
        assert_eq!(ring.counters().enters - before, 1);
        let std::task::Poll::Ready((read, page)) = poll_once(&mut read) else { panic!("not answered") };
        assert_eq!((read.unwrap(), page[9]), (4096, 7));
        buf = page;
    }
}

/// One entry at a time: the polls must wait for room, and are made in the end.
#[test]
fn a_full_submission_queue_puts_the_sleep_off() {
    let ring = Ring::new(&Config { entries: 1, ..Config::default() }).unwrap();
    let (bell, (set, source)) = (EventFd::new().unwrap(), others());
    let bed = ring.bed().expect("the kernel knows how");
    let mut nops: Vec<_> = (0..3).map(|_| Box::pin(ring.nop())).collect();
    assert!(nops.iter_mut().all(|nop| poll_once(nop).is_pending()));
    let start = Instant::now();
    while ring.in_flight() > 0 {
        bed.sleep(bell.as_fd(), Some(set.as_fd()), Some(LONG));
        ring.poll();
    }
    assert!(start.elapsed() < LONG && nops.iter_mut().all(|nop| poll_once(nop).is_ready()));
    assert!(is_over_in_time(&ring, &bell, Some(set.as_fd())));
    bell.signal();
    assert!(sleep(&ring, &bell, Some(set.as_fd()), LONG) < LONG);
    source.signal();
    assert!(sleep(&ring, &bell, Some(set.as_fd()), LONG) < LONG);
}

/// The submission queue is filled by what waits for a peer: the sleep would hand it over and leave behind what found no room.
#[test]
fn what_found_no_room_is_not_slept_over() {
    let ring = Ring::new(&Config { entries: 1, ..Config::default() }).unwrap();
    let bell = EventFd::new().unwrap();
    let (read, _write) = pipe();
    assert!(is_over_in_time(&ring, &bell, None), "the poll of the bell is made");
    let (mut stuck, mut nop) = (Box::pin(ring.read_at(&read, vec![0; 8], 0)), Box::pin(ring.nop()));
    assert!(poll_once(&mut stuck).is_pending() && poll_once(&mut nop).is_pending());
    let start = Instant::now();
    while poll_once(&mut nop).is_pending() && start.elapsed() < LONG {
        ring.bed().unwrap().sleep(bell.as_fd(), None, Some(LONG));
        ring.poll();
    }
    assert!(start.elapsed() < LONG, "asleep with something to hand over");
    drop(stuck);
    settle(&ring);
}

/// A cancel of everything takes the polls with it.
#[test]
fn polls_that_end_are_made_again() {
    for ring in rings() {
        let bell = EventFd::new().unwrap();
        assert!(is_over_in_time(&ring, &bell, None));
        ring.queues().uring().submitter().register_sync_cancel(None, CancelBuilder::any()).unwrap();
        turn(&ring);
        assert!(is_over_in_time(&ring, &bell, None));
        bell.signal();
        assert!(is_ended(&ring, &bell), "nobody hears the bell any more");
    }
}

/// Of more rings than there is room for answers, one is heard.
#[test]
fn a_full_completion_queue_loses_no_ring() {
    let small = Config { entries: 1, completions: 2, in_flight_max: 64, ..Config::default() };
    for setup in SETUPS {
        let ring = Ring::new(&Config { setup, ..small.clone() }).unwrap();
        let bell = EventFd::new().unwrap();
        assert!(is_over_in_time(&ring, &bell, None));
        let mut nops: Vec<_> = (0..32).map(|_| Box::pin(ring.nop())).collect();
        assert!(nops.iter_mut().all(|nop| poll_once(nop).is_pending()));
        bell.signal();
        ring.flush();
        bell.signal();
        settle(&ring);
        bell.signal();
        assert!(is_ended(&ring, &bell));
        drop(nops);
    }
}

/// `O_PATH` descriptors are no files to poll: a stand-in for a kernel that knows no multishot polls.
#[test]
fn a_kernel_that_refuses_the_polls_is_not_asked_again() {
    let ring = ring_with(Config::default());
    let path = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let start = Instant::now();
    ring.bed().expect("the kernel knows how").sleep(path.as_fd(), None, Some(LONG));
    assert_eq!(ring.poll(), 0);
    assert!(start.elapsed() < LONG && ring.bed().is_none());
    assert!(!ring.features().contains(Features::SLEEP));
    assert!(!ring.arm(), "nothing is left to do before a sleep elsewhere");
}

/// Each by itself keeps the core out of the ring.
#[test]
fn there_is_no_bed_without_each_of_what_it_takes() {
    let thread = SubmissionThread { idle: Duration::from_millis(1), cpu: None };
    let all = Features::all();
    for config in [
        Config { features: all.without(Features::SLEEP), ..Config::default() },
        Config { features: all.without(Features::POLL_MULTISHOT), ..Config::default() },
        Config { submission_thread: Some(thread), ..Config::default() },
        Config { is_polling: true, ..Config::default() },
    ] {
        let ring = ring_with(config.clone());
        if config.submission_thread.is_none() || ring.features().contains(Features::SUBMISSION_THREAD) {
            assert!(ring.bed().is_none() && !ring.features().contains(Features::SLEEP), "{config:?}");
        }
    }
    assert!(ring_with(Config::default()).bed().is_some());
}
