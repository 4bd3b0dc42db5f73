//! Between two cores: calls with their answers, events, a call on every core and the typed ring.
//!
//! On a virtual machine the line between the cores may change its speed from one second to the next, so it is measured first
//! and last: where the two differ, measure again.

use crate::harness::{Bench, Measure, Target::*, median};
use reactor::{
    Core, JoinHandle, Mode, app::Builder, call_on, on_every_core, post, spawn_on, sync::spsc, sys::cpu,
    yield_now,
};
use std::{
    collections::VecDeque,
    hint::{black_box, spin_loop},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

pub fn rows(bench: &mut Bench) {
    let allowed = cpu::allowed().expect("the processors are known");
    let &[near, far, ..] = &allowed.iter().collect::<Vec<_>>()[..] else {
        eprintln!("rows with two cores are left out: this process may run on one only");
        return;
    };
    let two = Two { near, far };

    bench.group("Between two cores");
    bench.row("line_before", "cache line there and back", "ns", None, |m| two.line(m));
    bench.row("cross_poll", "call with its answer, both awake", "ns", AtMost(150.0), |m| two.call_awake(m));
    bench.row("cross_asleep", "call with its answer, both asleep", "µs", AtMost(40.0), |m| {
        two.call_asleep(m)
    });
    bench.row("cross_1024", "calls with answers, 1,024 under way", "M/s", AtLeast(25.0), |m| {
        two.calls(m, 1_024)
    });
    bench.row("events_32", "one-way events, window 32", "M/s", AtLeast(40.0), |m| two.events(m, 32));
    bench.row("events_256", "one-way events, window 256", "M/s", AtLeast(40.0), |m| two.events(m, 256));
    bench.row("events_4096", "one-way events, window 4,096", "M/s", AtLeast(40.0), |m| two.events(m, 4_096));
    bench.row("every_core", "call on every core, 2 cores", "µs", AtMost(1.0), |m| two.every_core(m));
    bench.row("ring", "typed ring, one message at a time", "M/s", AtLeast(150.0), |m| two.ring(m, 1));
    bench.row("ring_16", "typed ring, 16 at a time", "M/s", None, |m| two.ring(m, 16));
    bench.row("line_after", "cache line there and back", "ns", None, |m| two.line(m));
}

/// The two processors.
struct Two {
    near: usize,
    far: usize,
}

/// Nothing else shares its cache line.
#[repr(align(128))]
struct Line(AtomicU64);

impl Two {
    /// Runs `work` on the near core; it is given the far one.
    fn run<T>(&self, mode: Mode, work: impl AsyncFnOnce(Core) -> T) -> T {
        let cores = format!("{},{}", self.near, self.far);
        let app = Builder::new().cores(&*cores).mode(mode).signals(false);
        app.run(async move || work(Core::nth(1).expect("two cores were asked for")).await)
            .expect("both cores run")
    }

    fn line(&self, measure: Measure) -> f64 {
        static THERE: Line = Line(AtomicU64::new(0));
        static BACK: Line = Line(AtomicU64::new(0));
        const END: u64 = u64::MAX;
        self.run(Mode::Poll, async |far| {
            let echo = call_on(far, async || {
                loop {
                    let value = THERE.0.load(Acquire);
                    BACK.0.store(value, Release);
                    if value == END {
                        return;
                    }
                    spin_loop();
                }
            });
            let mut value = 0;
            let ns = measure.ns_blocking(|count| {
                for _ in 0..count {
                    value += 1;
                    THERE.0.store(value, Release);
                    while BACK.0.load(Acquire) != value {
                        spin_loop();
                    }
                }
            });
            THERE.0.store(END, Release);
            echo.await.expect("it returns");
            THERE.0.store(0, Release);
            ns
        })
    }

    fn call_awake(&self, measure: Measure) -> f64 {
        self.run(Mode::Poll, async |far| {
            let ns = measure.ns(async |count| {
                for n in 0..count {
                    assert_eq!(spawn_on(far, async move { n }).await.expect("it returns"), n);
                }
            });
            ns.await
        })
    }

    fn call_asleep(&self, measure: Measure) -> f64 {
        const PAUSE: Duration = Duration::from_micros(500);
        let calls = if measure.quick { 20 } else { 1_000 };
        self.run(Mode::Interrupt, async |far| {
            let mut samples = Vec::with_capacity(calls);
            for n in 0..calls {
                let start = Instant::now();
                while start.elapsed() < PAUSE {
                    spin_loop();
                }
                let start = Instant::now();
                black_box(spawn_on(far, async move { n }).await.expect("it returns"));
                samples.push(start.elapsed().as_nanos() as f64 / 1e3);
            }
            median(&mut samples)
        })
    }

    fn calls(&self, measure: Measure, window: usize) -> f64 {
        self.run(Mode::Poll, async |far| {
            let mut answers = VecDeque::<JoinHandle<u64>>::with_capacity(window);
            let ns = measure.ns(async |count| {
                for n in 0..count {
                    if answers.len() == window {
                        let oldest = answers.pop_front().expect("the window is not empty");
                        black_box(oldest.await.expect("it returns"));
                    }
                    answers.push_back(spawn_on(far, async move { n }));
                }
                while let Some(answer) = answers.pop_front() {
                    black_box(answer.await.expect("it returns"));
                }
            });
            1e3 / ns.await
        })
    }

    /// The sender waits while `window` events have not run.
    fn events(&self, measure: Measure, window: u64) -> f64 {
        static RAN: Line = Line(AtomicU64::new(0));
        RAN.0.store(0, Relaxed);
        self.run(Mode::Poll, async |far| {
            let (mut sent, mut ran) = (0, 0);
            let ns = measure.ns(async |count| {
                let last = sent + count;
                while sent < last {
                    if sent - ran >= window {
                        ran = RAN.0.load(Acquire);
                        if sent - ran >= window {
                            yield_now().await;
                            continue;
                        }
                    }
                    // One writer: the far core.
                    post(far, || RAN.0.store(RAN.0.load(Relaxed) + 1, Release)).expect("the core runs");
                    sent += 1;
                }
                while RAN.0.load(Acquire) < last {
                    yield_now().await;
                }
            });
            1e3 / ns.await
        })
    }

    fn every_core(&self, measure: Measure) -> f64 {
        self.run(Mode::Poll, async |_far| {
            let ns = measure.ns(async |count| {
                for _ in 0..count {
                    black_box(on_every_core(async || black_box(1)).await);
                }
            });
            ns.await / 1e3
        })
    }

    /// Numbers from the far core to the near one.
    fn ring(&self, measure: Measure, batch: usize) -> f64 {
        self.run(Mode::Poll, async |far| {
            let (mut tx, mut rx) = spsc::channel(1_024);
            let producer = call_on(far, async move || {
                let mut values = 0_u64..;
                loop {
                    if batch == 1 {
                        let Ok(()) = tx.send(values.next().expect("endless")).await else { return };
                    } else {
                        let Ok(_room) = tx.ready().await else { return };
                        let Ok(_sent) = tx.try_send_many(&mut values.by_ref().take(batch)) else { return };
                    }
                }
            });
            let mut many = Vec::with_capacity(batch);
            let ns = measure.ns(async |count| {
                let mut received = 0;
                while received < count {
                    if batch == 1 {
                        black_box(rx.recv().await);
                        received += 1;
                    } else {
                        received += rx.recv_many(&mut many, batch).await as u64;
                        black_box(&many);
                        many.clear();
                    }
                }
            });
            let ns = ns.await;
            drop(rx);
            producer.await.expect("it returns");
            1e3 / ns
        })
    }
}
