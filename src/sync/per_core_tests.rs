//! Values per core: made once, shared, dropped where they were made, waited for.

use super::{PerCore, PerCoreRef};
use crate::{
    Core, LocalExecutor, Mode, NotOnReactor, call_on, cores, on_every_core, reactor::testing::on_two_cores,
    yield_now,
};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::ThreadId,
};

fn core() -> LocalExecutor {
    LocalExecutor::new().expect("a core")
}

fn settle(executor: &LocalExecutor) {
    while executor.turn().is_busy() {}
}

/// Counts what is made and dropped, and remembers on which threads.
#[derive(Clone, Default)]
struct Log {
    made: Arc<Mutex<Vec<ThreadId>>>,
    dropped: Arc<Mutex<Vec<ThreadId>>>,
}

struct Logged {
    log: Log,
    // Not `Send`.
    _here: Rc<()>,
}

impl Log {
    fn per_core(&self) -> PerCore<Logged> {
        let log = self.clone();
        PerCore::new("logged", move |_core| {
            log.made.lock().unwrap().push(std::thread::current().id());
            Logged { log: log.clone(), _here: Rc::new(()) }
        })
    }

    fn counts(&self) -> (usize, usize) {
        (self.made.lock().unwrap().len(), self.dropped.lock().unwrap().len())
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.log.dropped.lock().unwrap().push(std::thread::current().id());
    }
}

#[test]
fn value_is_made_on_first_use_and_dropped_with_the_last_reference() {
    let (executor, log) = (core(), Log::default());
    let logged = log.per_core();
    executor.enter_with(|| {
        for round in 1..4 {
            assert_eq!(log.counts(), (round - 1, round - 1));
            let first = logged.get().unwrap();
            let second = logged.clone().get().unwrap();
            let third = second.clone();
            assert!(std::ptr::eq(&*first, &*third));
            drop((first, second));
            assert_eq!(log.counts(), (round, round - 1));
            assert_eq!(logged.cores().collect::<Vec<_>>(), [Core::current()]);
            drop(third);
            assert_eq!(log.counts(), (round, round));
            assert_eq!(logged.cores().count(), 0);
        }
    });
}

#[test]
fn each_core_has_its_own_and_drops_it_there() {
    let log = Log::default();
    let logged = log.per_core();
    let threads = on_two_cores(Mode::Adaptive, async || {
        let holder = logged.clone();
        let held = on_every_core(async move || {
            let held = holder.get().unwrap();
            yield_now().await;
            drop(held.clone());
            std::thread::current().id()
        });
        held.await.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    let (mut made, mut dropped) = (log.made.lock().unwrap().clone(), log.dropped.lock().unwrap().clone());
    let by_debug = |id: &ThreadId| format!("{id:?}");
    made.sort_by_key(by_debug);
    dropped.sort_by_key(by_debug);
    let mut threads = threads;
    threads.sort_by_key(by_debug);
    assert_eq!((&made, &dropped), (&threads, &threads));
}

/// Two cores of one thread are two cores.
#[test]
fn executors_on_one_thread_do_not_share() {
    let (first, second) = (core(), core());
    let values = PerCore::new("values", |_| Cell::new(0));
    let here = first.enter_with(|| values.get().unwrap());
    let there = second.enter_with(|| values.get().unwrap());
    here.set(1);
    assert_eq!((here.get(), there.get()), (1, 0));
    first.enter_with(|| assert_eq!(values.cores().count(), 1, "of this runtime"));
    drop(there);
    assert_eq!(first.enter_with(|| values.get().unwrap()).get(), 1);
}

#[test]
fn for_each_visits_the_cores_that_have_one() {
    on_two_cores(Mode::Adaptive, async || {
        let values = PerCore::new("values", |core| core.index() * 10);
        assert!(values.for_each(async |_| ()).await.is_empty());
        let (here, there) = (Core::current(), cores().nth(1).unwrap());
        let remote = values.clone();
        let (release, released) = futures::channel::oneshot::channel::<()>();
        let held = call_on(there, async move || {
            let _held = remote.get().unwrap();
            released.await.unwrap();
        });
        while values.cores().count() == 0 {
            yield_now().await;
        }
        let answers = values.for_each(async |value| *value + 1).await;
        assert_eq!(
            answers.into_iter().map(|(core, n)| (core, n.unwrap())).collect::<Vec<_>>(),
            [(there, 11)]
        );
        let _mine = values.get().unwrap();
        let answers = values.for_each(async |value| (yield_now().await, *value).1).await;
        assert_eq!(
            answers.into_iter().map(|(core, n)| (core, n.unwrap())).collect::<Vec<_>>(),
            [(here, 0), (there, 10)]
        );
        let answers = values.for_each(async |value: PerCoreRef<usize>| assert_eq!(*value, 0)).await;
        assert!(answers[0].1.is_ok() && answers[1].1.is_err(), "a panic is its core's answer");
        release.send(()).unwrap();
        held.await.unwrap();
    });
}

#[test]
fn unregister_waits_for_every_core() {
    on_two_cores(Mode::Adaptive, async || {
        let log = Log::default();
        let logged = log.per_core();
        let there = cores().nth(1).unwrap();
        let (remote, gate) = (logged.clone(), Arc::new(AtomicUsize::new(0)));
        let opened = gate.clone();
        let held = call_on(there, async move || {
            let _held = remote.get().unwrap();
            opened.store(1, SeqCst);
            while opened.load(SeqCst) < 2 {
                yield_now().await;
            }
        });
        while gate.load(SeqCst) < 1 {
            yield_now().await;
        }
        let mine = logged.get().unwrap();
        let waiter = logged.clone();
        let done = crate::spawn_local(async move { waiter.unregister().await });
        yield_now().await;
        yield_now().await;
        assert!(logged.is_unregistered());
        assert_eq!(
            logged.get().err().expect("refused").name,
            "logged",
            "no new reference, though there is a value"
        );
        assert_eq!(log.counts(), (2, 0));
        drop(mine);
        yield_now().await;
        assert_eq!(log.counts(), (2, 1));
        gate.store(2, SeqCst);
        done.await.unwrap();
        assert_eq!(log.counts(), (2, 2), "waited for the other core");
        held.await.unwrap();
        logged.unregister().await;
    });
}

/// A number that is used again does not lead to the value of who had it before.
#[test]
fn successor_does_not_find_old_values() {
    let executor = core();
    executor.enter_with(|| {
        let old = PerCore::new("old", |_| String::from("old"));
        let kept = old.get().unwrap();
        drop(old);
        for round in 0..3 {
            let new = PerCore::new("new", move |_| round);
            assert_eq!(*new.get().unwrap(), round);
        }
        assert_eq!(*kept, "old");
    });
}

#[test]
fn making_may_ask_for_others_but_not_for_itself() {
    let executor = core();
    executor.enter_with(|| {
        let base = PerCore::new("base", |_| 6);
        let upper = PerCore::new("upper", move |_| *base.get().unwrap() * 7);
        assert_eq!(*upper.get().unwrap(), 42);

        thread_local!(static OWN: Cell<Option<PerCore<u32>>> = const { Cell::new(None) });
        let made = PerCore::new("own", |_| {
            let own = OWN.take().expect("set below");
            *own.get().unwrap()
        });
        OWN.set(Some(made.clone()));
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(made.get()))).unwrap_err();
        assert_eq!(
            panicked.downcast_ref::<String>().unwrap(),
            "making the value of `own` asks for that value"
        );
    });
}

