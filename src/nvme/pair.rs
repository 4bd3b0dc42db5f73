//! A queue pair: a submission queue, its completion queue, and the commands on their way between them.
//!
//! ```text
//!   start ──▶ submission queue ──doorbell (flush)──▶ controller ──▶ completion queue ──poll──▶ waker
//!     └─ no identifier left ─▶ backlog ──pump──▲
//! ```
//!
//! The pair is one of its core's drivers: the turn polls it, and flushes it when all tasks have run, so that there is one write per
//! batch and doorbell. Wakers and buffers of others are woken and dropped with nothing borrowed. It stays a driver until its last user
//! has gone and its last command is answered; then home deletes its queues.

use super::cids::Cids;
use super::device::Device;
use super::link::Link;
use super::prp::Lists;
use super::rings::{CompletionQueue, SubmissionQueue};
use super::seat::Seat;
use super::spec::register::{head_doorbell, tail_doorbell};
use super::spec::{Command, Status, StatusCode};
use super::{Answer, Counters, Error, Payload};
use crate::inflight::{Id, Inflight};
use crate::reactor::{context, driver::Driver};
use crate::sync::PerCoreRef;
use crate::sys::eventfd::EventFd;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// How a command ended.
#[derive(Clone, Copy)]
pub(super) struct Done {
    answer: Answer,
    /// Why there is no answer.
    lost: Option<Lost>,
}

/// Why a command is not answered.
#[derive(Clone, Copy)]
pub(super) enum Lost {
    /// The pair takes no more commands.
    Closed,
    /// The controller cannot see the payload.
    Unseen,
    /// It does not begin or end where a device can.
    Misaligned,
    /// Its buffers do not meet on pages, and the controller takes no SGLs.
    Scattered,
    /// It is longer, or in more pieces, than a list of pointers has room for.
    TooLong,
}

impl Done {
    /// Of a command that the controller will never answer.
    const ABORTED: Self = Self {
        answer: Answer { status: Status::of(StatusCode::ABORTED_SQ_DELETION), result: 0 },
        lost: None,
    };

    #[inline(always)]
    fn answered(answer: Answer) -> Self {
        Self { answer, lost: None }
    }

    fn lost(lost: Lost) -> Self {
        Self { lost: Some(lost), ..Self::ABORTED }
    }

    #[inline(always)]
    pub(super) fn into_result(self) -> Result<Answer, Error> {
        match self.lost {
            None => Ok(self.answer),
            Some(lost) => Err(lost.into()),
        }
    }
}

impl From<Lost> for Error {
    #[cold]
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Closed => Self::Closed,
            Lost::Unseen => Self::Unseen,
            Lost::Misaligned => Self::Misaligned,
            Lost::Scattered => Self::Scattered,
            Lost::TooLong => Self::TooLong,
        }
    }
}

/// Drives one pair, on the core that made it.
pub(super) struct Pair<D: Device> {
    link: Arc<Link<D>>,
    qid: u16,
    queues: RefCell<Queues>,
    tail_doorbell: usize,
    head_doorbell: usize,
    /// Never signalled: while commands are on their way the core does not sleep.
    event: EventFd,
    users: Cell<usize>,
    /// The last user has gone.
    is_left: Cell<bool>,
    /// Since when the core ends.
    ends_since: Cell<Option<Instant>>,
    /// The controller answers nothing and cannot be disabled.
    is_lost: Cell<bool>,
    /// Where the core finds the pair.
    _seat: PerCoreRef<Seat<D>>,
}

pub(super) struct Queues {
    sq: SubmissionQueue,
    cq: CompletionQueue,
    cids: Cids,
    lists: Lists,
    ops: Inflight<Payload, Done>,
    /// Commands that wait for an identifier, oldest first. Those of dropped futures stay until their turn and are skipped.
    backlog: VecDeque<(Id, Command)>,
    is_over: bool,
    counters: Counters,
}

/// Where a pair's queues are, for the controller to be told.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) sq: u64,
    pub(super) cq: u64,
}

enum Reaped {
    Wake(Waker),
    Abandon(Payload),
    /// An answer to nothing.
    Stray,
}

