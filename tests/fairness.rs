//! Nobody starves and nobody spins: what is always ready leaves room for the rest, and what has nothing to do sleeps.
//!
//! Shares are counted in polls and turns where that is possible, so that a busy machine changes nothing.

mod support;

use reactor::{
    Core, Handle, LocalExecutor, Mode, Poller, Stats, Work,
    app::{self, Running},
    bdev::{self, Access},
    call_on, on_every_core, post, spawn_local, spawn_on,
    sync::mpsc,
    time::{Clock, sleep},
    yield_now,
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    cell::Cell,
    future::{pending, poll_fn},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};
use support::cores_unpinned;

/// Runs until somebody stops it, and counts its polls.
struct Greedy {
    polls: Rc<Cell<u64>>,
    task: reactor::JoinHandle<()>,
}

impl Greedy {
    fn start() -> Self {
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let task = spawn_local(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        Self { polls, task }
    }
}

/// What a self-waking task may be polled while something else waits for its turn: one look at everything per eight polls, and
/// the look that had just begun.
const POLLS_MAX: u64 = 16;

/// A task that wakes itself for ever starves neither the inbox, nor the timers, nor the rings, nor other tasks.
#[test]
fn a_task_that_is_always_ready_starves_nobody() {
    let (clock, hand) = Clock::manual();
    let core = LocalExecutor::with_clock(clock).unwrap();
    core.block_on(async {
        let greedy = Greedy::start();
        yield_now().await;
        let since = |begin: u64| greedy.polls.get() - begin;

        let begin = greedy.polls.get();
        spawn_on(Core::current(), async {}).await.unwrap();
        assert!(since(begin) <= POLLS_MAX, "an event waited for {} polls", since(begin));

        let timer = spawn_local(sleep(Duration::from_millis(1)));
        yield_now().await;
        hand.advance(Duration::from_millis(2));
        let begin = greedy.polls.get();
        timer.await.unwrap();
        assert!(since(begin) <= 2 * POLLS_MAX, "a timer waited for {} polls", since(begin));

        let begin = greedy.polls.get();
        spawn_local(async {}).await.unwrap();
        assert!(since(begin) <= POLLS_MAX, "a task waited for {} polls", since(begin));

        let calls = Rc::new(Cell::new(0_u64));
        let counted = calls.clone();
        let _poller = Poller::register("counts", move || {
            counted.set(counted.get() + 1);
            Work::Busy
        });
        let begin = greedy.polls.get();
        while calls.get() < 10 {
            yield_now().await;
        }
        assert!(since(begin) <= 11 * POLLS_MAX, "ten calls of a poller took {} polls", since(begin));
        greedy.task.abort();
    });
}

/// Wakes from abroad arrive while a task of the core is always ready, however many there are.
#[test]
fn foreign_wakes_arrive_while_a_task_is_always_ready() {
    const TASKS: usize = 5_000;
    let core = LocalExecutor::new().unwrap();
    let wakers = Arc::new(Mutex::new(Vec::new()));
    core.block_on(async {
        let greedy = Greedy::start();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (wakers, mut has_waited) = (wakers.clone(), false);
                spawn_local(poll_fn(move |cx| {
                    if std::mem::replace(&mut has_waited, true) {
                        return Poll::Ready(());
                    }
                    wakers.lock().unwrap().push(cx.waker().clone());
                    Poll::Pending
                }))
            })
            .collect();
        while wakers.lock().unwrap().len() < TASKS {
            yield_now().await;
        }
        let taken: Vec<Waker> = std::mem::take(&mut wakers.lock().unwrap());
        let abroad = thread::spawn(move || taken.into_iter().for_each(Waker::wake));
        for task in tasks {
            task.await.unwrap();
        }
        abroad.join().unwrap();
        greedy.task.abort();
    });
}

