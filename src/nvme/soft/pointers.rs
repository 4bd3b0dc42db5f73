//! Where a command's data is: PRP entries and lists, SGL descriptors and segments, as hardware walks and refuses them
//! (Base 2.0 §4.1).

use super::super::spec::{Command, SglDescriptor, StatusCode};
use super::memory::Memory;

pub(super) const PAGE: u64 = 4096;
/// Segments of one list: a list that leads back to itself ends here.
const SEGMENTS_MAX: u32 = 256;

/// A part of the host's memory, or of data that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// None is a bit bucket.
    pub(super) at: Option<u64>,
    pub(super) bytes: u64,
}

impl Piece {
    fn new(at: u64, bytes: u64) -> Self {
        Self { at: Some(at), bytes }
    }
}

impl Memory {
    /// The pieces of a command's data, of which there are `bytes`.
    #[inline]
    pub(super) fn data(
        &self,
        command: &Command,
        bytes: u64,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), StatusCode> {
        pieces.clear();
        match command.flags().psdt() {
            0 => self.prps(command.data(), bytes, pieces),
            3 => Err(StatusCode::INVALID_FIELD),
            _ => self.sgl(command.sgl().ok_or(StatusCode::INVALID_FIELD)?, bytes, pieces),
        }
    }

    /// Those of its metadata, which is in one piece unless it has an SGL of its own.
    pub(super) fn metadata(
        &self,
        command: &Command,
        bytes: u64,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), StatusCode> {
        pieces.clear();
        let at = command.metadata();
        if command.flags().psdt() == 2 {
            let words = self.find(at, 16).ok_or(StatusCode::INVALID_SGL_SEGMENT)?;
            return self.sgl(descriptor(words.word(0), words.word(1)), bytes, pieces).map_err(
                |code| match code {
                    StatusCode::INVALID_SGL_DATA_LENGTH => StatusCode::INVALID_SGL_METADATA_LENGTH,
                    code => code,
                },
            );
        }
        if at % 4 != 0 {
            return Err(StatusCode::INVALID_FIELD);
        }
        pieces.push(Piece::new(at, bytes));
        Ok(())
    }

    #[inline]
    fn prps(&self, [prp1, prp2]: [u64; 2], bytes: u64, pieces: &mut Vec<Piece>) -> Result<(), StatusCode> {
        if prp1 % 4 != 0 {
            return Err(StatusCode::INVALID_PRP_OFFSET);
        }
        let first = bytes.min(PAGE - prp1 % PAGE);
        pieces.push(Piece::new(prp1, first));
        match bytes - first {
            0 => Ok(()),
            rest if rest <= PAGE => page(prp2, rest, pieces),
            rest => self.prp_list(prp2, rest, pieces),
        }
    }

    /// The last entry of a page of list leads to the next one, if there is more data than that entry's page has.
    fn prp_list(&self, mut list: u64, mut rest: u64, pieces: &mut Vec<Piece>) -> Result<(), StatusCode> {
        if list % 8 != 0 {
            return Err(StatusCode::INVALID_PRP_OFFSET);
        }
        loop {
            let room = (PAGE - list % PAGE) / 8;
            let is_last = rest <= room * PAGE;
            let count = if is_last { rest.div_ceil(PAGE) } else { room };
            let words = self.list(list, count * 8)?;
            for n in 0..count - u64::from(!is_last) {
                let bytes = rest.min(PAGE);
                page(words.word(n as usize), bytes, pieces)?;
                rest -= bytes;
            }
            if is_last {
                return Ok(());
            }
            list = words.word(count as usize - 1);
            if list % PAGE != 0 {
                return Err(StatusCode::INVALID_PRP_OFFSET);
            }
        }
    }

    fn sgl(&self, first: SglDescriptor, bytes: u64, pieces: &mut Vec<Piece>) -> Result<(), StatusCode> {
        let mut left = bytes;
        let mut segment = (first.kind & 0xf0 >= SglDescriptor::SEGMENT).then_some(first);
        if segment.is_none() {
            take(first, &mut left, pieces)?;
        }
        let mut segments = 0;
        while let Some(this) = segment.take() {
            segments += 1;
            let len = u64::from(this.length.get());
            let is_known = matches!(this.kind, SglDescriptor::SEGMENT | SglDescriptor::LAST_SEGMENT);
            if !is_known {
                return Err(StatusCode::INVALID_SGL_TYPE);
            }
            if len == 0 || len % 16 != 0 || this.address.get() % 8 != 0 || segments > SEGMENTS_MAX {
                return Err(StatusCode::INVALID_SGL_SEGMENT);
            }
            let words = self.list(this.address.get(), len)?;
            let count = (len / 16) as usize;
            for n in 0..count {
                let one = descriptor(words.word(2 * n), words.word(2 * n + 1));
                if one.kind & 0xf0 < SglDescriptor::SEGMENT {
                    take(one, &mut left, pieces)?;
                } else if n + 1 == count && this.kind == SglDescriptor::SEGMENT {
                    segment = Some(one);
                } else {
                    // A segment leads on by its last descriptor alone, the last segment not at all.
                    return Err(StatusCode::INVALID_SGL_SEGMENT);
                }
            }
        }
        if left > 0 { Err(StatusCode::INVALID_SGL_DATA_LENGTH) } else { Ok(()) }
    }
}

fn page(at: u64, bytes: u64, pieces: &mut Vec<Piece>) -> Result<(), StatusCode> {
    if at % PAGE != 0 {
        return Err(StatusCode::INVALID_PRP_OFFSET);
    }
    pieces.push(Piece::new(at, bytes));
    Ok(())
}

/// A descriptor of data, or of data that is left out; it has no more than there is left (SGLS, no excess length).
fn take(one: SglDescriptor, left: &mut u64, pieces: &mut Vec<Piece>) -> Result<(), StatusCode> {
    let bytes = u64::from(one.length.get());
    let at = match one.kind {
        SglDescriptor::DATA_BLOCK => Some(one.address.get()),
        SglDescriptor::BIT_BUCKET => None,
        _ => return Err(StatusCode::INVALID_SGL_TYPE),
    };
    // Doublewords, as SGLS says.
    if bytes % 4 != 0 || at.is_some_and(|at| at % 4 != 0) {
        return Err(StatusCode::INVALID_SGL_GRANULARITY);
    }
    *left = left.checked_sub(bytes).ok_or(StatusCode::INVALID_SGL_DATA_LENGTH)?;
    if bytes > 0 {
        pieces.push(Piece { at, bytes });
    }
    Ok(())
}

fn descriptor(first: u64, second: u64) -> SglDescriptor {
    zerocopy::transmute!([first.to_le(), second.to_le()])
}
