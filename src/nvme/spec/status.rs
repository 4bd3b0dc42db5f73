//! How a command went: the status field of its completion.

use super::{StatusCode, StatusKind};
use std::fmt;

bits! {
    /// The status field of a completion, without the phase (Base 2.0 §3.3.3.2.1).
    ///
    /// ```
    /// use reactor::nvme::spec::{Status, StatusCode};
    /// let status = Status::of(StatusCode::LBA_OUT_OF_RANGE).with_dnr(true);
    /// assert!(!status.is_success() && !status.is_retryable());
    /// assert_eq!(status.to_string(), "LBA Out of Range (0x4080, do not retry)");
    /// ```
    Status(u16) {
        /// M: the error log has more about it.
        more / with_more: 13;
        /// DNR: the same command would fail again.
        dnr / with_dnr: 14;
        => fields {
            /// SCT and SC together: a [`StatusCode`].
            code_bits / with_code_bits: 0, 11;
            /// CRD: which of the controller's three delays to wait before a retry; 0 is none.
            retry_delay / with_retry_delay: 11, 2;
        }
    }
}

impl Status {
    /// It went well.
    pub const SUCCESS: Self = Self::from_bits(0);

    /// This code and nothing else.
    pub const fn of(code: StatusCode) -> Self {
        Self::from_bits(0).with_code_bits(code.0)
    }

    /// What happened.
    pub const fn code(self) -> StatusCode {
        StatusCode(self.code_bits())
    }

    /// Where that belongs.
    pub const fn kind(self) -> StatusKind {
        self.code().kind()
    }

    /// Whether it went well.
    #[inline(always)]
    pub const fn is_success(self) -> bool {
        self.code_bits() == 0
    }

    /// Whether it failed, and the same command may succeed another time: DNR is clear (Base 2.0 §3.3.3.2.1).
    pub const fn is_retryable(self) -> bool {
        !self.is_success() && !self.dnr()
    }

    /// Whether another path to the namespace may do what this one did not (Base 2.0 §3.3.3.2.1, Path Related Status).
    pub const fn is_path_error(self) -> bool {
        matches!(self.kind(), StatusKind::Path)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code().name() {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "{:?} status {:#04x}", self.kind(), self.code_bits() & 0xff)?,
        }
        if self.is_success() {
            return Ok(());
        }
        write!(f, " ({:#06x}{})", self.bits(), if self.dnr() { ", do not retry" } else { "" })
    }
}
