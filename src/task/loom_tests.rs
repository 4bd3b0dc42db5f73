//! Tasks under loom: wakes, drops and aborts from another thread against polls and the end of the core.
//!
//! Each was seen to fail once. `begin_waking` answering `false` always: a lost wake-up. `release_local` not looking at `shared`:
//! memory freed under a foreign waker. `begin_counting` left out: memory freed twice. `Inbox::push` publishing Relaxed: a race.
//! A last reference that ends where it is, and sends home only the news of it: memory freed twice.
//! `Chunk::release` counting Relaxed: memory freed while another uses it.
//! `is_let_go` answering `true` always: a handle races with the owner for the task's state.

use super::*;
use crate::sys::sync::{
    Arc, UnsafeCell,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use loom::{sync::Notify, thread};
use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// A home turned by the model's main thread, and the bell that its senders ring.
struct Core {
    home: Arc<Home>,
    bell: Arc<Notify>,
    entered: Option<Entered>,
}

/// Events swallow panics, failed assertions among them; the hook does not.
static HAS_PANICKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[expect(unsafe_code, reason = "a model's main thread is the owner of its home")]
fn core() -> Core {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Without a message it is loom's own, which ends its coroutines so.
            if info.payload().is::<&str>() || info.payload().is::<String>() {
                HAS_PANICKED.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            report(info);
        }));
    });
    let bell = Arc::new(Notify::new());
    let ring = bell.clone();
    let home = Home::new(2, std::sync::Arc::new(move || ring.notify()));
    // SAFETY: entered once, left in `end`, on this thread.
    let entered = Some(unsafe { home.enter() });
    home.local().unwrap().connect(0, [home.clone()].into_iter());
    Core { home, bell, entered }
}

impl Core {
    fn local(&self) -> &Local {
        self.home.local().expect("entered")
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.local().spawn(&self.home, Plain { future })
    }

    /// Turns and sleeps until the handle is done.
    fn run<T: 'static>(&self, handle: JoinHandle<T>) -> Result<T, JoinError> {
        let mut handle = pin!(handle);
        loop {
            if let Poll::Ready(result) = handle.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return result;
            }
            let local = self.local();
            if local.run_events(&self.home, 8) + local.run_tasks(1, 8, |_| ()) == 0 {
                if local.park(&self.home) {
                    self.bell.wait();
                    local.unpark(&self.home);
                } else {
                    thread::yield_now();
                }
            }
        }
    }

    fn end(&mut self) {
        self.local().cancel_all();
        let orphans = self.local().close(&self.home);
        self.entered = None;
        drop(orphans);
    }
}

/// A future that hands its waker out and waits for the flag that whoever wakes it has set before.
fn waiting(
    flag: Arc<AtomicBool>,
    out: Rc<RefCell<Option<Waker>>>,
    value: Arc<UnsafeCell<u32>>,
) -> impl Future<Output = u32> {
    poll_fn(move |cx| {
        if flag.load(Relaxed) {
            // loom sees it if the wake did not carry the write along.
            #[expect(unsafe_code, reason = "loom's cell, which checks the access")]
            // SAFETY: written before the wake that has brought us here.
            return Poll::Ready(value.with(|value| unsafe { *value }));
        }
        out.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        Poll::Pending
    })
}

/// Fails with `Inbox::push` publishing relaxed: with a message and without an end, as events swallow panics.
fn wake_model(wake: fn(Waker)) {
    loom::model(move || {
        let mut core = core();
        let (flag, value) = (Arc::new(AtomicBool::new(false)), Arc::new(UnsafeCell::new(0)));
        let out = Rc::new(RefCell::new(None));
        let handle = core.spawn(waiting(flag.clone(), out.clone(), value.clone()));
        core.local().run_tasks(1, 1, |_| ());
        let waker = out.take().unwrap();
        let abroad = thread::spawn(move || {
            #[expect(unsafe_code, reason = "loom's cell, which checks the access")]
            // SAFETY: before the wake, nobody else touches it.
            value.with_mut(|value| unsafe { *value = 42 });
            flag.store(true, Relaxed);
            wake(waker);
        });
        assert_eq!(core.run(handle).unwrap(), 42);
        abroad.join().unwrap();
        core.end();
        assert_eq!(Arc::strong_count(&core.home), 1, "nothing of the task is left");
    });
}

#[test]
fn loom_task_woken_by_value() {
    wake_model(Waker::wake);
}

#[test]
fn loom_task_woken_by_reference() {
    wake_model(|waker| {
        waker.wake_by_ref();
        drop(waker);
    });
}

#[test]
fn loom_task_woken_by_a_clone_made_abroad() {
    wake_model(|waker| {
        let clone = waker.clone();
        drop(waker);
        clone.wake();
    });
}

/// The core ends while a foreign thread uses and drops the wakers. Fails with `Header::release_shared` relaxed, and with `Inbox::push`
/// publishing relaxed.
fn end_model(abroad: fn(Waker)) {
    loom::model(move || {
        let mut core = core();
        let out = Rc::new(RefCell::new(None));
        let keep = out.clone();
        let handle = core.spawn(poll_fn(move |cx| {
            keep.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }));
        core.local().run_tasks(1, 1, |_| ());
        let waker = out.take().unwrap();
        let thread = thread::spawn(move || abroad(waker));
        core.end();
        drop(handle);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&core.home), 1, "nothing of the task is left");
    });
}

