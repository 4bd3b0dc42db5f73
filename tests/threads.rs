//! Light threads on a core stepped by hand: what they own, what they spend, and how they end.

use reactor::{
    JoinError, LightThread, LocalExecutor, Poller, ThreadRef, Work, spawn_local,
    time::{Clock, VirtualClock, sleep},
    yield_now,
};
use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    rc::Rc,
    task::Poll,
    time::Duration,
};

const MS: Duration = Duration::from_millis(1);

fn bench() -> (LocalExecutor, VirtualClock) {
    let (clock, hand) = Clock::manual();
    (LocalExecutor::with_clock(clock).expect("a core"), hand)
}

/// Turns until a turn does nothing.
fn settle(executor: &LocalExecutor) {
    while executor.turn().is_busy() {}
}

fn current_name() -> Option<String> {
    ThreadRef::current().map(|thread| thread.name().to_owned())
}

/// Says when it is dropped.
struct Witness(Rc<Cell<usize>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Tasks of a task, tasks of a poller and tasks of a timed poller belong to the thread that the first was started in.
#[test]
fn what_a_thread_starts_belongs_to_it() {
    let (executor, hand) = bench();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let see = |what: &'static str| {
        let seen = seen.clone();
        async move { seen.borrow_mut().push((what, current_name())) }
    };
    let thread = executor.enter_with(|| LightThread::new("owner"));
    executor.enter_with(|| {
        assert_eq!(current_name(), None);
        let (task, poller, timed) = (see("task"), see("poller"), see("timed"));
        thread.spawn_local(async move { spawn_local(task).await.unwrap() }).detach();
        let mut once = Some(poller);
        let every_turn = thread
            .register_poller("every turn", move || once.take().map(|f| spawn_local(f).detach()).is_some());
        let mut once = Some(timed);
        let timed = thread.every("timed", MS, move || once.take().map(|f| spawn_local(f).detach()).is_some());
        spawn_local(see("outside")).detach();
        assert_eq!((thread.stats().tasks, thread.stats().pollers), (1, 2));
        std::mem::forget((every_turn, timed));
    });
    settle(&executor);
    hand.advance(MS);
    settle(&executor);
    let owner = Some("owner".to_owned());
    let mut seen = seen.take();
    seen.sort();
    assert_eq!(
        seen,
        [("outside", None), ("poller", owner.clone()), ("task", owner.clone()), ("timed", owner)]
    );
    executor.enter_with(|| assert_eq!((thread.stats().tasks, thread.stats().pollers), (0, 2)));
}

/// Time in tasks and busy pollers is the thread's that they belong to; idle pollers and everything else are not.
#[test]
fn each_thread_is_charged_what_it_spends() {
    let (executor, hand) = bench();
    let (first, second) = executor.enter_with(|| (LightThread::new("first"), LightThread::new("second")));
    let spend = |ms: u32| {
        let hand = hand.clone();
        async move {
            hand.advance(MS * ms);
            yield_now().await;
            hand.advance(MS * ms);
        }
    };
    executor.enter_with(|| {
        first.spawn_local(spend(3)).detach();
        spawn_local(spend(100)).detach();
        second.spawn_local(spend(5)).detach();
    });
    settle(&executor);
    let busy_idle = |thread: &LightThread| {
        let stats = executor.enter_with(|| thread.stats());
        (stats.busy.as_millis(), stats.idle.as_millis())
    };
    assert_eq!(busy_idle(&first), (6, 210));
    assert_eq!(busy_idle(&second), (10, 206));

    let poller = |thread: &LightThread, ms: u32, work: Work| {
        let hand = hand.clone();
        let call = move || {
            hand.advance(MS * ms);
            work
        };
        executor.enter_with(|| thread.register_poller("of the test", call))
    };
    let busy_poller = poller(&first, 1, Work::Busy);
    let _idle_poller = poller(&second, 20, Work::Idle);
    for _ in 0..4 {
        executor.turn();
    }
    assert_eq!(busy_idle(&first).0, 10);
    assert_eq!(executor.enter_with(|| busy_poller.stats()).busy, MS * 4);
    executor.enter_with(|| first.enter(|| hand.advance(MS * 7)));
    assert_eq!(busy_idle(&first).0, 17);
    assert_eq!(busy_idle(&second).0, 10);
}

/// A thread that is asked for its account by itself counts up to that moment.
#[test]
fn stats_from_inside_are_up_to_date() {
    let (executor, hand) = bench();
    let thread = Rc::new(executor.enter_with(|| LightThread::new("curious")));
    let inner = thread.clone();
    let asked = executor.enter_with(|| {
        thread.spawn_local(async move {
            hand.advance(MS * 2);
            let early = inner.stats();
            hand.advance(MS * 3);
            (early.busy, inner.stats().busy)
        })
    });
    assert_eq!(executor.block_on(asked).unwrap(), (MS * 2, MS * 5));
}

