//! The ring's table of registered files: operations on them spare the kernel looking up the descriptor (43 ns of each, `cargo bench
//! --bench uring -- pays_lookup`).

use super::Features;
use io_uring::Submitter;
use std::os::fd::RawFd;

/// A core has few files in use at a time; further ones go by their descriptors.
const FILES_MAX: u32 = 256;

/// Which entries of the table are free.
pub(super) struct Files {
    free: Vec<u32>,
    is_made: bool,
}

impl Files {
    /// Makes the table, empty. Before Linux 5.19 there is none.
    pub(super) fn new(ring: &Submitter<'_>, features: Features) -> Self {
        let made = features.contains(Features::FILE_TABLE) && ring.register_files_sparse(FILES_MAX).is_ok();
        Self { free: if made { (0..FILES_MAX).rev().collect() } else { Vec::new() }, is_made: made }
    }

    pub(super) fn is_made(&self) -> bool {
        self.is_made
    }

    /// Enters the file, if there is room.
    pub(super) fn register(&mut self, ring: &Submitter<'_>, fd: RawFd) -> Option<u32> {
        let index = self.free.pop()?;
        let entered = ring.register_files_update(index, &[fd]).is_ok();
        if !entered {
            self.free.push(index);
        }
        entered.then_some(index)
    }

    /// Frees the entry. One that the kernel will not clear stays in use.
    pub(super) fn unregister(&mut self, ring: &Submitter<'_>, index: u32) {
        if ring.register_files_update(index, &[-1]).is_ok() {
            self.free.push(index);
        }
    }
}
