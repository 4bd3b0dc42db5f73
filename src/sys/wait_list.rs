//! Waiting tasks in order of arrival: a slab of wakers, linked by index.
//!
//! A dry pool of buffers, and semaphore, mutex, notify, gate, barrier and both bounded channels of `sync` wait here. Joining,
//! settling the first and leaving from anywhere are O(1). The list neither wakes nor clones nor drops a waker itself: it takes clones and hands them out, so
//! that its user can let go of the list first, since all three may run foreign code. [`poll_place`] does so for who waits.
//!
//! ```text
//!   push_back ──▶ waiting ──settle_front──▶ settled (Granted | Ended) ──remove──▶ gone
//!                    └──────────remove (cancelled)─────────────────────────────▶ gone
//! ```

use slab::Slab;
use std::task::{Poll, Waker};

const NIL: usize = usize::MAX;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Something was handed over, which must be passed on if the waiter is gone before it looks.
    Granted,
    /// The wait is over and nothing was handed over: closed, or told together with everybody else.
    Ended,
}

/// A waiter's place. Who holds it gives it back with [`WaitList::remove`].
#[derive(Debug)]
pub(crate) struct Key(usize);

/// Waiters in order of arrival; `A` is what each asks for.
pub(crate) struct WaitList<A> {
    nodes: Slab<Node<A>>,
    first: usize,
    last: usize,
}

struct Node<A> {
    ask: A,
    waker: Option<Waker>,
    verdict: Option<Verdict>,
    previous: usize,
    next: usize,
}

/// What [`WaitList::remove`] found.
#[must_use]
pub(crate) struct Removed<A> {
    pub(crate) ask: A,
    /// `None` if the waiter was still waiting.
    pub(crate) verdict: Option<Verdict>,
    /// To be dropped once the list is let go of.
    _waker: Option<Waker>,
}

impl<A> Default for WaitList<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> WaitList<A> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Slab::new(), first: NIL, last: NIL }
    }

    /// Joins the end of the line.
    pub(crate) fn push_back(&mut self, ask: A, waker: Waker) -> Key {
        let node = Node { ask, waker: Some(waker), verdict: None, previous: self.last, next: NIL };
        let key = self.nodes.insert(node);
        match self.last {
            NIL => self.first = key,
            last => self.nodes[last].next = key,
        }
        self.last = key;
        Key(key)
    }

    /// Whether nobody waits; those settled but not yet removed do not count.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first == NIL
    }

    /// What the first waiter asks for.
    #[inline]
    pub(crate) fn front(&self) -> Option<&A> {
        self.nodes.get(self.first).map(|node| &node.ask)
    }

    /// What the waiters ask for, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &A> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at)?;
            at = node.next;
            Some(&node.ask)
        })
    }

    /// Whether `key` is that of the first waiter.
    pub(crate) fn is_first(&self, key: &Key) -> bool {
        self.first == key.0
    }

    /// Takes the first waiter's waker out for as long as it is cloned, with the place that it goes back to.
    pub(crate) fn lend_first(&mut self) -> Option<(usize, Waker)> {
        let waker = self.nodes.get_mut(self.first)?.waker.take()?;
        Some((self.first, waker))
    }

    /// Takes it back, unless its owner is not first any more or has left another one.
    pub(crate) fn take_back(&mut self, place: usize, waker: Waker) -> Option<Waker> {
        match self.nodes.get_mut(place) {
            Some(node) if place == self.first && node.waker.is_none() => {
                node.waker = Some(waker);
                None
            }
            _ => Some(waker),
        }
    }

    /// Takes the first waiter out of the line with `verdict`; its place lasts until `remove`. Returns its waker.
    #[must_use]
    pub(crate) fn settle_front(&mut self, verdict: Verdict) -> Option<Waker> {
        let first = self.first;
        if first == NIL {
            return None;
        }
        self.unlink(first);
        let node = &mut self.nodes[first];
        node.verdict = Some(verdict);
        node.waker.take()
    }

    /// The verdict on `key`, or none yet: then `waker` will be woken with it. For that it takes the `clone` and leaves the waker
    /// that it replaces; without one it returns `None` if it needs one.
    pub(crate) fn poll(
        &mut self,
        key: &Key,
        waker: &Waker,
        clone: &mut Option<Waker>,
    ) -> Option<Poll<Verdict>> {
        let node = &mut self.nodes[key.0];
        match node.verdict {
            Some(verdict) => return Some(Poll::Ready(verdict)),
            None if node.waker.as_ref().is_some_and(|known| known.will_wake(waker)) => {}
            None if clone.is_some() => std::mem::swap(&mut node.waker, clone),
            None => return None,
        }
        Some(Poll::Pending)
    }

    /// Gives the place back, whether settled or still waiting.
    pub(crate) fn remove(&mut self, key: Key) -> Removed<A> {
        if self.nodes[key.0].verdict.is_none() {
            self.unlink(key.0);
        }
        let node = self.nodes.remove(key.0);
        Removed { ask: node.ask, verdict: node.verdict, _waker: node.waker }
    }

    fn unlink(&mut self, key: usize) {
        let (previous, next) = (self.nodes[key].previous, self.nodes[key].next);
        match previous {
            NIL => self.first = next,
            previous => self.nodes[previous].next = next,
        }
        match next {
            NIL => self.last = previous,
            next => self.nodes[next].previous = previous,
        }
    }
}

