//! A foreign waker may run anything while it is cloned: it comes back here into what is being waited in, or unwinds. And one that
//! unwinds when it is woken is not the only one to be woken.

use super::{
    Barrier, Gate, Notify, PerCore, Semaphore, local, mpsc, oneshot, spsc,
    testing::{Count, poll},
};
use crate::{LocalExecutor, sys::hostile::with_waker};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

/// Polls `future`, which cannot be ready, so that it clones a hostile waker to wait with it and another to replace the first.
fn waits_hostilely(mut future: Pin<&mut impl Future>, comes_back: impl Fn() + 'static) {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    let on_clone = move || {
        counted.set(counted.get() + 1);
        comes_back();
    };
    with_waker(on_clone, |hostile| {
        for (waker, clones) in [(hostile, 1), (Waker::noop(), 1), (hostile, 2)] {
            assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            assert_eq!(count.get(), clones);
        }
    });
}

#[test]
fn a_semaphore_is_used_while_a_waker_is_cloned_for_it() {
    let semaphore = Rc::new(Semaphore::new(1));
    let held = semaphore.try_acquire(1).unwrap();
    let other = semaphore.clone();
    let mut waiting = semaphore.acquire(1);
    waits_hostilely(Pin::new(&mut waiting), move || {
        assert!(other.try_acquire(1).is_err());
        assert!(poll(&mut other.acquire(1)).is_pending());
    });
    drop(held);
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn a_signal_is_waited_for_while_a_waker_is_cloned_for_it() {
    let notify = Rc::new(Notify::new());
    let other = notify.clone();
    let mut waiting = notify.notified();
    waits_hostilely(Pin::new(&mut waiting), move || assert!(poll(&mut other.notified()).is_pending()));
    notify.notify_one();
    assert!(poll(&mut waiting).is_ready());
}

#[test]
fn a_signal_given_while_the_waker_is_cloned_is_not_lost() {
    let notify = Rc::new(Notify::new());
    let other = notify.clone();
    let polled = with_waker(
        move || other.notify_one(),
        |hostile| pin!(notify.notified()).poll(&mut Context::from_waker(hostile)),
    );
    assert_eq!(polled, Poll::Ready(()));
}

#[test]
fn a_gate_is_used_while_a_waker_is_cloned_for_it() {
    let gate = Rc::new(Gate::new());
    let inside = gate.enter().unwrap();
    let other = gate.clone();
    let mut close = gate.close();
    waits_hostilely(Pin::new(&mut close), move || assert!(poll(&mut other.close()).is_pending()));
    drop(inside);
    assert!(poll(&mut close).is_ready());
}

#[test]
fn a_barrier_is_used_while_a_waker_is_cloned_for_it() {
    let barrier = Barrier::new(3);
    let other = barrier.clone();
    let mut waiting = pin!(barrier.wait());
    waits_hostilely(waiting.as_mut(), move || assert!(poll(&mut pin!(other.wait())).is_pending()));
    let (mut second, mut third) = (pin!(barrier.wait()), pin!(barrier.wait()));
    assert!(poll(&mut second).is_pending());
    assert_eq!((poll(&mut third), poll(&mut waiting)), (Poll::Ready(true), Poll::Ready(false)));
}

#[test]
fn a_channel_is_used_while_a_waker_is_cloned_for_its_line() {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send(1).unwrap();
    let other = tx.clone();
    let mut waiting = tx.send(2);
    waits_hostilely(Pin::new(&mut waiting), move || {
        assert!(other.try_send(3).is_err());
        assert!(poll(&mut other.send(3)).is_pending());
    });
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(poll(&mut waiting), Poll::Ready(Ok(())));
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn a_message_sent_while_the_waker_is_cloned_is_received() {
    let (tx, mut rx) = mpsc::channel(1);
    // It waits already, so that the message would wake it.
    assert!(poll(&mut pin!(rx.recv())).is_pending());
    let polled = with_waker(
        move || tx.try_send(7).unwrap(),
        |hostile| pin!(rx.recv()).poll(&mut Context::from_waker(hostile)),
    );
    assert_eq!(polled, Poll::Ready(Some(7)));
}

#[test]
fn a_value_sent_while_the_waker_is_cloned_is_received() {
    let (tx, mut rx) = oneshot::channel();
    assert!(poll(&mut rx).is_pending());
    let tx = RefCell::new(Some(tx));
    let send = move || tx.take().into_iter().for_each(|tx| tx.send(7).unwrap());
    let polled = with_waker(send, |hostile| Pin::new(&mut rx).poll(&mut Context::from_waker(hostile)));
    assert_eq!(polled, Poll::Ready(Ok(7)));
}

/// Polls `future` with a waker whose clone unwinds, then with one that counts: that one waits, and is woken once by `happens`.
fn waits_after_a_clone_that_unwound<T: fmt::Debug>(
    mut future: Pin<&mut impl Future<Output = T>>,
    happens: impl FnOnce(),
) {
    let polled = with_waker(
        || panic!("on purpose"),
        |hostile| {
            let mut poll = || future.as_mut().poll(&mut Context::from_waker(hostile));
            catch_unwind(AssertUnwindSafe(&mut poll)).map(|polled| polled.is_pending())
        },
    );
    assert!(polled.is_err(), "it was cloned");
    let count = Count::new();
    let waker = count.waker();
    let mut poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    assert_eq!(count.wakes(), 0, "it would spin");
    happens();
    assert_eq!(count.wakes(), 1);
    assert!(poll().is_ready());
}

#[test]
fn a_waker_that_cannot_be_cloned_leaves_channels_as_they_were() {
    let (tx, mut rx) = mpsc::channel(1);
    waits_after_a_clone_that_unwound(pin!(rx.recv()), || tx.try_send(1).unwrap());
    tx.try_send(2).unwrap();
    waits_after_a_clone_that_unwound(pin!(tx.send(3)), || assert_eq!(rx.try_recv(), Ok(2)));

    let (tx, mut rx) = mpsc::unbounded();
    waits_after_a_clone_that_unwound(pin!(rx.recv()), || tx.send(1).unwrap());
    waits_after_a_clone_that_unwound(pin!(rx.recv()), || drop(tx));

    let (mut tx, mut rx) = spsc::channel(1);
    waits_after_a_clone_that_unwound(pin!(rx.recv()), || tx.try_send(1).unwrap());
    tx.try_send(2).unwrap();
    waits_after_a_clone_that_unwound(pin!(tx.send(3)), || assert_eq!(rx.try_recv(), Ok(2)));

    let (tx, mut rx) = local::channel(1);
    waits_after_a_clone_that_unwound(pin!(rx.recv()), || tx.try_send(1).unwrap());
    tx.try_send(2).unwrap();
    waits_after_a_clone_that_unwound(pin!(tx.send(3)), || assert_eq!(rx.try_recv(), Ok(2)));

    let (tx, rx) = oneshot::channel();
    waits_after_a_clone_that_unwound(pin!(rx), || tx.send(1).unwrap());
    let (mut tx, rx) = oneshot::channel::<u8>();
    waits_after_a_clone_that_unwound(pin!(tx.closed()), || drop(rx));

    let (tx, rx) = local::oneshot::channel();
    waits_after_a_clone_that_unwound(pin!(rx), || tx.send(1).unwrap());
    let (mut tx, rx) = local::oneshot::channel::<u8>();
    waits_after_a_clone_that_unwound(pin!(tx.closed()), || drop(rx));
}

#[test]
fn a_waker_that_cannot_be_cloned_leaves_locks_and_signals_as_they_were() {
    let semaphore = Semaphore::new(0);
    waits_after_a_clone_that_unwound(pin!(semaphore.acquire(1)), || semaphore.add(1));
    let notify = Notify::new();
    waits_after_a_clone_that_unwound(pin!(notify.notified()), || notify.notify_one());
    let gate = Gate::new();
    let inside = gate.enter().unwrap();
    waits_after_a_clone_that_unwound(pin!(gate.close()), || drop(inside));
    let barrier = Barrier::new(2);
    waits_after_a_clone_that_unwound(pin!(barrier.wait()), || {
        assert_eq!(poll(&mut barrier.wait()), Poll::Ready(true));
    });
}

struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

/// Two wait, the first with a waker that unwinds when it is woken.
fn both_are_told(
    mut first: Pin<&mut impl Future>,
    mut second: Pin<&mut impl Future>,
    happens: impl FnOnce(),
) {
    let (bad, count) = (Waker::from(Arc::new(Bad)), Count::new());
    assert!(first.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&count.waker())).is_pending());
    happens();
    assert_eq!(count.wakes(), 1);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(first.poll(&mut cx).is_ready() && second.poll(&mut cx).is_ready());
}

