//! A queue pair: a submission queue, its completion queue, and the commands on their way between them.
//!
//! ```text
//!   start ──▶ submission queue ──doorbell (flush)──▶ controller ──▶ completion queue ──poll──▶ waker
//!     └─ no identifier left ─▶ backlog ──pump──▲
//! ```
//!
//! The pair is one of its core's drivers: the turn polls it, and flushes it when all tasks have run, so that there is one write per
//! batch and doorbell; fewer of the completion queue's, if nothing waits for an interrupt. Wakers and buffers of others are woken and
//! dropped with nothing borrowed. It stays a driver until its last user has gone and its last command is answered; then home deletes
//! its queues.

mod ending;

use super::commands::{Commands, Flow, Name, Reaped, Swept};
use super::device::Device;
use super::done::Lost;
use super::doorbells::Doorbells;
use super::link::{Leaving, Link};
use super::prp::Lists;
use super::rings::{CompletionQueue, SubmissionQueue};
use super::seat::Seat;
use super::spec::Command;
use super::{Error, Payload};
use crate::reactor::{context, driver::Driver};
use crate::sync::PerCoreRef;
use crate::sys::eventfd::EventFd;
use crate::time::sleep;
use crate::{Core, Mode, spawn_local};
use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// How often a question to the controller is asked again that a reset cut off.
const ADMIN_RETRIES: u8 = 3;

/// Drives one pair, on the core that made it.
pub(super) struct Pair<D: Device> {
    link: Arc<Link<D>>,
    qid: u16,
    commands: RefCell<Commands>,
    doorbells: Doorbells,
    /// By which the controller interrupts; none if it is polled.
    vector: Option<u16>,
    /// Never signalled: without a vector the core does not sleep while commands are on their way.
    event: EventFd,
    users: Cell<usize>,
    /// The last user has gone.
    is_left: Cell<bool>,
    /// Commands that wait for events, and keep no core awake.
    standing: Cell<usize>,
    /// Since when the core ends.
    ends_since: Cell<Option<Instant>>,
    /// The controller answers nothing and cannot be disabled.
    is_lost: Cell<bool>,
    /// What was given up is to be aborted.
    aborts: Cell<bool>,
    /// Without users, it makes room for another core's soon.
    leaving: Cell<Option<Leaving<D>>>,
    /// Where the core finds the pair.
    seat: PerCoreRef<Seat<D>>,
}

/// A pair as the controller has to know it.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) qid: u16,
    /// Whose it is.
    pub(super) core: Core,
    pub(super) entries: u16,
    pub(super) vector: Option<u16>,
    /// Where the submission and the completion queue are.
    pub(super) sq: u64,
    pub(super) cq: u64,
}

impl<D: Device> Pair<D> {
    /// A pair of this many entries each, whose memory is the link's until the queues are deleted or the controller is disabled.
    pub(super) fn new(
        link: &Arc<Link<D>>,
        seat: PerCoreRef<Seat<D>>,
        qid: u16,
        entries: u16,
    ) -> Result<(Rc<Self>, Places), Error> {
        let commands = entries - 1;
        let (sq, sq_at) = link.allocate(qid, SubmissionQueue::bytes(entries))?;
        let (cq, cq_at) = link.allocate(qid, CompletionQueue::bytes(entries))?;
        let (lists, lists_at) = link.allocate(qid, Lists::bytes(commands))?;
        let lists = Lists::new(lists, lists_at, link.takes_sgls(qid));
        // Each vector wakes one core, and a core that never sleeps is woken by none.
        let sleeps = link.home().0.mode(Core::current()).is_some_and(|mode| mode != Mode::Poll);
        let vector =
            (sleeps && link.config().interrupts && link.device().interrupt(qid).is_some()).then_some(qid);
        let rings = (SubmissionQueue::new(sq, entries), CompletionQueue::new(cq, entries, vector.is_some()));
        let retries = if qid == 0 { (ADMIN_RETRIES, true) } else { (link.config().retries, false) };
        let pair = Self {
            link: link.clone(),
            qid,
            commands: RefCell::new(Commands::new(
                rings,
                lists,
                commands,
                retries,
                link.config().command_timeout,
            )),
            doorbells: Doorbells::new(link, qid),
            vector,
            event: EventFd::new()?,
            users: Cell::new(0),
            is_left: Cell::new(false),
            standing: Cell::new(0),
            ends_since: Cell::new(None),
            is_lost: Cell::new(false),
            aborts: Cell::new(false),
            leaving: Cell::new(None),
            seat,
        };
        let core = Core::current();
        Ok((Rc::new(pair), Places { qid, core, entries, vector, sq: sq_at, cq: cq_at }))
    }

