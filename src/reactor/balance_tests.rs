//! Balanced tasks on two cores stepped by hand, and under stress on two threads.

use super::{Group, Handle, LocalExecutor, Mode, testing::on_two_cores};
use crate::{JoinError, JoinHandle, spawn_balanced, spawn_local, time::Clock, yield_now};
use std::{
    collections::HashSet,
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Poll, Waker},
};

/// Two cores of one runtime on this thread, to be turned by hand.
fn pair() -> [LocalExecutor; 2] {
    let group = Group::new([0, 1], Mode::Poll).expect("two doorbells");
    [0, 1].map(|index| LocalExecutor::of_group(group.clone(), index, Clock::manual().0).expect("a core"))
}

fn core_id() -> usize {
    crate::Core::current().id()
}

fn result<T: 'static>(executor: &LocalExecutor, handle: JoinHandle<T>) -> Result<T, JoinError> {
    executor.block_on(handle)
}

#[test]
fn idle_core_takes_what_a_busy_one_has_started() {
    let [busy, idle] = pair();
    let tasks: Vec<_> = busy.enter_with(|| (0..10).map(|_| spawn_balanced(async { core_id() })).collect());
    assert_eq!(idle.turn().tasks, 1, "stolen, and the first of them run");
    while idle.turn().tasks > 0 {}
    while busy.turn().tasks > 0 {}
    let ran: Vec<_> = tasks.into_iter().map(|task| result(&busy, task).unwrap()).collect();
    assert!(ran.contains(&1), "{ran:?}");
}

/// A core with pinned work of its own leaves other cores' tasks alone, and pinned tasks never move.
#[test]
fn busy_core_does_not_steal_and_pinned_tasks_stay() {
    let [first, second] = pair();
    let pinned = first.spawn_local(async { core_id() });
    let task = first.enter_with(|| spawn_balanced(async { core_id() }));
    let own = second.spawn_local(yield_now());
    assert_eq!(second.turn().tasks, 1);
    assert_eq!(second.turn().tasks, 1);
    assert_eq!(first.turn().tasks, 2);
    assert_eq!(result(&first, task).unwrap(), 0);
    assert_eq!(result(&first, pinned).unwrap(), 0);
    result(&second, own).unwrap();
}

#[test]
fn turn_polls_a_bounded_number_and_self_wakers_wait() {
    let [core, _other] = pair();
    let polls = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = core.enter_with(|| {
        (0..100)
            .map(|_| {
                let polls = polls.clone();
                spawn_balanced(async move {
                    loop {
                        polls.fetch_add(1, SeqCst);
                        yield_now().await;
                    }
                })
            })
            .collect()
    });
    core.turn();
    assert_eq!(polls.load(SeqCst), super::balance::POLLS_MAX);
    // With one from outside: it does not starve.
    let done = core.handle().spawn_balanced(async {});
    core.turn();
    assert_eq!(polls.load(SeqCst), 2 * super::balance::POLLS_MAX);
    tasks.iter().for_each(|task: &JoinHandle<()>| task.abort());
    assert!(result(&core, done).is_ok());
    for task in tasks {
        assert!(matches!(result(&core, task), Err(JoinError::Cancelled)));
    }
}