#[test]
fn a_waker_that_unwinds_keeps_nobody_else_waiting() {
    let semaphore = Semaphore::new(0);
    both_are_told(pin!(semaphore.acquire(1)), pin!(semaphore.acquire(1)), || semaphore.add(2));
    let semaphore = Semaphore::new(0);
    both_are_told(pin!(semaphore.acquire(1)), pin!(semaphore.acquire(1)), || semaphore.close());
    let notify = Notify::new();
    both_are_told(pin!(notify.notified()), pin!(notify.notified()), || notify.notify_waiters());
    let gate = Gate::new();
    let inside = gate.enter().unwrap();
    both_are_told(pin!(gate.close()), pin!(gate.close()), || drop(inside));
    let barrier = Barrier::new(3);
    both_are_told(pin!(barrier.wait()), pin!(barrier.wait()), || {
        assert_eq!(poll(&mut barrier.wait()), Poll::Ready(true));
    });

    let (tx, mut rx) = mpsc::channel(2);
    assert_eq!(tx.try_send_many(&mut vec![1, 2]), Ok(2));
    both_are_told(pin!(tx.send(3)), pin!(tx.send(4)), || {
        assert_eq!(poll(&mut pin!(rx.recv_many(&mut Vec::new(), 2))), Poll::Ready(2));
    });
    both_are_told(pin!(tx.send(5)), pin!(tx.send(6)), || rx.close());

    let executor = LocalExecutor::new().unwrap();
    let per_core = PerCore::new("value", |_| ());
    let value = executor.enter_with(|| per_core.get().unwrap());
    both_are_told(pin!(per_core.unregister()), pin!(per_core.unregister()), || {
        executor.enter_with(|| drop(value));
    });
}
