//! A foreign waker may run anything while it is cloned: it comes back here into what is being waited in.
#![expect(unsafe_code, reason = "a RawWaker vtable: no safe waker says when it is cloned")]

use super::{Barrier, Gate, Notify, Semaphore, mpsc, testing::poll};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

type ComesBack = Rc<dyn Fn()>;

thread_local! {
    static ON_CLONE: RefCell<Option<ComesBack>> = const { RefCell::new(None) };
}

static HOSTILE: RawWakerVTable = RawWakerVTable::new(clone, ignore, ignore, ignore);

fn clone(_: *const ()) -> RawWaker {
    // Taken out meanwhile: what it does may clone a waker too.
    if let Some(comes_back) = ON_CLONE.take() {
        comes_back();
        ON_CLONE.set(Some(comes_back));
    }
    RawWaker::new(std::ptr::null(), &HOSTILE)
}

fn ignore(_: *const ()) {}

/// Polls `future`, which cannot be ready, so that it clones a hostile waker to wait with it and another to replace the first.
fn waits_hostilely(mut future: Pin<&mut impl Future>, comes_back: impl Fn() + 'static) {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    ON_CLONE.set(Some(Rc::new(move || {
        counted.set(counted.get() + 1);
        comes_back();
    })));
    // SAFETY: the functions of the vtable use no data.
    let hostile = unsafe { Waker::new(std::ptr::null(), &HOSTILE) };
    for (waker, clones) in [(&hostile, 1), (Waker::noop(), 1), (&hostile, 2)] {
        assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        assert_eq!(count.get(), clones);
    }
    ON_CLONE.set(None);
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
    ON_CLONE.set(Some(Rc::new(move || other.notify_one())));
    // SAFETY: the functions of the vtable use no data.
    let hostile = unsafe { Waker::new(std::ptr::null(), &HOSTILE) };
    let polled = pin!(notify.notified()).poll(&mut Context::from_waker(&hostile));
    ON_CLONE.set(None);
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
