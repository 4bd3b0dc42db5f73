//! An executor on its own: beside others on one thread, inside somebody else's loop, leaked, unwound, at the thread's end.

use reactor::{
    JoinError, LocalExecutor, Mode, Poller, Work,
    bdev::{self, Access},
    spawn_local, spawn_on,
    sync::PerCore,
    time::{Instant, sleep},
    uring::{Fd, Ring},
    yield_now,
};
use rustix::event::{PollFd, PollFlags, poll};
use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    pin::pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

fn executor() -> LocalExecutor {
    LocalExecutor::new().unwrap()
}

/// Unwinds when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop's panic, on purpose");
    }
}

/// Unwinds when it wakes.
struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker's panic, on purpose");
    }
}

/// Neither the order in which executors of one thread end nor one turning in a task of the other confuses whose tasks are whose.
#[test]
fn executors_of_one_thread_nest_and_end_in_any_order() {
    for first_ends_first in [true, false] {
        let (one, two) = (executor(), Rc::new(executor()));
        let witness = Rc::new(());
        let (inner, held) = (two.clone(), witness.clone());
        let outer = one.spawn_local(async move {
            let inside = spawn_local(async { 1 });
            let sum = Rc::new(Cell::new(0));
            let theirs = sum.clone();
            inner.spawn_local(async move { theirs.set(inside.await.unwrap() + 1) }).detach();
            let held = held;
            inner.spawn_local(async move { pending::<()>().await }).detach();
            while sum.get() == 0 {
                inner.turn();
                yield_now().await;
            }
            drop(held);
            sum.get()
        });
        let waiting = two.spawn_local({
            let held = witness.clone();
            async move {
                let _held = held;
                pending::<()>().await;
            }
        });
        let sum = one.block_on(outer).unwrap();
        assert_eq!(sum, 2);
        two.enter_with(|| {
            let nested = executor();
            let task = spawn_local(async {});
            nested.enter_with(|| drop(spawn_local(async {})));
            drop(nested);
            drop(task);
        });
        if first_ends_first {
            drop(one);
            drop(two);
        } else {
            drop(two);
            drop(one);
        }
        assert_eq!(Rc::strong_count(&witness), 1);
        drop(waiting);
    }
}

/// A poller may be dropped, paused and resumed while its core is not being turned, or another one is.
#[test]
fn a_poller_dropped_outside_of_its_core_lets_the_core_sleep() {
    let (own, other) = (executor(), executor());
    let idle = |executor: &LocalExecutor| {
        while executor.turn().is_busy() {}
        executor.prepare_to_sleep()
    };
    for inside_the_other in [true, false] {
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let call = move || {
            counted.set(counted.get() + 1);
            Work::Idle
        };
        let poller = own.enter_with(|| Poller::register("counts", call));
        assert!(!idle(&own) && calls.get() > 0, "an active poller keeps its core awake");
        let act = |f: &mut dyn FnMut()| if inside_the_other { other.enter_with(f) } else { f() };
        act(&mut || poller.pause());
        assert!(idle(&own), "paused: inside_the_other={inside_the_other}");
        act(&mut || poller.resume());
        assert!(!own.prepare_to_sleep(), "resumed: inside_the_other={inside_the_other}");
        let mut poller = Some(poller);
        act(&mut || drop(poller.take()));
        assert!(idle(&own), "dropped: inside_the_other={inside_the_other}");
        assert_eq!(Rc::strong_count(&calls), 1, "what it held is gone");
    }
}

/// Whatever of a stranger's unwinds, and wherever: the core turns on.
#[test]
fn no_panic_stops_a_core() {
    let core = executor();
    core.set_mode(Mode::Interrupt);
    // A poller that unwinds, and whose function unwinds when it is dropped for that.
    let bomb = Bomb;
    let poller = core.enter_with(|| {
        Poller::register("bad", move || -> Work {
            let _held = &bomb;
            panic!("a poller's panic, on purpose")
        })
    });
    // A panic's payload that unwinds when it is dropped, awaited by nobody; and after the future is gone.
    core.spawn_local(async { panic_any(Bomb) }).detach();
    struct Second;
    impl Drop for Second {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }
    let mut held = Some(Second);
    core.spawn_local(poll_fn(move |_| {
        drop(held.take());
        Poll::Ready(())
    }))
    .detach();
    // An operation of the ring whose waker unwinds.
    let (ring, mut op) = core.enter_with(|| {
        let ring = Ring::current().unwrap();
        let zero = Fd::from(std::fs::File::open("/dev/zero").unwrap());
        let op = Box::pin(ring.read_at(&zero, vec![0; 16], 0));
        (ring, op)
    });
    let waker = Waker::from(Arc::new(BadWaker));
    assert!(core.enter_with(|| op.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()));
    // An event.
    core.handle().post(core.core(), || panic!("an event's panic, on purpose")).unwrap();
    for _ in 0..100 {
        catch_unwind(AssertUnwindSafe(|| core.turn())).expect("nothing comes out of a turn");
    }
    assert!(poller.is_gone());
    assert_eq!(core.block_on(async { spawn_local(async { 7 }).await.unwrap() }), 7);
    drop((op, ring));
}

