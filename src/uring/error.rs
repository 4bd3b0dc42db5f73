//! Why there is no ring, and what to do about it.

use rustix::io::Errno;
use std::io;

/// A ring could not be made. The messages say what would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `ENOSYS`, or a kernel so old that it refuses every set of flags.
    #[error(
        "this kernel has no usable io_uring: run Linux 5.6 or later, built with CONFIG_IO_URING, \
         outside of sandboxes such as gVisor"
    )]
    Unsupported(#[source] io::Error),
    /// `EPERM` or `EACCES`: switched off for this process.
    #[error(
        "io_uring is forbidden here: set `sysctl kernel.io_uring_disabled=0`, \
         or let the container's seccomp profile allow io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Forbidden(#[source] io::Error),
    /// `ENOMEM`: rings count against the memlock limit of who has not `CAP_IPC_LOCK` on kernels before 5.12, and on recent ones (seen
    /// on 6.18) again.
    #[error(
        "not enough lockable memory for a ring: raise the memlock limit (`ulimit -l`, LimitMEMLOCK= in systemd), \
         or make the ring smaller"
    )]
    Memory(#[source] io::Error),
    /// `EMFILE` or `ENFILE`.
    #[error(
        "no file descriptor left for a ring: raise the limit (`ulimit -n`, LimitNOFILE= in systemd, sysctl fs.file-max)"
    )]
    Descriptors(#[source] io::Error),
    /// Any other error of `io_uring_setup` or of mapping what it made.
    #[error("the ring could not be set up")]
    Setup(#[source] io::Error),
}

/// The core has ended: what an operation answers on a file or socket of that core, inside of an [`io::Error`] of the kind
/// [`Other`](io::ErrorKind::Other). Buffers come back with it.
///
/// ```
/// use reactor::{LocalExecutor, fs::File, uring::CoreGone};
/// let file = LocalExecutor::new()?.block_on(File::open("/proc/version"))?; // and that core ends here
/// let (read, _buf) = LocalExecutor::new()?.block_on(file.read_at(vec![0; 5], 0));
/// let error = read.unwrap_err();
/// assert!(error.get_ref().is_some_and(|inner| inner.is::<CoreGone>()));
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the core that this file or socket belongs to has ended: open it on the core that uses it, or bring its descriptor there"
)]
pub struct CoreGone;

impl Error {
    /// Sorts what `io_uring_setup` answered by what the caller can do.
    pub(super) fn from_setup(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSYS | Errno::INVAL) => Self::Unsupported(error),
            Some(Errno::PERM | Errno::ACCESS) => Self::Forbidden(error),
            Some(Errno::NOMEM) => Self::Memory(error),
            Some(Errno::MFILE | Errno::NFILE) => Self::Descriptors(error),
            _ => Self::Setup(error),
        }
    }
}
