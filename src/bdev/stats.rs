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
    /// Operations of all other kinds completed, failed ones included.
    pub others: u64,
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

    /// An I/O was accepted.
    #[inline(always)]
    pub(super) fn begin(&self) {
        self.update(|s| s.in_flight += 1);
    }

    /// An accepted I/O over `bytes` has completed.
    #[inline(always)]
    pub(super) fn complete(&self, op: Op, bytes: u64, is_ok: bool) {
        let good = if is_ok { bytes } else { 0 };
        self.update(|s| {
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
                _ => s.others += 1,
            }
            s.errors += u64::from(!is_ok);
            s.in_flight -= 1;
        });
    }

    /// The caller of an accepted I/O has gone.
    pub(super) fn give_up(&self) {
        self.update(|s| {
            s.in_flight -= 1;
            s.dropped += 1;
        });
    }
}
