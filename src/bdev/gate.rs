//! Where I/O of one channel waits for the limits of its device: a line for reads, one for writes.
//!
//! ```text
//!   poll ── nobody waits, and its time has begun ─────────────────────────────────────────────► in
//!     └──► line ── the first of them reserve a time together ──► it begins: the pump lets them in ──┘
//! ```
//!
//! A line has one reservation at a time: a turn of [`TURN`], or of one I/O that takes longer. So the cores of a busy device take turns,
//! and one timer serves all who wait: that of the pump, a task of the channel's core.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use super::channel::Inner;
use super::limiter::{Direction, Limiter, Time, Use};
use super::{Io, Op, Result};
use crate::reactor::spawn_local;
use crate::sync::Notify;
use crate::sys::wait_list::{Key, Verdict, WaitList, poll_place};
use crate::time::{Clock, timeout};

/// What is saved up of a limit while nobody uses it.
const SAVED: Time = Time::of_ns(1_000_000);
/// How much is reserved at a time: few enough turns that their timers cost nothing, short enough to be even.
const TURN: Time = Time::of_ns(100_000);
/// What is made up for at most where a core was late to let in who waited, and how long after: more than a scheduler takes a core away
/// for.
const LATE_MOST: Time = Time::of_ns(100_000_000);

/// The lines of one channel.
pub(super) struct Gate {
    clock: Clock,
    /// What the device had when this was last told.
    limiter: RefCell<Option<Arc<Limiter>>>,
    /// By [`Direction`].
    lines: RefCell<[Line; 2]>,
    /// Rung when the pump has something to do.
    bell: Rc<Notify>,
    is_pumped: Cell<bool>,
}

/// An I/O's place in a line.
pub(super) struct Ticket(Direction, Key);

#[derive(Default)]
struct Line {
    waiting: WaitList<Ask>,
    /// The number of the next to join.
    next: u64,
    turn: Option<Turn>,
    /// How late the core was to let in who waited, as far as that has not been made up for.
    late: Time,
    /// When it was.
    late_at: Time,
}

struct Ask {
    /// Grows along the line.
    number: u64,
    bytes: u64,
}

/// A reservation for the first of the line.
#[derive(Clone, Copy)]
struct Turn {
    begins: Time,
    /// For those with numbers below.
    end: u64,
}

impl Use {
    /// What an I/O over `bytes` counts for, if it is limited.
    pub(super) fn of(op: Op, bytes: usize) -> Option<Self> {
        let direction = match op {
            Op::Read | Op::Compare => Direction::Read,
            Op::Write | Op::CompareAndWrite | Op::ZoneAppend => Direction::Write,
            _ => return None,
        };
        Some(Self { direction, ios: 1, bytes: bytes as u64 })
    }

    /// The same for one that may be an NVMe command.
    pub(super) fn of_io(io: &Io, bytes: usize) -> Option<Self> {
        if !matches!(io.op(), Op::NvmeIo | Op::NvmeAdmin) {
            return Self::of(io.op(), bytes);
        }
        let (_, len) = io.place()?;
        // NVMe Base 2.0 §3.3.3.1, Command Dword 0: bit 0 of the operation code says that the host sends data.
        let direction = match io.nvme_command().opcode() & 1 {
            0 => Direction::Read,
            _ => Direction::Write,
        };
        Some(Self { direction, ios: 1, bytes: len as u64 })
    }
}

impl Line {
    /// Reserves what `using` says, now or later.
    fn reserve(&mut self, limiter: &Limiter, using: Use, now: Time) -> Time {
        if now.minus(self.late_at) > LATE_MOST {
            self.late = Time(0);
        }
        let begins = limiter.reserve(using, now.minus(self.late.max(SAVED)));
        self.late = self.late.min(now.minus(begins));
        begins
    }

