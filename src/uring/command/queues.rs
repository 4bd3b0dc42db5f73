//! The two queues shared with the kernel, and the commands in them.
//!
//! Nothing here wakes or drops anything of others: what is to be woken or released is returned, so that it happens outside of the ring's
//! borrow.

#![expect(unsafe_code, reason = "hands entries with pointers to the kernel")]

use super::Target;
use crate::inflight::{Id, Inflight, Orphan};
use crate::uring::config::Made;
use crate::uring::door::{Door, register_buffer};
use crate::uring::files::Files;
use crate::uring::signal::Signal;
use crate::uring::{Config, Counters, Error, Setup, workers};
use io_uring::{IoUring, Submitter, cqueue, squeue};
use rustix::io::Errno;
use rustix::io_uring::IoringEnterFlags as EnterFlags;
use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::task::Waker;

/// What a driver answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reply {
    /// An error number of the system's, negative, or whatever the driver says.
    pub(crate) result: i32,
    /// A word of the driver's.
    pub(crate) value: u64,
}

impl Reply {
    /// An answer of our own, for what never reaches the kernel.
    fn refused(errno: Errno) -> Self {
        Self { result: -errno.raw_os_error(), value: 0 }
    }
}

/// What a slot keeps until the answer: what the sender gave, and the file, so that its name stays its own.
pub(super) struct Kept<H: 'static> {
    pub(super) held: H,
    pub(super) _target: Rc<Target<H>>,
}

/// What a completion asks the ring to do, outside of its borrow.
#[must_use]
pub(super) enum Reaped<H: 'static> {
    Wake(Waker),
    Abandon(Kept<H>),
}

pub(super) struct Queues<H: 'static> {
    uring: IoUring<squeue::Entry128, cqueue::Entry32>,
    door: Door,
    setup: Setup,
    /// Completions come when the kernel is asked for them, and only then.
    is_polling: bool,
    ops: Inflight<Kept<H>, Reply>,
    /// Commands that wait for room, oldest first. Those of dropped futures stay until their turn and are skipped.
    backlog: VecDeque<squeue::Entry128>,
    /// Handed over, or about to be, and not answered.
    in_flight: usize,
    in_flight_max: usize,
    files: Files,
    signal: Signal,
    /// Entries put into the submission queue. `submitted` of the counters is made of it.
    pushed: u64,
    counters: Counters,
}

