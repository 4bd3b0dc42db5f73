//! How a command ended: what the controller answered, or why it did not.

use super::spec::{Status, StatusCode};
use super::{Answer, Error};
use std::time::Duration;

/// How a command ended. Two words, as one is kept for each command.
#[derive(Clone, Copy)]
pub(super) struct Done {
    /// Without an answer: milliseconds that were waited.
    result: u64,
    status: Status,
    /// Why there is no answer.
    lost: Option<Lost>,
}

/// Why a command is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lost {
    /// The pair takes no more commands.
    Closed,
    /// The device has gone.
    Removed,
    /// The controller does not come back from a reset.
    Failed,
    /// It was late, and aborted.
    Late,
    /// The controller cannot see the payload.
    Unseen,
    /// It does not begin or end where a device can.
    Misaligned,
    /// Its buffers do not meet on pages, and the controller takes no SGLs.
    Scattered,
    /// It is longer, or in more pieces, than a list of pointers has room for.
    TooLong,
}

impl Done {
    /// Of a command that the controller will not answer, and that may be tried again.
    pub(super) const ABORTED: Self =
        Self { result: 0, status: Status::of(StatusCode::ABORTED_SQ_DELETION), lost: None };

    #[inline(always)]
    pub(super) fn answered(answer: Answer) -> Self {
        Self { result: answer.result, status: answer.status, lost: None }
    }

    pub(super) fn lost(lost: Lost) -> Self {
        Self { lost: Some(lost), ..Self::ABORTED }
    }

    /// Of one that took longer than `limit`.
    pub(super) fn late(limit: Duration) -> Self {
        Self { result: limit.as_millis() as u64, ..Self::lost(Lost::Late) }
    }

    #[inline(always)]
    pub(super) fn into_result(self) -> Result<Answer, Error> {
        match self.lost {
            None => Ok(Answer { status: self.status, result: self.result }),
            Some(lost) => Err(lost.error(Duration::from_millis(self.result))),
        }
    }
}

impl Lost {
    /// As the caller hears of it; `waited` counts for one that was late.
    #[cold]
    pub(super) fn error(self, waited: Duration) -> Error {
        match self {
            Self::Closed => Error::Closed,
            Self::Removed => Error::Removed,
            Self::Failed => Error::Failed,
            Self::Late => Error::TimedOut(waited),
            Self::Unseen => Error::Unseen,
            Self::Misaligned => Error::Misaligned,
            Self::Scattered => Error::Scattered,
            Self::TooLong => Error::TooLong,
        }
    }
}

const _: () = assert!(size_of::<Done>() == 16);
