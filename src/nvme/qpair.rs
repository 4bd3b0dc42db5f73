//! A queue pair: a submission queue, its completion queue, and the commands on their way between them.
//!
//! ```text
//!   start ──▶ submission queue ──doorbell (flush)──▶ controller ──▶ completion queue ──poll──▶ waker
//!     └─ no identifier left ─▶ backlog ──pump──▲
//! ```
//!
//! The pair is one of its core's drivers: the turn polls it, and flushes it when all tasks have run, so that there is one write per
//! batch and doorbell. Wakers and buffers of others are woken and dropped with nothing borrowed.

use super::cids::Cids;
use super::device::Device;
use super::link::Link;
use super::prp::Lists;
use super::queue::{CompletionQueue, SubmissionQueue};
use super::spec::register::{head_doorbell, tail_doorbell};
use super::spec::{Command, Status, StatusCode};
use super::{Counters, Error};
use crate::inflight::{Id, Inflight, Orphan};
use crate::reactor::driver::Driver;
use crate::sys::dma::{DmaAny, DmaWords};
use crate::sys::eventfd::EventFd;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

/// What a command keeps until its answer.
pub(super) type Held = Option<DmaAny>;

/// What the controller answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) result: u32,
}

impl Answer {
    /// Of a command that the controller will never answer.
    const ABORTED: Self = Self { status: Status::of(StatusCode::ABORTED_SQ_DELETION), result: 0 };
}

/// Drives one pair, on the core that made it.
pub(super) struct QueuePair<D: Device> {
    link: Rc<Link<D>>,
    queues: RefCell<Queues>,
    tail_doorbell: usize,
    head_doorbell: usize,
    /// Never signalled: while commands are on their way the core does not sleep.
    event: EventFd,
    /// Since when the core ends.
    ends_since: Cell<Option<Instant>>,
    /// The controller answers nothing and cannot be disabled.
    is_lost: Cell<bool>,
}

pub(super) struct Queues {
    sq: SubmissionQueue,
    cq: CompletionQueue,
    cids: Cids,
    lists: Lists,
    ops: Inflight<Held, Answer>,
    /// Commands that wait for an identifier, oldest first. Those of dropped futures stay until their turn and are skipped.
    backlog: VecDeque<(Id, Command, Range<u64>)>,
    is_over: bool,
    counters: Counters,
}

/// Where a pair's queues are, for the controller to be told.
pub(super) struct Places {
    pub(super) sq: u64,
    pub(super) cq: u64,
}

enum Reaped {
    Wake(Waker),
    Abandon(Held),
    /// An answer to nothing.
    Stray,
}

impl<D: Device> QueuePair<D> {
    /// A pair of this many entries each, whose memory is the link's until the controller is disabled.
    pub(super) fn new(link: &Rc<Link<D>>, qid: u16, entries: u16) -> Result<(Rc<Self>, Places), Error> {
        // One less than there is room for: a full ring would look empty (Base 2.0 §3.3.1.5).
        let commands = entries - 1;
        let make = |bytes| -> Result<(DmaWords, u64), Error> { link.allocate(bytes) };
        let (sq, sq_at) = make(SubmissionQueue::bytes(entries))?;
        let (cq, cq_at) = make(CompletionQueue::bytes(entries))?;
        let (lists, lists_at) = make(Lists::bytes(commands))?;
        let queues = Queues {
            sq: SubmissionQueue::new(sq, entries),
            cq: CompletionQueue::new(cq, entries),
            cids: Cids::new(commands),
            lists: Lists::new(lists, lists_at),
            ops: Inflight::with_capacity(commands.into()),
            backlog: VecDeque::new(),
            is_over: false,
            counters: Counters::default(),
        };
        let stride = link.capabilities().doorbell_stride();
        let pair = Self {
            link: link.clone(),
            queues: RefCell::new(queues),
            tail_doorbell: tail_doorbell(qid, stride),
            head_doorbell: head_doorbell(qid, stride),
            event: EventFd::new()?,
            ends_since: Cell::new(None),
            is_lost: Cell::new(false),
        };
        Ok((Rc::new(pair), Places { sq: sq_at, cq: cq_at }))
    }

    #[inline(always)]
    pub(super) fn queues(&self) -> RefMut<'_, Queues> {
        self.queues.borrow_mut()
    }

    pub(super) fn link(&self) -> &Link<D> {
        &self.link
    }

    #[inline(always)]
    fn reap(&self) -> Option<Reaped> {
        self.queues().reap()
    }

    /// Ends what the controller, which is disabled or gone, will not answer.
    pub(super) fn abort_all(&self) {
        self.queues().is_over = true;
        loop {
            let Some(reaped) = self.queues().abort_one() else { break };
            Self::settle(reaped);
        }
    }

    #[inline(always)]
    fn settle(reaped: Reaped) {
        match reaped {
            Reaped::Wake(waker) => waker.wake(),
            Reaped::Abandon(held) => drop(held),
            Reaped::Stray => {}
        }
    }
}

