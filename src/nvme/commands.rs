//! The commands of one queue pair, from their futures to the answers: those on their way, those that wait, those that are late.
//!
//! ```text
//!          ┌──────── hold ────────┐                       restart ──▶ every command on its way: sent again, or ended as aborted
//!          │                      ▼                          │
//!   Open (commands go) ◀──resume── Held (they wait, nothing is rung) ──reserve──▶ Reserved (home's own go, for the reset)
//!     │                                                                                        │ resume: Open
//!     └── end (closed, removed, failed) ──▶ Over: what is on its way ends, nothing is taken any more
//! ```
//!
//! A command's age is counted in sweeps: the slot of its identifier keeps the number of the sweep before it, so that no clock is read
//! per command. Late ones are aborted; if that does not help either, the controller is reset.

mod ended;

use super::cids::Cids;
use super::device::Device;
use super::done::{Done, Lost};
use super::prp::{Lists, Pointers};
use super::rings::{CompletionQueue, SubmissionQueue};
use super::spec::{AdminOpcode, Command, StatusCode};
use super::{Answer, Counters, Payload};
use crate::inflight::{Id, Inflight};
use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

/// Sweeps after which a command is late. Four whole ones are the limit; the first and the last are cut.
pub(super) const SWEEPS_LATE: u8 = 5;
/// Of the payload of a command that starts.
const NEW: &str = "it has not been started before";
/// Sweeps after which an abort has not helped.
const SWEEPS_LOST: u8 = 7;

pub(super) struct Commands {
    sq: SubmissionQueue,
    cq: CompletionQueue,
    cids: Cids,
    lists: Lists,
    ops: Inflight<Payload, Done>,
    flow: Flow,
    /// Commands that wait for an identifier, oldest first. Those of dropped futures stay until their turn and are skipped.
    backlog: VecDeque<(Id, Command)>,
    /// Commands that a reset cut off: they go before those that wait.
    again: VecDeque<(Id, Sent)>,
    /// By slot, what was sent, if that may be sent again.
    sent: Box<[Sent]>,
    /// Of late commands, which home was asked to abort.
    aborting: Vec<u16>,
    retries: u8,
    is_admin: bool,
    limit: Duration,
    counters: Counters,
}

/// An [`Id`] as its future has it: in one word, as it goes through memory.
pub(super) type Name = u64;

/// A command, and how often it has been sent.
#[derive(Clone, Copy)]
struct Sent {
    command: Command,
    times: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    Held,
    Reserved,
    Over(Lost),
}

/// What becomes of who waits for a command. Wakers and payloads are a stranger's: nothing is borrowed when they are let go.
pub(super) enum Reaped {
    Wake(Waker),
    Abandon(Payload),
    /// An answer to nothing.
    Stray,
}

impl Reaped {
    #[inline(always)]
    pub(super) fn settle(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Abandon(payload) => drop(payload),
            Self::Stray => {}
        }
    }
}

/// What a sweep has found.
pub(super) enum Swept {
    Fine,
    /// These are to be aborted.
    Late(Vec<u16>),
    /// Aborting has not helped.
    Lost,
}

impl Commands {
    /// No command yet, of one less than there are entries at a time: a full ring would look empty (Base 2.0 §3.3.1.5).
    pub(super) fn new(
        (sq, cq): (SubmissionQueue, CompletionQueue),
        lists: Lists,
        capacity: u16,
        (retries, is_admin): (u8, bool),
        limit: Duration,
    ) -> Self {
        let kept = if retries > 0 { capacity.into() } else { 0 };
        Self {
            sq,
            cq,
            cids: Cids::new(capacity),
            lists,
            ops: Inflight::with_capacity(capacity.into()),
            flow: Flow::Open,
            backlog: VecDeque::new(),
            again: VecDeque::new(),
            sent: vec![Sent { command: Command::new(0, 0, [0; 6]), times: 0 }; kept].into(),
            aborting: Vec::new(),
            retries,
            is_admin,
            limit,
            counters: Counters::default(),
        }
    }

