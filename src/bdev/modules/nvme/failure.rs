//! What it means that a command failed: what is to be done about it, and what the caller is told.
//!
//! | status (Base 2.0 §3.3.3.2.1) | then | the caller's error, if it comes to that |
//! |---|---|---|
//! | path related: internal, controller, host pathing error | [another path](Verdict::OtherPath) | [`Error::Io`] |
//! | asymmetric access: inaccessible, persistent loss, transition | [another path](Verdict::AccessChanged), and the log is read | [`Error::Io`] |
//! | aborted as its queue was deleted, power loss, transport | [another path](Verdict::OtherPath) | [`Error::Io`] |
//! | the kernel refuses the command for what it is, or for who sends it | | [`Error::Io`] |
//! | no answer: the queue is closed, the controller gone | [another path](Verdict::OtherPath), if it may be done twice | [`Error::Removed`] or [`Error::Io`] |
//! | none: the namespace was formatted since it was asked for | [another path](Verdict::OtherPath), and it is asked for anew | [`Error::Removed`] |
//! | invalid namespace | [another path](Verdict::OtherPath), and the namespaces are listed anew | [`Error::Removed`] |
//! | any without DNR, but those below | [again](Verdict::Again), after the delay that it names | as below |
//! | unrecovered read, write fault, unwritten block | | [`Error::Media`] |
//! | guard, application or reference tag | | [`Error::Protection`], once it was looked at |
//! | compare failure | | [`Error::Miscompare`], once it was looked at |
//! | a zone's state, or its write pointer | | [`Error::Zone`], once it was looked at |
//! | write protected, read-only range | | [`Error::ReadOnly`] |
//! | capacity exceeded | | [`Error::NoSpace`] |
//! | LBA out of range | | [`Error::OutOfRange`] |
//! | invalid opcode | | [`Error::Unsupported`] |
//! | reservation conflict | | [`Error::Busy`] |
//! | abort requested | | [`Error::Aborted`] |
//! | any other | | [`Error::Io`], with the status as its source |

use std::fmt;
use std::io;
use std::ops::Range;

use rustix::io::Errno;

use crate::bdev::{Error, Op};
use crate::nvme;
use crate::nvme::spec::{Status, StatusCode};

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The controller answered so.
    Status(Status),
    /// The queue, or what it leads to, did not carry it out.
    Queue(nvme::Error),
    /// No path has come in time.
    NoPath,
    /// No path is left, nor will there be one.
    Gone,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the device's answer, by whatever path.
    Final,
    /// Another path may do it, and this one is looked at.
    OtherPath,
    /// The same, and how well each path leads there has changed.
    AccessChanged,
    /// It may succeed next time, after the controller's delay of this number (CRD); 0 is none.
    Again(usize),
}

impl Failure {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Status(status) => of_status(*status),
            Self::Queue(error) if is_of_command(error) => Verdict::Final,
            Self::Queue(_) => Verdict::OtherPath,
            Self::NoPath | Self::Gone => Verdict::Final,
        }
    }

    /// Whether the device may have done the command all the same: then only what can be done twice is tried again.
    pub(super) fn may_be_done(&self) -> bool {
        match self {
            Self::Queue(nvme::Error::NamespaceGone) => false,
            Self::Queue(error) => !is_of_command(error),
            Self::Status(status) => {
                matches!(status.code(), StatusCode::ABORTED_SQ_DELETION | StatusCode::ABORTED_POWER_LOSS)
            }
            Self::NoPath | Self::Gone => false,
        }
    }

    /// What the caller is told of `op` on `blocks` of the device `name`, which has `block_count`.
    pub(super) fn into_error(self, op: Op, blocks: Range<u64>, name: &str, block_count: u64) -> Error {
        let status = match self {
            Self::Status(status) => status,
            Self::Gone | Self::Queue(nvme::Error::NamespaceGone) => return Error::Removed,
            Self::Queue(error) if is_gone(&error) => return Error::Removed,
            Self::Queue(error) => return Error::Io(io::Error::other(error)),
            Self::NoPath => return Error::Io(io::Error::new(io::ErrorKind::HostUnreachable, NO_PATH)),
        };
        match status.code() {
            StatusCode::UNRECOVERED_READ | StatusCode::WRITE_FAULT | StatusCode::DEALLOCATED => Error::Media,
            StatusCode::COMPARE_FAILURE => Error::Miscompare { lba: blocks.start },
            StatusCode::WRITE_PROTECTED | StatusCode::READ_ONLY_RANGE => {
                Error::ReadOnly { name: name.to_owned() }
            }
            StatusCode::CAPACITY_EXCEEDED => Error::NoSpace,
            StatusCode::LBA_OUT_OF_RANGE => {
                Error::OutOfRange { start: blocks.start, end: blocks.end, block_count }
            }
            StatusCode::INVALID_OPCODE => Error::unsupported(op),
            StatusCode::INVALID_NAMESPACE => Error::Removed,
            StatusCode::RESERVATION_CONFLICT => {
                Error::Busy { name: name.to_owned(), by: Some("a host that has reserved it".to_owned()) }
            }
            StatusCode::ABORT_REQUESTED | StatusCode::ABORTED_BY_HOST => Error::Aborted,
            _ => Error::Io(io::Error::other(nvme::Error::Status(status))),
        }
    }
}

