//! Why a device cannot be opened for commands, and what to do about it.

use crate::uring;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// A device was not opened. The messages say what would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing has this name.
    #[error("there is no {}: {}", path.display(), listed(what, known))]
    NoSuchNode {
        /// What was asked for.
        path: PathBuf,
        /// `namespace` or `controller`.
        what: &'static str,
        /// The devices of that kind that the kernel has.
        known: Vec<String>,
    },
    /// The kernel's block device of a namespace, or of a part of one.
    #[error(
        "{} is a block device, which takes no commands: open the namespace's character device{}, or read and write this one \
         as `file:{}`", path.display(), named(instead), path.display()
    )]
    BlockDevice {
        /// What was asked for.
        path: PathBuf,
        /// What to ask for, if it is of an NVMe namespace.
        instead: Option<PathBuf>,
    },
    /// A controller where a namespace was asked for, or the other way round.
    #[error("{} is no {wanted}, but a {found}: open{}", path.display(), named(instead))]
    WrongKind {
        /// What was asked for.
        path: PathBuf,
        /// `namespace` or `controller`.
        wanted: &'static str,
        /// The other of them.
        found: &'static str,
        /// What to ask for.
        instead: Option<PathBuf>,
    },
    /// Something else altogether.
    #[error("{} is no NVMe {wanted}: name a character device such as {}", path.display(), example(wanted))]
    NotNvme {
        /// What was asked for.
        path: PathBuf,
        /// `namespace` or `controller`.
        wanted: &'static str,
    },
    /// `EACCES` or `EPERM`.
    #[error(
        "{} may not be opened for reading and writing: run as root, or have a udev rule give the device to a group of yours", path.display()
    )]
    NotPermitted {
        /// What was asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It would not say what it is, or is a namespace that this library cannot read and write.
    #[error("{} cannot be used: {source}", path.display())]
    Unusable {
        /// What was asked for.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<crate::nvme::Error>,
    },
    /// The kernel has no commands through io_uring.
    #[error(
        "this kernel has no commands through io_uring: run Linux 5.19 or later, or read and write the block device as `file:/dev/nvme…`"
    )]
    NoPassthrough(#[source] uring::Error),
    /// The device has no queues to be asked for completions.
    #[error(
        "{} has no queues to poll: load the driver with `nvme.poll_queues=1` on the kernel's command line (or `modprobe nvme \
         poll_queues=1`), one for each core that polls; without, do not ask for polling", path.display()
    )]
    NoPollQueues {
        /// Which device.
        path: PathBuf,
    },
    /// There is no ring to send commands by.
    #[error("no ring for commands")]
    Ring(#[source] uring::Error),
    /// Anything else.
    #[error("{} could not be opened", path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn listed(what: &str, known: &[String]) -> String {
    match known {
        [] => format!(
            "the kernel's driver has no NVMe {what} here (`dmesg | grep nvme` says what it has found)"
        ),
        _ => format!("the kernel has {}", known.join(", ")),
    }
}

fn named(instead: &Option<PathBuf>) -> String {
    instead.as_ref().map_or(String::new(), |path| format!(" {}", path.display()))
}

fn example(wanted: &str) -> &'static str {
    if wanted == "namespace" { "/dev/ng0n1" } else { "/dev/nvme0" }
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// A ring for commands could not be made.
    pub(super) fn from_ring(error: uring::Error) -> Self {
        match error {
            uring::Error::Unsupported(_) => Self::NoPassthrough(error),
            _ => Self::Ring(error),
        }
    }
}

/// What the kernel means by refusing a command.
pub(in crate::nvme) fn why(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => {
            "the kernel lets only root send this command (CAP_SYS_ADMIN), or the device is open for reading alone"
        }
        Some(Errno::OPNOTSUPP | Errno::NOSYS) => {
            "the kernel's driver takes no such command through io_uring: run Linux 5.19 or later, and for polling 6.1"
        }
        Some(Errno::INVAL) => {
            "the kernel finds the command wrong: another namespace than the device's, more data than it takes at once, or a length that \
             does not go with the format"
        }
        Some(Errno::INTR) => {
            "the kernel has given the command up: its controller was reset, or did not answer in time"
        }
        Some(Errno::NODEV | Errno::NXIO) => "the device is gone",
        _ => "the kernel did not pass the command on",
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_commands_is_told_from_a_ring_that_is_refused() {
        let refused = || io::Error::from(Errno::INVAL);
        let error = OpenError::from_ring(uring::Error::Unsupported(refused()));
        assert!(error.to_string().contains("Linux 5.19"), "{error}");
        assert!(matches!(OpenError::from_ring(uring::Error::Forbidden(refused())), OpenError::Ring(_)));
    }

    #[test]
    fn what_the_kernel_refuses_is_explained() {
        let of = |errno: Errno| why(&errno.into());
        assert!(of(Errno::ACCESS).contains("CAP_SYS_ADMIN") && of(Errno::OPNOTSUPP).contains("5.19"));
        assert_eq!(why(&io::Error::other(uring::CoreGone)), "the kernel did not pass the command on");
    }
}
