//! The host's memory as the software controller sees it: what drivers have mapped for it, and copies to and from there.
#![expect(unsafe_code, reason = "reads and writes where commands point, as devices do")]

use super::super::spec::{Command, StatusCode};
use super::pointers::Piece;
use crate::sys::dma::DmaWords;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of the largest buffer that is looked for.
const BUFFER_MAX: u64 = 1 << 26;

/// Queues and lists by their addresses, and where buffers are.
#[derive(Default)]
pub(super) struct Memory {
    words: Vec<DmaWords>,
    /// Ends of buffers by their starts, if that is to be checked.
    seen: BTreeMap<u64, u64>,
    is_strict: bool,
    is_forgiving: bool,
    /// Kept for the next command.
    pieces: Vec<Piece>,
}

/// A part of what was mapped, kept for as long as the controller may use it.
#[derive(Clone)]
pub(super) struct Region {
    memory: DmaWords,
    first: usize,
    count: usize,
}

impl Region {
    #[inline(always)]
    pub(super) fn words(&self) -> &[AtomicU64] {
        &self.memory.words()[self.first..][..self.count]
    }

    /// One of its words.
    #[inline]
    pub(super) fn word(&self, index: usize) -> u64 {
        u64::from_le(self.words()[index].load(Relaxed))
    }
}

impl Memory {
    pub(super) fn new(is_strict: bool) -> Self {
        Self { is_strict, ..Self::default() }
    }

    pub(super) fn add(&mut self, memory: DmaWords) {
        self.words.push(memory);
    }

    pub(super) fn remove(&mut self, memory: &DmaWords) {
        self.words.retain(|mapped| mapped.address() != memory.address());
    }

    /// The driver has let go of the controller: nothing is mapped any more.
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.seen.clear();
    }

    /// A buffer that commands may point to.
    pub(super) fn see(&mut self, buffer: Range<u64>) {
        let end = self.seen.entry(buffer.start).or_default();
        *end = buffer.end.max(*end);
    }

    /// The controller lies: what it then does to memory is not the driver's fault, and stopped as an IOMMU would.
    pub(super) fn forgive(&mut self) {
        self.is_forgiving = true;
    }

    /// What was mapped at `at`, if it is so long, in whole words.
    pub(super) fn find(&self, at: u64, bytes: u64) -> Option<Region> {
        self.words.iter().rev().find_map(|memory| {
            let offset = at.checked_sub(memory.address())?;
            let fits = offset % 8 == 0 && offset.checked_add(bytes)? <= memory.words().len() as u64 * 8;
            let count = bytes.div_ceil(8) as usize;
            fits.then(|| Region { memory: memory.clone(), first: offset as usize / 8, count })
        })
    }

    /// A list that a command leads to.
    ///
    /// # Panics
    /// If there is none, and that is the driver's fault.
    pub(super) fn list(&self, at: u64, bytes: u64) -> Result<Region, StatusCode> {
        let list = self.find(at, bytes);
        assert!(
            list.is_some() || self.is_forgiving,
            "a list of {bytes} bytes at {at:#x}, where the driver has mapped none"
        );
        list.ok_or(StatusCode::DATA_TRANSFER_ERROR)
    }

    /// Copies `bytes` to where the command's data is.
    pub(super) fn put(&mut self, command: &Command, bytes: &[u8]) -> Result<(), StatusCode> {
        let mut pieces = std::mem::take(&mut self.pieces);
        let found = self.data(command, bytes.len() as u64, &mut pieces);
        let done = found.and_then(|()| self.write(&pieces, bytes));
        self.pieces = pieces;
        done
    }

    /// Fills `bytes` with the command's data.
    pub(super) fn get(&mut self, command: &Command, bytes: &mut [u8]) -> Result<(), StatusCode> {
        let mut pieces = std::mem::take(&mut self.pieces);
        let found = self.data(command, bytes.len() as u64, &mut pieces);
        let done = found.and_then(|()| self.read(&pieces, bytes));
        self.pieces = pieces;
        done
    }

    /// The same with its metadata.
    pub(super) fn put_metadata(&mut self, command: &Command, bytes: &[u8]) -> Result<(), StatusCode> {
        let mut pieces = Vec::new();
        self.metadata(command, bytes.len() as u64, &mut pieces)?;
        self.write(&pieces, bytes)
    }

    /// The same with its metadata.
    pub(super) fn get_metadata(&mut self, command: &Command, bytes: &mut [u8]) -> Result<(), StatusCode> {
        let mut pieces = Vec::new();
        self.metadata(command, bytes.len() as u64, &mut pieces)?;
        self.read(&pieces, bytes)
    }

    /// Whether these pieces are within buffers that the driver has shown.
    ///
    /// # Panics
    /// If they are not, and that is the driver's fault.
    fn check(&self, pieces: &[Piece]) -> Result<(), StatusCode> {
        for (at, bytes) in pieces.iter().filter_map(|piece| piece.at.map(|at| (at, piece.bytes))) {
            let nearby = self.seen.range(at.saturating_sub(BUFFER_MAX)..=at);
            if nearby.rev().any(|(_, &end)| at.checked_add(bytes).is_some_and(|behind| behind <= end)) {
                continue;
            }
            assert!(
                self.is_forgiving,
                "a command points to {bytes} bytes at {at:#x}, where the driver has shown no buffer"
            );
            return Err(StatusCode::DATA_TRANSFER_ERROR);
        }
        Ok(())
    }

    #[inline]
    fn write(&self, pieces: &[Piece], mut bytes: &[u8]) -> Result<(), StatusCode> {
        if self.is_strict {
            self.check(pieces)?;
        }
        for piece in pieces {
            let (from, rest) = bytes.split_at((piece.bytes as usize).min(bytes.len()));
            bytes = rest;
            let Some(at) = piece.at else { continue };
            let to = ptr::with_exposed_provenance_mut::<u8>(at as usize);
            // SAFETY: only drivers of this crate write to the registers, and thereby have commands done. Theirs point to a buffer
            // that the command's slot owns until the answer, which comes after this; the driver has exposed it, it is as long as the
            // command says, or else checked above, and nobody else touches it meanwhile. `from` is the controller's own.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
        }
        Ok(())
    }

    #[inline]
    fn read(&self, pieces: &[Piece], mut bytes: &mut [u8]) -> Result<(), StatusCode> {
        if self.is_strict {
            self.check(pieces)?;
        }
        for piece in pieces {
            let len = (piece.bytes as usize).min(bytes.len());
            let (to, rest) = bytes.split_at_mut(len);
            bytes = rest;
            // What the host writes has no buckets (Base 2.0, Scatter Gather List): it is taken as zeroes.
            let Some(at) = piece.at else {
                to.fill(0);
                continue;
            };
            let from = ptr::with_exposed_provenance::<u8>(at as usize);
            // SAFETY: as above, and frozen bytes have no writer. `to` is the controller's own.
            unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), len) }
        }
        Ok(())
    }
}