#[test]
fn panic_while_making_leaves_nothing_behind() {
    let executor = core();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let value =
        PerCore::new("fragile", move |_| assert_ne!(counted.fetch_add(1, SeqCst), 0, "the first try fails"));
    executor.enter_with(|| {
        assert!(catch_unwind(AssertUnwindSafe(|| drop(value.get()))).is_err());
        assert_eq!(value.cores().count(), 0);
        assert!(value.get().is_ok());
    });
    executor.block_on(value.unregister());
    assert_eq!(tries.load(SeqCst), 2);
}

/// References held by tasks go with the core; one kept outside goes when it does, on its thread.
#[test]
fn core_that_ends_drops_its_value() {
    let log = Log::default();
    let logged = log.per_core();
    let executor = core();
    let held = logged.clone();
    executor
        .spawn_local(async move {
            let _held = held.get().unwrap();
            std::future::pending::<()>().await;
        })
        .detach();
    settle(&executor);
    assert_eq!(log.counts(), (1, 0));
    let kept = executor.enter_with(|| logged.get().unwrap());
    drop(executor);
    assert_eq!(log.counts(), (1, 0));
    drop(kept);
    assert_eq!(log.counts(), (1, 1));
    core().block_on(logged.unregister());
}

#[test]
fn outside_of_a_reactor_get_names_itself() {
    let value = PerCore::new("value", |_| ());
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(value.get()))).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert_eq!(*message, NotOnReactor { what: "PerCore::get" }.to_string());
}

/// Measures; asserts nothing about time. `cargo test --release --lib per_core -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn measure() {
    let executor = core();
    let values = PerCore::new("values", |_| Cell::new(0u64));
    executor.enter_with(|| {
        let _kept = values.get().unwrap();
        for _ in 0..3 {
            let rounds = 10_000_000;
            let begin = std::time::Instant::now();
            for _ in 0..rounds {
                drop(std::hint::black_box(values.get().unwrap()));
            }
            println!("get + put: {:.2} ns", begin.elapsed().as_nanos() as f64 / f64::from(rounds));
        }
    });
    on_two_cores(Mode::Poll, async || {
        let values = PerCore::new("values", |_| Cell::new(0u64));
        let remote = values.clone();
        let (release, released) = futures::channel::oneshot::channel::<()>();
        let held = call_on(cores().nth(1).unwrap(), async move || {
            let _held = remote.get().unwrap();
            released.await.unwrap();
        });
        let _kept = values.get().unwrap();
        while values.cores().count() < 2 {
            yield_now().await;
        }
        for _ in 0..5 {
            let rounds = 100_000;
            let begin = std::time::Instant::now();
            for _ in 0..rounds {
                assert_eq!(values.for_each(async |value| value.set(value.get() + 1)).await.len(), 2);
            }
            let begin_call = std::time::Instant::now();
            for _ in 0..rounds {
                call_on(cores().nth(1).unwrap(), async || ()).await.unwrap();
            }
            println!(
                "a call and its answer: {:.0} ns",
                begin_call.elapsed().as_nanos() as f64 / f64::from(rounds)
            );
            let begin = begin.elapsed() - begin_call.elapsed();
            println!("for_each on two cores: {:.0} ns", begin.as_nanos() as f64 / f64::from(rounds));
        }
        release.send(()).unwrap();
        held.await.unwrap();
    });
}
