//! Tasks stepped by hand: polls, wakes and drops are counted after each step.

mod memory;

use super::*;
use crate::sys::sync::Arc;
use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn, ready},
    pin::Pin,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

/// A home turned by hand on this thread.
struct Bench {
    home: Arc<Home>,
    entered: Option<Entered>,
    rings: std::sync::Arc<AtomicUsize>,
}

#[expect(unsafe_code, reason = "a test is the owner of its home")]
fn bench() -> Bench {
    let rings = std::sync::Arc::new(AtomicUsize::new(0));
    let bell = rings.clone();
    let home = Home::new(
        4,
        std::sync::Arc::new(move || {
            bell.fetch_add(1, Relaxed);
        }),
    );
    // SAFETY: entered once, left in `drop`, on this thread.
    let entered = Some(unsafe { home.enter() });
    home.local().unwrap().connect(0, [home.clone()].into_iter());
    Bench { home, entered, rings }
}

impl Bench {
    fn local(&self) -> &Local {
        self.home.local().expect("entered")
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.local().spawn(&self.home, Plain { future })
    }

    /// One turn: events, then a batch. Returns how many of each.
    fn turn(&self) -> (usize, usize) {
        (self.local().run_events(&self.home, 100), self.local().run_tasks(1, 100, |_| ()))
    }

