//! Pollers, stepped turn by turn; time is virtual.

use reactor::{LocalExecutor, Poller, Work, poll_every_turn, time::Clock};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::Poll,
    time::Duration,
};

fn executor() -> LocalExecutor {
    LocalExecutor::new().unwrap()
}

/// A counter, and a poller's function that counts calls in it.
fn counter() -> (Rc<Cell<u32>>, impl FnMut() -> Work + 'static) {
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    (calls, move || {
        counted.set(counted.get() + 1);
        Work::Idle
    })
}

#[test]
fn an_active_poller_runs_once_a_turn_and_a_paused_one_does_not() {
    let executor = executor();
    let (calls, call) = counter();
    let poller = executor.enter_with(|| Poller::register("counted", call));
    executor.turn();
    executor.turn();
    assert_eq!(calls.get(), 2);
    executor.enter_with(|| poller.pause());
    executor.turn();
    assert_eq!(calls.get(), 2);
    executor.enter_with(|| poller.resume());
    executor.turn();
    assert_eq!((calls.get(), poller.stats().runs, poller.name()), (3, 3, "counted"));
}

#[test]
fn work_is_counted_and_makes_the_turn_busy() {
    let executor = executor();
    let mut left = 2;
    let poller = executor.enter_with(|| {
        Poller::register("busy twice", move || {
            left -= 1;
            left >= 0
        })
    });
    assert_eq!([executor.turn().polled, executor.turn().polled, executor.turn().polled], [1, 1, 0]);
    assert_eq!((poller.stats().runs, poller.stats().busy_runs), (3, 2));
}

/// SPDK's trap 5: there the poller fires once more.
#[test]
fn a_dropped_poller_is_gone_at_once_and_lets_go_of_what_it_held() {
    let executor = executor();
    let held = Rc::new(());
    let inside = held.clone();
    let poller = executor.enter_with(|| {
        Poller::register("holds", move || {
            let _ = &inside;
            false
        })
    });
    executor.turn();
    drop(poller);
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(executor.turn().polled, 0);
}

#[test]
fn a_poller_may_unregister_itself_and_others_from_inside_its_call() {
    let executor = executor();
    let own: Rc<RefCell<Vec<Poller>>> = Rc::default();
    let (calls, call) = counter();
    let (pollers, runs) = (own.clone(), Rc::new(Cell::new(0)));
    let counted = runs.clone();
    executor.enter_with(|| {
        let first = Poller::register("drops all", move || {
            counted.set(counted.get() + 1);
            let dropped = pollers.take();
            drop(dropped);
            true
        });
        let second = Poller::register("dropped before its call", call);
        own.borrow_mut().extend([first, second]);
    });
    executor.turn();
    executor.turn();
    assert_eq!((runs.get(), calls.get()), (1, 0));
}

#[test]
fn a_poller_registered_by_a_poller_runs_from_the_next_turn_on() {
    let executor = executor();
    let (calls, call) = counter();
    let (mut call, made) = (Some(call), Rc::new(RefCell::new(None)));
    let keep = made.clone();
    let _parent = executor.enter_with(|| {
        Poller::register("parent", move || {
            if let Some(call) = call.take() {
                keep.replace(Some(Poller::register("child", call)));
            }
            false
        })
    });
    executor.turn();
    assert_eq!(calls.get(), 0);
    executor.turn();
    assert_eq!(calls.get(), 1);
}

#[test]
fn a_panic_ends_the_poller_that_it_came_from_and_no_other() {
    let (clock, hand) = Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    let (calls, call) = counter();
    let (bad, timed, _good) = executor.enter_with(|| {
        let bad = Poller::register("panics", || -> bool { panic!("on purpose") });
        let timed =
            Poller::every("panics in time", Duration::from_millis(1), || -> bool { panic!("on purpose") });
        (bad, timed, Poller::register("goes on", call))
    });
    executor.turn();
    executor.turn();
    assert!(bad.is_gone() && !timed.is_gone());
    hand.advance(Duration::from_millis(2));
    for _ in 0..3 {
        executor.turn();
    }
    assert!(timed.is_gone());
    assert_eq!((calls.get(), timed.stats().runs), (5, 1));
}

#[test]
fn a_timed_poller_runs_once_a_period_and_makes_up_for_nothing() {
    let (clock, hand) = Clock::manual();
    let executor = LocalExecutor::with_clock(clock).unwrap();
    let (calls, call) = counter();
    let poller = executor.enter_with(|| Poller::every("beat", Duration::from_millis(10), call));
    let step = |by| {
        hand.advance(Duration::from_millis(by));
        for _ in 0..3 {
            executor.turn();
        }
        calls.get()
    };
    assert_eq!(
        [step(0), step(9), step(1), step(5), step(5), step(95), step(4), step(1)],
        [0, 0, 1, 1, 2, 3, 3, 4]
    );
    drop(poller);
    assert_eq!(step(100), 4);
}

#[test]
fn a_future_can_be_polled_every_turn_without_a_wake_up() {
    let executor = executor();
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    let handle = executor.spawn_local(poll_every_turn(poll_fn(move |_| {
        counted.set(counted.get() + 1);
        if counted.get() == 4 { Poll::Ready("seen") } else { Poll::Pending }
    })));
    for _ in 0..6 {
        executor.turn();
    }
    assert_eq!((polls.get(), executor.block_on(handle).unwrap()), (4, "seen"));
}

#[test]
fn a_core_with_an_active_poller_does_not_sleep() {
    let executor = executor();
    let poller = executor.enter_with(|| Poller::register("hardware", || false));
    executor.turn();
    assert!(!executor.prepare_to_sleep());
    executor.enter_with(|| poller.pause());
    executor.turn();
    assert!(executor.prepare_to_sleep());
    executor.turn();
    drop(poller);
}
