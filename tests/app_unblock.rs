//! `app::unblock`: calls that block, their order, their end and their mistakes.

mod support;

use reactor::{
    Core,
    app::{self, Builder, Error},
    spawn_local,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use support::{Log, cores_unpinned, is_pending};

use std::sync::mpsc;

#[test]
fn it_runs_beside_the_core() {
    let names = cores_unpinned(1)
        .run(async || app::unblock(|| std::thread::current().name().map(str::to_owned)).await.unwrap());
    assert_eq!(names.unwrap().as_deref(), Some("unblock_0"));
}

/// Its threads leave the reactors their processors, if there are others.
#[test]
fn it_runs_on_other_processors_than_the_cores() {
    use reactor::sys::cpu::allowed;
    let before = allowed().unwrap();
    let pinned = Builder::new().cores(1).signals(false);
    let (core, beside) = pinned
        .run(async || (Core::current().id(), app::unblock(|| allowed().unwrap()).await.unwrap()))
        .unwrap();
    let others: Vec<_> = before.iter().filter(|&cpu| before.len() == 1 || cpu != core).collect();
    assert_eq!(beside.iter().collect::<Vec<_>>(), others);
}

#[test]
fn a_panic_reaches_the_awaiter() {
    let error = cores_unpinned(1).run(async || app::unblock(|| panic!("in the call")).await.unwrap_err());
    assert_eq!(error.unwrap().to_string(), "the task panicked: in the call");
}

/// More calls than threads and room: all are answered, in the order in which they were made as there is one thread.
#[test]
fn callers_beyond_the_bound_await_their_turn() {
    let order = Log::default();
    let results = cores_unpinned(1).unblock_threads(1).run(async || {
        let calls = (0..1000).map(|n: usize| {
            let order = order.clone();
            app::unblock(move || {
                order.add(n.to_string());
                n
            })
        });
        futures::future::try_join_all(calls).await
    });
    let numbers: Vec<_> = (0..1000).collect();
    assert_eq!(results.unwrap().unwrap(), numbers);
    assert_eq!(order.lines(), numbers.iter().map(usize::to_string).collect::<Vec<_>>());
}

/// A call that waits for a thread runs without its awaiter; one that waits for room does not.
#[test]
fn a_dropped_call_runs_if_it_had_its_place() {
    let ran = Arc::new(AtomicUsize::new(0));
    cores_unpinned(1)
        .unblock_threads(1)
        .run(async || {
            let (free, blocked) = mpsc::channel::<()>();
            let (begun, has_begun) = futures::channel::oneshot::channel();
            let first = spawn_local(app::unblock(move || {
                begun.send(()).unwrap();
                blocked.recv().unwrap();
            }));
            // The only thread is taken from here on.
            has_begun.await.unwrap();
            let mut calls: Vec<_> = (0..300)
                .map(|_| {
                    let ran = ran.clone();
                    app::unblock(move || ran.fetch_add(1, SeqCst))
                })
                .collect();
            for call in &mut calls {
                assert!(is_pending(call).await);
            }
            // The last first: the places of the others stay as they are.
            while calls.pop().is_some() {}
            free.send(()).unwrap();
            first.await.unwrap().unwrap();
        })
        .unwrap();
    assert_eq!(ran.load(SeqCst), 256);
}

#[test]
fn the_end_waits_for_calls() {
    let ended = Arc::new(AtomicUsize::new(0));
    let later = ended.clone();
    cores_unpinned(1)
        .run(async || {
            let control = app::control();
            let mut call = app::unblock(move || {
                // It still runs when the end begins, however fast or loaded the machine is.
                while !control.is_shutdown_requested() {
                    std::thread::yield_now();
                }
                (0..100).for_each(|_| std::thread::yield_now());
                later.fetch_add(1, SeqCst);
            });
            assert!(is_pending(&mut call).await);
        })
        .unwrap();
    assert_eq!(ended.load(SeqCst), 1);
}

#[test]
fn a_call_that_does_not_return_is_named() {
    let (free, blocked) = mpsc::channel::<()>();
    let error = cores_unpinned(1).shutdown_deadline(Duration::from_millis(20)).run(async || {
        let mut call = app::unblock(move || _ = blocked.recv());
        assert!(is_pending(&mut call).await);
    });
    let Err(Error::Deadline { alive, .. }) = error else { panic!("not late: {error:?}") };
    assert!(alive[0].starts_with("the call of `app::unblock` at tests/app_unblock.rs:"), "{alive:?}");
    drop(free);
}

#[test]
fn a_reactor_that_stands_alone_has_a_pool_too() {
    let executor = reactor::LocalExecutor::new().unwrap();
    assert_eq!(executor.block_on(async { app::unblock(|| 5).await.unwrap() }), 5);
}

#[test]
fn no_threads_at_all_is_refused() {
    let error = cores_unpinned(1).unblock_threads(0).run(async || ()).unwrap_err();
    assert!(error.to_string().contains("allow one thread at least"));
}
