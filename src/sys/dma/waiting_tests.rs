//! What a dry pool promises to those who wait, promise by promise. In any order, it is held against `waiting_oracle`.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::waiting::Alloc;
use super::{AllocError, DmaBuf, DmaPool};

pub(super) const PAGE: usize = 4096;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A waiter with a waker of its own.
pub(super) struct Waiter<'p> {
    alloc: Alloc<'p>,
    count: Arc<Count>,
}

impl<'p> Waiter<'p> {
    /// One that has not been polled.
    pub(super) fn idle(pool: &'p DmaPool, len: usize) -> Self {
        Self { alloc: pool.alloc(len), count: Arc::default() }
    }

    fn new(pool: &'p DmaPool, len: usize) -> Self {
        let mut waiter = Self::idle(pool, len);
        assert!(waiter.poll().is_pending(), "{len} bytes at once");
        waiter
    }

    pub(super) fn poll(&mut self) -> Poll<Result<DmaBuf, AllocError>> {
        let waker = Waker::from(self.count.clone());
        Pin::new(&mut self.alloc).poll(&mut Context::from_waker(&waker))
    }

    pub(super) fn wakes(&self) -> usize {
        self.count.wakes()
    }

    pub(super) fn forget_wakes(&self) {
        self.count.0.store(0, Ordering::SeqCst);
    }

    fn get(mut self) -> DmaBuf {
        match self.poll() {
            Poll::Ready(answer) => answer.unwrap(),
            Poll::Pending => panic!("still waiting"),
        }
    }
}

/// A pool of `pages` and everything it has.
fn dry(pages: usize) -> (DmaPool, VecDeque<DmaBuf>) {
    let pool = DmaPool::with_limit(pages * PAGE);
    let held = (0..pages).map(|_| pool.try_alloc(PAGE).unwrap()).collect();
    (pool, held)
}

/// Polls on the calling thread, which sleeps until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    #[derive(Default)]
    struct Bell(Mutex<bool>, Condvar);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = true;
            self.1.notify_one();
        }
    }
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut rung = bell.1.wait_while(bell.0.lock().unwrap(), |rung| !*rung).unwrap();
        *rung = false;
    }
}

#[test]
fn waiters_are_served_in_order_one_for_each_buffer_that_comes_back() {
    let (pool, mut held) = dry(2);
    let mut waiters: VecDeque<_> = (0..4).map(|_| Waiter::new(&pool, PAGE)).collect();
    assert_eq!((pool.stats().waiting, pool.stats().waited), (4, 4));
    for _ in 0..4 {
        assert!(waiters.iter().all(|waiter| waiter.wakes() == 0));
        held.pop_front();
        let first = waiters.pop_front().unwrap();
        assert_eq!(first.wakes(), 1);
        held.push_back(first.get());
    }
    assert_eq!((pool.stats().waiting, pool.stats().in_use, pool.stats().refused), (0, 2, 0));
}

#[test]
fn nobody_overtakes_those_who_wait() {
    let (pool, mut held) = dry(3);
    let big = Waiter::new(&pool, 2 * PAGE);
    held.pop_front();
    assert!(pool.try_alloc(1).unwrap_err().is_dry(), "what lies idle is promised");
    let mut small = Waiter::new(&pool, 1);
    held.pop_front();
    assert_eq!((big.wakes(), small.wakes()), (0, 0));
    held.pop_front();
    assert_eq!((big.wakes(), small.wakes()), (1, 1), "all pages are idle, one is left over");
    drop((big.get(), small.poll()));
}

#[test]
fn a_large_request_is_not_starved_by_small_ones_that_keep_coming() {
    let (pool, mut held) = dry(8);
    let big = Waiter::new(&pool, 8 * PAGE);
    let mut small = VecDeque::new();
    while let Some(buf) = held.pop_front() {
        assert_eq!(big.wakes(), 0);
        small.push_back(Waiter::new(&pool, PAGE));
        drop(buf);
    }
    assert_eq!(big.wakes(), 1);
    let big = big.get();
    assert!(small.iter().all(|waiter| waiter.wakes() == 0));
    drop(big);
    // Now it is their turn, all that fit at once: the large one serves one of them, as any idle buffer that is larger.
    let first = small.pop_front().unwrap();
    assert_eq!(first.wakes(), 1);
}

