//! The workloads of one core: spawn, yield, local channel, wakers, and the memory of idle tasks.
//!
//! Each runs inside a spawned task, because some runtimes treat the future given to `block_on` apart.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::countdown::Countdown;
use crate::{Idle, Measure, Runtime, allocated_by, yield_once};

/// Runs `work` as a task of its own and gives its result.
fn as_task<R: Runtime, T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    R::block_on(Idle::Park, async { R::spawn(work).await })
}

/// Spawns `batch` tasks that each return a number, then awaits them; the value is for one of them.
///
/// With a batch of one the loop goes round for each task, with more its turn is shared.
pub(crate) fn spawn_join<R: Runtime>(measure: &Measure, batch: u64) {
    let m = measure.clone();
    let ns = as_task::<R, _>(async move {
        let mut tasks = VecDeque::new();
        m.ns_per_op(async |count| {
            for _ in 0..count {
                tasks.extend((0..batch).map(|n| R::spawn(async move { n })));
                while let Some(task) = tasks.pop_front() {
                    black_box(task.await);
                }
            }
        })
        .await
    });
    measure.print(&measure.workload, ns / batch as f64);
}

async fn yield_times(count: u64) {
    for _ in 0..count {
        yield_once().await;
    }
}

/// `tasks` tasks that each wake themselves and return `Pending`, again and again; the value is for one yield.
pub(crate) fn yields<R: Runtime>(measure: &Measure, tasks: u64) {
    let m = measure.clone();
    let ns = as_task::<R, _>(async move {
        m.ns_per_op(async |count| {
            let yielding: Vec<_> = (0..tasks).map(|_| R::spawn(yield_times(count))).collect();
            for task in yielding {
                task.await;
            }
        })
        .await
    });
    measure.print(&measure.workload, ns / tasks as f64);
}

/// A number goes to a second task and comes back, over two channels.
pub(crate) fn channel<R: Runtime>(measure: &Measure) {
    let m = measure.clone();
    let ns = as_task::<R, _>(async move {
        let (there, mut there_rx) = R::channel();
        let (back, mut back_rx) = R::channel();
        R::spawn_detached(async move {
            loop {
                let value = R::recv(&mut there_rx).await;
                R::send(&back, value).await;
            }
        });
        let ns = m
            .ns_per_op(async |count| {
                for n in 0..count {
                    R::send(&there, n).await;
                    assert_eq!(R::recv(&mut back_rx).await, n);
                }
            })
            .await;
        // The second task waits for ever: it must not see the channel close before the process ends.
        std::mem::forget(there);
        ns
    });
    measure.print("channel_local", ns);
}

type Slot = Rc<RefCell<Option<Waker>>>;

/// Stores a clone of the own waker, wakes the partner by the clone that it stored, and waits to be woken: `count` times.
async fn partner(own: Slot, other: Slot, count: u64) {
    for _ in 0..count {
        let mut waiting = false;
        poll_fn(|context| {
            if waiting {
                return Poll::Ready(());
            }
            waiting = true;
            *own.borrow_mut() = Some(context.waker().clone());
            wake(&other);
            Poll::Pending
        })
        .await;
    }
    wake(&other);
}

fn wake(slot: &Slot) {
    let waker = slot.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Two tasks that wake each other; the value is for one wake and poll, of which a round has two.
pub(crate) fn waker<R: Runtime>(measure: &Measure) {
    let m = measure.clone();
    let ns = as_task::<R, _>(async move {
        m.ns_per_op(async |count| {
            let (a, b) = (Slot::default(), Slot::default());
            let first = R::spawn(partner(a.clone(), b.clone(), count));
            let second = R::spawn(partner(b, a, count));
            first.await;
            second.await;
        })
        .await
    });
    measure.print("waker", ns / 2.0);
}

#[derive(Default)]
struct Waiting {
    started: Countdown,
    /// Outside of the counted memory. Without a waker somewhere a task can never run again, and monoio frees it.
    wakers: RefCell<Vec<Waker>>,
}

/// A task that waits for a wake that never comes.
async fn idle(waiting: Rc<Waiting>) {
    poll_fn(|context| {
        waiting.wakers.borrow_mut().push(context.waker().clone());
        waiting.started.count();
        Poll::Pending
    })
    .await
}

/// What 100,000 pending tasks take beyond their futures, in bytes each.
pub(crate) fn bytes_per_task<R: Runtime>(measure: &Measure) {
    const TASKS: usize = 100_000;
    // In batches, so that a run queue grown to all of them does not count as the tasks' own memory.
    const BATCH: usize = 1_000;
    let bytes = as_task::<R, _>(async {
        let waiting = Rc::new(Waiting::default());
        waiting.wakers.borrow_mut().reserve(TASKS);
        allocated_by(async || {
            for _ in 0..TASKS / BATCH {
                waiting.started.start(BATCH);
                for _ in 0..BATCH {
                    R::spawn_detached(idle(waiting.clone()));
                }
                waiting.started.zero().await;
            }
        })
        .await
    });
    let future = size_of_val(&idle(Rc::default()));
    measure.print("bytes_per_task", bytes as f64 / TASKS as f64 - future as f64);
}