    #[inline(always)]
    pub(super) fn ops(&mut self) -> &mut Inflight<Payload, Done> {
        &mut self.ops
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    /// How many commands may be on their way at a time.
    pub(super) fn capacity(&self) -> usize {
        self.cids.capacity()
    }

    /// How many the controller has.
    #[inline(always)]
    pub(super) fn used(&self) -> usize {
        self.cids.used()
    }

    /// How many are not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.cids.used() + self.backlog.len() + self.again.len()
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// Changes the flow, unless it is over.
    pub(super) fn set_flow(&mut self, flow: Flow) {
        if !matches!(self.flow, Flow::Over(_)) {
            self.flow = flow;
        }
    }

    #[inline(always)]
    pub(super) fn start<D: Device>(
        &mut self,
        device: &D,
        command: Command,
        payload: &mut Option<Payload>,
        waker: Waker,
    ) -> Result<Name, (Lost, Waker)> {
        if self.flow == Flow::Open && self.backlog.is_empty() {
            if let Some(slot) = self.room(&command) {
                return self.start_at(slot, device, command, payload, waker);
            }
        }
        self.wait(command, payload, waker)
    }

    #[inline(always)]
    fn start_at<D: Device>(
        &mut self,
        slot: usize,
        device: &D,
        command: Command,
        payload: &mut Option<Payload>,
        waker: Waker,
    ) -> Result<Name, (Lost, Waker)> {
        let pointed = payload.as_ref().expect(NEW).point(device, &self.lists, slot);
        let pointers = match pointed {
            Ok(pointers) => pointers,
            Err(lost) => return Err((lost, waker)),
        };
        let id = self.ops.start(|| payload.take().expect(NEW), waker, false);
        self.push(id, slot, Sent { command, times: 1 }, pointers);
        Ok(id.to_bits())
    }

    #[inline(never)]
    fn wait(
        &mut self,
        command: Command,
        payload: &mut Option<Payload>,
        waker: Waker,
    ) -> Result<Name, (Lost, Waker)> {
        if let Flow::Over(lost) = self.flow {
            return Err((lost, waker));
        }
        let id = self.ops.queue(payload.take().expect(NEW), waker, false);
        self.backlog.push_back((id, command));
        Ok(id.to_bits())
    }

    /// Starts a command of home's own, before all that wait.
    pub(super) fn start_own<D: Device>(
        &mut self,
        device: &D,
        command: Command,
        payload: &mut Option<Payload>,
        waker: Waker,
    ) -> Result<Name, (Lost, Waker)> {
        match (self.flow, self.cids.next()) {
            (Flow::Over(lost), _) => Err((lost, waker)),
            (Flow::Open | Flow::Reserved, Some(slot)) => self.start_at(slot, device, command, payload, waker),
            _ => self.wait(command, payload, waker),
        }
    }

    #[inline(always)]
    fn push(&mut self, id: Id, slot: usize, sent: Sent, pointers: Option<Pointers>) {
        if !self.sent.is_empty() {
            self.sent[slot] = sent;
        }
        let cid = self.cids.take(id).expect("an identifier is left");
        let command = sent.command.with_cid(cid);
        self.sq.push(pointers.map_or(command, |pointers| pointers.of(command)));
        self.counters.submitted += 1;
    }

    /// Hands over what waits while there are identifiers; yields what ends one that cannot be.
    #[inline]
    pub(super) fn pump<D: Device>(&mut self, device: &D) -> Option<Reaped> {
        if self.backlog.is_empty() && self.again.is_empty() || self.flow != Flow::Open {
            return None;
        }
        self.pump_all(device)
    }

    fn pump_all<D: Device>(&mut self, device: &D) -> Option<Reaped> {
        while let Some(slot) = if self.again.is_empty() { None } else { self.cids.next() } {
            let (id, sent) = self.again.pop_front()?;
            let pointed = self.ops.resource(id).point(device, &self.lists, slot);
            match pointed {
                Ok(pointers) => self.push(id, slot, Sent { times: sent.times + 1, ..sent }, pointers),
                Err(lost) => return Some(self.complete(id, Done::lost(lost))),
            }
        }
        loop {
            let slot = self.room(&self.backlog.front()?.1)?;
            let (id, command) = self.backlog.pop_front()?;
            if self.ops.submit(id) {
                let pointed = self.ops.resource(id).point(device, &self.lists, slot);
                match pointed {
                    Ok(pointers) => self.push(id, slot, Sent { command, times: 1 }, pointers),
                    Err(lost) => return Some(self.complete(id, Done::lost(lost))),
                }
            }
        }
    }

    /// The slot of the next command. The first of two fused commands waits until there is room for both, as the controller is to hear of
    /// them by one doorbell (Base 2.0, Fused Operations).
    #[inline(always)]
    fn room(&self, command: &Command) -> Option<usize> {
        if command.flags().fuse() == 1 && !self.cids.has_two() {
            return None;
        }
        self.cids.next()
    }

    /// What to write to the doorbells: the submission queue's, the completion queue's.
    #[inline(always)]
    pub(super) fn bells(&mut self) -> (Option<u32>, Option<u32>) {
        if !matches!(self.flow, Flow::Open | Flow::Reserved) {
            return (None, None);
        }
        (self.sq.bell(), self.cq.bell())
    }

    /// Whether there is anything new to tell by a doorbell: the turn has put that off.
    pub(super) fn is_unrung(&self) -> bool {
        self.sq.is_unrung() || self.cq.is_unrung()
    }

    /// Whether an answer waits to be taken.
    pub(super) fn has_answer(&self) -> bool {
        self.cq.has_next()
    }

    #[inline(always)]
    pub(super) fn reap(&mut self) -> Option<Reaped> {
        let (cid, answer) = self.cq.pop()?;
        let Some(id) = self.cids.release(cid).or_else(|| self.cids.release_kept(cid)) else {
            self.counters.strays += 1;
            return Some(Reaped::Stray);
        };
        self.counters.completed += 1;
        let done = if answer.status.is_success() { Done::answered(answer) } else { self.failed(cid, answer) };
        Some(self.complete(id, done))
    }

    /// Of a command that was aborted as it was late, the caller hears that.
    #[cold]
    fn failed(&self, cid: u16, answer: Answer) -> Done {
        match answer.status.code() == StatusCode::ABORT_REQUESTED && self.aborting.contains(&cid) {
            true => Done::late(self.limit),
            false => Done::answered(answer),
        }
    }

    #[inline(always)]
    fn complete(&mut self, id: Id, done: Done) -> Reaped {
        match self.ops.complete(id, done) {
            Some(waker) => Reaped::Wake(waker),
            None => Reaped::Abandon(self.ops.take_orphaned(id)),
        }
    }

    /// Counts the commands older, and says whether some are too old.
    pub(super) fn sweep(&mut self) -> Swept {
        self.cids.age();
        if self.flow != Flow::Open {
            return Swept::Fine;
        }
        if self.cids.older(SWEEPS_LOST).next().is_some() {
            return Swept::Lost;
        }
        let late: Vec<u16> = self.cids.older(SWEEPS_LATE).collect();
        let new = late.iter().filter(|cid| !self.aborting.contains(cid)).copied().collect::<Vec<_>>();
        self.aborting = late;
        if new.is_empty() { Swept::Fine } else { Swept::Late(new) }
    }

    /// Empties the queues of a controller that is disabled: what it had is sent again, or ended. Yields that one by one.
    pub(super) fn restart(&mut self) -> Option<Reaped> {
        self.cids.let_all_go();
        while let Some((slot, id)) = self.cids.release_any() {
            match self.sent.get(slot).filter(|sent| self.goes_again(sent)) {
                Some(&sent) => self.again.push_back((id, sent)),
                None => return Some(self.complete(id, Done::ABORTED)),
            }
        }
        self.aborting.clear();
        self.sq.restart();
        self.cq.restart();
        None
    }

    /// Whether a command was done is not known: what is not to be done twice is the caller's to try again.
    fn goes_again(&self, sent: &Sent) -> bool {
        let command = &sent.command;
        let asks = [AdminOpcode::IDENTIFY, AdminOpcode::GET_LOG_PAGE, AdminOpcode::GET_FEATURES];
        let may = if self.is_admin {
            asks.contains(&AdminOpcode(command.opcode()))
        } else {
            command.flags().fuse() == 0
        };
        may && sent.times <= self.retries
    }

    /// Takes no more commands, for this reason, and ends what the controller, which touches nothing any more, will not answer. Yields
    /// that one by one.
    pub(super) fn end(&mut self, lost: Lost) -> Option<Reaped> {
        self.set_flow(Flow::Over(lost));
        self.cids.let_all_go();
        let done = if lost == Lost::Closed { Done::ABORTED } else { Done::lost(lost) };
        if let Some((_, id)) = self.cids.release_any() {
            return Some(self.complete(id, done));
        }
        if let Some((id, _)) = self.again.pop_front() {
            return Some(self.complete(id, done));
        }
        loop {
            let (id, _) = self.backlog.pop_front()?;
            if self.ops.submit(id) {
                return Some(self.complete(id, done));
            }
        }
    }

    /// Loses what commands keep: their controller can be kept from nothing.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.ops, Inflight::with_capacity(0)));
    }
}
