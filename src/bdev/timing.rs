//! How long an I/O takes: stamped where it finds that its device's word is not zero, so that nobody else pays.

use super::channel::Inner;
use super::{Op, Timing};

/// When an I/O began, in ticks of its channel's clock; [`NOT_TIMED`](Self::NOT_TIMED) if nobody wants to know.
#[derive(Clone, Copy)]
pub(super) struct Stamp(u64);

impl Stamp {
    const NOT_TIMED: Self = Self(u64::MAX);
}

impl Inner {
    /// The beginning of an I/O.
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        match self.device.timing() {
            Timing::Off => Stamp::NOT_TIMED,
            Timing::Totals | Timing::Histograms => Stamp(self.clock.now_ticks()),
        }
    }

    /// The end of an I/O: its caller is about to hear of it.
    #[inline]
    pub(super) fn took(&self, stamp: Stamp, op: Op) {
        if stamp.0 != Stamp::NOT_TIMED.0 {
            let ticks = self.clock.now_ticks().saturating_sub(stamp.0);
            self.account.took(op, self.clock.ns_of(ticks), self.device.timing() == Timing::Histograms);
        }
    }
}
