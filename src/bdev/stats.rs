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

/// The counters behind [`ChannelStats`], whose `in_flight` is not kept here: it is what was begun and has not ended.
#[derive(Debug, Default)]
pub(super) struct Counters {
    stats: Cell<ChannelStats>,
    begun: Cell<u64>,
}

impl Counters {
    pub(super) fn get(&self) -> ChannelStats {
        let stats = self.stats.get();
        let ended = stats.reads + stats.writes + stats.flushes + stats.clears + stats.others + stats.dropped;
        ChannelStats { in_flight: self.begun.get() - ended, ..stats }
    }

    #[inline(always)]
    fn update(&self, change: impl FnOnce(&mut ChannelStats)) {
        // The compiler sees through the copy: only the counters that change are loaded and stored.
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }

    /// An I/O was accepted. Returns its serial: no two of a channel have the same.
    #[inline(always)]
    pub(super) fn begin(&self) -> u64 {
        let serial = self.begun.get() + 1;
        self.begun.set(serial);
        serial
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
        });
    }

    /// The caller of an accepted I/O has gone.
    pub(super) fn give_up(&self) {
        self.update(|s| s.dropped += 1);
    }
}