    /// Lets in whose turn has begun, and reserves turns until one lies ahead: returns its beginning, if somebody is left.
    fn let_in(
        &mut self,
        direction: Direction,
        limiter: &Limiter,
        now: Time,
        wakers: &mut Vec<Waker>,
    ) -> Option<Time> {
        loop {
            let turn = match self.turn {
                Some(turn) => turn,
                None => self.reserve_turn(direction, limiter, now)?,
            };
            self.turn = Some(turn);
            if turn.begins > now {
                return Some(turn.begins);
            }
            while self.waiting.front().is_some_and(|ask| ask.number < turn.end) {
                wakers.extend(self.waiting.settle_front(Verdict::Granted));
            }
            self.turn = None;
            let late = now.minus(turn.begins);
            if late > SAVED {
                (self.late, self.late_at) = (self.late.max(late.min(LATE_MOST)), now);
            }
        }
    }

    /// A turn for the first of the line, if there is one.
    fn reserve_turn(&mut self, direction: Direction, limiter: &Limiter, now: Time) -> Option<Turn> {
        let mut using = Use { direction, ios: 0, bytes: 0 };
        let mut end = 0;
        for ask in self.waiting.iter() {
            using.ios += 1;
            using.bytes = using.bytes.saturating_add(ask.bytes);
            end = ask.number + 1;
            if limiter.cost(using) >= TURN {
                break;
            }
        }
        (using.ios > 0).then(|| Turn { begins: self.reserve(limiter, using, now), end })
    }

    fn is_in_turn(&self, number: u64) -> bool {
        self.turn.is_some_and(|turn| number < turn.end)
    }
}

impl Gate {
    fn now(&self) -> Time {
        Time::of_ns(self.clock.now_ns())
    }

    /// Lets an I/O in, or gives it a place.
    fn poll(&self, using: Use, ticket: &mut Option<Ticket>, cx: &mut Context<'_>) -> Poll<()> {
        let at = using.direction as usize;
        if let Some(Ticket(_, key)) = ticket {
            ready!(poll_place(cx.waker(), |waker, clone| {
                self.lines.borrow_mut()[at].waiting.poll(key, waker, clone)
            }));
            let removed = ticket.take().map(|Ticket(_, key)| self.lines.borrow_mut()[at].waiting.remove(key));
            drop(removed);
            return Poll::Ready(());
        }
        let Some(limiter) = self.limiter.borrow().clone() else { return Poll::Ready(()) };
        let now = self.now();
        // With nothing borrowed: it may run foreign code.
        let waker = cx.waker().clone();
        let mut lines = self.lines.borrow_mut();
        let line = &mut lines[at];
        let is_alone = line.waiting.is_empty();
        if is_alone {
            let begins = line.reserve(&limiter, using, now);
            if begins <= now {
                drop(lines);
                return Poll::Ready(());
            }
            line.turn = Some(Turn { begins, end: line.next + 1 });
        }
        let ask = Ask { number: line.next, bytes: using.bytes };
        line.next += 1;
        *ticket = Some(Ticket(using.direction, line.waiting.push_back(ask, waker)));
        drop(lines);
        if is_alone {
            self.bell.notify_one();
        }
        Poll::Pending
    }

    /// Gives a place back, and what was reserved for it.
    fn leave(&self, Ticket(direction, key): Ticket) {
        let mut lines = self.lines.borrow_mut();
        let line = &mut lines[direction as usize];
        let removed = line.waiting.remove(key);
        let is_paid = match removed.verdict {
            None => line.is_in_turn(removed.ask.number),
            Some(verdict) => verdict == Verdict::Granted,
        };
        let is_turn_left = line.waiting.front().is_some_and(|ask| line.is_in_turn(ask.number));
        let was_last_of_turn = line.turn.is_some() && !is_turn_left;
        if was_last_of_turn {
            line.turn = None;
        }
        drop(lines);
        if let Some(limiter) = self.limiter.borrow().as_ref().filter(|_| is_paid) {
            limiter.give_back(Use { direction, ios: 1, bytes: removed.ask.bytes });
        }
        if was_last_of_turn {
            // For the next of the line.
            self.bell.notify_one();
        }
        drop(removed);
    }

