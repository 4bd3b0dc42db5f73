//! Cores that sleep in their ring, and those that sleep beside it: the same promises for both.

use super::{open_direct, pipe, poll_once};
use crate::reactor::{context, driver::Driver, testing::on_two_cores};
use crate::sys::dma::DmaPool;
use crate::uring::{Config, Features, Ring};
use crate::{Core, LocalExecutor, Mode, call_on, post, spawn_local, time};
use futures::channel::oneshot;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// In the ring, and by the epoll set.
fn both_ways() -> [Config; 2] {
    let features = Features::all();
    [features, features.without(Features::SLEEP)].map(|features| Config { features, ..Config::default() })
}

fn core_ring(config: &Config) -> Rc<Ring> {
    Ring::current_or_new(config).unwrap()
}

fn is_readable(fd: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap() == 1
}

/// Both cores sleep between all of it: a ring of either bell that is lost would stop the test.
#[test]
fn calls_between_sleeping_cores_are_answered() {
    for config in both_ways() {
        on_two_cores(Mode::Interrupt, async || {
            let (here, there) = (core_ring(&config), Core::nth(1).unwrap());
            let far = config.clone();
            call_on(there, async move || drop(core_ring(&far))).await.unwrap();
            for n in 0..2_000 {
                let answer = call_on(there, async move || {
                    if n % 3 == 0 {
                        Ring::current().unwrap().nop().await.unwrap();
                    }
                    n + 1
                });
                if n % 5 == 0 {
                    here.nop().await.unwrap();
                }
                assert_eq!(answer.await.unwrap(), n + 1);
            }
        });
    }
}

#[test]
fn completions_events_and_timers_end_the_same_sleeps() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 64 * 4096]).unwrap();
    for config in both_ways() {
        on_two_cores(Mode::Interrupt, async || {
            let (ring, there) = (core_ring(&config), Core::nth(1).unwrap());
            let fd = open_direct(file.path());
            let reads = spawn_local(async move {
                for n in 0..200 {
                    let buf = DmaPool::local().try_alloc(4096).unwrap();
                    let (read, page) = ring.read_at(&fd, buf, n % 64 * 4096).await;
                    assert_eq!((read.unwrap(), page[9]), (4096, 7));
                }
            });
            let ticks = spawn_local(async {
                for _ in 0..50 {
                    let (start, nap) = (Instant::now(), Duration::from_micros(300));
                    time::sleep(nap).await;
                    assert!(start.elapsed() >= nap);
                }
            });
            for n in 0..200 {
                assert_eq!(call_on(there, async move || n).await.unwrap(), n);
            }
            reads.await.unwrap();
            ticks.await.unwrap();
        });
    }
}

/// Reads one after the other, which the core sleeps between: submission and sleep are one system call.
#[test]
fn a_read_at_a_time_is_a_system_call_each() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 4096]).unwrap();
    let core = LocalExecutor::new().unwrap();
    core.set_mode(Mode::Interrupt);
    core.block_on(async {
        let (ring, fd) = (Ring::current().unwrap(), open_direct(file.path()));
        assert!(ring.features().contains(Features::SLEEP));
        let read = async move {
            let mut buf = DmaPool::local().try_alloc(4096).unwrap();
            let before = ring.counters().enters;
            for _ in 0..200 {
                let (read, page) = ring.read_at(&fd, buf, 0).await;
                read.unwrap();
                buf = page;
            }
            ring.counters().enters - before
        };
        let enters = spawn_local(read).await.unwrap();
        // The kernel may end a sleep early.
        assert!(enters < 210, "{enters} system calls for 200 reads");
    });
}

/// The last turn before the end has handed over what tasks left to do.
#[test]
fn what_was_queued_is_handed_over_when_block_on_ends() {
    for config in both_ways() {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(Mode::Interrupt);
        let (read, write) = rustix::pipe::pipe().unwrap();
        let write = crate::uring::Fd::from(write);
        core.block_on(async {
            let ring = core_ring(&config);
            let (started, has_started) = oneshot::channel();
            spawn_local(async move {
                let mut writing = Box::pin(ring.write_at(&write, b"12345".to_vec(), 0));
                assert!(poll_once(&mut writing).is_pending());
                started.send(()).unwrap();
                writing.await.0.unwrap();
            })
            .detach();
            has_started.await.unwrap();
        });
        assert!(is_readable(&read), "left behind in the queue");
    }
}