    /// Makes it one of the core's drivers, whose commands may be late.
    pub(super) fn begin(self: &Rc<Self>) {
        context::add_driver(self.clone());
        let pair = Rc::downgrade(self);
        let period = self.link.sweep_period();
        drop(spawn_local(async move {
            loop {
                sleep(period).await;
                let Some(pair) = pair.upgrade().filter(|pair| pair.is_open()) else { return };
                pair.sweep();
            }
        }));
    }

    #[inline(always)]
    pub(super) fn commands(&self) -> RefMut<'_, Commands> {
        self.commands.borrow_mut()
    }

    pub(super) fn link(&self) -> &Arc<Link<D>> {
        &self.link
    }

    /// Queues a command behind those that wait, and takes its payload to keep until the answer; or says why not. One of home's `own`
    /// goes before all others.
    #[inline(always)]
    pub(super) fn start(
        &self,
        command: Command,
        payload: &mut Option<Payload>,
        is_own: bool,
        waker: Waker,
    ) -> Result<Name, Lost> {
        let device = self.link.device();
        let started = match is_own {
            false => self.commands().start(device, command, payload, waker),
            true => self.commands().start_own(device, command, payload, waker),
        };
        // What was not started is dropped with nothing borrowed.
        started.map_err(|(lost, _waker)| lost)
    }

    pub(super) fn add_user(&self) {
        self.users.set(self.users.get() + 1);
        self.is_left.set(false);
        self.leaving.take();
    }

    pub(super) fn drop_user(&self) {
        self.users.set(self.users.get() - 1);
        if self.users.get() == 0 {
            self.is_left.set(true);
            self.leaving.set(Some(self.link.leaving()));
        }
    }

    /// Has one more command wait for an event. Given up it waits on.
    pub(super) fn stand(&self) {
        self.standing.set(self.standing.get() + 1);
    }

    /// One of them was answered.
    pub(super) fn unstand(&self) {
        self.standing.set(self.standing.get() - 1);
    }

    /// Whether it can have users: it has not gone, and takes commands.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.commands().flow(), Flow::Over(_))
    }

    pub(super) fn set_flow(&self, flow: Flow) {
        self.commands().set_flow(flow);
    }

    /// Empties the queues of a controller that is disabled.
    pub(super) fn restart(&self) {
        self.settle_all(Commands::restart);
        self.doorbells.restart();
    }

    /// Ends what the controller, which is disabled or gone, will not answer.
    pub(super) fn end(&self, lost: Lost) {
        self.settle_all(|commands| commands.end(lost));
    }

    fn settle_all(&self, mut next: impl FnMut(&mut Commands) -> Option<Reaped>) {
        loop {
            let Some(reaped) = next(&mut self.commands()) else { return };
            reaped.settle();
        }
    }

    fn sweep(self: &Rc<Self>) {
        let swept = self.commands().sweep();
        match swept {
            Swept::Fine => {}
            Swept::Late(cids) => {
                let cids = self.commands().keep(cids);
                // What it says of that does not matter: it answers them, or is reset.
                self.send_aborts(cids, 0).detach();
            }
            Swept::Lost => self.link.reset_soon(),
        }
    }

    #[inline(always)]
    fn reap(&self) -> Option<Reaped> {
        self.commands().reap()
    }

    /// Leaves the core in the end of its turn.
    pub(super) fn retire(&self) {
        self.is_left.set(true);
    }

    /// Leaves the core, if nothing is on its way any more.
    #[cold]
    fn leave(&self) {
        if self.in_flight() > 0 || matches!(self.commands().flow(), Flow::Held | Flow::Reserved) {
            return;
        }
        self.is_left.set(false);
        let was_open = self.is_open();
        self.set_flow(Flow::Over(Lost::Closed));
        context::remove_driver(self);
        if was_open {
            self.link.delete_queues(self.qid);
        }
        self.leaving.take();
    }
}

