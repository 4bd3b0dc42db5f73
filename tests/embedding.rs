//! `LocalExecutor` in somebody else's loop, asleep and awake, and under load.

use reactor::{Core, Handle, LocalExecutor, Mode, Stats, bdev, post, spawn_local, time, yield_now};
use rustix::event::{PollFd, PollFlags, poll};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

/// What a host's event loop does: turn while there is something to do, else wait for the descriptor.
fn host_loop(executor: &LocalExecutor, is_done: impl Fn() -> bool) -> usize {
    let mut waits = 0;
    while !is_done() {
        if executor.turn().is_busy() || !executor.prepare_to_sleep() {
            continue;
        }
        let left = executor.next_deadline().map(|at| at.duration_since(executor.now()));
        let timeout = left.map(|t| rustix::time::Timespec::try_from(t).unwrap());
        poll(&mut [PollFd::new(executor, PollFlags::IN)], timeout.as_ref()).unwrap();
        waits += 1;
    }
    waits
}

#[test]
fn events_from_other_threads_wake_the_hosts_loop() {
    let executor = LocalExecutor::new().unwrap();
    let (handle, core) = (executor.handle(), executor.core());
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let asker = std::thread::spawn(move || {
        let sum = (0..100).map(|n| handle.spawn_on(core, async move { n + 1 }).wait().unwrap()).sum::<u64>();
        over.store(true, SeqCst);
        // The host may have gone to sleep since the last answer: this wakes it to look.
        handle.post(core, || ()).unwrap();
        sum
    });
    let waits = host_loop(&executor, || is_over.load(SeqCst));
    assert_eq!(asker.join().unwrap(), 5050);
    assert!(waits <= 300, "{waits} sleeps for 100 answers");
}

fn is_readable(executor: &LocalExecutor) -> bool {
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(executor, PollFlags::IN)], Some(&now)).unwrap() == 1
}

/// A host never looks into the set behind the descriptor, so that the turn has to.
#[test]
fn the_descriptor_is_readable_from_an_event_to_the_next_turn() {
    let executor = LocalExecutor::new().unwrap();
    let (handle, core) = (executor.handle(), executor.core());
    for _ in 0..3 {
        assert!(executor.prepare_to_sleep() && !is_readable(&executor));
        let poster = handle.clone();
        std::thread::spawn(move || poster.post(core, || ()).unwrap()).join().unwrap();
        assert!(is_readable(&executor) && is_readable(&executor), "looking at it changed it");
        assert_eq!(executor.turn().events, 1);
        assert!(!is_readable(&executor), "the host would spin");
    }
}

/// The run loop leaves the bell's counter as it is, and at times a ring that it has not seen.
#[test]
fn a_host_may_go_on_where_the_run_loop_has_slept() {
    let executor = LocalExecutor::new().unwrap();
    executor.set_mode(Mode::Interrupt);
    let (handle, core) = (executor.handle(), executor.core());
    for round in 0..20 {
        let (sender, receiver) = reactor::sync::oneshot::channel();
        let poster = handle.clone();
        let posting =
            std::thread::spawn(move || poster.post(core, move || sender.send(round).unwrap()).unwrap());
        assert_eq!(executor.block_on(receiver), Ok(round));
        posting.join().unwrap();

        // In vain once at most.
        while !executor.prepare_to_sleep() {
            executor.turn();
        }
        executor.turn();
        assert!(executor.prepare_to_sleep() && !is_readable(&executor), "the host would spin");
        let poster = handle.clone();
        std::thread::spawn(move || poster.post(core, || ()).unwrap()).join().unwrap();
        assert!(is_readable(&executor), "the host would sleep on");
        assert_eq!(executor.turn().events, 1);
    }
}

/// The time that the host spends in its own loop is not the core's work.
#[test]
fn a_host_that_sleeps_keeps_the_core_idle() {
    let (clock, hand) = time::Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    while !executor.prepare_to_sleep() {
        executor.turn();
    }
    hand.advance(Duration::from_secs(1));
    executor.enter_with(|| post(Core::current(), || ())).unwrap();
    assert!(executor.turn().is_busy());
    while executor.turn().is_busy() {}
    let stats = executor.stats();
    assert_eq!((stats.busy, stats.idle, stats.sleeps), (Duration::ZERO, Duration::from_secs(1), 1));
}