/// Calls `poll`, which lends [`WaitList::poll`] a list that others may change whenever it is not lent.
pub(crate) fn poll_place(
    waker: &Waker,
    mut poll: impl FnMut(&Waker, &mut Option<Waker>) -> Option<Poll<Verdict>>,
) -> Poll<Verdict> {
    let mut clone = None;
    loop {
        match poll(waker, &mut clone) {
            Some(polled) => return polled,
            None => clone = Some(waker.clone()),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Key, Verdict, WaitList};
    use proptest::prelude::*;
    use std::{
        collections::VecDeque,
        sync::Arc,
        task::{Poll, Wake, Waker},
    };

    #[test]
    fn replaced_waker_is_handed_out() {
        struct Quiet;
        impl Wake for Quiet {
            fn wake(self: Arc<Self>) {}
        }
        let held = Arc::new(Quiet);
        let mut list = WaitList::new();
        let key = list.push_back((), held.clone().into());
        let mut clone = None;
        assert!(list.poll(&key, Waker::noop(), &mut clone).is_none(), "it is a stranger's");
        clone = Some(Waker::noop().clone());
        assert_eq!(list.poll(&key, Waker::noop(), &mut clone), Some(Poll::Pending));
        assert_eq!(Arc::strong_count(&held), 2, "still alive, outside of the list");
        drop(clone);
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(list.remove(key).verdict.is_none());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Join,
        Settle,
        Leave(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![Just(Step::Join), Just(Step::Settle), any::<prop::sample::Index>().prop_map(Step::Leave)]
    }

    proptest! {
        #[test]
        fn order_is_that_of_arrival_whoever_leaves(steps in prop::collection::vec(step(), 0..200)) {
            let mut list = WaitList::new();
            let mut keys: Vec<(u32, Key)> = Vec::new();
            let mut oracle: VecDeque<u32> = VecDeque::new();
            let mut name = 0;
            for step in steps {
                match step {
                    Step::Join => {
                        keys.push((name, list.push_back(name, Waker::noop().clone())));
                        oracle.push_back(name);
                        name += 1;
                    }
                    Step::Settle => {
                        prop_assert_eq!(list.settle_front(Verdict::Granted).is_some(), oracle.pop_front().is_some());
                    }
                    Step::Leave(index) if !keys.is_empty() => {
                        let (name, key) = keys.swap_remove(index.index(keys.len()));
                        let waited = oracle.iter().position(|&n| n == name).map(|at| oracle.remove(at)).is_some();
                        let removed = list.remove(key);
                        prop_assert_eq!(removed.ask, name);
                        prop_assert_eq!(removed.verdict.is_none(), waited);
                    }
                    Step::Leave(_) => {}
                }
                prop_assert_eq!(list.front().copied(), oracle.front().copied());
                prop_assert!(list.iter().eq(&oracle));
                prop_assert_eq!(list.is_empty(), oracle.is_empty());
            }
        }
    }
}
