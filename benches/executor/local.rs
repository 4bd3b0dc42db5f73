//! On one core: spawn, yield, wakers, a channel, events to oneself, idle turns, timers and light threads.

use crate::harness::{Bench, Measure, Target::*};
use reactor::{
    Core, LightThread, LocalExecutor, Mode, Poller, post, spawn_local, sync::local, time, yield_now,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    hint::black_box,
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

pub fn rows(bench: &mut Bench) {
    bench.group("Tasks");
    bench.row("spawn_join", "spawn + join, 100 at a time", "ns", AtMost(19.6), |m| spawn_join(m, 100));
    bench.row("spawn_join_alone", "spawn + join, one at a time", "ns", None, |m| spawn_join(m, 1));
    bench.row("yield", "yield, 100 tasks", "ns", AtMost(5.7), |m| yields(m, 100));
    bench.row("yield_alone", "yield, one task", "ns", None, |m| yields(m, 1));
    bench.row("waker", "wake by a cloned waker + poll", "ns", AtMost(10.0), waker);
    bench.row("channel_local", "local channel there and back", "ns", AtMost(33.0), channel);
    bench.row("light_thread", "light thread, made and dropped", "ns", AtMost(2_000.0), light_thread);

    bench.group("Events to oneself");
    bench.row("events_self", "fire and forget, 8 at a time", "M/s", AtLeast(80.0), events_self);

    bench.group("The turn that finds nothing to do");
    bench.row("idle_0", "no poller", "ns", AtMost(12.0), |m| idle_turn(m, 0, 0));
    bench.row("idle_1", "1 poller", "ns", AtMost(14.0), |m| idle_turn(m, 1, 0));
    bench.row("idle_10", "10 pollers", "ns", AtMost(35.0), |m| idle_turn(m, 10, 0));
    bench.row("idle_100", "100 pollers", "ns", AtMost(323.0), |m| idle_turn(m, 100, 0));
    bench.row("idle_timers", "1,000 timed pollers that are not due", "ns", AtMost(12.0), |m| {
        idle_turn(m, 0, 1_000)
    });

    bench.group("Timers");
    bench.row("timer", "create + poll + cancel", "ns", AtMost(30.0), timer);
}

/// Runs `work` as a task of a core, so that its waker is a task's.
fn on_core<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Interrupt);
    executor.block_on(async { spawn_local(work).await.expect("the work ends") })
}

fn spawn_join(measure: Measure, batch: u64) -> f64 {
    on_core(async move {
        let mut tasks = VecDeque::new();
        let ns = measure.ns(async |count| {
            for _ in 0..count {
                tasks.extend((0..batch).map(|n| spawn_local(async move { n })));
                while let Some(task) = tasks.pop_front() {
                    black_box(task.await.expect("it returns"));
                }
            }
        });
        ns.await / batch as f64
    })
}

fn yields(measure: Measure, tasks: u64) -> f64 {
    on_core(async move {
        let ns = measure.ns(async |count| {
            let yielding = (0..tasks).map(|_| {
                spawn_local(async move {
                    for _ in 0..count {
                        yield_now().await;
                    }
                })
            });
            for task in yielding.collect::<Vec<_>>() {
                task.await.expect("it returns");
            }
        });
        ns.await / tasks as f64
    })
}

type Slot = Rc<RefCell<Option<Waker>>>;

fn wake(slot: &Slot) {
    if let Some(waker) = { slot.borrow_mut().take() } {
        waker.wake();
    }
}

/// Leaves a clone of its waker, wakes the partner by the clone that it left, and waits to be woken: `count` times.
async fn partner(own: Slot, other: Slot, count: u64) {
    for _ in 0..count {
        let mut is_waiting = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_waiting, true) {
                return Poll::Ready(());
            }
            *own.borrow_mut() = Some(cx.waker().clone());
            wake(&other);
            Poll::Pending
        })
        .await;
    }
    wake(&other);
}

fn waker(measure: Measure) -> f64 {
    on_core(async move {
        let ns = measure.ns(async |count| {
            let (a, b) = (Slot::default(), Slot::default());
            let first = spawn_local(partner(a.clone(), b.clone(), count));
            let second = spawn_local(partner(b, a, count));
            first.await.expect("it returns");
            second.await.expect("it returns");
        });
        ns.await / 2.0
    })
}

fn channel(measure: Measure) -> f64 {
    on_core(async move {
        let (there, mut there_rx) = local::unbounded();
        let (back, mut back_rx) = local::unbounded();
        let echo = spawn_local(async move {
            while let Some(value) = there_rx.recv().await {
                back.send(value).expect("the receiver lives");
            }
        });
        let ns = measure.ns(async |count| {
            for n in 0..count {
                there.send(n).expect("the receiver lives");
                assert_eq!(back_rx.recv().await, Some(n));
            }
        });
        let ns = ns.await;
        drop(there);
        echo.await.expect("it returns");
        ns
    })
}

fn light_thread(measure: Measure) -> f64 {
    on_core(async move {
        let ns = measure.ns(async |count| {
            for _ in 0..count {
                drop(black_box(LightThread::new("short-lived")));
            }
        });
        ns.await
    })
}

/// As `event_perf` does: so many events are under way, and each sends the next.
fn events_self(measure: Measure) -> f64 {
    const UNDER_WAY: u64 = 8;
    thread_local! {
        static LEFT: Cell<u64> = const { Cell::new(0) };
    }
    fn next() {
        let left = LEFT.get();
        if left > 0 {
            LEFT.set(left - 1);
            post(Core::current(), next).expect("the core runs");
        }
    }
    on_core(async move {
        let ns = measure.ns(async |count| {
            LEFT.set(count);
            (0..UNDER_WAY.min(count)).for_each(|_| next());
            while LEFT.get() > 0 {
                yield_now().await;
            }
            // Those that were sent last.
            yield_now().await;
        });
        1e3 / ns.await
    })
}

fn idle_turn(measure: Measure, pollers: usize, timers: usize) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    let _registered: Vec<Poller> = executor.enter_with(|| {
        let every_turn = (0..pollers).map(|n| Poller::register("idle", move || black_box(n) == usize::MAX));
        let timed = (0..timers).map(|_| Poller::every("not due", Duration::from_secs(3600), || false));
        every_turn.chain(timed).collect()
    });
    while executor.turn().is_busy() {}
    measure.ns_blocking(|count| {
        for _ in 0..count {
            black_box(executor.turn());
        }
    })
}

fn timer(measure: Measure) -> f64 {
    on_core(async move {
        let ns = measure.ns(async |count| {
            for _ in 0..count {
                let mut sleep = pin!(time::sleep(Duration::from_secs(60)));
                poll_fn(|cx| {
                    assert!(sleep.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
        });
        ns.await
    })
}