/// Drivers and the block layer included: the ring's completions make the descriptor readable.
#[test]
fn files_and_timers_work_in_the_hosts_loop() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let executor = LocalExecutor::new().unwrap();
    let name = format!("file:{}", file.path().display());
    let is_done = Rc::new(Cell::new(false));
    let done = is_done.clone();
    executor
        .spawn_local(async move {
            let disk = bdev::open(&name, bdev::Access::ReadWrite).await.unwrap();
            let channel = disk.channel().unwrap();
            for n in 0..8u8 {
                let mut block = channel.read(0..8).await.unwrap();
                block.fill(n);
                channel.write(0, block.freeze()).await.unwrap();
                time::sleep(Duration::from_micros(100)).await;
            }
            assert!(channel.read(0..8).await.unwrap().iter().all(|byte| *byte == 7));
            done.set(true);
        })
        .detach();
    host_loop(&executor, || is_done.get());
}

#[test]
fn a_deadline_is_known_to_the_host() {
    let (clock, hand) = time::Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    assert!(executor.next_deadline().is_none());
    let sleeper = executor.spawn_local(async { time::sleep(Duration::from_millis(5)).await });
    executor.turn();
    assert_eq!(executor.next_deadline().unwrap().duration_since(executor.now()), Duration::from_millis(5));
    hand.advance(Duration::from_millis(5));
    assert_eq!(executor.turn().timers, 1);
    executor.block_on(sleeper).unwrap();
}

/// Rule 1: the core that would be waited for is the one that waits.
#[test]
fn turning_or_blocking_inside_of_a_turn_is_refused_with_the_reason() {
    let executor = Rc::new(LocalExecutor::new().unwrap());
    let (inner, again) = (executor.clone(), executor.clone());
    let refused = executor.spawn_local(async move {
        let turn = catch_unwind(AssertUnwindSafe(|| inner.turn())).unwrap_err();
        let block = catch_unwind(AssertUnwindSafe(|| inner.block_on(async {}))).unwrap_err();
        [turn, block].map(|panic| {
            panic
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string).unwrap_or_default())
        })
    });
    let [turn, block] = again.block_on(refused).unwrap();
    assert!(turn.contains("await"), "{turn}");
    assert!(block.contains("would block this core"), "{block}");
}