    fn end(&mut self) {
        if let Some(entered) = self.entered.take() {
            self.local().cancel_all();
            let orphans = self.local().close(&self.home);
            drop(entered);
            drop(orphans);
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.end();
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A future that leaves its waker outside and counts its polls and its drop.
#[derive(Clone, Default)]
struct Probe {
    polls: Rc<Cell<usize>>,
    drops: Rc<Cell<usize>>,
    waker: Rc<RefCell<Option<Waker>>>,
    is_ready: Rc<Cell<bool>>,
}

struct Probed(Probe);

impl Future for Probed {
    type Output = &'static str;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.polls.set(self.0.polls.get() + 1);
        self.0.waker.replace(Some(cx.waker().clone()));
        if self.0.is_ready.get() { Poll::Ready("done") } else { Poll::Pending }
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.0.drops.set(self.0.drops.get() + 1);
    }
}

#[test]
fn a_task_runs_in_the_batch_after_its_spawn_and_hands_its_output_over() {
    let bench = bench();
    let mut handle = bench.spawn(ready(7));
    assert!(poll(&mut handle).is_pending());
    assert_eq!(bench.turn(), (0, 1));
    assert!(matches!(poll(&mut handle), Poll::Ready(Ok(7))));
    assert_eq!(bench.local().live(), 0);
}

#[test]
fn tasks_woken_in_a_batch_run_in_the_next() {
    let bench = bench();
    let mut left = 3;
    bench
        .spawn(poll_fn(move |cx| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }))
        .detach();
    assert_eq!([bench.turn().1, bench.turn().1, bench.turn().1], [1, 1, 1]);
    assert_eq!(bench.turn().1, 1, "the wake before the end is still in the queue");
    assert_eq!((bench.turn().1, bench.local().live()), (0, 0));
}

#[test]
fn waking_twice_polls_once() {
    let bench = bench();
    let probe = Probe::default();
    let _handle = bench.spawn(Probed(probe.clone()));
    bench.turn();
    let waker = probe.waker.take().unwrap();
    waker.wake_by_ref();
    let clone = waker.clone();
    waker.wake();
    clone.wake();
    assert_eq!((bench.turn(), probe.polls.get()), ((0, 1), 2));
}

#[test]
fn abort_drops_the_future_in_the_next_batch_and_tells_who_awaits() {
    let bench = bench();
    let probe = Probe::default();
    let mut handle = bench.spawn(Probed(probe.clone()));
    bench.turn();
    handle.abort();
    assert_eq!(probe.drops.get(), 0);
    bench.turn();
    assert_eq!((probe.polls.get(), probe.drops.get()), (1, 1));
    assert!(matches!(poll(&mut handle), Poll::Ready(Err(JoinError::Cancelled))));
}

#[test]
fn a_task_may_abort_itself_while_it_runs() {
    let bench = bench();
    let own = Rc::new(RefCell::new(None::<AbortHandle>));
    let (handle_in, drops) = (own.clone(), Rc::new(()));
    let held = drops.clone();
    let mut handle = bench.spawn(poll_fn(move |_| {
        let _ = &held;
        handle_in.borrow().as_ref().unwrap().abort();
        Poll::<()>::Pending
    }));
    own.replace(handle.abort_handle());
    bench.turn();
    assert_eq!(Rc::strong_count(&drops), 2);
    bench.turn();
    assert_eq!(Rc::strong_count(&drops), 1);
    assert!(matches!(poll(&mut handle), Poll::Ready(Err(JoinError::Cancelled))));
}

#[test]
fn a_panic_reaches_who_awaits_and_the_others_run_on() {
    let bench = bench();
    let mut bad = bench.spawn(async { panic!("on purpose {}", 1) });
    let mut good = bench.spawn(ready(1));
    assert_eq!(bench.turn(), (0, 2));
    match poll(&mut bad) {
        Poll::Ready(Err(JoinError::Panicked(panic))) => assert_eq!(panic.message(), "on purpose 1"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(poll(&mut good), Poll::Ready(Ok(1))));
}

/// Wherever user code runs, its panic ends there: future's drop, output's drop, awaiting waker.
#[test]
fn panics_in_drops_and_wakers_stay_where_they_are() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a drop's panic, on purpose");
        }
    }
    struct BadWaker;
    impl std::task::Wake for BadWaker {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("a waker's panic, on purpose");
        }
    }
    let mut bench = bench();
    let bomb = Bomb;
    let mut future_drop = bench.spawn(async move {
        let _bomb = &bomb;
        std::mem::forget(bomb);
    });
    let bomb = Bomb;
    let mut held = Some(bomb);
    let mut at_end = bench.spawn(poll_fn(move |_| {
        let _ = &mut held;
        Poll::Ready(())
    }));
    bench.spawn(async { Bomb }).detach();
    let mut awaited = bench.spawn(ready(5));
    let waker = Waker::from(std::sync::Arc::new(BadWaker));
    assert!(Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker)).is_pending());
    let aborted = bench.spawn(async {
        let _bomb = Bomb;
        pending::<()>().await;
    });
    let mut last = bench.spawn(ready(6));
    bench.turn();
    aborted.abort();
    bench.turn();
    assert!(matches!(poll(&mut future_drop), Poll::Ready(Ok(()))));
    assert!(matches!(poll(&mut at_end), Poll::Ready(Err(JoinError::Panicked(_)))));
    assert!(matches!(poll(&mut awaited), Poll::Ready(Ok(5))));
    assert!(matches!(poll(&mut last), Poll::Ready(Ok(6))));
    drop(aborted);
    assert_eq!(bench.local().live(), 0);
    bench.end();
}

#[test]
fn a_waker_used_abroad_goes_through_the_inbox_and_wakes_a_sleeper_once() {
    let bench = bench();
    let probe = Probe::default();
    let mut handle = bench.spawn(Probed(probe.clone()));
    bench.turn();
    let waker = probe.waker.take().unwrap();
    assert!(bench.local().park(&bench.home));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            waker.wake_by_ref();
            waker.wake_by_ref();
            let clone = waker.clone();
            clone.wake_by_ref();
            clone.wake();
            waker.wake();
        });
    });
    assert_eq!(bench.rings.load(Relaxed), 1);
    bench.local().unpark(&bench.home);
    probe.is_ready.set(true);
    let (events, tasks) = bench.turn();
    assert_eq!(tasks, 1);
    assert!(events <= 3, "{events} events: one for the references' wakes, two that carry references home");
    assert!(matches!(poll(&mut handle), Poll::Ready(Ok("done"))));
    probe.waker.take();
    assert_eq!(bench.local().live(), 0);
}

