//! How a command ended: what the controller answered, or why it did not.

use super::queue::Answered;
use super::spec::{Status, StatusCode};
use super::{Answer, Error};
use std::time::Duration;

/// How a command ended. Two words, as one is kept for each command; written as such, as what is written in smaller parts and read in
/// larger ones has the processor wait for its own stores.
#[derive(Clone, Copy)]
pub(super) struct Done {
    /// Without an answer: milliseconds that were waited.
    result: u64,
    /// The status in the lower 16 bits. Above, why there is no answer: 0 if there is one, or a [`Lost`], counted from 1.
    how: u64,
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
        Self { result: 0, how: Status::of(StatusCode::ABORTED_SQ_DELETION).bits() as u64 };

    #[inline(always)]
    pub(super) fn answered(answer: Answer) -> Self {
        Self { result: answer.result, how: answer.status.bits().into() }
    }

    pub(super) fn lost(lost: Lost) -> Self {
        Self { result: 0, how: (lost as u64 + 1) << 16 }
    }

    /// Of one that took longer than `limit`.
    pub(super) fn late(limit: Duration) -> Self {
        Self { result: limit.as_millis() as u64, ..Self::lost(Lost::Late) }
    }

    #[inline(always)]
    pub(super) fn into_result(self) -> Answered {
        match self.how >> 16 {
            0 => Ok(Answer { status: Status::from_bits(self.how as u16), result: self.result }),
            number => Err(self.error(number)),
        }
    }

    #[cold]
    fn error(self, number: u64) -> Box<Error> {
        let lost = Lost::ALL[number as usize - 1];
        Box::new(lost.error(Duration::from_millis(self.result)))
    }
}

impl Lost {
    /// By their number.
    const ALL: [Self; 8] = [
        Self::Closed,
        Self::Removed,
        Self::Failed,
        Self::Late,
        Self::Unseen,
        Self::Misaligned,
        Self::Scattered,
        Self::TooLong,
    ];

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

const _: () = {
    let mut n = 0;
    while n < Lost::ALL.len() {
        assert!(Lost::ALL[n] as usize == n);
        n += 1;
    }
};
