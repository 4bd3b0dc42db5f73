//! The host's memory as the software controller sees it: what drivers have mapped for it, and where commands point.
#![expect(unsafe_code, reason = "reads and writes where commands point, as devices do")]

use super::super::spec::{Command, StatusCode};
use crate::sys::dma::DmaWords;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const PAGE: u64 = 4096;

/// Queues and lists by their addresses.
#[derive(Default)]
pub(super) struct Memory(Vec<DmaWords>);

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
}

/// Which way data goes.
#[derive(Clone, Copy)]
pub(super) enum Data<'a> {
    ToHost(&'a [u8]),
    /// Cells, as both ways go through the same walk.
    FromHost(&'a std::cell::Cell<[u8]>),
}

impl Memory {
    pub(super) fn add(&mut self, memory: DmaWords) {
        self.0.push(memory);
    }

    pub(super) fn remove(&mut self, memory: &DmaWords) {
        self.0.retain(|mapped| mapped.address() != memory.address());
    }

    /// What was mapped at `at`, if it is so long, in whole words.
    pub(super) fn find(&self, at: u64, bytes: u64) -> Option<Region> {
        self.0.iter().find_map(|memory| {
            let offset = at.checked_sub(memory.address())?;
            let fits = offset % 8 == 0 && offset.checked_add(bytes)? <= memory.words().len() as u64 * 8;
            let count = bytes.div_ceil(8) as usize;
            fits.then(|| Region { memory: memory.clone(), first: offset as usize / 8, count })
        })
    }

    /// Copies `data` to or from where the command's PRP entries lead.
    #[inline]
    pub(super) fn transfer(&self, command: &Command, data: Data<'_>) -> Result<(), StatusCode> {
        let len = match data {
            Data::ToHost(bytes) => bytes.len(),
            Data::FromHost(cells) => cells.as_slice_of_cells().len(),
        } as u64;
        let [prp1, prp2] = command.data.map(|entry| entry.get());
        if prp1 == 0 || prp1 % 4 != 0 {
            return Err(StatusCode::INVALID_PRP_OFFSET);
        }
        let first = len.min(PAGE - prp1 % PAGE);
        copy(prp1, data, 0, first);
        let rest = len - first;
        if rest == 0 {
            return Ok(());
        }
        if rest <= PAGE {
            return copy_page(prp2, data, first, rest);
        }
        let entries = self.find(prp2, rest.div_ceil(PAGE) * 8).ok_or(StatusCode::DATA_TRANSFER_ERROR)?;
        for (n, entry) in (0..).zip(entries.words()) {
            let at = first + n * PAGE;
            copy_page(u64::from_le(entry.load(Relaxed)), data, at, PAGE.min(len - at))?;
        }
        Ok(())
    }
}

fn copy_page(page: u64, data: Data<'_>, at: u64, len: u64) -> Result<(), StatusCode> {
    if page == 0 || page % PAGE != 0 {
        return Err(StatusCode::INVALID_PRP_OFFSET);
    }
    copy(page, data, at, len);
    Ok(())
}

/// Copies the `len` bytes from `at` on of `data` to or from the host's memory.
#[inline]
fn copy(host: u64, data: Data<'_>, at: u64, len: u64) {
    let (at, len) = (at as usize, len as usize);
    match data {
        Data::ToHost(bytes) => {
            let from = &bytes[at..at + len];
            let to = ptr::with_exposed_provenance_mut::<u8>(host as usize);
            // SAFETY: only drivers of this crate write to the registers, and thereby have commands done. Theirs point to a buffer
            // that the command's slot owns until the answer, which comes after this; the driver has exposed it, it is as long as the
            // command says, and nobody else touches it meanwhile. `from` is the controller's own.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, len) }
        }
        Data::FromHost(cells) => {
            let to = &cells.as_slice_of_cells()[at..at + len];
            let from = ptr::with_exposed_provenance::<u8>(host as usize);
            // SAFETY: as above, and frozen bytes have no writer. Cells may be written through a shared reference, and `to` is the
            // controller's own.
            unsafe { ptr::copy_nonoverlapping(from, to.as_ptr().cast::<u8>().cast_mut(), len) }
        }
    }
}