/// A task woken on one core after being polled on another sees everything, and goes on where it was woken.
#[test]
fn task_goes_on_where_it_is_woken() {
    let [first, second] = pair();
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let left = waker.clone();
    let mut cores = Vec::new();
    let task = first.enter_with(|| {
        spawn_balanced(async move {
            for _ in 0..3 {
                cores.push(core_id());
                let mut has_waited = false;
                poll_fn(|cx| {
                    *left.lock().unwrap() = Some(cx.waker().clone());
                    if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            cores
        })
    });
    first.turn();
    let wake = || waker.lock().unwrap().take().unwrap().wake();
    second.enter_with(wake);
    second.turn();
    first.enter_with(wake);
    first.turn();
    // From no core at all: whoever turns next.
    wake();
    second.turn();
    assert_eq!(result(&second, task).unwrap(), [0, 1, 0]);
}

#[test]
fn panic_reaches_who_awaits() {
    let [core, _other] = pair();
    let task = core.enter_with(|| spawn_balanced(async { panic!("of this test") }));
    let Err(JoinError::Panicked(panic)) = result::<()>(&core, task) else { panic!("no panic") };
    assert_eq!(panic.message(), "of this test");
}

/// Says on which core it was dropped.
struct Witness(Arc<Mutex<Vec<Option<usize>>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(crate::Core::try_current().map(crate::Core::id));
    }
}

#[test]
fn aborted_task_is_dropped_on_a_core() {
    let [core, _other] = pair();
    let drops = Arc::new(Mutex::new(Vec::new()));
    let witness = Witness(drops.clone());
    let task = core.enter_with(|| {
        spawn_balanced(async move {
            let _witness = witness;
            pending::<()>().await;
        })
    });
    core.turn();
    let abort = task.abort_handle().unwrap();
    std::thread::spawn(move || abort.abort()).join().unwrap();
    assert!(drops.lock().unwrap().is_empty());
    core.turn();
    assert_eq!(*drops.lock().unwrap(), [Some(0)]);
    assert!(matches!(result(&core, task), Err(JoinError::Cancelled)));
}

/// What a core leaves behind the others run; what the last one leaves is dropped on it, queued and waiting alike.
#[test]
fn last_core_drops_what_is_left() {
    let [first, second] = pair();
    let handle = first.handle();
    let drops = Arc::new(Mutex::new(Vec::new()));
    let start = |core: &LocalExecutor, waits: bool| {
        let witness = Witness(drops.clone());
        core.enter_with(|| {
            spawn_balanced(async move {
                let _witness = witness;
                if waits {
                    pending::<()>().await;
                }
                core_id()
            })
        })
    };
    let moved = start(&first, false);
    drop(first);
    assert!(drops.lock().unwrap().is_empty());
    second.turn();
    assert_eq!(result(&second, moved).unwrap(), 1);
    let waiting = start(&second, true);
    second.turn();
    let queued = start(&second, false);
    drop(second);
    assert_eq!(*drops.lock().unwrap(), [Some(1), Some(1), Some(1)]);
    assert!(matches!(waiting.wait(), Err(JoinError::Cancelled)));
    assert!(matches!(queued.wait(), Err(JoinError::Cancelled)));
    assert!(matches!(handle.spawn_balanced(async {}).wait(), Err(JoinError::CoreGone)));
}

/// Wakers that outlive task and runtime do nothing.
#[test]
fn late_wakers_are_harmless() {
    let [first, second] = pair();
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let left = waker.clone();
    let task = first.enter_with(|| {
        spawn_balanced(poll_fn(move |cx| {
            *left.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }))
    });
    first.turn();
    let waker = waker.lock().unwrap().take().unwrap();
    drop((first, second));
    waker.wake_by_ref();
    waker.wake();
    assert!(matches!(task.wait(), Err(JoinError::Cancelled)));
}

/// One core floods, hops and waits; the other sleeps and steals, in every mode. Each task runs to its end exactly once.
#[test]
fn nothing_is_lost_under_stress() {
    for mode in Mode::ALL {
        let ran = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(HashSet::new()));
        on_two_cores(mode, async || {
            let mut rounds = 0;
            while rounds < 20 || (seen.lock().unwrap().len() < 2 && rounds < 10_000) {
                rounds += 1;
                let tasks: Vec<_> = (0..100)
                    .map(|i| {
                        let (ran, seen) = (ran.clone(), seen.clone());
                        spawn_balanced(async move {
                            for _ in 0..i % 4 {
                                yield_now().await;
                            }
                            let nested = spawn_balanced(async move { i });
                            assert_eq!(nested.await.unwrap(), i);
                            seen.lock().unwrap().insert(core_id());
                            ran.fetch_add(1, Relaxed);
                        })
                    })
                    .collect();
                let local = spawn_local(async { core_id() });
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(local.await.unwrap(), 0);
            }
            assert_eq!(ran.load(SeqCst), rounds * 100);
        });
        assert_eq!(seen.lock().unwrap().len(), 2, "{mode:?}: the other core took its share");
    }
}

/// Both cores sleep; each task from a foreign thread wakes one.
#[test]
fn sleeping_cores_are_woken_for_work() {
    on_two_cores(Mode::Interrupt, async || {
        let handle = Handle::current();
        let (done, is_done) = futures::channel::oneshot::channel();
        let asker = std::thread::spawn(move || {
            for i in 0..500 {
                assert_eq!(handle.spawn_balanced(async move { i }).wait().unwrap(), i);
            }
            done.send(()).unwrap();
        });
        is_done.await.unwrap();
        asker.join().unwrap();
    });
}
