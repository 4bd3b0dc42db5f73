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

mod backlog;
mod cancels;
mod nudges;
mod sleep;
mod streams;
mod tables;

pub(crate) use super::completion::{Completion, Counters};

pub(super) use self::backlog::Chaining;
use self::backlog::Waiting;
use self::cancels::Cancels;
pub(super) use self::nudges::Holds;
use self::nudges::Nudges;
use self::sleep::Watch;
use super::config::Made;
use super::door::Door;
use super::files::Files;
use super::groups::Groups;
use super::signal::Signal;
use super::stream::Unclaimed;
use super::{Config, Error, Features, Setup, probe, workers};
use crate::inflight::{Id, Inflight, Parcel, Payload, Streams};
use io_uring::{IoUring, squeue};
use rustix::io::Errno;
use rustix::io_uring::IoringEnterFlags as EnterFlags;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Waker;

/// What the oldest completion is. Small, so that it goes through registers.
pub(super) enum Reap {
    /// The answer to an operation that somebody awaits.
    Wake(Waker),
    /// Anything else, for [`Queues::reap_other`]: `user_data` and the answer.
    Other(u64, Completion),
}

/// What a completion asks the ring to do, outside of its borrow.
pub(super) enum Reaped {
    Wake(Waker),
    Abandon(Parcel<Completion>, Completion),
    /// One answer of a stream that nobody will take.
    Unclaimed(Rc<dyn Unclaimed>, Completion),
    /// The answer to a cancel, or one that nobody waits for yet.
    Nothing,
    /// What the core sleeps on has something, or had.
    Stirred,
}

/// Set in the `user_data` of streams, and of cancels: all that is not the answer to an operation that answers once.
const SPECIAL: u64 = 1 << 31;
const _: () = assert!(crate::inflight::KEYS_MAX < SPECIAL as usize);

pub struct Queues {
    uring: IoUring,
    door: Door,
    setup: Setup,
    /// A kernel thread takes the entries.
    has_thread: bool,
    /// Completions come when the kernel is asked for them, and only then.
    is_polling: bool,
    ops: Inflight<Parcel<Completion>, Completion>,
    streams: Streams<Rc<dyn Unclaimed>, Completion>,
    /// Operations that wait for room, oldest first. Entries of dropped futures stay until their turn and are skipped.
    backlog: VecDeque<Waiting>,
    /// The same for those that wait for a peer, which only a full submission queue holds up.
    patient_backlog: VecDeque<Waiting>,
    cancels: Cancels,
    nudges: Nudges,
    /// Handed over and not answered. The first and the last are kept to `in_flight_max` each; operations that wait for a peer
    /// (an idle connection's receive) are not, or they would keep files from being read.
    ops_in_flight: usize,
    patient_in_flight: usize,
    in_flight_max: usize,
    files: Files,
    signal: Signal,
    watch: Watch,
    /// Entries put into the submission queue. `submitted` of the counters is made of it.
    pushed: u64,
    counters: Counters,
    features: Features,
    groups: Groups,
}

