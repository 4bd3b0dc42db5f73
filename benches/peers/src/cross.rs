//! The workloads between two cores: a call with its answer, one-way events, and a typed channel.
//!
//! Core 0 measures, core 1 serves. Both are pinned; which of them may sleep is said by [`Idle`].

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Idle, Measure, Remote, Runtime, median, spin_for, yield_once};

/// Has the other core run a task and awaits its answer, one at a time, with both cores polling.
pub(crate) fn round_trip_polling<R: Runtime>(measure: &Measure) {
    let m = measure.clone();
    let ns = R::with_remote(Idle::Poll, async move |mut remote: R::Remote| {
        m.ns_per_op(async |count| {
            for n in 0..count {
                black_box(remote.spawn(async move { n }).await.await);
            }
        })
        .await
    });
    measure.print("cross_poll", ns);
}

/// The same after a pause in which the other core falls asleep; the own core sleeps until the answer comes.
pub(crate) fn round_trip_asleep<R: Runtime>(measure: &Measure) {
    const PAUSE: Duration = Duration::from_micros(500);
    let calls = if measure.quick { 200 } else { 1_000 };
    let us = R::with_remote(Idle::Park, async move |mut remote: R::Remote| {
        let mut samples = Vec::with_capacity(calls);
        for n in 0..calls as u64 {
            spin_for(PAUSE);
            let start = Instant::now();
            black_box(remote.spawn(async move { n }).await.await);
            samples.push(start.elapsed().as_nanos() as f64 / 1e3);
        }
        median(&mut samples)
    });
    measure.print("cross_asleep", us);
}

/// Spawns with answers of which `window` are under way; the oldest is awaited before the next is sent.
pub(crate) fn in_flight<R: Runtime>(measure: &Measure, window: usize) {
    let m = measure.clone();
    let ns = R::with_remote(Idle::Poll, async move |mut remote: R::Remote| {
        let mut answers = VecDeque::with_capacity(window);
        m.ns_per_op(async |count| {
            for n in 0..count {
                if answers.len() == window {
                    black_box(answers.pop_front().expect("the window is not empty").await);
                }
                answers.push_back(remote.spawn(async move { n }).await);
            }
            while let Some(answer) = answers.pop_front() {
                black_box(answer.await);
            }
        })
        .await
    });
    measure.print(&measure.workload, 1e3 / ns);
}

/// Counts the events that have run; written by the far core alone.
static RAN: AtomicU64 = AtomicU64::new(0);

/// Events without an answer; the sender waits while `window` of them have not run yet.
pub(crate) fn events<R: Runtime>(measure: &Measure, window: u64) {
    let m = measure.clone();
    let ns = R::with_remote(Idle::Poll, async move |mut remote: R::Remote| {
        let mut sent = 0;
        let mut ran = 0;
        m.ns_per_op(async |count| {
            let last = sent + count;
            while sent < last {
                if sent - ran >= window {
                    ran = RAN.load(Ordering::Acquire);
                    if sent - ran >= window {
                        yield_once().await;
                        continue;
                    }
                }
                let event = sent;
                remote
                    .post(move || {
                        black_box(event);
                        RAN.store(RAN.load(Ordering::Relaxed) + 1, Ordering::Release);
                    })
                    .await;
                sent += 1;
            }
            while ran < last {
                yield_once().await;
                ran = RAN.load(Ordering::Acquire);
            }
        })
        .await
    });
    measure.print(&measure.workload, 1e3 / ns);
}

/// A stream of numbers from core to core through the runtime's typed channel.
pub(crate) fn channel<R: Runtime>(measure: &Measure) {
    let count = if measure.quick { R::FAR_MESSAGES / 8 } else { R::FAR_MESSAGES };
    let (tx, rx) = R::far_channel(1024);
    let elapsed = R::on_two_cores(
        Idle::Park,
        async move || {
            let start = Instant::now();
            assert_eq!(R::consume(rx, count).await, count * (count - 1) / 2);
            start.elapsed()
        },
        async move || R::produce(tx, count).await,
    );
    measure.print("channel_cross", count as f64 / elapsed.as_secs_f64() / 1e6);
}