#[test]
fn exit_stops_pollers_and_waits_for_tasks() {
    let (executor, hand) = bench();
    let polls = Rc::new(Cell::new(0));
    let drops = Rc::new(Cell::new(0));
    let thread = executor.enter_with(|| LightThread::new("leaving"));
    let reference = thread.to_ref();
    let pollers = executor.enter_with(|| {
        let (polls, drops) = (polls.clone(), drops.clone());
        let (first, second) = (Witness(drops.clone()), Witness(drops));
        let every_turn = thread.register_poller("every turn", move || {
            let _ = &first;
            polls.set(polls.get() + 1);
            Work::Idle
        });
        let timed = thread.every("timed", MS * 1000, move || {
            let _ = &second;
            Work::Idle
        });
        (every_turn, timed)
    });
    executor.enter_with(|| thread.spawn_local(sleep(MS * 5)).detach());
    executor.turn();
    assert_eq!(polls.get(), 1);
    let has_exited = Rc::new(Cell::new(false));
    let exited = has_exited.clone();
    let exit = executor.spawn_local(async move {
        thread.exit().await;
        exited.set(true);
    });
    settle(&executor);
    assert_eq!(
        (polls.get(), drops.get(), has_exited.get()),
        (2, 2, false),
        "pollers are gone, a task is not"
    );
    assert!(pollers.0.is_gone() && pollers.1.is_gone());
    let late = reference.call(async || ());
    settle(&executor);
    assert!(matches!(executor.block_on(late), Err(JoinError::Cancelled)), "no calls once it exits");
    assert!(!has_exited.get());
    hand.advance(MS * 5);
    settle(&executor);
    assert!(has_exited.get());
    executor.block_on(exit).unwrap();
    executor.enter_with(|| assert_eq!(LightThread::all(), []));
    drop(pollers);
}

/// SPDK's way: a thread's own message calls `spdk_thread_exit`.
#[test]
fn thread_may_exit_from_a_task_of_its_own() {
    let (executor, _) = bench();
    let drops = Rc::new(Cell::new(0));
    let thread = Rc::new(Cell::new(Some(executor.enter_with(|| LightThread::new("own")))));
    let done = executor.enter_with(|| {
        let (own, witness) = (thread.take().unwrap(), Witness(drops.clone()));
        let own = Rc::new(Cell::new(Some(own)));
        let inner = own.clone();
        let owner = own.take().unwrap();
        let done = owner.spawn_local(async move {
            let _witness = witness;
            let own: LightThread = poll_fn(|cx| match inner.take() {
                Some(own) => Poll::Ready(own),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            own.exit().await;
            "still here"
        });
        owner.spawn_local(yield_now()).detach();
        own.set(Some(owner));
        done
    });
    assert_eq!(executor.block_on(done).unwrap(), "still here");
    assert_eq!(drops.get(), 1);
}

#[test]
fn dropped_thread_aborts_its_tasks_and_no_others() {
    let (executor, _) = bench();
    let (own, others) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let wait = |witness: Witness| async move {
        let _witness = witness;
        pending::<()>().await;
    };
    for inside in [true, false] {
        own.set(0);
        let thread = executor.enter_with(|| LightThread::new("dropped"));
        let task = executor.enter_with(|| thread.spawn_local(wait(Witness(own.clone()))));
        executor.spawn_local(wait(Witness(others.clone()))).detach();
        settle(&executor);
        if inside {
            executor.enter_with(|| drop(thread))
        } else {
            drop(thread)
        }
        settle(&executor);
        assert_eq!((own.get(), others.get()), (1, 0), "dropped inside of the core: {inside}");
        assert!(matches!(executor.block_on(task), Err(JoinError::Cancelled)));
        executor.enter_with(|| assert_eq!(LightThread::all(), []));
    }
    drop(executor);
    assert_eq!(others.get(), 2);
}

/// A number is used again, and a reference to who had it before finds nobody.
#[test]
fn references_do_not_reach_a_successor() {
    let (executor, _) = bench();
    let old = executor.enter_with(|| LightThread::new("old"));
    let reference = old.to_ref();
    executor.block_on(old.exit());
    let new = executor.enter_with(|| LightThread::new("new"));
    assert!(reference != new.to_ref() && reference.id() < new.id());
    let called = Rc::new(Cell::new(false));
    assert!(matches!(executor.block_on(reference.call(async || ())), Err(JoinError::Cancelled)));
    reference.post(|| unreachable!("the thread is gone")).unwrap();
    settle(&executor);
    let flag = called.clone();
    let name = executor.block_on(async move {
        flag.set(true);
        new.to_ref().call(async || current_name()).await
    });
    assert_eq!((name.unwrap().as_deref(), called.get()), (Some("new"), true));
}

/// The number of a thread that is gone is not given away while one of its tasks still runs under it.
#[test]
fn numbers_wait_for_the_last_task() {
    let (executor, hand) = bench();
    executor.enter_with(|| {
        let first = LightThread::new("first");
        first.spawn_local(pending::<()>()).detach();
        drop(first);
        // The aborted task has not been dropped yet.
        let second = LightThread::new("second");
        assert_eq!(second.stats().tasks, 0);
        second.spawn_local(async move { hand.advance(MS) }).detach();
        settle(&executor);
        assert_eq!((second.stats().tasks, second.stats().busy), (0, MS));
    });
}

/// Calls and posts from another thread run in the light thread, in the order in which they were made.
#[test]
fn calls_from_elsewhere_run_in_order_in_the_thread() {
    let (executor, _) = bench();
    let thread = executor.enter_with(|| LightThread::new("target"));
    let reference = thread.to_ref();
    let asker = std::thread::spawn(move || {
        let (sender, order) = std::sync::mpsc::channel();
        let posted = sender.clone();
        reference.post(move || posted.send((0, current_name())).unwrap()).unwrap();
        let calls: Vec<_> = (1..4)
            .map(|i| {
                let sender = sender.clone();
                reference.call(async move || sender.send((i, current_name())).unwrap())
            })
            .collect();
        calls.into_iter().for_each(|call| call.wait().unwrap());
        let panicked = reference.call(async || panic!("in the thread")).wait();
        assert!(matches!(panicked, Err(JoinError::Panicked(panic)) if panic.message() == "in the thread"));
        drop(sender);
        order.iter().collect::<Vec<_>>()
    });
    while !asker.is_finished() {
        executor.turn();
    }
    let target = Some("target".to_owned());
    assert_eq!(asker.join().unwrap(), [0, 1, 2, 3].map(|i| (i, target.clone())));
    executor.enter_with(|| assert_eq!(thread.stats().tasks, 0));
}

#[test]
fn calls_after_the_core_has_ended_say_so() {
    let (executor, _) = bench();
    let thread = executor.enter_with(|| LightThread::new("orphan"));
    let reference = thread.to_ref();
    drop(executor);
    assert!(matches!(reference.call(async || ()).wait(), Err(JoinError::CoreGone)));
    assert!(matches!(reference.post(|| ()), Err(JoinError::CoreGone)));
    drop(thread);
}

/// A panicking task or poller leaves the accounts and the current thread as they should be.
#[test]
fn panics_leave_the_thread() {
    let (executor, _) = bench();
    let thread = executor.enter_with(|| LightThread::new("clumsy"));
    let (task, poller) = executor.enter_with(|| {
        let poller = thread.register_poller("clumsy poller", || -> Work { panic!("poller") });
        (thread.spawn_local(async { panic!("task") }), poller)
    });
    settle(&executor);
    assert!(poller.is_gone());
    assert!(matches!(executor.block_on(task), Err(JoinError::Panicked(_))));
    executor.enter_with(|| {
        assert_eq!(current_name(), None);
        let entered =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.enter(|| panic!("entered"))));
        assert!(entered.is_err());
        assert_eq!(current_name(), None);
        assert_eq!((thread.stats().tasks, thread.stats().pollers), (0, 0));
    });
    executor.block_on(thread.exit());
}