/// As many tasks as fit into memory, all waiting, all woken from another thread.
#[test]
fn a_hundred_thousand_live_tasks_are_woken_from_abroad() {
    const TASKS: usize = 100_000;
    let core = LocalExecutor::new().unwrap();
    let (sender, mut receiver) = mpsc::unbounded();
    let wakers = Rc::new(std::cell::RefCell::new(Vec::with_capacity(TASKS)));
    for _ in 0..TASKS {
        let (wakers, sender, mut has_waited) = (wakers.clone(), sender.clone(), false);
        core.spawn_local(poll_fn(move |cx| {
            if std::mem::replace(&mut has_waited, true) {
                sender.send(()).unwrap();
                return Poll::Ready(());
            }
            wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        }))
        .detach();
    }
    drop(sender);
    while wakers.borrow().len() < TASKS {
        core.turn();
    }
    let taken = wakers.take();
    let abroad = thread::spawn(move || taken.into_iter().for_each(Waker::wake));
    let mut ended = 0;
    core.block_on(async {
        while receiver.recv().await.is_some() {
            ended += 1;
        }
    });
    abroad.join().unwrap();
    assert_eq!(ended, TASKS);
    // It keeps the waker of who last waited.
    drop(receiver);
    while core.turn().is_busy() {}
    assert_eq!(core.stats().live_tasks, 0);
}

/// If one send happens before another, on whatever cores, it runs first: also when the second sender learned of the first.
#[test]
fn events_run_in_the_order_in_which_they_were_sent() {
    let log = cores_unpinned(3)
        .run(async || {
            let (log, target) = (Arc::new(Mutex::new(Vec::new())), Core::nth(2).unwrap());
            for n in 0..2_000 {
                let (first, second) = (log.clone(), log.clone());
                post(target, move || first.lock().unwrap().push(2 * n)).unwrap();
                // Another core sends the second one, knowing of the first.
                let sent = call_on(Core::nth(1).unwrap(), async move || {
                    post(target, move || second.lock().unwrap().push(2 * n + 1)).unwrap();
                });
                sent.await.unwrap();
            }
            spawn_on(target, async {}).await.unwrap();
            log
        })
        .unwrap();
    let log = log.lock().unwrap();
    assert!(log.iter().copied().eq(0..4_000), "out of order");
}