impl Queues {
    pub(super) fn ops(&mut self) -> &mut Inflight<Held, Answer> {
        &mut self.ops
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// Queues a command behind those that wait, and keeps `held`, where its data is, until the answer.
    #[inline(always)]
    pub(super) fn start(&mut self, command: Command, data: Range<u64>, held: Held, waker: Waker) -> Id {
        if self.backlog.is_empty() && self.cids.left() > 0 {
            let id = self.ops.start(|| held, waker, false);
            self.push(id, command, data);
            return id;
        }
        let id = self.ops.queue(held, waker, false);
        self.backlog.push_back((id, command, data));
        id
    }

    #[inline(always)]
    fn push(&mut self, id: Id, mut command: Command, data: Range<u64>) {
        let (cid, slot) = self.cids.take(id).expect("an identifier is left");
        command.cid.set(cid);
        if !data.is_empty() {
            let (prp1, prp2) = self.lists.entries(slot, data);
            command = command.with_prp(prp1, prp2);
        }
        self.sq.push(command);
        self.counters.submitted += 1;
    }

    #[inline]
    fn pump(&mut self) {
        while self.cids.left() > 0 {
            let Some((id, command, data)) = self.backlog.pop_front() else { return };
            if self.ops.submit(id) {
                self.push(id, command, data);
            }
        }
    }

    #[inline(always)]
    fn reap(&mut self) -> Option<Reaped> {
        let completion = self.cq.pop()?;
        let Some(id) = self.cids.release(completion.cid.get()) else {
            self.counters.strays += 1;
            return Some(Reaped::Stray);
        };
        let answer = Answer { status: completion.status(), result: completion.result.get() };
        self.counters.completed += 1;
        Some(self.complete(id, answer))
    }

    #[inline(always)]
    fn complete(&mut self, id: Id, answer: Answer) -> Reaped {
        match self.ops.complete(id, answer) {
            Some(waker) => Reaped::Wake(waker),
            None => Reaped::Abandon(self.ops.take_orphaned(id)),
        }
    }

    fn abort_one(&mut self) -> Option<Reaped> {
        if let Some(id) = self.cids.release_any() {
            return Some(self.complete(id, Answer::ABORTED));
        }
        loop {
            let (id, ..) = self.backlog.pop_front()?;
            if self.ops.submit(id) {
                return Some(self.complete(id, Answer::ABORTED));
            }
        }
    }

    /// What the future that gives its command up leaves behind.
    pub(super) fn give_up(&mut self, id: Id) -> Orphan<Held, Answer> {
        self.ops.orphan(id)
    }
}

impl<D: Device> Driver for QueuePair<D> {
    #[inline]
    fn poll(&self) -> usize {
        let used = self.queues().cids.used();
        let mut reaped = 0;
        // What the woken submit meanwhile belongs to the next turn.
        while reaped < used {
            let Some(one) = self.reap() else { break };
            reaped += 1;
            Self::settle(one);
        }
        reaped
    }

    #[inline]
    fn flush(&self) {
        let mut queues = self.queues();
        if !queues.backlog.is_empty() {
            queues.pump();
        }
        let (tail, head) = (queues.sq.bell(), queues.cq.bell());
        let is_over = queues.is_over;
        drop(queues);
        if is_over {
            return;
        }
        let device = self.link.device();
        if let Some(head) = head {
            device.write32(self.head_doorbell, head);
        }
        if let Some(tail) = tail {
            device.write32(self.tail_doorbell, tail);
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn arm(&self) -> bool {
        self.in_flight() > 0
    }

    /// None, in the end, of those that a controller keeps which cannot even be disabled.
    fn in_flight(&self) -> usize {
        if self.is_lost.get() {
            return 0;
        }
        let queues = self.queues();
        queues.cids.used() + queues.backlog.len()
    }

    /// Leaves the controller time to answer. Then it is disabled: after that it touches nothing.
    fn cancel_all(&self) {
        let since = self.ends_since.get().unwrap_or_else(Instant::now);
        self.ends_since.set(Some(since));
        if self.in_flight() == 0 || since.elapsed() < self.link.config().end_patience {
            return;
        }
        match self.link.disable_now() {
            true => self.abort_all(),
            false => self.is_lost.set(true),
        }
    }
}

impl<D: Device> Drop for QueuePair<D> {
    /// The buffers of commands that are not answered are lost rather than freed, if the controller cannot be kept from them.
    fn drop(&mut self) {
        let queues = self.queues.get_mut();
        if queues.cids.used() > 0 && !self.link.disable_now() {
            std::mem::forget(std::mem::replace(&mut queues.ops, Inflight::with_capacity(0)));
        }
    }
}
