//! How buffers dropped on foreign cores come home, wake who waits for them, and end a closed pool.
//!
//! ```text
//!              await_next (owner, if empty)
//!         Open ────────────────────────────► Awaited
//!        │ ▲ │ ◄──────────────────────────────┘ push: and the owner's waker is woken; or withdraw (owner)
//!        │ └─┘ push (any thread); take_all (owner) empties the stack
//!        │
//!   close(out) (owner, once)
//!        ▼
//!      Closed ──retire (any thread), `out` times──► the last one is told to free the pool
//! ```
//!
//! Many push, one takes everything at once: a Treiber stack without pop has no ABA. That somebody waits stands in the same
//! word as what was returned, so there is no second flag that one side could miss.
#![expect(unsafe_code, reason = "the stack is linked through raw slots")]

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::PoisonError;
use std::task::Waker;

use super::slot::Slot;
use crate::sys::sync::Mutex;
use crate::sys::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sys::sync::atomic::{AtomicPtr, AtomicUsize};

/// The return stack of one pool.
pub(super) struct Returns {
    /// Newest returned slot, null when there is none, [`awaited`] when there is none and the owner wants to know of the next,
    /// [`closed`] for ever once the pool has no handle left.
    head: AtomicPtr<Slot>,
    /// How often the owner has begun to wait; the owner's alone.
    waits: Cell<usize>,
    /// Slots still out, counted from `close` on; the closer itself is one more.
    remaining: AtomicUsize,
    /// Whom to wake for the next slot. While the head is `awaited` it is here, or with a thread that is about to push.
    waker: Mutex<Option<Waker>>,
}

/// The head of a closed stack: an address that no slot has.
fn closed() -> *mut Slot {
    ptr::without_provenance_mut(usize::MAX)
}

/// The head of an empty stack whose owner waits for the `n`th time: an odd address, which no slot has either. Each wait has
/// a head of its own, for who has seen one and found no waker shall not push on the next, whose waker would stay behind.
fn awaited(n: usize) -> *mut Slot {
    ptr::without_provenance_mut((n << 2) | 1)
}

fn is_awaited(head: *mut Slot) -> bool {
    head.addr() & 3 == 1
}

/// What becomes of a slot that was pushed.
#[must_use]
#[derive(Debug)]
pub(super) enum Pushed {
    /// The owner takes it when it needs it, or when the pusher has woken it.
    Kept(Option<Waker>),
    /// The pool is closed: the pusher retires the slot.
    Closed,
}

