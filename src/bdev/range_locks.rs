//! Blocks that one operation at a time may have, among all cores: what makes a compare-and-write of the layer one step.
//!
//! Who comes first goes first: an operation waits for every earlier one that shares a block with it, whether that goes on already or
//! waits itself. Taken by `emulate`, which then [holds](super::quiesce::hold_changes) back what does not ask here.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The operations of one device that hold blocks or wait for them, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct RangeLocks(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    range: Range<u64>,
    /// There while it waits.
    waker: Option<Waker>,
}

/// Waits for blocks, then holds them, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct RangeLock<'l> {
    locks: &'l RangeLocks,
    id: u64,
}

impl RangeLocks {
    /// Gets in line for `range`: the lock holds it once it was ready.
    pub(super) fn lock(&self, range: Range<u64>) -> RangeLock<'_> {
        let mut queue = self.queue();
        let id = queue.next;
        queue.next += 1;
        queue.entries.push(Entry { id, range, waker: None });
        RangeLock { locks: self, id }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change is whole before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn share(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

impl Future for RangeLock<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.locks.queue();
        let at = queue.entries.iter().position(|entry| entry.id == self.id).expect("in line until dropped");
        let (earlier, own) = queue.entries.split_at_mut(at);
        let own = &mut own[0];
        let old = if earlier.iter().any(|entry| share(&entry.range, &own.range)) {
            own.waker.replace(cx.waker().clone())
        } else {
            own.waker = None;
            return Poll::Ready(());
        };
        // With the queue free: a waker's drop may run anything.
        drop(queue);
        drop(old);
        Poll::Pending
    }
}

impl Drop for RangeLock<'_> {
    fn drop(&mut self) {
        let mut queue = self.locks.queue();
        let at = queue.entries.iter().position(|entry| entry.id == self.id).expect("in line until dropped");
        let gone = queue.entries.remove(at);
        let mut woken = Vec::new();
        for entry in &mut queue.entries[at..] {
            if share(&entry.range, &gone.range) {
                woken.extend(entry.waker.take());
            }
        }
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Wakes(AtomicUsize);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_shares_a_block_waits_in_order_and_nobody_else_does() {
        let locks = RangeLocks::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let poll =
            |lock: &mut RangeLock<'_>| Pin::new(lock).poll(&mut Context::from_waker(&waker)).is_ready();
        let (mut first, mut second) = (locks.lock(0..4), locks.lock(2..6));
        let (mut third, mut apart) = (locks.lock(5..8), locks.lock(8..9));
        assert!(poll(&mut first) && poll(&mut apart));
        // The third shares nothing with the holder, but it is not to overtake the second.
        assert!(!poll(&mut second) && !poll(&mut third));
        drop(first);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut second) && !poll(&mut third));
        drop(second);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        assert!(poll(&mut third));
    }

    #[test]
    fn who_gives_up_waiting_lets_the_next_go() {
        let locks = RangeLocks::default();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let poll =
            |lock: &mut RangeLock<'_>| Pin::new(lock).poll(&mut Context::from_waker(&waker)).is_ready();
        let (mut holder, mut waiter, mut last) = (locks.lock(0..2), locks.lock(0..9), locks.lock(4..9));
        assert!(poll(&mut holder) && !poll(&mut waiter) && !poll(&mut last));
        drop(waiter);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut last));
        drop((holder, last));
        assert!(locks.queue().entries.is_empty());
    }
}