/// Events without end leave no task to run at the end of a turn, and the core never asleep.
#[test]
fn submission_is_put_off_by_a_turn_at_most() {
    for config in both_ways() {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(Mode::Interrupt);
        core.block_on(async {
            let ring = core_ring(&config);
            let task = spawn_local(async move {
                let here = Core::current();
                let mut nop = Box::pin(ring.nop());
                assert!(poll_once(&mut nop).is_pending());
                for _ in 0..8 {
                    let (tick, ticked) = oneshot::channel();
                    post(here, move || tick.send(()).unwrap()).unwrap();
                    ticked.await.unwrap();
                }
                assert!(poll_once(&mut nop).is_ready(), "not handed over in 8 turns");
            });
            task.await.unwrap();
        });
    }
}

/// The same executor in its own loop and in a host's, by turns.
#[test]
fn a_host_may_go_on_where_the_run_loop_has_slept_in_the_ring() {
    for config in both_ways() {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(Mode::Interrupt);
        let (handle, name) = (core.handle(), core.core());
        let ring = core.enter_with(|| core_ring(&config));
        for round in 0..20 {
            let (sender, receiver) = oneshot::channel();
            let poster = handle.clone();
            let posting = std::thread::spawn(move || {
                poster.post(name, move || sender.send(round).unwrap()).unwrap();
            });
            assert_eq!(core.block_on(receiver), Ok(round));
            posting.join().unwrap();

            // In vain once at most.
            while !core.prepare_to_sleep() {
                core.turn();
            }
            core.turn();
            assert!(core.prepare_to_sleep() && !is_readable(&core), "the host would spin");
            let poster = handle.clone();
            std::thread::spawn(move || poster.post(name, || ()).unwrap()).join().unwrap();
            assert!(is_readable(&core), "the host would sleep on");
            assert_eq!(core.turn().events, 1);

            // The ring's completions reach the host, too.
            let (read, write) = pipe();
            let mut reading = Box::pin(ring.read_at(&read, vec![0; 8], 0));
            assert!(poll_once(&mut reading).is_pending());
            while !core.prepare_to_sleep() {
                core.turn();
            }
            rustix::io::write(&write, b"12345").unwrap();
            poll(&mut [PollFd::new(&core, PollFlags::IN)], None).unwrap();
            while poll_once(&mut reading).is_pending() {
                core.turn();
            }
        }
    }
}

/// A second driver wakes the core by its descriptor, the first by itself.
#[test]
fn a_core_with_two_rings_is_woken_by_either() {
    for config in both_ways() {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(Mode::Interrupt);
        core.block_on(async {
            let first = core_ring(&config);
            let second = Ring::new(&Config::default()).unwrap();
            context::add_driver(second.clone());
            for _ in 0..50 {
                for ring in [&first, &second] {
                    let (read, write) = pipe();
                    let reading = ring.read_at(&read, vec![0; 8], 0);
                    let writer = std::thread::spawn(move || rustix::io::write(&write, b"12345").unwrap());
                    assert_eq!(reading.await.0.unwrap(), 5);
                    writer.join().unwrap();
                }
            }
        });
    }
}

/// A driver beside the one that the core sleeps in.
struct Beside {
    event: OwnedFd,
    is_queued: Cell<bool>,
    was_kept: Cell<bool>,
}

impl Driver for Beside {
    fn poll(&self) -> usize {
        0
    }

    fn flush(&self) {
        self.is_queued.set(false);
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn arm(&self) -> bool {
        self.was_kept.set(self.was_kept.get() || self.is_queued.get());
        false
    }

    fn in_flight(&self) -> usize {
        0
    }

    fn cancel_all(&self) {}
}

/// The sleep hands over what the ring has, and nothing else.
#[test]
fn only_the_ring_leaves_to_the_sleep_what_is_queued() {
    let core = LocalExecutor::new().unwrap();
    core.set_mode(Mode::Interrupt);
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let beside = Rc::new(Beside { event, is_queued: Cell::new(false), was_kept: Cell::new(false) });
    core.block_on(async {
        let ring = Ring::current().unwrap();
        context::add_driver(beside.clone());
        for _ in 0..3 {
            beside.is_queued.set(true);
            ring.nop().await.unwrap();
        }
    });
    assert!(!beside.was_kept.get(), "the core went to sleep over what a driver had to hand over");
}
