//! The two queues shared with the kernel, and the operations on them: what [`Ring`](super::Ring) lends its futures.
//!
//! Nothing here wakes or drops anything of others: what is to be woken or released is returned, so that it happens outside
//! of the ring's borrow. An operation goes
//!
//! ```text
//!   start ──▶ submission queue ──enter──▶ kernel ──▶ completion queue ──reap──▶ waker
//!     └─ no room ─▶ backlog ──pump──▲
//! ```

#![expect(unsafe_code, reason = "hands entries with pointers to the kernel")]

pub(crate) use super::completion::{Completion, Counters};

use super::config::Made;
use super::door::{Door, register_buffer};
use super::files::Files;
use super::signal::Signal;
use super::{Config, Error, Features, Setup, workers};
use crate::inflight::{Completed, Id, Inflight, Orphan, Parcel};
use io_uring::{IoUring, opcode, squeue, types::CancelBuilder};
use rustix::io::Errno;
use rustix::io_uring::IoringEnterFlags as EnterFlags;
use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::task::Waker;

/// What a completion asks the ring to do, outside of its borrow.
pub(super) enum Reaped {
    Wake(Waker),
    Abandon(Parcel<Completion>, Completion),
    /// The answer to a cancel: the operation itself answers too.
    Nothing,
}

#[derive(Clone, Copy)]
enum Cancel {
    One(Id),
    Any,
}

/// `user_data` of cancels. No operation has it: slab keys stay below `u32::MAX`.
const CANCEL: u64 = u64::MAX;

pub(super) struct Queues {
    uring: IoUring,
    door: Door,
    setup: Setup,
    is_direct: bool,
    /// A kernel thread takes the entries.
    has_thread: bool,
    /// Completions come when the kernel is asked for them, and only then.
    is_polling: bool,
    ops: Inflight<Parcel<Completion>, Completion>,
    /// Operations that wait for room, oldest first. Entries of dropped futures stay until their turn and are skipped.
    backlog: VecDeque<squeue::Entry>,
    cancels: VecDeque<Cancel>,
    /// Handed over and not answered. Each of the two is kept to half of the completion queue.
    ops_in_flight: usize,
    cancels_in_flight: usize,
    in_flight_max: usize,
    files: Files,
    signal: Signal,
    counters: Counters,
}