/// The end of a core gets to its end, whatever unwinds on the way, and also while the thread is unwinding already.
#[test]
fn no_panic_keeps_a_core_from_ending() {
    for unwinding in [false, true] {
        let body = move || {
            let core = executor();
            let per_core = PerCore::new("bad", |_| Bomb);
            let value = core.enter_with(|| per_core.get().unwrap());
            let handle = core.spawn_local(async move {
                let _bomb = Bomb;
                let _value = value;
                pending::<()>().await;
            });
            let (ring, mut op) = core.enter_with(|| {
                let ring = Ring::current().unwrap();
                let zero = Fd::from(std::fs::File::open("/dev/zero").unwrap());
                let op = Box::pin(ring.read_at(&zero, vec![0; 16], 0));
                (ring, op)
            });
            let waker = Waker::from(Arc::new(BadWaker));
            assert!(core.enter_with(|| op.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()));
            let bomb = Bomb;
            core.handle().post(core.core(), move || drop(bomb)).unwrap();
            let abroad = core.handle();
            let id = core.core();
            if unwinding {
                let ended = catch_unwind(AssertUnwindSafe(move || {
                    let _core = core;
                    panic!("the thread's own panic, on purpose");
                }));
                assert!(ended.is_err());
            } else {
                drop(core);
            }
            assert!(abroad.is_gone(id), "unwinding={unwinding}");
            let answer = abroad.spawn_on(id, async {});
            assert!(matches!(answer.wait(), Err(JoinError::CoreGone)));
            assert!(handle.wait().is_err());
            drop((op, ring));
        };
        thread::spawn(body).join().unwrap();
    }
}

/// An executor in a thread-local ends with its thread, and wakers may be used while the thread's locals are dropped.
#[test]
fn an_executor_in_a_thread_local_ends_with_its_thread() {
    struct Late(RefCell<Vec<Waker>>);
    impl Drop for Late {
        fn drop(&mut self) {
            for waker in self.0.take() {
                waker.wake_by_ref();
                drop(waker.clone());
                waker.wake();
            }
        }
    }
    thread_local! {
        static BEFORE: Late = const { Late(RefCell::new(Vec::new())) };
        static CORE: LocalExecutor = LocalExecutor::new().unwrap();
        static AFTER: Late = const { Late(RefCell::new(Vec::new())) };
    }
    for order in 0..2 {
        let (sender, receiver) = mpsc::channel();
        let witness = Arc::new(());
        let held = witness.clone();
        let owner = thread::spawn(move || {
            let keep = |late: &Late, waker: &Waker| late.0.borrow_mut().push(waker.clone());
            if order == 0 {
                BEFORE.with(|_| ());
                CORE.with(|_| ());
                AFTER.with(|_| ());
            } else {
                AFTER.with(|_| ());
                CORE.with(|_| ());
                BEFORE.with(|_| ());
            }
            CORE.with(|core| {
                let handle = core.spawn_local(async move {
                    let _held = held;
                    let ring = Ring::current().unwrap();
                    let (read, _write) = rustix::pipe::pipe().unwrap();
                    let _for_ever = ring.read_at(&Fd::from(read), vec![0; 16], 0).await;
                    poll_fn(|cx| {
                        BEFORE.with(|late| keep(late, cx.waker()));
                        AFTER.with(|late| keep(late, cx.waker()));
                        Poll::<()>::Pending
                    })
                    .await;
                });
                core.spawn_local(poll_fn(move |cx| {
                    BEFORE.with(|late| keep(late, cx.waker()));
                    AFTER.with(|late| keep(late, cx.waker()));
                    Poll::<()>::Pending
                }))
                .detach();
                core.turn();
                core.turn();
                sender.send((core.handle(), core.core(), handle)).unwrap();
            });
        });
        let (abroad, id, handle) = receiver.recv().unwrap();
        let waited = handle.wait();
        assert!(waited.is_err());
        owner.join().unwrap();
        assert!(abroad.is_gone(id));
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}

/// A handle awaited by another executor of the same thread, its result not even `Send`.
#[test]
fn a_result_that_is_not_send_may_be_awaited_by_another_executor_of_the_thread() {
    let (one, two) = (executor(), executor());
    let handle = one.spawn_local(async { Rc::new(5) });
    let waiter = two.spawn_local(handle);
    let mut both = pin!(waiter);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        one.turn();
        two.turn();
        if let Poll::Ready(result) = both.as_mut().poll(&mut cx) {
            assert_eq!(*result.unwrap().unwrap(), 5);
            return;
        }
    }
}