/// Every use of a waker on a foreign thread, before and after the core is gone, in every order of two.
#[test]
fn wakers_outlive_their_core_and_free_what_they_hold() {
    type Use = fn(Waker);
    let uses: [Use; 5] = [
        drop,
        Waker::wake,
        |w| w.wake_by_ref(),
        |w| drop(w.clone()),
        |w| {
            let clone = w.clone();
            drop(w);
            clone.wake();
        },
    ];
    for first in uses {
        for second in uses {
            for dead in 0..3 {
                let mut bench = bench();
                let probe = Probe::default();
                let mut handle = Some(bench.spawn(Probed(probe.clone())));
                bench.turn();
                let (one, two) = (probe.waker.take().unwrap(), handle.as_ref().unwrap().abort_handle());
                let other = one.clone();
                let abroad =
                    |waker, f: Use| std::thread::scope(|scope| scope.spawn(move || f(waker)).join().unwrap());
                if dead == 0 {
                    bench.end();
                }
                abroad(one, first);
                if dead == 1 {
                    bench.end();
                }
                abroad(other, second);
                if dead == 2 {
                    drop(handle.take());
                    bench.end();
                }
                two.unwrap().abort();
                drop(handle);
                assert_eq!(probe.drops.get(), 1);
                assert_eq!(Arc::strong_count(&bench.home), 1, "no orphan is left");
            }
        }
    }
}

#[test]
fn the_end_of_a_core_drops_futures_and_events_and_leaves_outputs_to_their_handles() {
    let mut bench = bench();
    let witness = std::sync::Arc::new(());
    let (in_future, in_output, in_event) = (witness.clone(), witness.clone(), witness.clone());
    let waiting = bench.spawn(async move {
        let _held = in_future;
        pending::<()>().await;
    });
    let finished = bench.spawn(async move { in_output });
    bench.turn();
    assert!(bench.home.send(move || drop(in_event)).is_ok());
    bench.end();
    assert_eq!(std::sync::Arc::strong_count(&witness), 2);
    drop((waiting, finished));
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
    assert!(bench.home.send(|| ()).is_err());
    assert_eq!(Arc::strong_count(&bench.home), 1);
}

#[test]
fn a_handle_that_went_abroad_gets_the_result() {
    let bench = bench();
    let handle = bench.spawn(ready(9));
    let asker = std::thread::spawn(move || handle.wait());
    while !asker.is_finished() {
        bench.turn();
    }
    assert_eq!(asker.join().unwrap().unwrap(), 9);
    bench.turn();
    assert_eq!(bench.local().live(), 0);
}

#[test]
fn a_task_for_the_own_core_goes_through_the_inbox_and_back() {
    let bench = bench();
    let mut handle = call_remote(&bench.home, bench.local(), 0, || async { String::from("a result") });
    assert!(poll(&mut handle).is_pending());
    assert_eq!(bench.turn().0, 1);
    assert_eq!(poll(&mut handle).map(Result::unwrap), Poll::Ready("a result".into()));
    let mut gone = call_remote(&bench.home, bench.local(), 1, || async { 1 });
    assert!(matches!(poll(&mut gone), Poll::Ready(Err(JoinError::CoreGone))));
    let mut panicked = call_remote(&bench.home, bench.local(), 0, || async { panic!("there") });
    bench.turn();
    assert!(matches!(poll::<JoinHandle<()>>(&mut panicked), Poll::Ready(Err(JoinError::Panicked(_)))));
    let mut aborted = call_remote(&bench.home, bench.local(), 0, pending::<()>);
    bench.turn();
    aborted.abort();
    bench.turn();
    bench.turn();
    assert!(matches!(poll(&mut aborted), Poll::Ready(Err(JoinError::Cancelled))));
    drop((gone, panicked, aborted));
    assert_eq!(bench.local().live(), 0);
}