impl Queues {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let Made { uring, setup, is_direct, has_thread } = config.build()?;
        workers::confine(&uring, config);
        // What the kernel made of the sizes asked for.
        let sq = uring.params().sq_entries() as usize;
        let in_flight_max = (config.in_flight_max as usize).max(1);
        let known = probe::known()?;
        let files = Files::new(&uring.submitter(), config.features);
        let door = Door::new(&uring, config.features);
        let features = config.features & known
            | Features::DIRECT_QUEUE.when(is_direct)
            | Features::RING_NUMBER.when(door.is_number())
            | Features::FILE_TABLE.when(files.is_made())
            | Features::SUBMISSION_THREAD.when(has_thread)
            | Features::POLLING.when(config.is_polling);
        let features = sleep::among(features);
        Ok(Self {
            files,
            door,
            signal: Signal::new()?,
            watch: Watch::default(),
            uring,
            setup,
            has_thread,
            is_polling: config.is_polling,
            ops: Inflight::with_capacity(sq),
            streams: Streams::new(),
            backlog: VecDeque::new(),
            patient_backlog: VecDeque::new(),
            cancels: Cancels::default(),
            nudges: Nudges::default(),
            ops_in_flight: 0,
            patient_in_flight: 0,
            in_flight_max,
            pushed: 0,
            counters: Counters::default(),
            features,
            groups: Groups::default(),
        })
    }

    pub(super) fn setup(&self) -> Setup {
        self.setup
    }

    pub(super) fn uring(&self) -> &IoUring {
        &self.uring
    }

    /// What the ring uses, but for the table of buffers.
    pub(super) fn features(&self) -> Features {
        self.features
    }

    pub(super) fn counters(&mut self) -> Counters {
        // The thread publishes what it takes later than what it completes.
        let queued = if self.has_thread { 0 } else { self.uring.submission().len() as u64 };
        Counters { submitted: self.pushed.saturating_sub(self.watch.made + queued), ..self.counters }
    }

    pub(super) fn event(&self) -> &Rc<OwnedFd> {
        self.signal.event()
    }

    /// Has the signal given from now on. True if there is something to do already, or something left to hand over, or if the
    /// kernel will not give it.
    pub(super) fn arm(&mut self) -> bool {
        self.ends_watch()
            || !self.signal.arm(&mut self.uring)
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
        self.is_polling && self.ops_in_flight + self.patient_in_flight > 0
    }

    pub(super) fn ops(&mut self) -> &mut Inflight<Parcel<Completion>, Completion> {
        &mut self.ops
    }

    /// Operations and cancels that the kernel has still to answer or even to be given.
    #[inline]
    pub(super) fn outstanding(&self) -> usize {
        let at_kernel = self.ops_in_flight + self.patient_in_flight;
        at_kernel + self.cancels.outstanding() + self.backlog.len() + self.patient_backlog.len()
    }

    /// Queues the operation that `entry` describes, behind those of its kind that already wait, and keeps `held` until it is
    /// answered. `patient` operations wait for a peer, not for a device.
    ///
    /// # Safety
    /// All memory that `entry` points to is owned by `held`, and stays put as that moves.
    #[inline(always)]
    pub(super) unsafe fn start<T: Payload<Completion>>(
        &mut self,
        mut entry: squeue::Entry,
        held: T,
        waker: Waker,
        patient: bool,
    ) -> Id {
        if self.admits(patient) {
            let mut queue = self.uring.submission();
            if !queue.is_full() {
                let id = self.ops.start(|| Parcel::new(held), waker, patient);
                entry.set_user_data(id.to_bits());
                // SAFETY: the slot just made keeps `held`, and with it all that `entry` points to, until the answer.
                unsafe { queue.push(&entry) }.expect("there is room");
                drop(queue);
                *self.in_flight(patient) += 1;
                self.pushed += 1;
                return id;
            }
        }
        // What is called here gets a copy: the original would have a place in memory for that, and the way above would go through it.
        self.start_later(entry.clone(), Parcel::new(held), waker, patient)
    }

    /// Whether an operation may go to the submission queue, if that has room: nobody waits before it.
    #[inline(always)]
    fn admits(&self, patient: bool) -> bool {
        match patient {
            false => self.backlog.is_empty() && self.ops_in_flight < self.in_flight_max,
            true => self.patient_backlog.is_empty(),
        }
    }

    #[inline(always)]
    fn in_flight(&mut self, patient: bool) -> &mut usize {
        if patient { &mut self.patient_in_flight } else { &mut self.ops_in_flight }
    }

    /// Moves what waits into the submission queue while there is room: cancels first, they make room.
    #[inline]
    fn pump(&mut self) {
        if !(self.cancels.is_empty() && self.backlog.is_empty() && self.patient_backlog.is_empty()) {
            self.pump_some();
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

    /// How many completions there are to reap; if none, the kernel posts what it keeps back, if it says that it does.
    #[inline]
    pub(super) fn fetch(&mut self) -> usize {
        if self.uring.completion().is_empty() && (self.keeps_back() || self.must_ask()) {
            self.enter(0);
        }
        self.uring.completion().len()
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
            Ok(submitted) => submitted as usize == len,
            // A signal came, memory is short for the moment, or completions must be reaped first.
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => false,
            Err(error) => panic!("io_uring_enter(to_submit={len}, min_complete={want}, {flags:?}): {error}"),
        }
    }

    /// Takes the oldest completion.
    #[inline(always)]
    pub(super) fn reap(&mut self) -> Option<Reap> {
        let entry = self.uring.completion().next()?;
        self.counters.completed += 1;
        let (bits, completion) =
            (entry.user_data(), Completion { result: entry.result(), flags: entry.flags() });
        if bits & SPECIAL == 0 {
            let id = Id::from_bits(bits);
            *self.in_flight(id.mark()) -= 1;
            if let Some(waker) = self.ops.complete(id, completion) {
                return Some(Reap::Wake(waker));
            }
        }
        Some(Reap::Other(bits, completion))
    }

    /// Goes on with what [`reap`](Self::reap) took and did not settle.
    #[cold]
    pub(super) fn reap_other(&mut self, bits: u64, completion: Completion) -> Reaped {
        if bits & SPECIAL != 0 {
            return self.reap_special(bits, completion);
        }
        self.counters.count_fault(completion);
        Reaped::Abandon(self.ops.take_orphaned(Id::from_bits(bits)), completion)
    }

    /// Hands over what it can and waits for an answer, unless the kernel will not now.
    pub(super) fn wait(&mut self) {
        self.pump();
        // The pause between two cancels is not one of the operations, but ends all the same.
        match self.ops_in_flight + self.patient_in_flight == self.lent() && !self.cancels.is_pausing() {
            true => self.wait_a_moment(),
            false => _ = self.enter(1),
        }
    }
}

impl Drop for Queues {
    /// [`Ring`](super::Ring) waits for every answer before this. If a panic on the way or a peer that acknowledges nothing kept it from
    /// that, the memory that the kernel may still touch is lost rather than freed.
    fn drop(&mut self) {
        self.door.close(&self.uring);
        if self.ops_in_flight + self.patient_in_flight > 0 {
            std::mem::forget(std::mem::replace(&mut self.ops, Inflight::with_capacity(0)));
            std::mem::forget(std::mem::replace(&mut self.streams, Streams::new()));
        }
    }
}
