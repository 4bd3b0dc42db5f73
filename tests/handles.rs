//! Handles away from their task's core: what reaches them when the core has ended, and what waiting for them must not do.

use reactor::{Core, Handle, JoinError, JoinHandle, LocalExecutor, app, call_on, spawn_on, yield_now};
use std::{
    future::{Future, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

fn executor() -> LocalExecutor {
    LocalExecutor::new().unwrap()
}

fn settle(executor: &LocalExecutor) {
    while executor.turn().is_busy() {}
}

fn poll<T: 'static>(handle: &mut JoinHandle<T>) -> Poll<Result<T, JoinError>> {
    Pin::new(handle).poll(&mut Context::from_waker(Waker::noop()))
}

/// What a call that must panic says.
fn panic_of(call: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("it must panic");
    payload
        .downcast_ref::<&str>()
        .map(|said| said.to_string())
        .unwrap_or_else(|| payload.downcast_ref::<String>().expect("a message").clone())
}

/// What a task has given is its handle's, on the same thread and on another; a panic is such a result as well.
#[test]
fn a_finished_result_outlives_the_core() {
    let core = executor();
    let (here, there) = (core.spawn_local(ready(7)), core.spawn_local(ready(8)));
    let panicked = core.spawn_local(async { panic!("on purpose") });
    settle(&core);
    drop(core);
    assert_eq!(here.wait().unwrap(), 7);
    assert_eq!(thread::spawn(move || there.wait()).join().unwrap().unwrap(), 8);
    assert!(matches!(panicked.wait(), Err(JoinError::Panicked(panic)) if panic.message() == "on purpose"));
}

/// It need not be `Send`: then its handle has never left the thread, and it is dropped there.
#[test]
fn a_finished_result_that_is_not_send_outlives_the_core() {
    let core = executor();
    let witness = Rc::new(());
    let (taken, left) = (core.spawn_local(ready(witness.clone())), core.spawn_local(ready(witness.clone())));
    settle(&core);
    drop(core);
    assert_eq!(Rc::strong_count(&witness), 3);
    assert!(Rc::ptr_eq(&taken.wait().unwrap(), &witness));
    drop(left);
    assert_eq!(Rc::strong_count(&witness), 1);
}

/// Neither is it lost on its way: the handle has asked from another thread, and the core ends before it gets to the answer.
#[test]
fn a_finished_result_that_was_asked_for_outlives_the_core() {
    let core = executor();
    let mut asked = core.spawn_local(ready(9));
    settle(&core);
    let mut asked = thread::spawn(move || {
        assert!(poll(&mut asked).is_pending());
        asked
    })
    .join()
    .unwrap();
    drop(core);
    assert!(matches!(poll(&mut asked), Poll::Ready(Ok(9))));
}

/// Another core waits for the result of one that ends: with the result, if it was there.
#[test]
fn a_finished_result_reaches_another_core() {
    let core = executor();
    let handle = core.spawn_local(ready(10));
    settle(&core);
    drop(core);
    assert_eq!(executor().block_on(handle).unwrap(), 10);
}

/// What the core's end has cut off says so.
#[test]
fn a_task_that_the_end_has_cut_off_is_cancelled() {
    let core = executor();
    let waiting = core.spawn_local(pending::<()>());
    let never_polled = core.spawn_local(ready(()));
    let mut asked = core.spawn_local(pending::<()>());
    assert!(poll(&mut asked).is_pending());
    drop(core);
    for handle in [waiting, never_polled, asked] {
        assert!(matches!(handle.wait(), Err(JoinError::Cancelled)));
    }
}

/// The handle goes before, while and after the core does: the result goes once, with it or with the core.
#[test]
fn a_result_that_nobody_takes_is_dropped() {
    let witness = Arc::new(());
    for dropped_abroad in [false, true] {
        let core = executor();
        let mut handles: Vec<_> = (0..3).map(|_| core.spawn_local(ready(witness.clone()))).collect();
        // Keeps the memory of the last one.
        let abort = handles[2].abort_handle();
        settle(&core);
        drop(handles.remove(0));
        settle(&core);
        assert_eq!(Arc::strong_count(&witness), 3);
        drop(core);
        assert_eq!(Arc::strong_count(&witness), 3);
        if dropped_abroad {
            thread::spawn(move || drop(handles)).join().unwrap();
        } else {
            drop(handles);
        }
        assert_eq!(Arc::strong_count(&witness), 1);
        drop(abort);
    }
}

/// Threads ask for results of a runtime that ends at this very moment: each learns the result, or that there is none.
#[test]
fn everybody_who_asks_while_the_cores_end_is_answered() {
    for round in 0..50 {
        let running = app::Builder::new().cores(2).pin(false).signals(false);
        let running = running.start(async || drop(app::shutdown_requested().await)).unwrap();
        let handle = running.handle();
        let cores = handle.cores();
        let (one, two) = (cores[0], cores[1]);
        // A handle of a task on the second core that was made on the first, and has left it.
        let moved = handle.call_on(one, async move || spawn_on(two, async move { round })).wait().unwrap();
        let asker = thread::spawn(move || moved.wait());
        let flood: Vec<_> = (0..20).map(|n| handle.spawn_on(cores[n % 2], yield_now())).collect();
        running.stop(0);
        running.join().unwrap();
        match asker.join().unwrap() {
            Ok(answer) => assert_eq!(answer, round),
            Err(error) => assert!(matches!(error, JoinError::Cancelled | JoinError::CoreGone), "{error}"),
        }
        flood.into_iter().for_each(|handle| drop(handle.wait()));
    }
}

/// Rule 1: who waits by blocking for an executor that only this thread can turn hears of it instead of hanging, however the work got
/// there.
#[test]
fn waiting_for_ones_own_unturned_executor_is_explained() {
    const ADVICE: &str = "use `LocalExecutor::block_on` instead";
    let core = executor();
    let (handle, own) = (core.handle(), core.core());
    let event = handle.spawn_on(own, ready(1));
    assert!(panic_of(|| _ = event.wait()).contains(ADVICE));
    let call = handle.call_on(own, async || 1);
    assert!(panic_of(|| _ = call.wait()).contains(ADVICE));
    let balanced = handle.spawn_balanced(ready(1));
    assert!(panic_of(|| _ = balanced.wait()).contains(ADVICE));
    let mut asked = core.spawn_local(ready(1));
    assert!(poll(&mut asked).is_pending());
    assert!(panic_of(|| _ = asked.wait()).contains(ADVICE));

    // With the answer there already nothing is waited for.
    let (event, balanced) = (handle.spawn_on(own, ready(2)), handle.spawn_balanced(ready(3)));
    settle(&core);
    assert_eq!((event.wait().unwrap(), balanced.wait().unwrap()), (2, 3));

    // Another thread may wait, as this one turns.
    let event = handle.spawn_on(own, ready(4));
    let waiter = thread::spawn(move || event.wait());
    while !waiter.is_finished() {
        core.turn();
    }
    assert_eq!(waiter.join().unwrap().unwrap(), 4);

    // Nor is there anything to wait for once the core has ended.
    let (event, balanced) = (handle.spawn_on(own, ready(5)), handle.spawn_balanced(ready(6)));
    drop(core);
    assert!(event.wait().is_err() && balanced.wait().is_err());
}

/// Outside of a turn the thread that owns the executor detaches tasks without an event: there may be very many.
#[test]
fn handles_dropped_between_turns_send_nothing() {
    let core = executor();
    for _ in 0..10_000 {
        drop(core.spawn_local(pending::<()>()));
    }
    // In the turn of another executor of this thread likewise.
    let other = executor();
    let handle = core.spawn_local(pending::<()>());
    other.enter_with(|| drop(handle));
    assert_eq!(core.turn().events, 0);
    // One that somebody awaits, or that has a result to drop, goes home as from anywhere.
    let mut awaited = core.spawn_local(pending::<()>());
    core.enter_with(|| assert!(poll(&mut awaited).is_pending()));
    drop((awaited, core.spawn_local(ready(())).detach()));
    assert_eq!(core.turn().events, 1);
    settle(&core);
    assert_eq!(core.stats().live_tasks, 10_002);
}

/// A detached call on another core, and its answer, do not need the handle either.
#[reactor::test(cores = 2)]
async fn detached_calls_run_to_their_end() {
    let (tell, told) = futures::channel::oneshot::channel();
    call_on(Core::nth(1).unwrap(), async move || {
        yield_now().await;
        tell.send(Core::current()).unwrap();
    })
    .detach();
    assert_eq!(told.await.unwrap(), Core::nth(1).unwrap());
    assert_eq!(Handle::current().cores().len(), 2);
}
