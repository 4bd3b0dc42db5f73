//! What a channel has done: plain counters, written by `channel` on its own core.

use std::cell::Cell;

use super::Op;

/// Counters of one channel, from [`Channel::stats`](super::Channel::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Reads completed, failed ones included.
    pub reads: u64,
    /// Writes completed, failed ones included.
    pub writes: u64,
    /// Flushes completed, failed ones included.
    pub flushes: u64,
    /// Unmaps and write-zeroes completed, failed ones included.
    pub clears: u64,
    /// Bytes of the reads that succeeded.
    pub read_bytes: u64,
    /// Bytes of the writes that succeeded.
    pub written_bytes: u64,
    /// I/Os that failed after they were accepted.
    pub errors: u64,
    /// I/Os whose caller dropped the future before they completed.
    pub dropped: u64,
    /// I/Os accepted and not completed.
    pub in_flight: u64,
}

/// The counters behind [`ChannelStats`].
#[derive(Debug, Default)]
pub(super) struct Counters(Cell<ChannelStats>);

/// An I/O that counts as in flight while this lives, and as dropped unless it is told the outcome.
pub(super) struct Counted<'c> {
    counters: &'c Counters,
    over: bool,
}

impl Counters {
    pub(super) fn get(&self) -> ChannelStats {
        self.0.get()
    }

    #[inline(always)]
    fn update(&self, change: impl FnOnce(&mut ChannelStats)) {
        // The compiler sees through the copy: only the counters that change are loaded and stored.
        let mut stats = self.0.get();
        change(&mut stats);
        self.0.set(stats);
    }

    #[inline(always)]
    pub(super) fn begin(&self) -> Counted<'_> {
        self.update(|s| s.in_flight += 1);
        Counted { counters: self, over: false }
    }
}

impl Counted<'_> {
    #[inline(always)]
    pub(super) fn end(mut self, op: Op, bytes: u64, is_ok: bool) {
        self.over = true;
        let good = if is_ok { bytes } else { 0 };
        self.counters.update(|s| {
            match op {
                Op::Read => {
                    s.reads += 1;
                    s.read_bytes += good;
                }
                Op::Write => {
                    s.writes += 1;
                    s.written_bytes += good;
                }
                Op::Flush => s.flushes += 1,
                Op::WriteZeroes | Op::Unmap => s.clears += 1,
            }
            s.errors += u64::from(!is_ok);
        });
    }
}

impl Drop for Counted<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.counters.update(|s| {
            s.in_flight -= 1;
            s.dropped += u64::from(!self.over);
        });
    }
}
