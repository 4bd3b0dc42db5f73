//! A barrier across cores: everybody waits until all have arrived, again and again.
//!
//! Arrivals are rare, so a lock guards the line; it is never held while a waker runs.

use super::wait_list::{Key, WaitList};
use crate::sys::{
    sync::{Arc, Mutex},
    unwind::wake,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Lets `parties` tasks, on whatever cores, wait for each other. Reusable; clones are the same barrier.
///
/// ```
/// # use reactor::sync::Barrier;
/// async fn shard(barrier: Barrier) {
///     // … prepare …
///     if barrier.wait().await {
///         println!("all shards are ready");     // one of them says so
///     }
/// }
/// # let _ = shard(Barrier::new(1));
/// ```
#[derive(Clone)]
pub struct Barrier {
    parties: usize,
    state: Arc<Mutex<State>>,
}

struct State {
    /// How often everybody had arrived.
    generation: u64,
    arrived: usize,
    /// Each waiter with the generation that it waits for the end of, so oldest first.
    waiters: WaitList<u64>,
}

impl Barrier {
    /// A barrier that opens whenever `parties` have arrived. None counts as one.
    pub fn new(parties: usize) -> Self {
        let state = State { generation: 0, arrived: 0, waiters: WaitList::new() };
        Self { parties: parties.max(1), state: Arc::new(Mutex::new(state)) }
    }

    /// How many must arrive.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Arrives at the first poll, and is ready when all have. `true` for exactly one of them, the last to arrive.
    ///
    /// Dropping the future before that takes the arrival back.
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: self, arrival: None }
    }

    /// Wakes who waited for the end of `generation`. Their places are theirs to give back.
    fn open(&self, generation: u64) {
        loop {
            let mut state = self.state.lock().expect("the barrier's lock is never held across foreign code");
            match state.waiters.front() {
                Some(&waits_for) if waits_for == generation => {
                    let waker = state.waiters.settle_front(super::wait_list::Verdict::Ended);
                    drop(state);
                    waker.into_iter().for_each(wake);
                }
                _ => return,
            }
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("parties", &self.parties).finish_non_exhaustive()
    }
}

/// Made by [`Barrier::wait`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    arrival: Option<Arrival>,
}

#[derive(Debug)]
struct Arrival {
    generation: u64,
    key: Key,
}

impl Future for BarrierWait<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        ready!(crate::task::budget::proceed(cx));
        let barrier = self.barrier;
        // Before the lock, and dropped after it: both may run foreign code.
        let waker = cx.waker().clone();
        let mut state = barrier.state.lock().expect("the barrier's lock is never held across foreign code");
        match self.arrival.take() {
            None if state.arrived + 1 == barrier.parties => {
                let generation = state.generation;
                state.generation += 1;
                state.arrived = 0;
                drop(state);
                barrier.open(generation);
                Poll::Ready(true)
            }
            None => {
                state.arrived += 1;
                let generation = state.generation;
                let key = state.waiters.push_back(generation, waker);
                drop(state);
                self.arrival = Some(Arrival { generation, key });
                Poll::Pending
            }
            Some(arrival) if arrival.generation != state.generation => {
                let removed = state.waiters.remove(arrival.key);
                drop(state);
                drop(removed);
                Poll::Ready(false)
            }
            Some(arrival) => {
                let mut clone = Some(waker);
                let polled = state.waiters.poll(&arrival.key, cx.waker(), &mut clone);
                debug_assert_eq!(polled, Some(Poll::Pending), "its generation has not ended");
                drop(state);
                self.arrival = Some(arrival);
                Poll::Pending
            }
        }
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        let Some(arrival) = self.arrival.take() else { return };
        let mut state =
            self.barrier.state.lock().expect("the barrier's lock is never held across foreign code");
        if arrival.generation == state.generation {
            state.arrived -= 1;
        }
        let removed = state.waiters.remove(arrival.key);
        drop(state);
        drop(removed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::testing::{Count, poll};
    use crate::sys::blocking::block_on;

    static_assertions::assert_impl_all!(Barrier: Send, Sync);
    static_assertions::assert_impl_all!(BarrierWait<'static>: Send);

    #[test]
    fn the_last_to_arrive_leads_and_wakes_the_others() {
        let (barrier, count) = (Barrier::new(3), Count::new());
        let (mut a, mut b, mut c) = (barrier.wait(), barrier.wait(), barrier.wait());
        assert!(count.poll(&mut a).is_pending());
        assert!(count.poll(&mut b).is_pending());
        assert_eq!(poll(&mut c), Poll::Ready(true));
        assert_eq!(count.wakes(), 2);
        assert_eq!(poll(&mut a), Poll::Ready(false));
        assert_eq!(poll(&mut b), Poll::Ready(false));
    }

    #[test]
    fn a_dropped_wait_takes_its_arrival_back() {
        let barrier = Barrier::new(2);
        let mut gone = barrier.wait();
        assert!(poll(&mut gone).is_pending());
        drop(gone);
        let (mut a, mut b) = (barrier.wait(), barrier.wait());
        assert!(poll(&mut a).is_pending());
        assert_eq!(poll(&mut b), Poll::Ready(true));
        drop(a);
        let mut next = barrier.wait();
        assert!(poll(&mut next).is_pending(), "a wait dropped after the barrier opened takes nothing back");
        assert_eq!(poll(&mut barrier.wait()), Poll::Ready(true));
    }

    #[test]
    fn threads_stay_in_step_over_many_generations() {
        const ROUNDS: usize = 200;
        let barrier = Barrier::new(3);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let barrier = barrier.clone();
                std::thread::spawn(move || (0..ROUNDS).filter(|_| block_on(barrier.wait())).count())
            })
            .collect();
        let leads: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(leads, ROUNDS, "exactly one leads each round");
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::Barrier;
    use crate::sys::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use loom::{future::block_on, thread};

    /// Fails if `wait` wakes before it raises the generation: a waiter polled in between sleeps for good.
    #[test]
    fn loom_everybody_gets_through_two_generations_with_one_leader_each() {
        loom::model(|| {
            let barrier = Barrier::new(2);
            let leads = Arc::new(AtomicUsize::new(0));
            let (other, led) = (barrier.clone(), leads.clone());
            let thread = thread::spawn(move || {
                for _ in 0..2 {
                    led.fetch_add(usize::from(block_on(other.wait())), Ordering::Relaxed);
                }
            });
            for _ in 0..2 {
                leads.fetch_add(usize::from(block_on(barrier.wait())), Ordering::Relaxed);
            }
            thread.join().unwrap();
            assert_eq!(leads.load(Ordering::Relaxed), 2);
        });
    }
}
