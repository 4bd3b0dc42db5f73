//! Balanced tasks under loom: wakes, drops and aborts against polls on two cores.
//!
//! Each was seen to fail once. `schedule` or `begin` Relaxed: a poll that does not see what was written before its wake. `pause` not
//! looking at `SCHEDULED`: a lost wake-up; Relaxed: two cores race for the future. `finish` Relaxed: the handle races for the output.
//! `detach` Relaxed: likewise; never taking the output: a leak.

use super::*;
use crate::sys::sync::{
    Arc as LoomArc, Mutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};
use loom::thread;
use std::{collections::VecDeque, future::poll_fn, task::Waker};

/// A queue that any thread takes from, as an injector is.
#[derive(Clone)]
struct Queue(LoomArc<Mutex<VecDeque<Arc<dyn Runnable>>>>);

impl Queue {
    fn new() -> Self {
        Self(LoomArc::new(Mutex::new(VecDeque::new())))
    }

    /// Runs what is queued, as a core does. Whether there was anything.
    fn turn(&self) -> bool {
        let task = self.0.lock().unwrap().pop_front();
        let Some(task) = task else { return false };
        if let Some(task) = task.run() {
            self.enqueue(task);
        }
        true
    }

    fn spawn<F: Future<Output: Send> + Send + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let (task, handle) = balanced(future, self.clone());
        self.enqueue(task);
        handle
    }
}

impl Schedule for Queue {
    fn enqueue(&self, task: Arc<dyn Runnable>) {
        self.0.lock().unwrap().push_back(task);
    }

    fn ended(&self) {}

    fn is_up_to_us(&self) -> bool {
        false
    }
}

/// What a poll touches: loom sees it if two do at once, or if one does not see what was written before its wake.
#[derive(Default)]
struct Touched(UnsafeCell<u32>);

// SAFETY: that is what the models check.
unsafe impl Send for Touched {}
// SAFETY: as above.
unsafe impl Sync for Touched {}

impl Touched {
    fn add(&self, n: u32) -> u32 {
        self.0.with_mut(|value| {
            // SAFETY: as above.
            unsafe {
                *value += n;
                *value
            }
        })
    }
}

fn poll_handle<T: 'static>(handle: &mut JoinHandle<T>) -> Poll<Result<T, JoinError>> {
    Pin::new(handle).poll(&mut Context::from_waker(Waker::noop()))
}

fn output_of<T: 'static>(queue: &Queue, handle: &mut JoinHandle<T>) -> Result<T, JoinError> {
    loop {
        if let Poll::Ready(output) = poll_handle(handle) {
            return output;
        }
        if !queue.turn() {
            thread::yield_now();
        }
    }
}

/// It waits for a wake from abroad that comes while it is polled, or before, or after; two cores take it from the queue. Fails with
/// `finish` or `is_done` relaxed.
fn wake_model(wake: fn(Waker)) {
    loom::model(move || {
        let queue = Queue::new();
        let written = LoomArc::new(Touched::default());
        let (out, waker) = (LoomArc::new(Mutex::new(None)), LoomArc::new(Mutex::new(None::<Waker>)));
        let (seen, leave, own) = (written.clone(), waker.clone(), Touched::default());
        let mut polls = 0;
        let mut handle = queue.spawn(poll_fn(move |cx| {
            own.add(1);
            polls += 1;
            if polls == 2 {
                return Poll::Ready(seen.add(0));
            }
            *leave.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }));
        queue.turn_until_left(&waker, &out);
        let taken = out.lock().unwrap().take().unwrap();
        let abroad = {
            let queue = queue.clone();
            thread::spawn(move || {
                written.add(42);
                wake(taken);
                queue.turn();
            })
        };
        assert_eq!(output_of(&queue, &mut handle).unwrap(), 42);
        abroad.join().unwrap();
    });
}

impl Queue {
    /// Polls once and moves the waker that was left.
    fn turn_until_left(&self, left: &Mutex<Option<Waker>>, to: &Mutex<Option<Waker>>) {
        assert!(self.turn());
        *to.lock().unwrap() = left.lock().unwrap().take();
    }
}

#[test]
fn loom_balanced_woken_by_value() {
    wake_model(Waker::wake);
}

#[test]
fn loom_balanced_woken_by_reference() {
    wake_model(|waker| waker.wake_by_ref());
}

/// It is queued when the wake comes, which then leaves no trace but in the state: the poll that follows sees what was written before.
/// Fails with `schedule` or `begin` relaxed.
#[test]
fn loom_balanced_wake_of_what_is_queued_carries_along() {
    loom::model(|| {
        let queue = Queue::new();
        let written = LoomArc::new(AtomicU32::new(0));
        let (out, seen) = (LoomArc::new(Mutex::new(None::<Waker>)), written.clone());
        let leave = out.clone();
        let mut handle = queue.spawn(poll_fn(move |cx| {
            if seen.load(Relaxed) == 42 {
                return Poll::Ready(());
            }
            leave.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
            Poll::Pending
        }));
        assert!(queue.turn());
        let waker = out.lock().unwrap().take().unwrap();
        waker.wake_by_ref();
        let abroad = thread::spawn(move || {
            written.store(42, Relaxed);
            waker.wake();
        });
        output_of(&queue, &mut handle).unwrap();
        abroad.join().unwrap();
    });
}