impl<H: 'static> Queues<H> {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let Made { uring, setup, .. } = config.build_sized()?;
        workers::confine(&uring, config);
        Ok(Self {
            door: Door::new(&uring, config.features),
            files: Files::new(&uring.submitter(), config.features),
            signal: Signal::new()?,
            ops: Inflight::with_capacity(uring.params().sq_entries() as usize),
            uring,
            setup,
            is_polling: config.is_polling,
            backlog: VecDeque::new(),
            in_flight: 0,
            in_flight_max: (config.in_flight_max as usize).max(1),
            pushed: 0,
            counters: Counters::default(),
        })
    }

    pub(super) fn setup(&self) -> Setup {
        self.setup
    }

    pub(super) fn submitter(&self) -> Submitter<'_> {
        self.uring.submitter()
    }

    pub(super) fn event(&self) -> &Rc<OwnedFd> {
        self.signal.event()
    }

    pub(super) fn counters(&mut self) -> Counters {
        let queued = self.uring.submission().len() as u64;
        Counters { submitted: self.pushed - queued, ..self.counters }
    }

    pub(super) fn ops(&mut self) -> &mut Inflight<Kept<H>, Reply> {
        &mut self.ops
    }

    pub(super) fn outstanding(&self) -> usize {
        self.in_flight + self.backlog.len()
    }

    /// Enters the file into the ring's table, if there is room.
    pub(super) fn register(&mut self, fd: RawFd) -> Option<u32> {
        self.files.register(&self.uring.submitter(), fd)
    }

    pub(super) fn unregister(&mut self, index: u32) {
        self.files.unregister(&self.uring.submitter(), index);
    }

    pub(super) fn register_buffer(&mut self, index: u32, start: *mut u8, len: usize) -> bool {
        register_buffer(&self.uring, index, start, len)
    }

    /// Queues the command in `entry` behind those that wait, and keeps `kept` until the answer.
    ///
    /// # Safety
    /// All memory that `entry` points to is owned by `kept`, stays put as that moves, and is touched by nobody else while that exists.
    pub(super) unsafe fn start(&mut self, mut entry: squeue::Entry128, kept: Kept<H>, waker: Waker) -> Id {
        if self.backlog.is_empty() && self.in_flight < self.in_flight_max {
            let mut queue = self.uring.submission();
            if !queue.is_full() {
                let id = self.ops.start(|| kept, waker, false);
                entry.set_user_data(id.to_bits());
                // SAFETY: the slot just made keeps what `entry` points to until the answer.
                unsafe { queue.push(&entry) }.expect("there is room");
                self.in_flight += 1;
                self.pushed += 1;
                return id;
            }
        }
        let id = self.ops.queue(kept, waker, false);
        entry.set_user_data(id.to_bits());
        self.backlog.push_back(entry);
        self.counters.waits += 1;
        id
    }

    /// What the future that gives its command up leaves behind.
    pub(super) fn give_up(&mut self, id: Id) -> Orphan<Kept<H>, Reply> {
        self.ops.orphan(id)
    }

    fn can_pump(&self) -> bool {
        !self.backlog.is_empty() && self.in_flight < self.in_flight_max
    }

    /// Moves what waits into the submission queue while there is room.
    fn pump(&mut self) {
        let mut queue = self.uring.submission();
        while self.in_flight < self.in_flight_max && !queue.is_full() {
            let Some(entry) = self.backlog.pop_front() else { return };
            if self.ops.submit(Id::from_bits(entry.get_user_data())) {
                // SAFETY: the command's slot exists, so it keeps what `entry` points to until the answer.
                unsafe { queue.push(&entry) }.expect("there is room");
                self.in_flight += 1;
                self.pushed += 1;
            }
        }
    }

    /// Hands everything over. One system call, unless more waits than the submission queue holds.
    #[inline]
    pub(super) fn flush(&mut self) {
        loop {
            if !self.backlog.is_empty() {
                self.pump();
            }
            let queue = self.uring.submission();
            let is_settled = queue.is_empty() && !queue.taskrun() && !queue.cq_overflow();
            drop(queue);
            if is_settled || !self.enter(0) || !self.can_pump() {
                return;
            }
        }
    }

    /// How many completions there are to reap; if none, the kernel is asked for what it keeps back.
    #[inline]
    pub(super) fn fetch(&mut self) -> usize {
        if self.in_flight == 0 {
            return 0;
        }
        if self.uring.completion().is_empty() && (self.is_polling || self.keeps_back()) {
            self.enter(0);
        }
        self.uring.completion().len()
    }

    fn keeps_back(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Waits for an answer.
    pub(super) fn wait(&mut self) {
        self.enter(1);
    }

    /// The system call. False if the kernel would not take anything now; it is tried again with the next flush.
    ///
    /// # Panics
    /// If the kernel says that the call itself is wrong.
    fn enter(&mut self, want: u32) -> bool {
        let queue = self.uring.submission();
        let (len, overflow) = (queue.len(), queue.cq_overflow());
        let asks =
            want > 0 || self.setup == Setup::Deferred || self.is_polling || queue.taskrun() || overflow;
        drop(queue);
        let flags = if asks { EnterFlags::GETEVENTS } else { EnterFlags::empty() };
        self.counters.enters += 1;
        self.counters.overflows += u64::from(overflow);
        // SAFETY: every entry was pushed under the contract of `start`.
        match unsafe { self.door.enter(len as u32, want, flags) } {
            Ok(submitted) => submitted as usize == len,
            // A signal came, memory is short for the moment, or completions must be reaped first.
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => false,
            Err(error) => panic!("io_uring_enter(to_submit={len}, min_complete={want}, {flags:?}): {error}"),
        }
    }

    /// Takes the oldest completion.
    #[inline]
    pub(super) fn reap(&mut self) -> Option<Reaped<H>> {
        let entry = self.uring.completion().next()?;
        self.counters.completed += 1;
        self.in_flight -= 1;
        let reply = Reply { result: entry.result(), value: entry.big_cqe()[0] };
        Some(self.complete(Id::from_bits(entry.user_data()), reply))
    }

    fn complete(&mut self, id: Id, reply: Reply) -> Reaped<H> {
        match self.ops.complete(id, reply) {
            Some(waker) => Reaped::Wake(waker),
            None => Reaped::Abandon(self.ops.take_orphaned(id)),
        }
    }

    /// Answers the oldest command that still waits for room with `ECANCELED`, if its future is there; `None` when there is none left.
    pub(super) fn refuse_one(&mut self) -> Option<Option<Reaped<H>>> {
        let id = Id::from_bits(self.backlog.pop_front()?.get_user_data());
        let is_wanted = self.ops.submit(id);
        Some(is_wanted.then(|| self.complete(id, Reply::refused(Errno::CANCELED))))
    }

    /// Has the signal given from now on. True if there is something to do already, or if the kernel will not give it.
    pub(super) fn arm(&mut self) -> bool {
        if self.outstanding() == 0 {
            return false;
        }
        !self.signal.arm(&mut self.uring)
            || self.is_polling
            || !self.uring.completion().is_empty()
            || self.keeps_back()
            || !self.uring.submission().is_empty()
            || self.can_pump()
    }

    /// Ends the signals: the core is awake.
    #[inline]
    pub(super) fn disarm(&mut self) {
        self.signal.disarm(&mut self.uring);
    }
}

impl<H: 'static> Drop for Queues<H> {
    /// [`CommandRing`](super::CommandRing) waits for every answer before this. If a panic kept it from that, the memory that a device may
    /// still touch is lost rather than freed.
    fn drop(&mut self) {
        self.door.close(&self.uring);
        if self.in_flight > 0 {
            std::mem::forget(std::mem::replace(&mut self.ops, Inflight::with_capacity(0)));
        }
    }
}
