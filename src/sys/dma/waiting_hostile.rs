//! Those who wait for a buffer with a waker that comes back to the pool, or unwinds.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use super::DmaPool;
use super::waiting_tests::{PAGE, Waiter};
use crate::sys::hostile::with_waker;

/// A waker that uses the pool, as an executor may that polls in `wake`.
#[test]
fn a_waker_may_come_back_to_the_pool() {
    thread_local! { static POOL: DmaPool = DmaPool::with_limit(2 * PAGE); }
    struct Comes;
    impl Wake for Comes {
        fn wake(self: Arc<Self>) {
            POOL.with(|pool| drop((pool.try_alloc(PAGE), pool.stats())));
        }
    }
    POOL.with(|pool| {
        let held = (pool.try_alloc(PAGE).unwrap(), pool.try_alloc(PAGE).unwrap());
        let waker = Waker::from(Arc::new(Comes));
        let mut allocs: Vec<_> = (0..4).map(|_| pool.alloc(PAGE)).collect();
        let mut poll = |at: usize| Pin::new(&mut allocs[at]).poll(&mut Context::from_waker(&waker));
        (0..4).for_each(|at| assert!(poll(at).is_pending()));
        drop(held);
        let got = (poll(0), poll(1));
        assert!(got.0.is_ready() && got.1.is_ready());
        drop(got);
        assert!(poll(2).is_ready() && poll(3).is_ready());
    });
}

/// It asks for buffers while it is cloned: to stand in line, and again to be known to other cores.
#[test]
fn a_waker_may_come_back_to_the_pool_while_it_is_cloned() {
    thread_local! { static POOL: DmaPool = DmaPool::with_limit(PAGE); }
    POOL.with(|pool| {
        let held = pool.try_alloc(PAGE).unwrap();
        let mut first = pool.alloc(PAGE);
        let clones = Rc::new(Cell::new(0));
        let counted = clones.clone();
        let comes_back = move || {
            counted.set(counted.get() + 1);
            POOL.with(|pool| {
                assert!(pool.try_alloc(PAGE).is_err());
                let mut other = Waiter::idle(pool, PAGE);
                assert!(other.poll().is_pending());
                drop(other);
                assert_eq!(pool.stats().in_use, 1);
            });
        };
        let polled = with_waker(comes_back, |hostile| {
            Pin::new(&mut first).poll(&mut Context::from_waker(hostile)).is_pending()
        });
        assert!(polled && clones.get() >= 2, "cloned {} times", clones.get());
        let mut second = Waiter::idle(pool, PAGE);
        assert!(second.poll().is_pending());
        std::thread::spawn(move || drop(held)).join().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut first).poll(&mut cx).is_ready());
        assert_eq!(second.wakes(), 1);
        assert!(second.poll().is_ready());
    });
}

/// The buffer comes back while the waker is cloned for other cores: who waits gets it.
#[test]
fn a_buffer_dropped_while_the_waker_is_cloned_is_handed_out() {
    let pool = DmaPool::with_limit(PAGE);
    let held = Cell::new(Some(pool.try_alloc(PAGE).unwrap()));
    let mut waiting = pool.alloc(PAGE);
    let clones = Cell::new(0);
    let comes_back = move || {
        if clones.replace(clones.get() + 1) == 1 {
            drop(held.take());
        }
    };
    let polled = with_waker(comes_back, |hostile| {
        Pin::new(&mut waiting).poll(&mut Context::from_waker(hostile)).is_ready()
    });
    assert!(polled);
}

/// One clone is made for the line. If those for other cores unwind, its owner looks by itself, and the line goes on behind it.
#[test]
fn a_waker_that_cannot_be_cloned_holds_nobody_up() {
    let pool = DmaPool::with_limit(PAGE);
    let held = pool.try_alloc(PAGE).unwrap();
    let mut first = pool.alloc(PAGE);
    let clones = Cell::new(0);
    let unwinds = move || assert!(clones.replace(clones.get() + 1) == 0, "on purpose");
    let polled = with_waker(unwinds, |hostile| {
        Pin::new(&mut first).poll(&mut Context::from_waker(hostile)).is_pending()
    });
    assert!(polled);
    let mut second = Waiter::idle(&pool, PAGE);
    assert!(second.poll().is_pending());
    drop(first);
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(second.wakes(), 1);
    assert!(second.poll().is_ready());
}