impl<D: Device> Pair<D> {
    /// A pair of this many entries each, whose memory is the link's until the queues are deleted or the controller is disabled.
    pub(super) fn new(
        link: &Arc<Link<D>>,
        seat: PerCoreRef<Seat<D>>,
        qid: u16,
        entries: u16,
    ) -> Result<(Rc<Self>, Places), Error> {
        // One less than there is room for: a full ring would look empty (Base 2.0 §3.3.1.5).
        let commands = entries - 1;
        let (sq, sq_at) = link.allocate(qid, SubmissionQueue::bytes(entries))?;
        let (cq, cq_at) = link.allocate(qid, CompletionQueue::bytes(entries))?;
        let (lists, lists_at) = link.allocate(qid, Lists::bytes(commands))?;
        let queues = Queues {
            sq: SubmissionQueue::new(sq, entries),
            cq: CompletionQueue::new(cq, entries),
            cids: Cids::new(commands),
            lists: Lists::new(lists, lists_at, link.takes_sgls(qid)),
            ops: Inflight::with_capacity(commands.into()),
            backlog: VecDeque::new(),
            is_over: false,
            counters: Counters::default(),
        };
        let stride = link.capabilities().doorbell_stride();
        let pair = Self {
            link: link.clone(),
            qid,
            queues: RefCell::new(queues),
            tail_doorbell: tail_doorbell(qid, stride),
            head_doorbell: head_doorbell(qid, stride),
            event: EventFd::new()?,
            users: Cell::new(0),
            is_left: Cell::new(false),
            ends_since: Cell::new(None),
            is_lost: Cell::new(false),
            _seat: seat,
        };
        Ok((Rc::new(pair), Places { sq: sq_at, cq: cq_at }))
    }

    #[inline(always)]
    pub(super) fn queues(&self) -> RefMut<'_, Queues> {
        self.queues.borrow_mut()
    }

    pub(super) fn link(&self) -> &Arc<Link<D>> {
        &self.link
    }

    /// Queues a command behind those that wait, and keeps its payload until the answer; or says why not.
    #[inline(always)]
    pub(super) fn start(
        &self,
        command: Command,
        payload: Payload,
        waker: Waker,
    ) -> Result<Id, (Lost, Payload)> {
        let started = self.queues().start(self.link.device(), command, payload, waker);
        // What was not started is dropped with nothing borrowed.
        started.map_err(|(lost, payload, _waker)| (lost, payload))
    }

    pub(super) fn add_user(&self) {
        self.users.set(self.users.get() + 1);
        self.is_left.set(false);
    }

    pub(super) fn drop_user(&self) {
        self.users.set(self.users.get() - 1);
        self.is_left.set(self.users.get() == 0);
    }

    /// Whether it can have users: it has not gone, and takes commands.
    pub(super) fn is_open(&self) -> bool {
        !self.queues().is_over
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
            Reaped::Abandon(payload) => drop(payload),
            Reaped::Stray => {}
        }
    }

    /// Leaves the core in the end of its turn.
    pub(super) fn retire(&self) {
        self.is_left.set(true);
    }

    /// Leaves the core, if nothing is on its way any more.
    #[cold]
    fn leave(&self) {
        if self.in_flight() > 0 {
            return;
        }
        self.is_left.set(false);
        let was_over = std::mem::replace(&mut self.queues().is_over, true);
        context::remove_driver(self);
        if !was_over {
            self.link.delete_queues(self.qid);
        }
    }
}