#[test]
fn memory_of_one_size_serves_another_once_it_is_idle() {
    for (first, then) in
        [(PAGE, 64 << 10), (64 << 10, PAGE), (PAGE, 5 << 20), (5 << 20, PAGE), (8 << 10, 4 << 20)]
    {
        let limit = 6 << 20;
        let pool = DmaPool::with_limit(limit);
        for _ in 0..3 {
            for len in [first, then] {
                let mut held = Vec::new();
                while let Ok(mut buf) = pool.try_alloc(len) {
                    let last = len - 1;
                    (buf[0], buf[last]) = (held.len() as u8, held.len() as u8);
                    held.push(buf);
                }
                assert!(
                    held.len() >= limit / first.max(then) / 2,
                    "{} of {len} bytes after others",
                    held.len()
                );
                for (i, buf) in held.iter().enumerate() {
                    assert_eq!((buf[0], buf[len - 1]), (i as u8, i as u8), "buffers of {len} overlap");
                }
            }
        }
        assert!(pool.stats().mapped_bytes <= limit);
    }
}

/// Whatever was chopped up while somebody waits comes together again, from this thread and others.
#[test]
fn a_waiter_gets_its_memory_together_from_buffers_dropped_anywhere() {
    let (pool, mut held) = dry(1024);
    let mut whole = Waiter::new(&pool, 1024 * PAGE);
    for chunk in 0..4 {
        let mine: Vec<_> = held.drain(..128).collect();
        let theirs: Vec<_> = held.drain(..128).collect();
        std::thread::spawn(move || drop(theirs)).join().unwrap();
        assert!(whole.poll().is_pending(), "{chunk}");
        drop(mine);
    }
    drop(held);
    assert_eq!(whole.get().len(), 1024 * PAGE);
}

#[test]
fn a_waiter_dropped_in_line_lets_the_next_one_through() {
    for dropped in 0..3 {
        let (pool, mut held) = dry(1);
        let mut waiters: Vec<_> = (0..3).map(|_| Waiter::new(&pool, PAGE)).collect();
        drop(waiters.remove(dropped));
        for waiter in waiters {
            held.pop_front();
            assert_eq!(waiter.wakes(), 1);
            held.push_back(waiter.get());
        }
        assert_eq!(pool.stats().waiting, 0);
    }
}

#[test]
fn a_waiter_dropped_after_it_was_woken_passes_its_buffer_on() {
    let (pool, held) = dry(1);
    let (first, second) = (Waiter::new(&pool, PAGE), Waiter::new(&pool, PAGE));
    drop(held);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!(second.wakes(), 1);
    drop(second);
    assert_eq!((pool.stats().in_use, pool.stats().waiting), (0, 0));
    assert!(pool.try_alloc(PAGE).is_ok());
}

#[test]
fn a_large_waiter_that_gives_up_frees_the_way_for_small_ones() {
    let (pool, mut held) = dry(2);
    let big = Waiter::new(&pool, 2 * PAGE);
    let small = Waiter::new(&pool, PAGE);
    held.pop_front();
    assert_eq!(small.wakes(), 0);
    drop(big);
    assert_eq!(small.wakes(), 1);
    small.get();
}

#[test]
fn a_future_never_polled_stands_in_no_line() {
    let (pool, _held) = dry(1);
    drop(pool.alloc(PAGE));
    assert_eq!(pool.stats().waited, 0);
}

#[test]
fn the_latest_waker_is_the_one_that_is_woken() {
    let (pool, held) = dry(1);
    let mut waiter = Waiter::new(&pool, PAGE);
    let before = std::mem::take(&mut waiter.count);
    assert!(waiter.poll().is_pending());
    assert_eq!(Arc::strong_count(&before), 1, "the one before is let go of");
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!((waiter.wakes(), before.wakes()), (1, 0));
    waiter.get();
}

#[test]
fn a_buffer_dropped_on_another_thread_wakes_the_first_in_line() {
    let (pool, mut held) = dry(2);
    let (first, second) = (Waiter::new(&pool, PAGE), Waiter::new(&pool, PAGE));
    let bytes = held.pop_front().unwrap().freeze();
    let half = bytes.slice(..2048);
    std::thread::spawn(move || drop(bytes)).join().unwrap();
    assert_eq!((first.wakes(), second.wakes()), (0, 0), "a share is still out");
    std::thread::spawn(move || drop(half)).join().unwrap();
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    let first = first.get();
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(second.wakes(), 1);
    second.get();
    drop(first);
    assert_eq!(pool.stats().in_use, 0);
}