/// Cores change between polling, spinning and sleeping while calls go to and fro: none is lost.
#[test]
fn modes_switch_while_traffic_flows() {
    let running = cores_unpinned(2).start(async || drop(app::shutdown_requested().await)).unwrap();
    let handle = running.handle();
    let cores = handle.cores();
    let (is_over, switches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let switcher = {
        let (handle, is_over, switches) = (handle.clone(), is_over.clone(), switches.clone());
        thread::spawn(move || {
            let mut turn = 0;
            while !is_over.load(SeqCst) {
                for &core in handle.cores().iter() {
                    turn += 1;
                    assert!(handle.set_mode(core, Mode::ALL[turn * 7 / 3 % 3]));
                    switches.fetch_add(1, SeqCst);
                    thread::yield_now();
                }
            }
        })
    };
    let (one, two) = (cores[0], cores[1]);
    let answers = handle.call_on(one, async move || {
        let mut sum = 0_u64;
        for n in 0..3_000 {
            sum += spawn_on(two, async move { n }).await.unwrap();
            if n % 100 == 0 {
                sleep(Duration::from_micros(200)).await;
            }
        }
        sum
    });
    assert_eq!(answers.wait().unwrap(), 2_999 * 3_000 / 2);
    is_over.store(true, SeqCst);
    switcher.join().unwrap();
    assert!(switches.load(SeqCst) > 2);
    end(running);
}

/// A runtime with nothing to do takes no processor time, an open file on every core included.
#[test]
fn an_idle_runtime_sleeps() {
    const WATCHED: Duration = Duration::from_millis(400);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    for mode in [Mode::Adaptive, Mode::Interrupt] {
        let name = format!("file:{}", path.display());
        let spent = cores_unpinned(2)
            .mode(mode)
            .run(async move || {
                let disk = bdev::open(&name, Access::ReadWrite).await.unwrap();
                // A timed poller and a timer that is far away keep nobody awake either.
                let ready = on_every_core(async move || {
                    let channel = disk.channel().unwrap();
                    channel.read(0..8).await.unwrap();
                    spawn_local(async move {
                        let _beat = Poller::every("beat", Duration::from_secs(5), || Work::Busy);
                        sleep(Duration::from_secs(3600)).await;
                        drop(channel);
                    })
                    .detach();
                });
                assert!(ready.await.iter().all(Result::is_ok));
                // Past the time that it spins, and past what opening the disk leaves behind.
                sleep(Duration::from_millis(50)).await;
                let now = async || (cpu_time(), Stats::current());
                let before = on_every_core(now).await;
                sleep(WATCHED).await;
                let after = on_every_core(now).await;
                let pairs = before.into_iter().zip(after);
                pairs.map(|(before, after)| (before.unwrap(), after.unwrap())).collect::<Vec<_>>()
            })
            .unwrap();
        for (core, ((before, was), (after, is))) in spent.into_iter().enumerate() {
            let spent = after - before;
            assert!(
                spent < WATCHED / 100,
                "{mode:?}: core {core} took {spent:?}; before {was:?}, after {is:?}"
            );
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Each of several runtimes keeps to itself, drivers and block layer included, and all of them reach each other.
#[test]
fn runtimes_at_once_call_each_other() {
    let start = || cores_unpinned(2).start(async || drop(app::shutdown_requested().await)).unwrap();
    for _ in 0..3 {
        let (left, right) = (start(), start());
        let far: Handle = right.handle();
        let sum = left.handle().call_on(left.handle().cores()[1], async move || {
            let mut sum = 0;
            for core in far.cores() {
                sum += far
                    .call_on(core, async move || {
                        let disk = bdev::open("ram:64K", Access::ReadOnly).await.unwrap();
                        disk.channel().unwrap().read(0..8).await.unwrap().len()
                    })
                    .await
                    .unwrap();
                far.spawn_on(core, pending::<()>()).detach();
            }
            sum
        });
        assert_eq!(sum.wait().unwrap(), 2 * 4096);
        end(right);
        end(left);
    }
}

fn end<T: Send + 'static>(running: Running<T>) {
    running.stop(0);
    assert!(running.join().is_ok());
}

/// What makes a core busy for ever.
#[derive(Clone, Copy, Debug)]
enum Busy {
    /// Tasks that wake themselves.
    Tasks,
    /// Pollers that always find something to do.
    Pollers,
    /// Balanced tasks that wake themselves.
    Balanced,
    /// A stream that always has a next item.
    Stream,
    /// Events that send the next event.
    Events,
}

impl Busy {
    const ALL: [Self; 5] = [Self::Tasks, Self::Pollers, Self::Balanced, Self::Stream, Self::Events];

    /// Keeps the core busy with several of its kind, which end with the core.
    fn start(self) -> Vec<Poller> {
        fn next_event() {
            post(Core::current(), next_event).unwrap();
        }
        let mut pollers = Vec::new();
        for _ in 0..4 {
            match self {
                Self::Tasks => Greedy::start().task.detach(),
                Self::Pollers => pollers.push(Poller::register("busy", || Work::Busy)),
                Self::Balanced => reactor::spawn_balanced(async {
                    loop {
                        yield_now().await;
                    }
                })
                .detach(),
                Self::Stream => {
                    let (sender, mut receiver) = mpsc::unbounded();
                    spawn_local(async move {
                        loop {
                            sender.send(()).unwrap();
                            receiver.recv().await;
                        }
                    })
                    .detach();
                }
                Self::Events => next_event(),
            }
        }
        pollers
    }
}

/// Beside whatever makes a core busy, 99 of 100 waits for a task, an event, a wake from elsewhere or a timer end within a millisecond.
/// It is the thread's own processor time that is measured: what else the machine does with its processors does not count.
#[test]
fn beside_endless_work_others_wait_less_than_a_millisecond() {
    const WAITS: usize = 400;
    for busy in Busy::ALL {
        let core = LocalExecutor::new().unwrap();
        core.block_on(async {
            let _pollers = busy.start();
            let mut waits = Vec::with_capacity(4 * WAITS);
            for _ in 0..WAITS {
                let asked = cpu_time();
                spawn_local(async {}).await.unwrap();
                waits.push(cpu_time() - asked);

                let asked = cpu_time();
                spawn_on(Core::current(), async {}).await.unwrap();
                waits.push(cpu_time() - asked);

                let (answer, answered) = futures::channel::oneshot::channel();
                let asked = cpu_time();
                thread::scope(|scope| scope.spawn(move || answer.send(()).unwrap()).join().unwrap());
                answered.await.unwrap();
                waits.push(cpu_time() - asked);

                // Due when it is first looked at.
                let asked = cpu_time();
                sleep(Duration::from_nanos(1)).await;
                waits.push(cpu_time() - asked);
            }
            waits.sort_unstable();
            let p99 = waits[waits.len() * 99 / 100];
            assert!(
                p99 < Duration::from_millis(1),
                "{busy:?}: {p99:?}, at most {:?}",
                waits[waits.len() - 1]
            );
        });
    }
}
