//! Mistakes of those who configure or program an application: each gets its answer, and the cores go on.

mod support;

use reactor::{
    Core, JoinError, LocalExecutor, Poller,
    app::{Builder, Error},
    call_on, spawn_local,
    sys::cpu::{CPU_MAX, CpuSet, allowed},
    yield_now,
};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};
use support::cores_unpinned;

fn refusal(cores: impl reactor::app::IntoCores) -> String {
    match Builder::new().cores(cores).signals(false).run(async || ()) {
        Err(error @ Error::Cores(_)) => error.to_string(),
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn cores_that_are_none_are_refused_before_anything_starts() {
    for (cores, answer) in [
        ("", "no cores given"),
        ("[]", "no cores given"),
        ("0x0", "no cores given"),
        ("0-", "\"0-\" is neither a core nor a range"),
        ("0,0", "core 0 is listed twice"),
        ("3-1", "range \"3-1\" runs downwards"),
        ("0xg", "\"0xg\" is not a core mask"),
        ("1024", "core \"1024\" is out of range"),
        ("1023", "core 1023 is not online on this machine"),
    ] {
        let said = refusal(cores);
        assert!(said.starts_with(answer), "{cores:?}: {said}");
    }
    assert!(refusal(0).starts_with("no cores given"));
    let all = allowed().unwrap().len();
    assert!(refusal(all + 1).starts_with(&format!("{} cores asked for", all + 1)));
}

/// Cores that are not pinned are threads, of which there may be more than processors, within reason.
#[test]
fn unpinned_cores_have_a_limit_too() {
    let refused = |count| cores_unpinned(count).run(async || ()).unwrap_err().to_string();
    assert!(refused(0).starts_with("no cores given"));
    assert!(refused(CPU_MAX + 2).contains("out of range"));
    let all = allowed().unwrap().len();
    assert_eq!(cores_unpinned(all + 1).run(async || reactor::cores().len()).unwrap(), all + 1);
}

#[test]
fn every_way_to_name_cores_is_understood() {
    let first = allowed().unwrap().iter().next().unwrap();
    let name = first.to_string();
    let set: CpuSet = name.parse().unwrap();
    let run = |builder: Builder| builder.signals(false).run(async || Core::current().id()).unwrap();
    assert_eq!(run(Builder::new()), first);
    assert_eq!(run(Builder::new().cores(name.as_str())), first);
    assert_eq!(run(Builder::new().cores(&name)), first);
    assert_eq!(run(Builder::new().cores(name)), first);
    assert_eq!(run(Builder::new().cores(format!("0x{:x}", 1_u128 << first))), first);
    assert_eq!(run(Builder::new().cores(&set)), first);
    assert_eq!(run(Builder::new().cores(set)), first);
    assert_eq!(run(Builder::new().cores(1)), first);
}

#[test]
fn a_panic_in_a_task_reaches_its_awaiter_only() {
    cores_unpinned(2)
        .run(async || {
            let here = spawn_local(async { panic!("here") }).await;
            assert!(matches!(here, Err(JoinError::Panicked(panic)) if panic.message() == "here"));
            let there = call_on(Core::nth(1).unwrap(), async || panic!("there")).await;
            assert!(matches!(there, Err(JoinError::Panicked(panic)) if panic.message() == "there"));
            call_on(Core::nth(1).unwrap(), async || ()).await.unwrap();
        })
        .unwrap();
}

/// It is unregistered; its neighbours, the timed ones as well, go on.
#[test]
fn a_panic_in_a_poller_ends_that_poller() {
    cores_unpinned(1)
        .run(async || {
            let good_runs = Rc::new(Cell::new(0));
            let seen = good_runs.clone();
            let bad = Poller::register("bad", || -> bool { panic!("a poller's mistake") });
            let bad_timed =
                Poller::every("bad timed", Duration::from_micros(1), || -> bool { panic!("another") });
            let _good = Poller::register("good", move || {
                seen.set(seen.get() + 1);
                true
            });
            while !(bad.is_gone() && bad_timed.stats().runs == 1 && good_runs.get() > 3) {
                yield_now().await;
            }
            assert_eq!(bad.stats().runs, 1);
        })
        .unwrap();
}

/// A waker that a host's executor has made, and that panics when it is called.
struct Bad(AtomicUsize);

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        panic!("a waker's mistake");
    }
}

#[test]
fn a_foreign_waker_that_panics_leaves_the_core_running() {
    let executor = LocalExecutor::new().unwrap();
    let bad = Arc::new(Bad(AtomicUsize::new(0)));
    let waker = Waker::from(bad.clone());
    let mut cx = Context::from_waker(&waker);
    // Each is awaited by hand, and wakes the waker when its time has come.
    let (mut task, mut sleep) = executor
        .enter_with(|| (spawn_local(yield_now()), Box::pin(reactor::time::sleep(Duration::from_micros(1)))));
    let mut event = executor.handle().spawn_on(executor.core(), yield_now());
    executor.enter_with(|| {
        assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        assert!(Pin::new(&mut event).poll(&mut cx).is_pending());
    });
    executor.block_on(async {
        while bad.0.load(SeqCst) < 3 {
            yield_now().await;
        }
    });
    assert_eq!(executor.block_on(async { spawn_local(async { 5 }).await.unwrap() }), 5);
}

#[test]
fn a_runtime_inside_of_a_reactor_is_refused_by_name() {
    cores_unpinned(1)
        .run(async || {
            for (what, call) in [
                ("app::Builder::run", (|| drop(cores_unpinned(1).run(async || ()))) as fn()),
                ("app::Builder::start", || drop(cores_unpinned(1).start(async || ()))),
                ("app::main_entry", || _ = reactor::app::main_entry(cores_unpinned(1), async || ())),
            ] {
                let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
                let message = payload.downcast_ref::<String>().unwrap();
                assert!(message.starts_with(&format!("`{what}` would block this core")), "{message}");
            }
        })
        .unwrap();
}