impl<D: Device> Driver for Pair<D> {
    #[inline]
    fn poll(&self) -> usize {
        let used = self.commands().used();
        let mut reaped = 0;
        // What the woken submit meanwhile belongs to the next turn.
        while reaped < used {
            let Some(one) = self.reap() else { break };
            reaped += 1;
            one.settle();
        }
        reaped
    }

    #[inline]
    fn flush(&self) {
        let device = self.link.device();
        let mut commands = self.commands();
        while let Some(unseen) = commands.pump(device) {
            drop(commands);
            unseen.settle();
            commands = self.commands();
        }
        let (tail, head) = commands.bells();
        drop(commands);
        if let Some(head) = head {
            self.doorbells.ring_head(device, head);
        }
        if let Some(tail) = tail {
            self.doorbells.ring_tail(device, tail);
        }
        if self.aborts.take() {
            self.abort_orphans();
        }
        if self.is_left.get() {
            self.leave();
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        let interrupt = self.vector.and_then(|vector| self.link.device().interrupt(vector));
        interrupt.unwrap_or(self.event.as_fd())
    }

    /// Without interrupts the core stays awake for what is on its way. With them it looks once more after it has forgotten those that
    /// came: an answer is either seen here, or interrupts.
    fn arm(&self) -> bool {
        if self.vector.is_none() {
            return self.in_flight() > 0 || self.is_left.get();
        }
        let _none = rustix::io::read(self.fd(), &mut [0; 8]);
        let commands = self.commands();
        commands.has_answer() || commands.is_unrung() || self.is_left.get()
    }

    /// None, in the end, of those that a controller keeps which cannot even be disabled; nor those that wait for events.
    fn in_flight(&self) -> usize {
        if self.is_lost.get() {
            return 0;
        }
        self.commands().unanswered().saturating_sub(self.standing.get())
    }

    /// Leaves the controller time to answer. Then it is disabled: after that it touches nothing.
    fn cancel_all(&self) {
        let since = self.ends_since.get().unwrap_or_else(Instant::now);
        self.ends_since.set(Some(since));
        if self.in_flight() == 0 || since.elapsed() < self.link.config().end_patience {
            return;
        }
        match self.link.disable_now() {
            true => {
                self.end(Lost::Closed);
                // Other cores go on: home resets the controller, without these queues.
                self.link.delete_queues(self.qid);
            }
            false => self.is_lost.set(true),
        }
    }
}

impl<D: Device> Drop for Pair<D> {
    /// The buffers of commands that are not answered are lost rather than freed, if the controller cannot be kept from them. Without
    /// its admin queues a controller is nobody's.
    fn drop(&mut self) {
        let is_open = self.is_open();
        let is_idle = self.commands().used() == 0;
        if is_idle && !is_open {
            return;
        }
        if is_idle && self.qid > 0 {
            // Its core ends: it goes as if left.
            return self.link.delete_queues(self.qid);
        }
        let is_disabled = self.link.disable_now();
        self.link.end_everywhere();
        if !is_idle && !is_disabled {
            self.commands().leak();
        }
    }
}