/// Both at once: no wake-up may be lost on the way, or this does not end.
#[test]
fn more_tasks_than_buffers_all_get_theirs_though_others_drop_them() {
    const TASKS: usize = 24;
    const ROUNDS: usize = 200;
    let pool = DmaPool::with_limit(4 * PAGE);
    let (send, receive) = std::sync::mpsc::channel::<DmaBuf>();
    let receive = Arc::new(Mutex::new(receive));
    let droppers: Vec<_> = (0..2)
        .map(|_| {
            let receive = receive.clone();
            std::thread::spawn(move || {
                // The lock is let go of before the buffer is.
                let next = || receive.lock().unwrap().recv();
                while let Ok(buf) = next() {
                    drop(buf);
                }
            })
        })
        .collect();
    let task = |number: usize| {
        let (pool, send) = (&pool, &send);
        async move {
            for round in 0..ROUNDS {
                let len = if (number + round) % 7 == 0 { 4 * PAGE } else { PAGE };
                let mut buf = pool.alloc(len).await.unwrap();
                buf[0] = number as u8;
                if (number + round) % 3 != 0 {
                    send.send(buf).unwrap();
                }
            }
        }
    };
    block_on(futures::future::join_all((0..TASKS).map(task)));
    drop(send);
    droppers.into_iter().for_each(|thread| thread.join().unwrap());
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.refused), (0, 0, 0));
    assert_eq!(stats.allocated, (TASKS * ROUNDS) as u64);
    assert!(stats.waited > 0 && stats.mapped_bytes <= 4 * PAGE);
}

#[test]
fn what_the_pool_can_never_have_is_an_error_that_names_the_limit() {
    let pool = DmaPool::with_limit(5 * PAGE);
    // Five pages are there, and buffers come in powers of two.
    for len in [5 * PAGE, 8 * PAGE, 5 << 20] {
        let e = block_on(pool.alloc(len)).unwrap_err();
        assert!(matches!(e, AllocError::OverLimit { limit, .. } if limit == 5 * PAGE), "{e}");
        assert!(!e.is_dry() && e.to_string().contains("DmaPool::set_limit"), "{e}");
        assert!(!pool.try_alloc(len).unwrap_err().is_dry());
    }
    assert!(matches!(block_on(pool.alloc(1 << 31)), Err(AllocError::TooLong { .. })));
    assert_eq!(pool.stats().refused, 7);
}

#[test]
fn a_raised_limit_serves_those_who_wait_and_a_lowered_one_tells_them() {
    let (pool, held) = dry(4);
    let (small, mut big) = (Waiter::new(&pool, PAGE), Waiter::new(&pool, 4 * PAGE));
    pool.set_limit(5 * PAGE);
    assert_eq!((small.wakes(), big.wakes()), (1, 0));
    pool.set_limit(2 * PAGE);
    assert_eq!(big.wakes(), 1);
    assert!(matches!(big.poll(), Poll::Ready(Err(AllocError::OverLimit { .. }))));
    drop((small.get(), held));
    assert!(pool.try_alloc(PAGE).is_ok());
}

#[test]
fn a_forgotten_waiter_costs_its_buffer_and_nobody_else() {
    let (pool, mut held) = dry(3);
    let forgotten = Waiter::new(&pool, PAGE);
    let count = forgotten.count.clone();
    std::mem::forget(forgotten);
    let next = Waiter::new(&pool, PAGE);
    held.pop_front();
    held.pop_front();
    assert_eq!(next.wakes(), 1);
    next.get();
    // In line when the pool ends, another one is let go of with its waker.
    let (taken, last) = (pool.try_alloc(PAGE).unwrap(), Waiter::new(&pool, PAGE));
    let last_count = last.count.clone();
    std::mem::forget(last);
    drop(pool);
    drop((taken, held));
    // The waker in the test's own hands and the one inside of what was forgotten are all there are.
    assert_eq!((Arc::strong_count(&count), Arc::strong_count(&last_count)), (2, 2));
}
