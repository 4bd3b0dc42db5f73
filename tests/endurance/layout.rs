//! Which blocks are whose.

/// Workers on each of two cores.
pub const WORKERS: u64 = 8;
/// Blocks in which all count.
pub const COUNTERS: u64 = 4;
/// Blocks that a worker has to himself, and beyond the ordinary end. Several windows of a rebuild in all.
pub const SPAN: u64 = 512;
pub const EXTRA: u64 = 8;

#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub block_size: usize,
}

impl Layout {
    pub fn span(self, worker: u64) -> u64 {
        COUNTERS + worker * SPAN
    }

    pub fn extra(self, worker: u64) -> u64 {
        self.ordinary_end() + worker * EXTRA
    }

    pub fn ordinary_end(self) -> u64 {
        self.span(2 * WORKERS)
    }

    pub fn farthest_end(self) -> u64 {
        self.extra(2 * WORKERS)
    }

    pub fn bytes(self, blocks: u64) -> u64 {
        blocks * self.block_size as u64
    }
}
