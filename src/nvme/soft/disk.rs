//! What a namespace keeps: blocks of data and of metadata in memory, and which of them cannot be read.

use super::super::spec::StatusCode;
use super::protection::{Action, Protection, TUPLE};
use std::collections::BTreeSet;
use std::ops::Range;

/// The form of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// Bytes of data, as a power of two.
    pub(super) shift: u8,
    /// Bytes of metadata.
    pub(super) metadata: usize,
    /// Metadata stands behind each block's data, not apart.
    pub(super) is_extended: bool,
    pub(super) protection: Option<Protection>,
}

impl Format {
    /// Whether the host transfers metadata: not if all there is of it is made and taken off by the controller.
    pub(super) fn transfers_metadata(self, action: Action) -> bool {
        self.metadata > 0 && !(self.protection.is_some() && action.is_made && self.metadata == TUPLE)
    }

    /// Bytes of a block as data pointers have it.
    pub(super) fn transfer_bytes(self, action: Action) -> u64 {
        let behind = if self.is_extended && self.transfers_metadata(action) { self.metadata } else { 0 };
        (1 << self.shift) + behind as u64
    }
}

pub(super) struct Disk {
    pub(super) format: Format,
    data: Vec<u8>,
    metadata: Vec<u8>,
    bad: BTreeSet<u64>,
}

impl Disk {
    /// Blocks of this form, all zeroes.
    pub(super) fn new(blocks: u64, format: Format) -> Self {
        let mut disk = Self { format, data: Vec::new(), metadata: Vec::new(), bad: BTreeSet::new() };
        disk.resize(blocks);
        disk
    }

    pub(super) fn resize(&mut self, blocks: u64) {
        let before = self.data.len() as u64 >> self.format.shift;
        if before == 0 {
            // Zeroed by the system, and therefore no memory before it is written.
            self.data = vec![0; (blocks << self.format.shift) as usize];
        } else {
            self.data.resize((blocks << self.format.shift) as usize, 0);
        }
        let fill = self.fill();
        self.metadata.resize(blocks as usize * self.format.metadata, fill);
        self.bad.retain(|&lba| lba < blocks);
    }

    /// What metadata of blocks without data is: all bits set has nothing of them checked.
    fn fill(&self) -> u8 {
        if self.format.protection.is_some() { 0xff } else { 0 }
    }

    #[inline]
    pub(super) fn blocks(&self) -> u64 {
        self.data.len() as u64 >> self.format.shift
    }

    /// Blocks that there are.
    #[inline]
    pub(super) fn range(&self, lba: u64, blocks: u32) -> Result<Range<u64>, StatusCode> {
        let end = lba.checked_add(blocks.into()).filter(|&end| end <= self.blocks());
        end.map(|end| lba..end).ok_or(StatusCode::LBA_OUT_OF_RANGE)
    }

    #[inline]
    fn bytes(&self, blocks: Range<u64>) -> Range<usize> {
        (blocks.start << self.format.shift) as usize..(blocks.end << self.format.shift) as usize
    }

    fn metadata_bytes(&self, blocks: Range<u64>) -> Range<usize> {
        blocks.start as usize * self.format.metadata..blocks.end as usize * self.format.metadata
    }

    #[inline]
    pub(super) fn data(&self, blocks: Range<u64>) -> &[u8] {
        &self.data[self.bytes(blocks)]
    }

    #[inline]
    pub(super) fn data_mut(&mut self, blocks: Range<u64>) -> &mut [u8] {
        let bytes = self.bytes(blocks);
        &mut self.data[bytes]
    }

    pub(super) fn metadata(&self, blocks: Range<u64>) -> &[u8] {
        &self.metadata[self.metadata_bytes(blocks)]
    }

    /// Puts blocks with their metadata. They can be read again.
    pub(super) fn store(&mut self, blocks: Range<u64>, data: &[u8], metadata: &[u8]) {
        let (of_data, of_metadata) = (self.bytes(blocks.clone()), self.metadata_bytes(blocks.clone()));
        self.data[of_data].copy_from_slice(data);
        self.metadata[of_metadata].copy_from_slice(metadata);
        self.mend(blocks);
    }

    /// Gives blocks up: they read as zeroes, unchecked.
    pub(super) fn clear(&mut self, blocks: Range<u64>) {
        let (of_data, of_metadata) = (self.bytes(blocks.clone()), self.metadata_bytes(blocks.clone()));
        self.data[of_data].fill(0);
        let fill = self.fill();
        self.metadata[of_metadata].fill(fill);
        self.mend(blocks);
    }

    /// Has blocks fail to be read until they are written.
    pub(super) fn spoil(&mut self, blocks: Range<u64>) {
        self.bad.extend(blocks);
    }

    fn mend(&mut self, blocks: Range<u64>) {
        if !self.bad.is_empty() {
            self.bad.retain(|lba| !blocks.contains(lba));
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.bad.is_empty()
    }

    /// Whether these can be read.
    pub(super) fn readable(&self, blocks: Range<u64>) -> Result<(), StatusCode> {
        match self.bad.range(blocks).next() {
            Some(_) => Err(StatusCode::UNRECOVERED_READ),
            None => Ok(()),
        }
    }

    /// Checks the protection information of blocks, as a command wants it.
    pub(super) fn check(&self, blocks: Range<u64>, action: Action) -> Result<(), StatusCode> {
        check(self.format, action, self.data(blocks.clone()), self.metadata(blocks))
    }
}

/// Checks the protection information of whole blocks.
pub(super) fn check(format: Format, action: Action, data: &[u8], metadata: &[u8]) -> Result<(), StatusCode> {
    let Some(protection) = format.protection else { return Ok(()) };
    let blocks = data.chunks_exact(1 << format.shift).zip(metadata.chunks_exact(format.metadata));
    (0..).zip(blocks).try_for_each(|(n, (data, metadata))| protection.check(action, n, data, metadata))
}

/// Makes it.
pub(super) fn protect(format: Format, action: Action, data: &[u8], metadata: &mut [u8]) {
    let Some(protection) = format.protection else { return };
    let blocks = data.chunks_exact(1 << format.shift).zip(metadata.chunks_exact_mut(format.metadata));
    (0..).zip(blocks).for_each(|(n, (data, metadata))| protection.make(action, n, data, metadata));
}
