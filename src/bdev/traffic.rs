//! What is on its way through one channel: the requests that it made, and the I/Os that modules above pass through it.
//!
//! An ordinary I/O pays nothing for being found here: the list of all requests grows only when one is made, and who waits for one
//! keeps a share of it, which makes its end take the cold way of [`Traffic::keep`]. Asked by `in_flight`, `quiesce` and `removal`.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;
use std::rc::{Rc, Weak};

use slab::Slab;

use super::request::Request;
use super::{Error, Op};
use crate::sync::Notify;
use crate::time::Instant;

/// The I/Os of one channel that are not over.
#[derive(Default)]
pub(super) struct Traffic {
    /// Requests between two I/Os.
    spare: RefCell<Vec<Rc<Request>>>,
    /// Every request that was made here and not abandoned, spare ones included.
    all: RefCell<Vec<Rc<Request>>>,
    /// Abandoned by their callers while the module still had the I/O.
    strays: RefCell<Vec<Weak<Request>>>,
    passing: RefCell<Slab<Passing>>,
    /// Told when something that is watched ends. Made when first asked for.
    watch: OnceCell<Rc<Notify>>,
    /// The first look at each I/O that `in_flight` has listed.
    pub(super) looks: RefCell<Vec<(u64, Instant)>>,
}

/// An I/O of a module above on its way through this channel.
pub(super) struct Passing {
    request: Rc<Request>,
    depth: usize,
    serial: u64,
}

/// The serial of what is a piece of a larger I/O, which is listed instead.
pub(super) const UNLISTED: u64 = 0;

/// Where an I/O stands in a table of [`Traffic`].
#[derive(Debug)]
pub(super) struct Place(usize);

/// One I/O, as it is listed.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) serial: u64,
    pub(super) op: Op,
    pub(super) blocks: Range<u64>,
}

