//! The workloads on timers: arming and cancelling one, and many sleeps at once with their CPU time and lateness.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::countdown::Countdown;
use crate::{Idle, Measure, Runtime, cpu_time, percentile};

/// A timer that is armed by its first poll and dropped before it is due.
pub(crate) fn create_cancel<R: Runtime>(measure: &Measure) {
    let m = measure.clone();
    let ns = R::block_on(Idle::Park, async move {
        R::spawn(async move {
            m.ns_per_op(async |count| {
                for _ in 0..count {
                    let mut sleep = pin!(R::sleep(Duration::from_secs(60)));
                    poll_fn(|context| {
                        assert!(sleep.as_mut().poll(context).is_pending());
                        Poll::Ready(())
                    })
                    .await;
                }
            })
            .await
        })
        .await
    });
    measure.print("timer", ns);
}

/// How long timers wait for each other where that is tried: a fifth of the tick that others go by.
pub(crate) const SLACK: Duration = Duration::from_micros(200);

#[derive(Default)]
struct Progress {
    asleep: Countdown,
    late_us: RefCell<Vec<f64>>,
}

/// `tasks` tasks that each sleep once, for times spread evenly over 100 ms, in an order that is not that of their ends; with `slack` where
/// the runtime can be told.
///
/// The CPU time is that of the thread, from before the first spawn until all have ended.
pub(crate) fn sleeps<R: Runtime>(measure: &Measure, tasks: usize, slack: Option<Duration>) {
    const SPREAD: Duration = Duration::from_millis(100);
    // Prime to both counts: every multiple names another task.
    const STRIDE: usize = 7919;
    let (cpu, mut late_us) = R::block_on_slack(slack, async move {
        R::spawn(async move {
            let progress = Rc::new(Progress::default());
            progress.asleep.start(tasks);
            progress.late_us.borrow_mut().reserve(tasks);
            let before = cpu_time();
            for task in 0..tasks {
                let duration = SPREAD * (task * STRIDE % tasks) as u32 / tasks as u32;
                let progress = progress.clone();
                R::spawn_detached(async move {
                    let start = Instant::now();
                    R::sleep(duration).await;
                    let late = start.elapsed().saturating_sub(duration);
                    progress.late_us.borrow_mut().push(late.as_nanos() as f64 / 1e3);
                    progress.asleep.count();
                });
            }
            progress.asleep.zero().await;
            (cpu_time() - before, progress.late_us.take())
        })
        .await
    });
    measure.print(&format!("{}_cpu", measure.workload), cpu.as_secs_f64() * 1e3);
    measure.print(&format!("{}_p50", measure.workload), percentile(&mut late_us, 50));
    measure.print(&format!("{}_p99", measure.workload), percentile(&mut late_us, 99));
}