impl Queues {
    pub(super) fn ops(&mut self) -> &mut Inflight<Payload, Done> {
        &mut self.ops
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    #[inline(always)]
    fn start<D: Device>(
        &mut self,
        device: &D,
        command: Command,
        payload: Payload,
        waker: Waker,
    ) -> Result<Id, (Lost, Payload, Waker)> {
        if self.is_over {
            return Err((Lost::Closed, payload, waker));
        }
        if self.backlog.is_empty() {
            if let Some(slot) = self.room(&command) {
                let command = match payload.point(command, device, &self.lists, slot) {
                    Ok(command) => command,
                    Err(lost) => return Err((lost, payload, waker)),
                };
                let id = self.ops.start(|| payload, waker, false);
                self.push(id, command);
                return Ok(id);
            }
        }
        let id = self.ops.queue(payload, waker, false);
        self.backlog.push_back((id, command));
        Ok(id)
    }

    #[inline(always)]
    fn push(&mut self, id: Id, mut command: Command) {
        command.cid.set(self.cids.take(id).expect("an identifier is left"));
        self.sq.push(command);
        self.counters.submitted += 1;
    }

    /// Hands over what waits while there are identifiers; yields what ends one that cannot be.
    fn pump<D: Device>(&mut self, device: &D) -> Option<Reaped> {
        loop {
            let slot = self.room(&self.backlog.front()?.1)?;
            let (id, command) = self.backlog.pop_front()?;
            if self.ops.submit(id) {
                let payload = self.ops.resource(id);
                match payload.point(command, device, &self.lists, slot) {
                    Ok(command) => self.push(id, command),
                    Err(lost) => return Some(self.complete(id, Done::lost(lost))),
                }
            }
        }
    }

    /// The slot of the next command. The first of two fused commands waits until there is room for both, as the controller is to hear of
    /// them by one doorbell (Base 2.0, Fused Operations).
    #[inline(always)]
    fn room(&self, command: &Command) -> Option<usize> {
        if command.flags.fuse() == 1 && !self.cids.has_two() {
            return None;
        }
        self.cids.next()
    }

    /// How many commands may be on their way at a time.
    pub(super) fn capacity(&self) -> usize {
        self.cids.capacity()
    }

    #[inline(always)]
    fn reap(&mut self) -> Option<Reaped> {
        let completion = self.cq.pop()?;
        let Some(id) = self.cids.release(completion.cid.get()) else {
            self.counters.strays += 1;
            return Some(Reaped::Stray);
        };
        let answer = Answer { status: completion.status(), result: completion.result_64() };
        self.counters.completed += 1;
        Some(self.complete(id, Done::answered(answer)))
    }

    #[inline(always)]
    fn complete(&mut self, id: Id, done: Done) -> Reaped {
        match self.ops.complete(id, done) {
            Some(waker) => Reaped::Wake(waker),
            None => Reaped::Abandon(self.ops.take_orphaned(id)),
        }
    }

    fn abort_one(&mut self) -> Option<Reaped> {
        if let Some(id) = self.cids.release_any() {
            return Some(self.complete(id, Done::ABORTED));
        }
        loop {
            let (id, _) = self.backlog.pop_front()?;
            if self.ops.submit(id) {
                return Some(self.complete(id, Done::ABORTED));
            }
        }
    }
}

impl<D: Device> Driver for Pair<D> {
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
            while let Some(unseen) = queues.pump(self.link.device()) {
                drop(queues);
                Self::settle(unseen);
                queues = self.queues();
            }
        }
        let (tail, head) = (queues.sq.bell(), queues.cq.bell());
        let is_over = queues.is_over;
        drop(queues);
        if !is_over {
            let device = self.link.device();
            if let Some(head) = head {
                device.write32(self.head_doorbell, head);
            }
            if let Some(tail) = tail {
                device.write32(self.tail_doorbell, tail);
            }
        }
        if self.is_left.get() {
            self.leave();
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn arm(&self) -> bool {
        self.in_flight() > 0 || self.is_left.get()
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

impl<D: Device> Drop for Pair<D> {
    /// The buffers of commands that are not answered are lost rather than freed, if the controller cannot be kept from them. Without
    /// its admin queues a controller is nobody's.
    fn drop(&mut self) {
        let queues = self.queues.get_mut();
        let is_idle = queues.cids.used() == 0;
        if is_idle && queues.is_over {
            return;
        }
        if is_idle && self.qid > 0 {
            // Its core ends: it goes as if left.
            return self.link.delete_queues(self.qid);
        }
        let is_disabled = self.link.disable_now();
        self.link.abort_everywhere();
        if !is_idle && !is_disabled {
            std::mem::forget(std::mem::replace(&mut queues.ops, Inflight::with_capacity(0)));
        }
    }
}