impl Traffic {
    #[inline(always)]
    pub(super) fn take(&self) -> Rc<Request> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| self.make())
    }

    #[cold]
    fn make(&self) -> Rc<Request> {
        let request = Request::new();
        self.all.borrow_mut().push(request.clone());
        request
    }

    /// Keeps `request` for the next I/O if only its caller, who lets go of it now, has it beside the list of all.
    #[inline(always)]
    pub(super) fn keep(&self, request: &Rc<Request>) {
        if Rc::strong_count(request) == 2 {
            self.spare.borrow_mut().push(request.clone());
        } else {
            self.abandon(request);
        }
    }

    /// Lets go of a request that the module still has, or that somebody watches.
    #[cold]
    pub(super) fn abandon(&self, request: &Rc<Request>) {
        self.all.borrow_mut().retain(|known| !Rc::ptr_eq(known, request));
        let mut strays = self.strays.borrow_mut();
        strays.retain(|stray| stray.strong_count() > 0);
        if request.is_with_module() {
            strays.push(Rc::downgrade(request));
        }
        drop(strays);
        self.tell();
    }

    /// Takes note of an I/O from a module above, until [`passed`](Self::passed).
    #[inline]
    pub(super) fn pass(&self, request: &Rc<Request>, depth: usize, serial: u64) -> Place {
        Place(self.passing.borrow_mut().insert(Passing { request: request.clone(), depth, serial }))
    }

    /// An I/O from above is through, or was given up.
    #[inline]
    pub(super) fn passed(&self, place: &Place) {
        let passing = self.passing.borrow_mut().remove(place.0);
        if passing.request.is_with_module() {
            self.strays.borrow_mut().push(Rc::downgrade(&passing.request));
        }
        drop(passing);
        self.tell();
    }

    /// Who awaits it is woken when an I/O ends that somebody waits for.
    pub(super) fn watch(&self) -> Rc<Notify> {
        self.watch.get_or_init(Rc::default).clone()
    }

    #[inline]
    fn tell(&self) {
        if let Some(watch) = self.watch.get().filter(|watch| Rc::strong_count(watch) > 1) {
            watch.notify_waiters();
        }
    }

    /// The I/Os whose callers wait, each once, oldest first.
    pub(super) fn list(&self) -> Vec<Listed> {
        let of =
            |serial, request: &Request| Listed { serial, op: request.op(), blocks: request.blocks_range() };
        let passing = self.passing.borrow();
        let mut list: Vec<_> = passing.iter().map(|(_, it)| of(it.serial, &it.request)).collect();
        let all = self.all.borrow();
        let own = all.iter().filter(|request| request.is_awaited() && request.serial() != UNLISTED);
        list.extend(own.map(|request| of(request.serial(), request)));
        list.sort_by_key(|listed| listed.serial);
        list
    }

    /// Whether an I/O that [changes](Self::is_plain_change) one of `blocks` is on its way.
    pub(super) fn changes(&self, blocks: &Range<u64>) -> bool {
        let is_on = |request: &Request| {
            Self::is_plain_change(request.op()) && overlap(blocks, &request.blocks_range())
        };
        self.passing.borrow().iter().any(|(_, passing)| is_on(&passing.request))
            || self.all.borrow().iter().any(|request| request.is_awaited() && is_on(request))
    }

    /// True of what changes blocks without a lock on them.
    pub(super) fn is_plain_change(op: Op) -> bool {
        op.is_change() && op != Op::CompareAndWrite
    }

    /// What is on its way over `blocks`, or anywhere, and does what is `meant`: how many I/Os, and shares of their requests, by which
    /// their end is told. With `strays` also what modules still have although the callers have gone.
    pub(super) fn on(
        &self,
        blocks: Option<&Range<u64>>,
        meant: fn(Op) -> bool,
        strays: bool,
    ) -> (usize, Vec<Rc<Request>>) {
        let meets = |op, other: &Range<u64>| meant(op) && blocks.is_none_or(|blocks| overlap(blocks, other));
        let is_on = |request: &Rc<Request>| meets(request.op(), &request.blocks_range());
        let listed = self.list().iter().filter(|listed| meets(listed.op, &listed.blocks)).count();
        let all = self.all.borrow();
        let mut requests: Vec<_> =
            all.iter().filter(|request| request.is_awaited() && is_on(request)).cloned().collect();
        let strays = if strays { self.strays() } else { Vec::new() };
        let count = listed + strays.iter().filter(|stray| is_on(stray)).count();
        requests.extend(strays.into_iter().filter(is_on));
        (count, requests)
    }

    fn strays(&self) -> Vec<Rc<Request>> {
        let strays = self.strays.borrow();
        strays.iter().filter_map(Weak::upgrade).filter(|stray| stray.is_with_module()).collect()
    }

    /// Ends the I/Os with one of these serials, or all: their callers get the error. Says how many requests that were.
    pub(super) fn end(&self, serial: Option<u64>, error: fn() -> Error) -> usize {
        let is_meant = |of: u64| serial.is_none_or(|serial| serial == of);
        let mut ends: Vec<(Rc<Request>, usize)> = Vec::new();
        for (_, passing) in self.passing.borrow().iter().filter(|(_, passing)| is_meant(passing.serial)) {
            ends.push((passing.request.clone(), passing.depth));
        }
        let all = self.all.borrow();
        ends.extend(
            all.iter()
                .filter(|request| request.is_awaited() && is_meant(request.serial()))
                .map(|request| (request.clone(), 1)),
        );
        drop(all);
        // With nothing borrowed: this wakes the callers.
        ends.iter().for_each(|(request, depth)| request.end_at(*depth, error()));
        ends.len()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Whether the ranges have a block in common. What is about no blocks meets nothing.
pub(super) fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_where_they_share_a_block() {
        for (a, b, meets) in [
            (0..8, 8..16, false),
            (0..9, 8..16, true),
            (3..4, 0..100, true),
            (0..0, 0..8, false),
            (u64::MAX - 1..u64::MAX, 0..u64::MAX, true),
        ] {
            assert_eq!((overlap(&a, &b), overlap(&b, &a)), (meets, meets), "{a:?} {b:?}");
        }
    }
}
