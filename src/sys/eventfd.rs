//! An eventfd: the one file descriptor through which a sleeping core is woken.
//!
//! The sleeper puts it into its epoll set or ring; whoever wants it awake writes once. Used by the parking of a core
//! and by signal handlers.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A nonblocking, close-on-exec counter in the kernel, readable while it is not zero.
///
/// ```
/// use reactor::sys::eventfd::EventFd;
///
/// let fd = EventFd::new()?;
/// fd.signal();
/// fd.signal();
/// assert!(fd.drain());
/// assert!(!fd.drain());
/// # Ok::<(), reactor::sys::eventfd::Error>(())
/// ```
#[derive(Debug)]
pub struct EventFd(OwnedFd);

/// Why there is no eventfd. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This process may hold no more file descriptors (`EMFILE`).
    #[error(
        "no file descriptor left for an eventfd: raise the limit with `ulimit -n` or LimitNOFILE=, or close some"
    )]
    ProcessLimit(#[source] io::Error),
    /// The machine holds no more open files (`ENFILE`).
    #[error("this machine has no open file left for an eventfd: raise `sysctl fs.file-max`")]
    MachineLimit(#[source] io::Error),
    /// Anything else, such as a seccomp filter.
    #[error("the kernel refused an eventfd, check the seccomp filter of this container: {0}")]
    Refused(#[source] io::Error),
}

impl EventFd {
    /// A new counter at zero.
    ///
    /// # Errors
    /// [`Error::ProcessLimit`] or [`Error::MachineLimit`] when descriptors have run out, [`Error::Refused`] otherwise.
    pub fn new() -> Result<Self, Error> {
        eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map(Self).map_err(Error::from)
    }

    /// Makes the descriptor readable: one `write`, from any thread, from a signal handler too. Never blocks and leaves
    /// `errno` alone. Each call is an edge to those who wait for edges (`EPOLLET`), also while the descriptor is readable.
    #[inline]
    pub fn signal(&self) {
        // EAGAIN says that the counter is full: readable already, but without an edge. It takes 2⁶⁴ − 2 signals that nobody
        // drains, and what was drained here is signalled again. Nothing else can fail on a descriptor that we own. Raw system
        // calls, hence async-signal-safe.
        while write(&self.0, &1_u64.to_ne_bytes()) == Err(Errno::AGAIN) {
            self.drain();
        }
    }

    /// Takes all signals at once: one `read`. Says whether there were any. Never blocks.
    #[inline]
    pub fn drain(&self) -> bool {
        read(&self.0, &mut [0_u8; 8]).is_ok()
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::MFILE => Self::ProcessLimit(errno.into()),
            Errno::NFILE => Self::MachineLimit(errno.into()),
            _ => Self::Refused(errno.into()),
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};

    fn is_readable(fd: &EventFd) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&now)).expect("poll") == 1
    }

    #[test]
    fn readable_from_the_first_signal_until_drained() {
        let fd = EventFd::new().expect("an eventfd");
        assert!(!is_readable(&fd) && !fd.drain());
        fd.signal();
        fd.signal();
        assert!(is_readable(&fd));
        assert!(fd.drain());
        assert!(!is_readable(&fd) && !fd.drain());
    }

    #[test]
    fn a_full_counter_stays_readable_and_does_not_block() {
        let fd = EventFd::new().expect("an eventfd");
        write(&fd, &(u64::MAX - 1).to_ne_bytes()).expect("the counter holds this much");
        fd.signal();
        assert!(is_readable(&fd) && fd.drain() && !fd.drain());
    }

    #[test]
    fn neither_blocks_nor_survives_exec() {
        let fd = EventFd::new().expect("an eventfd");
        assert!(fcntl_getfl(&fd).expect("flags").contains(OFlags::NONBLOCK));
        assert!(fcntl_getfd(&fd).expect("flags").contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn running_out_of_descriptors_says_which_limit_to_raise() {
        let message = |errno| Error::from(errno).to_string();
        assert!(message(Errno::MFILE).contains("ulimit -n"));
        assert!(message(Errno::NFILE).contains("fs.file-max"));
        assert!(message(Errno::PERM).contains("seccomp"));
    }
}