#[test]
fn loom_task_core_ends_against_wake() {
    end_model(Waker::wake);
}

#[test]
fn loom_task_core_ends_against_clone_and_wake_by_reference() {
    end_model(|waker| {
        let clone = waker.clone();
        clone.wake_by_ref();
    });
}

/// The task finishes and its memory is reused while a foreign thread lets go of its waker. Fails with the load in `Header::end_local`
/// relaxed, and with `Header::release_shared`.
#[test]
fn loom_task_finishes_against_a_dropped_waker() {
    loom::model(|| {
        let mut core = core();
        let out = Rc::new(RefCell::new(None));
        let keep = out.clone();
        let handle = core.spawn(poll_fn(move |cx| {
            keep.replace(Some(cx.waker().clone()));
            Poll::Ready(())
        }));
        core.local().run_tasks(1, 1, |_| ());
        let waker = out.take().unwrap();
        let thread = thread::spawn(move || {
            let clone = waker.clone();
            drop(waker);
            drop(clone);
        });
        core.run(handle).unwrap();
        // The first finds the waker's reference come home, perhaps; the second takes over the memory.
        for n in 0..2 {
            let next = core.spawn(async move { n });
            assert_eq!(core.run(next).unwrap(), n);
        }
        thread.join().unwrap();
        core.local().run_events(&core.home, 8);
        assert_eq!(core.local().live(), 0, "freed once each");
        assert!(!HAS_PANICKED.load(std::sync::atomic::Ordering::Relaxed), "an event panicked");
        core.end();
        assert_eq!(Arc::strong_count(&core.home), 1);
    });
}

/// An abort from another thread against the end of the task. Fails with the load in `Header::end_local` relaxed, and with
/// `Header::release_shared`.
#[test]
fn loom_task_aborted_from_abroad() {
    loom::model(|| {
        let mut core = core();
        let handle = core.spawn(pending::<()>());
        let abort = handle.abort_handle().unwrap();
        let thread = thread::spawn(move || abort.abort());
        assert!(matches!(core.run(handle), Err(JoinError::Cancelled)));
        thread.join().unwrap();
        core.end();
        assert_eq!(Arc::strong_count(&core.home), 1);
    });
}

/// The last reference of all ends abroad while the core ends. Fails with `Header::release_shared` relaxed, `Header::end_counting` or
/// `Chunk::release`.
#[test]
fn loom_task_core_ends_against_the_last_reference() {
    loom::model(|| {
        let mut core = core();
        let handle = core.spawn(async {});
        let abort = handle.abort_handle();
        core.run(handle).unwrap();
        let thread = thread::spawn(move || drop(abort));
        core.end();
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&core.home), 1, "freed once");
    });
}

/// Two tasks of one chunk outlive the core: whoever lets go of the second takes the chunk down. Fails with `Chunk::release`
/// relaxed.
#[test]
fn loom_task_orphans_share_a_chunk() {
    loom::model(|| {
        let mut core = core();
        let out = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..2 {
            let keep = out.clone();
            let future = poll_fn(move |cx| {
                keep.borrow_mut().push(cx.waker().clone());
                Poll::<()>::Pending
            });
            core.spawn(future).detach();
        }
        core.local().run_tasks(1, 2, |_| ());
        let mut wakers = out.take();
        let waker = wakers.pop().unwrap();
        core.end();
        let thread = thread::spawn(move || drop(waker));
        drop(wakers);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&core.home), 1, "nothing of the chunk is left");
    });
}

/// A result that was there before the end reaches a handle abroad, whenever that asks: before, while and after the core ends. Fails
/// with the load in `Header::is_let_go` relaxed, with `Header::end_counting`, and with `Chunk::release`.
#[test]
fn loom_task_result_outlives_the_core() {
    loom::model(|| {
        let mut core = core();
        let witness = Arc::new(());
        let output = witness.clone();
        let handle = core.spawn(async move { output });
        core.local().run_tasks(1, 1, |_| ());
        let asker = thread::spawn(move || {
            let mut handle = pin!(handle);
            loop {
                if let Poll::Ready(result) = handle.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return result.is_ok();
                }
                thread::yield_now();
            }
        });
        core.end();
        assert!(asker.join().unwrap());
        assert_eq!((Arc::strong_count(&witness), Arc::strong_count(&core.home)), (1, 1));
    });
}

/// The handle is dropped abroad while the core ends: the output is dropped once. Fails with the load in `Header::is_let_go` relaxed,
/// with `Header::release_shared`, `Header::end_counting` and `Chunk::release`.
#[test]
fn loom_task_core_ends_against_a_dropped_handle() {
    loom::model(|| {
        let mut core = core();
        let witness = Arc::new(());
        let output = witness.clone();
        let handle = core.spawn(async move { output });
        core.local().run_tasks(1, 1, |_| ());
        let dropper = thread::spawn(move || drop(handle));
        core.end();
        dropper.join().unwrap();
        assert_eq!((Arc::strong_count(&witness), Arc::strong_count(&core.home)), (1, 1));
    });
}