    /// Lets in whose turn it is. Returns when this is to be called again, unless nobody waits.
    fn let_in(&self, wakers: &mut Vec<Waker>) -> Option<Duration> {
        let limiter = self.limiter.borrow().clone()?;
        let now = self.now();
        let mut lines = self.lines.borrow_mut();
        let each = [Direction::Read, Direction::Write].into_iter().zip(&mut *lines);
        let next =
            each.filter_map(|(direction, line)| line.let_in(direction, &limiter, now, wakers)).min()?;
        Some(Duration::from_nanos(next.minus(now).ns()))
    }

    /// Goes by `limiter` from now on; without one all who wait are let in.
    fn renew(&self, limiter: Option<Arc<Limiter>>) {
        let is_limited = limiter.is_some();
        *self.limiter.borrow_mut() = limiter;
        for line in &mut *self.lines.borrow_mut() {
            line.turn = None;
        }
        if is_limited { self.bell.notify_one() } else { self.release() }
    }

    /// Lets all in who wait.
    fn release(&self) {
        let mut wakers = Vec::new();
        for line in &mut *self.lines.borrow_mut() {
            line.turn = None;
            while !line.waiting.is_empty() {
                wakers.extend(line.waiting.settle_front(Verdict::Ended));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Starts the pump, on the core that it shall run on.
    fn start_pump(self: &Rc<Self>) {
        if !self.is_pumped.replace(true) {
            spawn_local(pump(Rc::downgrade(self), self.bell.clone())).detach();
        }
    }
}

/// Lets in who waits, when it is time, until the channel is gone.
async fn pump(gate: Weak<Gate>, bell: Rc<Notify>) {
    /// Its end. If that is the end of the core, nobody waits on for what does not come.
    struct End(Weak<Gate>);
    impl Drop for End {
        fn drop(&mut self) {
            if let Some(gate) = self.0.upgrade() {
                gate.is_pumped.set(false);
                gate.release();
            }
        }
    }
    let (gate, mut wakers) = (End(gate), Vec::new());
    loop {
        // The gate is not kept while this waits.
        let Some(next) = gate.0.upgrade().map(|gate| gate.let_in(&mut wakers)) else { return };
        wakers.drain(..).for_each(Waker::wake);
        match next {
            Some(next) => drop(timeout(next, bell.notified()).await),
            None => bell.notified().await,
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

impl Inner {
    /// Waits until the limits let `using` in. Ready also if the device was removed, which is for others to say.
    pub(super) fn poll_limits(
        &self,
        using: Use,
        ticket: &mut Option<Ticket>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if ticket.is_none() && !self.device.is_limited() {
            return Poll::Ready(Ok(()));
        }
        let gate = self.gate.get_or_init(|| {
            Rc::new(Gate {
                clock: self.clock.clone(),
                limiter: RefCell::new(self.device.limiter()),
                lines: RefCell::default(),
                bell: Rc::default(),
                is_pumped: Cell::new(false),
            })
        });
        let polled = gate.poll(using, ticket, cx);
        if polled.is_pending() && !gate.is_pumped.get() {
            self.call_home(|inner| inner.gate.get().into_iter().for_each(Gate::start_pump))?;
        }
        polled.map(Ok)
    }

    /// Gives a place in line back.
    pub(super) fn leave_limits(&self, ticket: Ticket) {
        self.gate.get().expect("it has given the ticket").leave(ticket);
    }

    /// The limits have changed, or the device is being removed.
    pub(super) fn renew_limits(&self) {
        if let Some(gate) = self.gate.get() {
            gate.renew(self.device.limiter().filter(|_| self.device.is_limited()));
        }
    }
}
