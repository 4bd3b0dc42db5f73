//! How a ring is to be made, and the ladder of kernel features it climbs down until the kernel agrees.

use super::Error;
use io_uring::IoUring;
use rustix::io::Errno;
use std::io;

/// What a ring is made with. The default suits a core that does everything.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Operations handed over per system call; rounded up to a power of two.
    pub entries: u32,
    /// Operations the kernel works on at once; further ones wait in order. The completion queue has room for twice as
    /// many (each operation and its cancel), so that it cannot overflow.
    pub in_flight_max: u32,
    /// The best set of kernel features to ask for; less is taken where the kernel has less.
    pub setup: Setup,
    /// CPUs for the kernel's worker threads, which run what would block. Empty: all but the one that the calling thread is
    /// pinned to, if it is pinned to one.
    pub worker_cpus: Vec<usize>,
    /// Most worker threads for files and block devices, and for everything else. The kernel's own limits are far higher,
    /// and workers compete with the cores.
    pub workers_max: [u32; 2],
    /// Operations (`IORING_OP_*`) that [`Ring::supports`](super::Ring::supports) denies though the kernel has them, so that
    /// what falls back on a kernel without them does so here.
    pub without: Vec<u8>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entries: 256,
            in_flight_max: 4096,
            setup: Setup::Deferred,
            worker_cpus: Vec::new(),
            workers_max: [16, 64],
            without: Vec::new(),
        }
    }
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
    fn flags(self, builder: &mut io_uring::Builder) {
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

impl Config {
    /// Makes the best ring that the kernel agrees to.
    pub(super) fn build(&self) -> Result<(IoUring, Setup), Error> {
        self.climb(|builder, _| builder.build(self.entries))
    }

    /// Tries one rung after the other with `make`: a kernel that lacks a flag says `EINVAL`.
    pub(super) fn climb<T>(
        &self,
        mut make: impl FnMut(&io_uring::Builder, Setup) -> io::Result<T>,
    ) -> Result<(T, Setup), Error> {
        let mut refused = io::Error::from(Errno::INVAL);
        for setup in Setup::LADDER.into_iter().filter(|setup| *setup >= self.setup) {
            // Entries are taken in order here, so the kernel is spared its array of indices where it can (Linux 6.6).
            for direct in [true, false].into_iter().filter(|direct| !direct || setup == Setup::Deferred) {
                let cq = self.in_flight_max.max(self.entries).saturating_mul(2);
                let mut builder = IoUring::builder();
                builder.setup_clamp().setup_cqsize(cq).dontfork();
                setup.flags(&mut builder);
                if direct {
                    builder.setup_no_sqarray();
                }
                match make(&builder, setup) {
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => refused = error,
                    result => return result.map(|made| (made, setup)).map_err(Error::from_setup),
                }
            }
        }
        Err(Error::from_setup(refused))
    }
}