/// The host's loop, that knows nothing but a descriptor and a deadline: drivers and the block layer run in it, and it sleeps
/// in between.
#[test]
fn a_host_loop_runs_drivers_and_the_block_layer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let name = format!("file:{}", path.display());
    let core = executor();
    let (sender, answers) = mpsc::channel();
    let abroad = core.handle();
    let id = core.core();
    let friend = thread::spawn(move || {
        // Wakes the host from its sleep again and again.
        (0..20).map(|n| abroad.spawn_on(id, async move { n }).wait().unwrap()).sum::<u32>()
    });
    core.spawn_local(async move {
        let disk = bdev::open(&name, Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        for lba in 0..32 {
            let mut page = channel.try_alloc(4096).unwrap();
            page.fill(lba as u8 + 1);
            channel.write(lba * 8, page).await.unwrap();
            sleep(Duration::from_micros(300)).await;
        }
        channel.flush().await.unwrap();
        for lba in 0..32 {
            let page = channel.read(lba * 8..lba * 8 + 8).await.unwrap();
            assert!(page.iter().all(|&byte| byte == lba as u8 + 1));
        }
        sender.send(()).unwrap();
    })
    .detach();
    let (mut turns, mut sleeps) = (0_u32, 0);
    while answers.try_recv().is_err() || !friend.is_finished() {
        turns += 1;
        if core.turn().is_busy() || !core.prepare_to_sleep() {
            continue;
        }
        sleeps += 1;
        let left = core.next_deadline().map(|deadline| {
            let left = deadline.duration_since(core.enter_with(Instant::now));
            rustix::time::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let longest = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };
        let woken = poll(&mut [PollFd::new(&core, PollFlags::IN)], left.as_ref().or(Some(&longest))).unwrap();
        assert!(woken > 0 || left.is_some(), "a wake-up was lost");
    }
    assert_eq!(friend.join().unwrap(), 190);
    assert!(sleeps >= 32, "{sleeps} sleeps in {turns} turns: it spins instead");
}

/// What is sent to oneself through the inbox arrives also where the thread turns another executor meanwhile.
#[test]
fn a_call_to_ones_own_core_survives_a_nested_turn() {
    let (one, two) = (executor(), executor());
    let answer = one.block_on(async {
        let call = spawn_on(reactor::Core::current(), async { 3 });
        two.turn();
        let wrapped = two.spawn_local(call);
        let mut wrapped = pin!(wrapped);
        poll_fn(|cx| {
            two.turn();
            let polled = wrapped.as_mut().poll(cx);
            cx.waker().wake_by_ref();
            polled
        })
        .await
    });
    assert_eq!(answer.unwrap().unwrap(), 3);
}

/// What a handle says once its core is gone: each in its own words, and nothing as if it would still happen.
#[test]
fn a_handle_outlives_its_core_and_says_so() {
    let core = executor();
    let (handle, id) = (core.handle(), core.core());
    drop(core);
    assert!(handle.is_gone(id));
    assert!(!handle.critical(id, || ()), "nobody will call it");
    assert!(matches!(handle.post(id, || ()), Err(JoinError::CoreGone)));
    assert!(matches!(handle.spawn_on(id, async {}).wait(), Err(JoinError::CoreGone)));
    assert!(matches!(handle.call_on(id, async || ()).wait(), Err(JoinError::CoreGone)));
    assert!(matches!(handle.spawn_balanced(async {}).wait(), Err(JoinError::CoreGone)));
}