#[test]
fn listing_names_the_threads_of_the_core() {
    let (executor, _) = bench();
    executor.enter_with(|| {
        let _outside = Poller::register("of nobody", || Work::Idle);
        let threads = ["a", "b"].map(LightThread::new);
        let names: Vec<_> = LightThread::all()
            .into_iter()
            .map(|info| (info.thread.name().to_owned(), info.stats.pollers))
            .collect();
        assert_eq!(names, [("a".to_owned(), 0), ("b".to_owned(), 0)]);
        drop(threads);
    });
}

/// Measures; asserts nothing about time. `cargo test --release --test threads measure -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn measure() {
    let executor = LocalExecutor::new().unwrap();
    let per_round = |what: &str, rounds: u32, mut f: Box<dyn FnMut() + '_>| {
        for _ in 0..3 {
            let begin = std::time::Instant::now();
            (0..rounds).for_each(|_| f());
            println!("{what}: {:.0} ns", begin.elapsed().as_nanos() as f64 / f64::from(rounds));
        }
    };
    executor.enter_with(|| {
        per_round("light thread, made and dropped", 100_000, Box::new(|| drop(LightThread::new("measured"))));
        let threads: Vec<_> = (0..1_000).map(|_| LightThread::new("beside")).collect();
        per_round("the same beside a thousand", 100_000, Box::new(|| drop(LightThread::new("measured"))));
        drop(threads);
    });
    per_round("idle turn", 1_000_000, Box::new(|| assert!(!executor.turn().is_busy())));
    executor.block_on(async {
        for _ in 0..3 {
            let begin = std::time::Instant::now();
            for _ in 0..300_000 {
                reactor::spawn_balanced(async {}).await.unwrap();
            }
            println!("balanced task, spawned and awaited: {:.0} ns", begin.elapsed().as_nanos() as f64 / 3e5);
        }
    });
}
