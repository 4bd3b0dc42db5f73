//! How a ring is to be made, and the ladder of kernel features it climbs down until the kernel agrees.

use super::{Error, Features};
use io_uring::{Builder, IoUring, cqueue, squeue};
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// What a ring is made with. The default suits a core that does everything.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Operations handed over per system call; rounded up to a power of two.
    pub entries: u32,
    /// Operations on files and devices that the kernel works on at once; further ones wait in order. What waits for a peer (to
    /// accept, to receive, to become ready, to splice) is not counted: there may be any number of idle connections.
    pub in_flight_max: u32,
    /// Answers that the completion queue has room for; rounded up to a power of two, and to twice `entries`. What the kernel has
    /// beyond, it keeps (`IORING_FEAT_NODROP`, Linux 5.5) and hands out by one more system call, which
    /// [`Counters::overflows`](super::Counters::overflows) counts.
    pub completions: u32,
    /// The best set of kernel features to ask for; less is taken where the kernel has less.
    pub setup: Setup,
    /// Features that the ring may use if the kernel has them: all, unless one makes trouble or its absence is to be tried. Without
    /// one, the ring or whoever asks it does the same at more cost.
    pub features: Features,
    /// Has a thread of the kernel take the entries, so that handing them over costs no system call while it is awake. It spins on a
    /// CPU of its own. If the kernel refuses, the ring does without ([`Ring::features`](super::Ring::features) tells). Excludes
    /// [`Setup::Deferred`] and [`Setup::Cooperative`].
    pub submission_thread: Option<SubmissionThread>,
    /// The ring asks devices for completions instead of waiting for their interrupts: for reads and writes with O_DIRECT on
    /// devices that can be asked; others answer `EOPNOTSUPP`. A core never sleeps while such an operation is in flight.
    pub is_polling: bool,
    /// CPUs for the kernel's worker threads, which run what would block. Empty: all but the one that the calling thread is
    /// pinned to, if it is pinned to one.
    pub worker_cpus: Vec<usize>,
    /// Most worker threads for files and block devices, and for everything else. The kernel's own limits are far higher,
    /// and workers compete with the cores. What waits for a peer at a worker (an open of a named pipe, a splice, a connect to a full Unix
    /// socket) keeps it; when all are kept, what needs a worker waits as well.
    pub workers_max: [u32; 2],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entries: 256,
            in_flight_max: 4096,
            completions: 8192,
            setup: Setup::Deferred,
            features: Features::all(),
            submission_thread: None,
            is_polling: false,
            worker_cpus: Vec::new(),
            workers_max: [16, 64],
        }
    }
}

/// A thread of the kernel that takes a ring's entries (`SQPOLL`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubmissionThread {
    /// How long it spins without work before it sleeps; in whole milliseconds. Waking it up costs a system call.
    pub idle: Duration,
    /// The CPU that it is bound to. `None`: wherever the kernel puts it, possibly on the core's own.
    pub cpu: Option<u32>,
}

/// When the kernel may run the completion side of an operation on this thread. Ordered from most to least wanted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Setup {
    /// Only when asked, in `io_uring_enter` (`SINGLE_ISSUER` and `DEFER_TASKRUN`, Linux 6.1).
    Deferred,
    /// At any system call, but without an interrupt (`COOP_TASKRUN`, Linux 5.19).
    Cooperative,
    /// At any time.
    Plain,
}

impl Setup {
    const LADDER: [Self; 3] = [Self::Deferred, Self::Cooperative, Self::Plain];

    /// The flags that go with this rung. Both upper ones raise `SQ_TASKRUN` when there is something to run, so that an idle
    /// turn costs no system call.
    fn flags<S: squeue::EntryMarker, C: cqueue::EntryMarker>(self, builder: &mut Builder<S, C>) {
        match self {
            Self::Deferred => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
            }
            Self::Cooperative => {
                builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
            }
            Self::Plain => {}
        }
    }
}

/// A ring, and what the kernel agreed to.
pub(super) struct Made<S: squeue::EntryMarker = squeue::Entry, C: cqueue::EntryMarker = cqueue::Entry> {
    pub(super) uring: IoUring<S, C>,
    pub(super) setup: Setup,
    pub(super) is_direct: bool,
    pub(super) has_thread: bool,
}

impl Config {
    /// Makes the best ring that the kernel agrees to.
    pub(super) fn build(&self) -> Result<Made, Error> {
        if let Some(uring) = self.submission_thread.and_then(|thread| self.build_with(thread)) {
            return Ok(Made { uring, setup: Setup::Plain, is_direct: false, has_thread: true });
        }
        self.build_sized()
    }

    /// Makes the best ring that the kernel agrees to with entries of these sizes, and without a thread.
    pub(super) fn build_sized<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
        &self,
    ) -> Result<Made<S, C>, Error> {
        if self.is_polling && !self.features.contains(Features::POLLING) {
            return Err(Error::from_setup(Errno::INVAL.into()));
        }
        let make = |builder: &Builder<S, C>, _| builder.build(self.entries);
        let (uring, setup, is_direct) = self.climb(make)?;
        Ok(Made { uring, setup, is_direct, has_thread: false })
    }

    /// With a thread, if the kernel agrees: it may lack it, reserve it to root, or have no such CPU.
    fn build_with(&self, thread: SubmissionThread) -> Option<IoUring> {
        if !self.features.contains(Features::SUBMISSION_THREAD) {
            return None;
        }
        let mut builder = self.builder::<squeue::Entry, cqueue::Entry>();
        // None at all would mean the kernel's own default, a second.
        builder.setup_sqpoll(u32::try_from(thread.idle.as_millis()).unwrap_or(u32::MAX).max(1));
        if let Some(cpu) = thread.cpu {
            builder.setup_sqpoll_cpu(cpu);
        }
        builder.build(self.entries).ok()
    }

    /// What all rings have in common.
    fn builder<S: squeue::EntryMarker, C: cqueue::EntryMarker>(&self) -> Builder<S, C> {
        let mut builder = IoUring::<S, C>::builder();
        let cq = self.completions.max(self.entries.saturating_mul(2));
        builder.setup_clamp().setup_cqsize(cq).dontfork();
        if self.is_polling {
            builder.setup_iopoll();
        }
        builder
    }

    /// Tries one rung after the other with `make`: a kernel that lacks a flag says `EINVAL`.
    pub(super) fn climb<S: squeue::EntryMarker, C: cqueue::EntryMarker, T>(
        &self,
        mut make: impl FnMut(&Builder<S, C>, Setup) -> io::Result<T>,
    ) -> Result<(T, Setup, bool), Error> {
        let mut refused = io::Error::from(Errno::INVAL);
        for setup in Setup::LADDER.into_iter().filter(|setup| *setup >= self.setup) {
            // Entries are taken in order here, so the kernel is spared its array of indices where it can (Linux 6.6).
            let may_be_direct = setup == Setup::Deferred && self.features.contains(Features::DIRECT_QUEUE);
            for direct in [true, false].into_iter().filter(|direct| !direct || may_be_direct) {
                let mut builder = self.builder();
                setup.flags(&mut builder);
                if direct {
                    builder.setup_no_sqarray();
                }
                match make(&builder, setup) {
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => refused = error,
                    result => return result.map(|made| (made, setup, direct)).map_err(Error::from_setup),
                }
            }
        }
        Err(Error::from_setup(refused))
    }
}