impl Queues {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let Made { uring, setup, is_direct, has_thread } = config.build()?;
        workers::confine(&uring, config);
        // What the kernel made of the sizes asked for.
        let (sq, cq) = (uring.params().sq_entries() as usize, uring.params().cq_entries() as usize);
        let in_flight_max = (cq / 2).min(config.in_flight_max as usize).max(1);
        Ok(Self {
            files: Files::new(&uring, config.features),
            door: Door::new(&uring, config.features),
            signal: Signal::new()?,
            uring,
            setup,
            is_direct,
            has_thread,
            is_polling: config.is_polling,
            ops: Inflight::with_capacity(sq),
            backlog: VecDeque::new(),
            cancels: VecDeque::new(),
            ops_in_flight: 0,
            cancels_in_flight: 0,
            in_flight_max,
            counters: Counters::default(),
        })
    }

    pub(super) fn setup(&self) -> Setup {
        self.setup
    }

    pub(super) fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// Those of its features that show in the ring itself.
    pub(super) fn features(&self) -> Features {
        Features::DIRECT_QUEUE.when(self.is_direct)
            | Features::RING_NUMBER.when(self.door.is_number())
            | Features::FILE_TABLE.when(self.files.is_made())
            | Features::SUBMISSION_THREAD.when(self.has_thread)
            | Features::POLLING.when(self.is_polling)
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn event(&self) -> &Rc<OwnedFd> {
        self.signal.event()
    }

    /// Has the signal given from now on. True if there is something to do already, or something left to hand over, or if the
    /// kernel will not give it.
    pub(super) fn arm(&mut self) -> bool {
        !self.signal.arm(&mut self.uring)
            || !self.uring.completion().is_empty()
            || self.is_unsettled()
            || self.must_ask()
            || self.can_pump()
    }

    /// Ends the signals: the core is awake.
    #[inline]
    pub(super) fn disarm(&mut self) {
        self.signal.disarm(&mut self.uring);
    }

    /// Enters the file into the ring's table, if there is room.
    pub(super) fn register(&mut self, fd: RawFd) -> Option<u32> {
        self.files.register(&self.uring, fd)
    }

    /// Enters the memory into the ring's table of buffers.
    pub(super) fn register_buffer(&mut self, index: u32, start: *mut u8, len: usize) -> bool {
        register_buffer(&self.uring, index, start, len)
    }

    /// Frees the entry.
    pub(super) fn unregister(&mut self, index: u32) {
        self.files.unregister(&self.uring, index);
    }

    /// Whether a system call is due: to hand over entries, or to be given completions that the kernel keeps back.
    #[inline]
    fn is_unsettled(&mut self) -> bool {
        let queue = self.uring.submission();
        if self.has_thread {
            // Looking whether the thread sleeps takes a fence: it goes to sleep only if it sees no entry after it has said so.
            return queue.cq_overflow() || !queue.is_empty() && queue.need_wakeup();
        }
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn thread_sleeps(&mut self) -> bool {
        self.uring.submission().need_wakeup()
    }

    /// Whether completions come only if the kernel is asked again and again.
    #[inline]
    fn must_ask(&self) -> bool {
        self.is_polling && self.ops_in_flight > 0
    }

    /// Whether something waits for room that the kernel has, once the submission queue is handed over.
    fn can_pump(&self) -> bool {
        !self.cancels.is_empty() && self.cancels_in_flight < self.in_flight_max
            || !self.backlog.is_empty() && self.ops_in_flight < self.in_flight_max
    }

    pub(super) fn ops(&mut self) -> &mut Inflight<Parcel<Completion>, Completion> {
        &mut self.ops
    }

    /// Operations and cancels that the kernel has still to answer or even to be given.
    #[inline]
    pub(super) fn outstanding(&self) -> usize {
        self.ops_in_flight + self.cancels_in_flight + self.cancels.len() + self.backlog.len()
    }

    /// Queues the operation that `entry` describes, behind those that already wait, and keeps `parcel` until it is answered.
    ///
    /// # Safety
    /// All memory that `entry` points to is owned by what is in `parcel`, and stays put as that moves.
    #[inline(always)]
    pub(super) unsafe fn start(
        &mut self,
        mut entry: squeue::Entry,
        parcel: Parcel<Completion>,
        waker: Waker,
    ) -> Id {
        if self.backlog.is_empty() && self.ops_in_flight < self.in_flight_max {
            let mut queue = self.uring.submission();
            if !queue.is_full() {
                let id = self.ops.start(parcel, waker);
                entry.set_user_data(id.to_bits());
                // SAFETY: the slot just made keeps `parcel`, and with it all that `entry` points to, until the answer.
                unsafe { queue.push(&entry) }.expect("there is room");
                self.ops_in_flight += 1;
                self.counters.submitted += u64::from(self.has_thread);
                return id;
            }
        }
        self.put_off(entry, parcel, waker)
    }

    #[cold]
    fn put_off(&mut self, mut entry: squeue::Entry, parcel: Parcel<Completion>, waker: Waker) -> Id {
        let id = self.ops.queue(parcel, waker);
        entry.set_user_data(id.to_bits());
        self.backlog.push_back(entry);
        self.counters.waits += 1;
        id
    }

    /// Gives up the operation: its future is being dropped. Whatever the result holds is released outside of the borrow.
    pub(super) fn give_up(&mut self, id: Id, cancel: bool) -> Orphan<Parcel<Completion>, Completion> {
        let orphan = self.ops.orphan(id);
        // What is polled for cannot be cancelled.
        if cancel && !self.is_polling && matches!(orphan, Orphan::InFlight(_)) {
            self.cancels.push_back(Cancel::One(id));
            self.pump();
        }
        orphan
    }

    /// Moves what waits into the submission queue while there is room: cancels first, they make room.
    #[inline]
    fn pump(&mut self) {
        if !(self.cancels.is_empty() && self.backlog.is_empty()) {
            self.pump_some();
        }
    }

    #[cold]
    fn pump_some(&mut self) {
        let mut queue = self.uring.submission();
        while self.cancels_in_flight < self.in_flight_max && !queue.is_full() {
            let Some(cancel) = self.cancels.pop_front() else { break };
            let entry = match cancel {
                Cancel::One(id) => opcode::AsyncCancel::new(id.to_bits()).build(),
                Cancel::Any => opcode::AsyncCancel2::new(CancelBuilder::any()).build(),
            };
            // SAFETY: a cancel points to no memory.
            unsafe { queue.push(&entry.user_data(CANCEL)) }.expect("there is room");
            self.cancels_in_flight += 1;
            self.counters.submitted += u64::from(self.has_thread);
        }
        while self.ops_in_flight < self.in_flight_max && !queue.is_full() {
            let Some(entry) = self.backlog.pop_front() else { break };
            if self.ops.submit(Id::from_bits(entry.get_user_data())) {
                // SAFETY: the operation's slot exists, so it keeps what `entry` points to until the answer.
                unsafe { queue.push(&entry) }.expect("there is room");
                self.ops_in_flight += 1;
                self.counters.submitted += u64::from(self.has_thread);
            }
        }
    }

    /// Hands everything over. One system call, unless more waits than the submission queue holds: then one for each time it
    /// is filled, as nothing else would carry the rest.
    #[inline]
    pub(super) fn flush(&mut self) {
        loop {
            self.pump();
            if !self.is_unsettled() || !self.enter(0) || !self.can_pump() {
                return;
            }
        }
    }

    /// Has the kernel post what it keeps back, if it says so and nothing else is there to reap.
    #[inline]
    pub(super) fn fetch(&mut self) {
        if self.uring.completion().is_empty() && (self.is_unsettled() || self.must_ask()) {
            self.enter(0);
        }
    }

    /// The system call: hands over what is queued, has completions posted, and waits for `want` of them. False if the kernel
    /// would not take anything now; it is tried again with the next flush.
    ///
    /// # Panics
    /// If the kernel says that the call itself is wrong.
    pub(super) fn enter(&mut self, want: u32) -> bool {
        let queue = self.uring.submission();
        let len = queue.len();
        let mut flags = EnterFlags::empty();
        let overflow = queue.cq_overflow();
        if want > 0 || self.setup == Setup::Deferred || self.is_polling || queue.taskrun() || overflow {
            flags |= EnterFlags::GETEVENTS;
        }
        if self.has_thread && queue.need_wakeup() {
            flags |= EnterFlags::SQ_WAKEUP;
        }
        drop(queue);
        self.counters.enters += 1;
        self.counters.overflows += u64::from(overflow);
        // SAFETY: every entry was pushed under the contract of `start`.
        match unsafe { self.door.enter(len as u32, want, flags) } {
            // The thread takes them when it likes.
            Ok(_) if self.has_thread => false,
            Ok(submitted) => {
                self.counters.submitted += u64::from(submitted);
                submitted as usize == len
            }
            // A signal came, memory is short for the moment, or completions must be reaped first.
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => false,
            Err(error) => panic!("io_uring_enter(to_submit={len}, min_complete={want}, {flags:?}): {error}"),
        }
    }

    /// Completions that can be reaped without asking the kernel.
    #[inline]
    pub(super) fn ready(&mut self) -> usize {
        self.uring.completion().len()
    }

    /// Takes the oldest completion.
    #[inline]
    pub(super) fn reap(&mut self) -> Option<Reaped> {
        let entry = self.uring.completion().next()?;
        self.counters.completed += 1;
        if entry.user_data() == CANCEL {
            self.cancels_in_flight -= 1;
            return Some(Reaped::Nothing);
        }
        self.ops_in_flight -= 1;
        Some(self.answer(Id::from_bits(entry.user_data()), Completion { result: entry.result() }))
    }

    #[inline]
    fn answer(&mut self, id: Id, completion: Completion) -> Reaped {
        match self.ops.complete(id, completion) {
            Completed::Wake(waker) => Reaped::Wake(waker),
            Completed::Abandoned(parcel) => Reaped::Abandon(parcel, completion),
        }
    }

    /// Answers the oldest operation that still waits for room with `ECANCELED`; `None` when there is none left.
    pub(super) fn refuse_one(&mut self) -> Option<Reaped> {
        let entry = self.backlog.pop_front()?;
        let id = Id::from_bits(entry.get_user_data());
        let refused = Completion::refused(Errno::CANCELED);
        Some(if self.ops.submit(id) { self.answer(id, refused) } else { Reaped::Nothing })
    }

    /// Asks the kernel to give up everything that it works on.
    pub(super) fn cancel_all(&mut self) {
        if self.ops_in_flight == 0 || self.is_polling {
            return;
        }
        match self.setup {
            // Whoever has COOP_TASKRUN has ASYNC_CANCEL_ANY: both came with Linux 5.19.
            Setup::Deferred | Setup::Cooperative => self.cancels.push_back(Cancel::Any),
            Setup::Plain => self.cancels.extend(self.ops.unanswered().map(Cancel::One)),
        }
        self.pump();
    }

    /// Hands over what it can and waits for an answer, unless the kernel will not now.
    pub(super) fn wait(&mut self) {
        self.pump();
        self.enter(1);
    }
}

impl Drop for Queues {
    /// [`Ring`](super::Ring) waits for every answer before this. If a panic on the way kept it from that, the memory that the
    /// kernel may still touch is lost rather than freed.
    fn drop(&mut self) {
        self.door.close(&self.uring);
        if self.ops_in_flight > 0 {
            std::mem::forget(std::mem::replace(&mut self.ops, Inflight::with_capacity(0)));
        }
    }
}