#[test]
fn a_core_takes_events_in_every_mode_and_across_switches() {
    let executor = LocalExecutor::new().unwrap();
    let (handle, core) = (executor.handle(), executor.core());
    let asker = std::thread::spawn(move || {
        let mut sum = 0;
        for round in 0..60 {
            assert!(handle.set_mode(core, Mode::ALL[round % 3]));
            sum += handle.spawn_on(core, async move { round }).wait().unwrap();
        }
        handle.post(core, || STOP.set(true)).unwrap();
        sum
    });
    thread_local!(static STOP: Cell<bool> = const { Cell::new(false) });
    executor.block_on(async {
        while !STOP.get() {
            time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(asker.join().unwrap(), (0..60).sum::<usize>());
}

/// SPDK's interrupt mode spins as soon as one poller cannot interrupt; here an idle core costs nothing.
#[test]
fn an_idle_core_sleeps() {
    for mode in [Mode::Adaptive, Mode::Interrupt] {
        let executor = LocalExecutor::new().unwrap();
        executor.set_mode(mode);
        let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let before = used();
        executor.block_on(async { time::sleep(Duration::from_millis(200)).await });
        let spent = Duration::try_from(used() - before).unwrap();
        assert!(spent < Duration::from_millis(20), "{mode:?}: {spent:?} of 200 ms");
        assert!(executor.stats().idle > Duration::from_millis(150), "{:?}", executor.stats());
    }
}

#[test]
fn each_mode_waits_in_its_own_way() {
    const LONG: Duration = Duration::from_secs(20);
    let executor = LocalExecutor::new().unwrap();
    for (mode, spin, sleeps) in [
        (Mode::Poll, Duration::ZERO, false),
        (Mode::Interrupt, LONG, true),
        (Mode::Adaptive, Duration::ZERO, true),
        (Mode::Adaptive, LONG, false),
    ] {
        executor.set_mode(mode);
        executor.set_spin(spin);
        let before = executor.stats();
        executor.block_on(async { time::sleep(Duration::from_millis(2)).await });
        let after = executor.stats();
        assert_eq!(after.sleeps > before.sleeps, sleeps, "{mode:?}, spinning for {spin:?}: {after:?}");
    }
}

/// It need not come to an end of its sleep for that.
#[test]
fn a_core_that_is_switched_to_polling_sleeps_no_more() {
    const CALLS: u64 = 100;
    let executor = LocalExecutor::new().unwrap();
    executor.set_mode(Mode::Interrupt);
    let (handle, core) = (executor.handle(), executor.core());
    let (sender, receiver) = reactor::sync::oneshot::channel();
    let asker = std::thread::spawn(move || {
        let sleeps = |handle: &Handle| handle.call_on(core, async || Stats::current().sleeps).wait().unwrap();
        handle.set_mode(core, Mode::Poll);
        let before = sleeps(&handle);
        (0..CALLS).for_each(|_| handle.spawn_on(core, async {}).wait().unwrap());
        let spent = sleeps(&handle) - before;
        sender.send(()).unwrap();
        spent
    });
    executor.block_on(receiver).unwrap();
    assert_eq!(asker.join().unwrap(), 0);
}

/// However many there are: the core of a busy server sleeps for its timers once per slack.
#[test]
fn timers_that_are_close_together_share_a_wake_up() {
    const SLACK: Duration = Duration::from_millis(2);
    let executor = LocalExecutor::new().unwrap();
    executor.set_mode(Mode::Interrupt);
    executor.set_timer_slack(SLACK);
    let start = executor.now();
    executor.block_on(async {
        let sleepers: Vec<_> = (0..500)
            .map(|n| {
                spawn_local(async move {
                    let deadline = start + Duration::from_micros(20 * n);
                    time::sleep_until(deadline).await;
                    assert!(time::Instant::now() >= deadline, "early");
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
    });
    let slacks = executor.now().duration_since(start).as_nanos() / SLACK.as_nanos();
    let sleeps = executor.stats().sleeps;
    assert!(u128::from(sleeps) <= slacks + 2, "{sleeps} sleeps in the time of {slacks}");
}

/// The slack is the timers' alone.
#[test]
fn an_event_ends_a_sleep_that_timers_share() {
    let executor = LocalExecutor::new().unwrap();
    executor.set_mode(Mode::Interrupt);
    executor.set_timer_slack(Duration::from_secs(30));
    let (handle, core) = (executor.handle(), executor.core());
    let (sender, receiver) = reactor::sync::oneshot::channel();
    let start = executor.now();
    executor.block_on(async {
        let _timer = spawn_local(time::sleep(Duration::from_millis(1)));
        yield_now().await;
        let poster = std::thread::spawn(move || handle.post(core, || sender.send(()).unwrap()).unwrap());
        receiver.await.unwrap();
        poster.join().unwrap();
    });
    assert!(executor.now().duration_since(start) < Duration::from_secs(20), "it slept for the timer's sake");
}

#[test]
fn two_executors_share_a_thread() {
    let (one, two) = (LocalExecutor::new().unwrap(), LocalExecutor::new().unwrap());
    let (sender, receiver) = reactor::sync::oneshot::channel();
    let waiting = one.spawn_local(receiver);
    one.turn();
    // The waker belongs to one, and is woken by two: a stranger on the same thread.
    two.block_on(async { sender.send(5).unwrap() });
    assert_eq!(one.block_on(waiting).unwrap(), Ok(5));
    drop(one);
    assert_eq!(two.block_on(async { spawn_local(async { 6 }).await.unwrap() }), 6);
}

/// monoio starves foreign wakes there, and kimojio panics at this number of tasks.
#[test]
fn a_busy_task_and_a_hundred_thousand_idle_ones_keep_no_event_waiting() {
    let executor = LocalExecutor::new().unwrap();
    let idle: Vec<_> = (0..100_000).map(|_| executor.spawn_local(std::future::pending::<()>())).collect();
    let (handle, core) = (executor.handle(), executor.core());
    let asker = std::thread::spawn(move || {
        (0..1_000).map(|n| handle.spawn_on(core, async move { n }).wait().unwrap()).sum::<u32>()
    });
    let sum = executor.block_on(async {
        while !asker.is_finished() {
            yield_now().await;
        }
        asker.join().unwrap()
    });
    assert_eq!((sum, idle.len(), executor.stats().live_tasks >= 100_000), (499_500, 100_000, true));
}