/// The wake comes while it is being polled, elsewhere: it is polled once more, by one core at a time. Fails with `pause` relaxed.
#[test]
fn loom_balanced_wake_against_poll() {
    loom::model(|| {
        let queue = Queue::new();
        let waker = LoomArc::new(Mutex::new(None::<Waker>));
        let leave = waker.clone();
        let own = Touched::default();
        let mut handle = queue.spawn(poll_fn(move |cx| {
            if own.add(1) == 3 {
                return Poll::Ready(());
            }
            *leave.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }));
        assert!(queue.turn());
        let first = waker.lock().unwrap().take().unwrap();
        first.wake_by_ref();
        let core = {
            let queue = queue.clone();
            thread::spawn(move || queue.turn())
        };
        // Before that poll, in it, or behind it; in it is what counts.
        first.wake();
        while poll_handle(&mut handle).is_pending() {
            if !queue.turn() {
                if let Some(last) = waker.lock().unwrap().take() {
                    last.wake();
                }
                thread::yield_now();
            }
        }
        core.join().unwrap();
    });
}

/// The handle waits on another thread: it finds the output, or is woken. Fails with `finish` or `is_done` relaxed.
#[test]
fn loom_balanced_output_reaches_its_handle() {
    loom::model(|| {
        let queue = Queue::new();
        let mut handle = queue.spawn(async { Box::new(7) });
        let asker = thread::spawn(move || loom::future::block_on(&mut handle).map(|output| *output).unwrap());
        assert!(queue.turn());
        assert_eq!(asker.join().unwrap(), 7);
    });
}

/// Dropped by the handle or by who finishes, once. Fails with `finish` or `detach` relaxed.
#[test]
fn loom_balanced_output_against_a_dropped_handle() {
    loom::model(|| {
        let queue = Queue::new();
        let witness = LoomArc::new(());
        let output = witness.clone();
        let handle = queue.spawn(async move { output });
        // Keeps the allocation, so that the output does not go with that.
        let abort = handle.abort_handle();
        let dropper = thread::spawn(move || drop(handle));
        assert!(queue.turn());
        dropper.join().unwrap();
        assert_eq!(LoomArc::strong_count(&witness), 1);
        drop(abort);
    });
}

/// An abort from abroad against a poll that finishes it, or one that does not: one of the two counts, the abort is not lost, and the
/// future is dropped once. Fails (it is never over) with a `pause` that loads and stores instead of exchanging.
#[test]
fn loom_balanced_abort_against_poll() {
    for finishes in [true, false] {
        loom::model(move || {
            let queue = Queue::new();
            let witness = LoomArc::new(());
            let held = witness.clone();
            let mut has_waited = false;
            let mut handle = queue.spawn(poll_fn(move |cx| {
                let _held = &held;
                if !std::mem::replace(&mut has_waited, true) {
                    cx.waker().wake_by_ref();
                } else if finishes {
                    return Poll::Ready(1);
                }
                Poll::Pending
            }));
            let abort = handle.abort_handle().unwrap();
            let aborter = thread::spawn(move || abort.abort());
            match output_of(&queue, &mut handle) {
                Ok(1) => assert!(finishes),
                output => assert!(matches!(output, Err(JoinError::Cancelled))),
            }
            aborter.join().unwrap();
            assert_eq!(LoomArc::strong_count(&witness), 1);
        });
    }
}

/// A queue that counts how often its tasks ended.
#[derive(Clone)]
struct Counting(Queue, LoomArc<AtomicU32>);

impl Schedule for Counting {
    fn enqueue(&self, task: Arc<dyn Runnable>) {
        self.0.enqueue(task);
    }

    fn ended(&self) {
        self.1.fetch_add(1, Relaxed);
    }

    fn is_up_to_us(&self) -> bool {
        false
    }
}

/// The runtime is over while somebody wakes and somebody waits: what was queued meanwhile finds that it is over. Fails (it ends twice)
/// if `begin` does not look at `DONE`.
#[test]
fn loom_balanced_end_against_wake() {
    loom::model(|| {
        let queue = Counting(Queue::new(), LoomArc::new(AtomicU32::new(0)));
        let (task, mut handle) = balanced(std::future::pending::<()>(), queue.clone());
        let core = task.clone();
        assert!(core.run().is_none());
        let abort = handle.abort_handle().unwrap();
        let abroad = thread::spawn(move || abort.abort());
        task.cancel();
        assert!(matches!(poll_handle(&mut handle), Poll::Ready(Err(JoinError::Cancelled))));
        abroad.join().unwrap();
        while queue.0.turn() {}
        assert_eq!(queue.1.load(Relaxed), 1);
    });
}