const NO_PATH: &str =
    "no path to the namespace has come back in time: see to its controllers, or attach another";

/// Whether the command could not be sent as it is: by another path neither.
fn is_of_command(error: &nvme::Error) -> bool {
    use nvme::Error::{
        Buffer, Frozen, Kernel, Metadata, Misaligned, NoQueue, Open, OutOfRange, Payload, Scattered, Status,
        TooLarge, Unseen, Unsupported, WrongLength,
    };
    match error {
        Status(_) | OutOfRange { .. } | WrongLength { .. } | TooLarge { .. } | Misaligned | Scattered => true,
        // Of this core, or of the buffer: the path is as good as before.
        Payload { .. } | Metadata { .. } | Frozen => true,
        Unsupported(_) | NoQueue(_) | Unseen | Buffer(_) | Open(_) => true,
        // Without a number it is the core that has ended.
        Kernel(refused) => match Errno::from_io_error(refused) {
            None => true,
            Some(errno) => REFUSALS.contains(&errno),
        },
        _ => false,
    }
}

/// How the kernel refuses a command for what it is, or for who sends it: the next may be taken.
const REFUSALS: [Errno; 6] =
    [Errno::INVAL, Errno::ACCESS, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS, Errno::FAULT];

/// Whether there is no controller, or no device of the kernel's, any more.
pub(super) fn is_gone(error: &nvme::Error) -> bool {
    match error {
        nvme::Error::Removed | nvme::Error::Failed => true,
        nvme::Error::Kernel(refused) => {
            matches!(Errno::from_io_error(refused), Some(Errno::NODEV | Errno::NXIO))
        }
        _ => false,
    }
}

fn of_status(status: Status) -> Verdict {
    match status.code() {
        StatusCode::ANA_PERSISTENT_LOSS | StatusCode::ANA_INACCESSIBLE | StatusCode::ANA_TRANSITION => {
            Verdict::AccessChanged
        }
        StatusCode::ABORT_REQUESTED | StatusCode::ABORTED_BY_HOST => Verdict::Final,
        StatusCode::ABORTED_SQ_DELETION
        | StatusCode::ABORTED_POWER_LOSS
        | StatusCode::TRANSIENT_TRANSPORT_ERROR
        | StatusCode::INVALID_NAMESPACE => Verdict::OtherPath,
        _ if status.is_path_error() => Verdict::OtherPath,
        // What they say will not change by itself, whether the controller says so or not.
        StatusCode::COMPARE_FAILURE
        | StatusCode::ABORTED_FAILED_FUSED
        | StatusCode::WRITE_PROTECTED
        | StatusCode::READ_ONLY_RANGE
        | StatusCode::CAPACITY_EXCEEDED
        | StatusCode::LBA_OUT_OF_RANGE
        | StatusCode::INVALID_OPCODE
        | StatusCode::INVALID_FIELD
        | StatusCode::RESERVATION_CONFLICT
        | StatusCode::GUARD_CHECK
        | StatusCode::APPLICATION_TAG_CHECK
        | StatusCode::REFERENCE_TAG_CHECK => Verdict::Final,
        _ if is_of_zone(status) => Verdict::Final,
        _ if status.is_retryable() => Verdict::Again(status.retry_delay().into()),
        _ => Verdict::Final,
    }
}

/// Whether it speaks of a zone's state (ZNS 1.1 §3.1.2).
pub(super) fn is_of_zone(status: Status) -> bool {
    (StatusCode::ZONE_BOUNDARY.0..=StatusCode::INVALID_ZONE_TRANSITION.0).contains(&status.code().0)
}

/// Whether it speaks of protection information.
pub(super) fn is_of_protection(status: Status) -> bool {
    (StatusCode::GUARD_CHECK.0..=StatusCode::REFERENCE_TAG_CHECK.0).contains(&status.code().0)
}

impl From<nvme::Error> for Failure {
    fn from(error: nvme::Error) -> Self {
        match error {
            nvme::Error::Status(status) => Self::Status(status),
            error => Self::Queue(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Queue(error) => error.fmt(f),
            Self::NoPath => f.write_str(NO_PATH),
            Self::Gone => f.write_str("the namespace is gone"),
        }
    }
}