impl Returns {
    /// An open, empty stack.
    pub(super) fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
            waits: Cell::new(0),
            remaining: AtomicUsize::new(0),
            waker: Mutex::new(None),
        }
    }

    /// Hands `slot` back from any thread.
    ///
    /// # Safety
    /// The caller owns `slot`, which is alive, and gives it up if the answer is `Kept`. The pool may be gone then.
    pub(super) unsafe fn push(&self, slot: NonNull<Slot>) -> Pushed {
        let mut waker = None;
        // Acquire: sees `remaining` as close stored it, should the head be `closed`.
        let mut head = self.head.load(Acquire);
        loop {
            if head == closed() {
                return Pushed::Closed;
            }
            let mut below = head;
            if is_awaited(head) {
                below = ptr::null_mut();
                // Before the push, since the pool may be gone after it. Whoever else pushes meanwhile finds no waker and wakes
                // nobody; we do, later, and for that slot too. A second one is that of a later wait: the first is over.
                waker = self.take_waker().or(waker);
            }
            // SAFETY: the slot is ours until the exchange succeeds.
            unsafe { slot.as_ref() }.next.store(below, Relaxed);
            // Release: gives the owner's Acquire in `take_all` the link and all that was done to the buffer.
            match self.head.compare_exchange_weak(head, slot.as_ptr(), Release, Acquire) {
                Ok(_) => return Pushed::Kept(waker),
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything that was returned; the owner calls it and walks the list by `next`.
    pub(super) fn take_all(&self) -> *mut Slot {
        let head = self.head.load(Relaxed);
        if head.is_null() || is_awaited(head) {
            return ptr::null_mut();
        }
        // Acquire: pairs with the Release of every push in the chain (each push is an RMW on the same word).
        let head = self.head.swap(ptr::null_mut(), Acquire);
        debug_assert!(head != closed(), "a closed pool was asked for returned buffers");
        head
    }

    /// Has the next push wake `waker`, once. False if something has been returned already; the owner calls it.
    #[must_use]
    pub(super) fn await_next(&self, waker: Waker) -> bool {
        let replaced = self.put_waker(Some(waker));
        drop(replaced);
        self.waits.set(self.waits.get().wrapping_add(1));
        let head = self.head.load(Relaxed);
        // Relaxed: the waker was stored under the lock before this, so that whoever sees this head locks after us.
        (head.is_null() || is_awaited(head))
            && self.head.compare_exchange(head, awaited(self.waits.get()), Relaxed, Relaxed).is_ok()
    }

    /// Nobody waits any more; the owner calls it. A push that is under way may still wake who did.
    pub(super) fn withdraw(&self) {
        let head = self.head.load(Relaxed);
        if is_awaited(head) {
            // Relaxed: no slot is taken or given. If it fails, something has come back and is taken in time.
            let _ = self.head.compare_exchange(head, ptr::null_mut(), Relaxed, Relaxed);
        }
        let waker = self.take_waker();
        drop(waker);
    }

    fn take_waker(&self) -> Option<Waker> {
        self.put_waker(None)
    }

    /// The waker that was there before, to be dropped with the lock let go of.
    fn put_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut *self.waker.lock().unwrap_or_else(PoisonError::into_inner), waker)
    }

    /// Closes the stack while `out` slots are out, those in the stack included, and returns what was in it.
    ///
    /// The owner retires each of the returned slots, and then once for itself.
    pub(super) fn close(&self, out: usize) -> *mut Slot {
        // One more for the closer, so that nobody frees the pool while it still walks the list.
        self.remaining.store(out + 1, Relaxed);
        // Release: publishes `remaining` to the Acquire in push. Acquire: as in take_all.
        let head = self.head.swap(closed(), AcqRel);
        if is_awaited(head) { ptr::null_mut() } else { head }
    }

    /// Counts one slot of a closed pool, or the closer, as gone. True for the last one, which frees the pool.
    #[must_use]
    pub(super) fn retire(&self) -> bool {
        // Release: what this thread did to its buffer happens before the pool is freed.
        // Acquire: the last one sees all of that.
        self.remaining.fetch_sub(1, AcqRel) == 1
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sys::sync::{Arc, UnsafeCell};
    use std::task::Poll;

    /// A stack, three slots, and one payload cell per slot that stands for the buffer's memory.
    struct World {
        returns: Returns,
        slots: Vec<Slot>,
        memory: Vec<UnsafeCell<u32>>,
        freed: UnsafeCell<u32>,
    }

    // SAFETY: loom checks the accesses to the cells; the pool pointer in the slots is never followed.
    unsafe impl Sync for World {}
    // SAFETY: as above.
    unsafe impl Send for World {}

    impl World {
        fn new(slots: usize) -> Arc<Self> {
            Arc::new(Self {
                returns: Returns::new(),
                slots: (0..slots)
                    .map(|_| Slot::new(NonNull::dangling(), NonNull::dangling(), 0, 0))
                    .collect(),
                memory: (0..slots).map(|_| UnsafeCell::new(0)).collect(),
                freed: UnsafeCell::new(0),
            })
        }

        fn index(&self, slot: *const Slot) -> usize {
            self.slots.iter().position(|s| ptr::eq(s, slot)).expect("a slot of this world")
        }

        /// What a foreign core does: uses the buffer, then drops it.
        fn use_and_drop(&self, index: usize) {
            // SAFETY: loom checks that nobody else touches the cell.
            self.memory[index].with_mut(|m| unsafe { *m += 1 });
            // SAFETY: each slot is pushed once by its user.
            match unsafe { self.returns.push(NonNull::from(&self.slots[index])) } {
                Pushed::Kept(waker) => waker.into_iter().for_each(Waker::wake),
                Pushed::Closed => self.retire(),
            }
        }

        /// A foreign core for each slot.
        fn users(world: &Arc<Self>) -> Vec<loom::thread::JoinHandle<()>> {
            let spawn = |i| {
                let world = world.clone();
                loom::thread::spawn(move || world.use_and_drop(i))
            };
            (0..world.slots.len()).map(spawn).collect()
        }

        fn retire(&self) {
            if self.returns.retire() {
                // Stands for freeing the pool: touches everything.
                // SAFETY: loom checks that the accesses are ordered.
                self.freed.with_mut(|f| unsafe { *f += 1 });
                for m in &self.memory {
                    // SAFETY: as above.
                    m.with_mut(|m| unsafe { *m += 1 });
                }
            }
        }

        /// Walks a list, touching the memory of each slot as its next user would.
        fn reuse(&self, mut list: *mut Slot) -> usize {
            let mut n = 0;
            while !list.is_null() {
                let i = self.index(list);
                // SAFETY: loom checks that the pusher is done with it.
                self.memory[i].with_mut(|m| unsafe { *m += 1 });
                list = self.slots[i].next.load(Relaxed);
                n += 1;
            }
            n
        }
    }

    /// Fails with the exchange in `push` relaxed, or the one in `take_all`.
    #[test]
    fn loom_returned_buffers_arrive_once_and_ordered() {
        loom::model(|| {
            let world = World::new(2);
            let threads = World::users(&world);
            let mut home = 0;
            while home < 2 {
                home += world.reuse(world.returns.take_all());
                loom::thread::yield_now();
            }
            for t in threads {
                t.join().unwrap();
            }
            assert_eq!(world.reuse(world.returns.take_all()), 0);
        });
    }

    /// A lost wake-up is a deadlock, which loom reports. Fails (a race) with the exchange in `push` relaxed, or the one in `take_all`.
    #[test]
    fn loom_who_waits_is_woken_by_whatever_comes_back() {
        loom::model(|| {
            let world = World::new(2);
            let threads = World::users(&world);
            let mut home = 0;
            loom::future::block_on(std::future::poll_fn(|cx| {
                loop {
                    home += world.reuse(world.returns.take_all());
                    if home == 2 {
                        world.returns.withdraw();
                        return Poll::Ready(());
                    }
                    if world.returns.await_next(cx.waker().clone()) {
                        return Poll::Pending;
                    }
                }
            }));
            for t in threads {
                t.join().unwrap();
            }
        });
    }

    /// Fails with the exchange in `push` relaxed, with the one in `close`, and with the count in `retire`.
    #[test]
    fn loom_a_closed_pool_is_freed_exactly_once_after_all_use() {
        loom::model(|| {
            let world = World::new(2);
            let threads = World::users(&world);
            let mut list = world.returns.close(2);
            while !list.is_null() {
                let i = world.index(list);
                list = world.slots[i].next.load(Relaxed);
                world.retire();
            }
            world.retire();
            for t in threads {
                t.join().unwrap();
            }
            // SAFETY: everybody has joined.
            world.freed.with(|f| assert_eq!(unsafe { *f }, 1));
        });
    }
}
