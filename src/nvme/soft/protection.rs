//! End-to-end protection as the software controller makes and checks it: 16-bit guards (NVM Command Set 1.0 §5.2).

use super::super::spec::{Command, StatusCode};

/// Bytes of protection information.
pub(super) const TUPLE: usize = 8;

/// What a namespace's format says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protection {
    /// Type 1 to 3.
    pub(super) kind: u8,
    /// It stands first in the metadata, not last.
    pub(super) is_first: bool,
}

/// What a command says of it (PRINFO and the tags behind it).
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    /// PRACT: the controller makes it, or takes it off.
    pub(super) is_made: bool,
    guard: bool,
    application: bool,
    reference: bool,
    tag: u16,
    mask: u16,
    first: u32,
}

impl Action {
    /// Of a read, a write and their kin.
    pub(super) fn of(command: &Command) -> Self {
        let tags = command.cdw(15);
        let bits = command.io_control().protection() as u8;
        Self::new(bits, command.cdw(14), tags as u16, (tags >> 16) as u16)
    }

    pub(super) fn new(bits: u8, first: u32, tag: u16, mask: u16) -> Self {
        let bit = |n: u8| bits >> n & 1 == 1;
        Self { is_made: bit(3), guard: bit(2), application: bit(1), reference: bit(0), tag, mask, first }
    }
}

impl Protection {
    /// Type 1 wants the reference tag to be the block's number from the start (NVM Command Set 1.0 §5.2.3).
    pub(super) fn allows(self, action: Action, lba: u64) -> Result<(), StatusCode> {
        let wants = action.reference || action.is_made;
        let is_wrong = match self.kind {
            1 => wants && action.first != lba as u32,
            3 => action.reference,
            _ => false,
        };
        if is_wrong { Err(StatusCode::INVALID_PROTECTION) } else { Ok(()) }
    }

    fn place(self, metadata: usize) -> usize {
        if self.is_first { 0 } else { metadata - TUPLE }
    }

    fn guard(self, data: &[u8], metadata: &[u8]) -> u16 {
        crc(crc(0, data), &metadata[..self.place(metadata.len())])
    }

    /// Puts it into the metadata of the `n`th block of a command.
    pub(super) fn make(self, action: Action, n: u32, data: &[u8], metadata: &mut [u8]) {
        let guard = self.guard(data, metadata);
        let reference = self.reference(action, n);
        let at = self.place(metadata.len());
        metadata[at..at + 2].copy_from_slice(&guard.to_be_bytes());
        metadata[at + 2..at + 4].copy_from_slice(&action.tag.to_be_bytes());
        metadata[at + 4..at + 8].copy_from_slice(&reference.to_be_bytes());
    }

    /// Checks what the command wants checked.
    pub(super) fn check(
        self,
        action: Action,
        n: u32,
        data: &[u8],
        metadata: &[u8],
    ) -> Result<(), StatusCode> {
        let at = self.place(metadata.len());
        let half = |at: usize| u16::from_be_bytes([metadata[at], metadata[at + 1]]);
        let (guard, application) = (half(at), half(at + 2));
        let reference = u32::from(half(at + 4)) << 16 | u32::from(half(at + 6));
        if application == 0xffff && (self.kind != 3 || reference == u32::MAX) {
            return Ok(());
        }
        if action.guard && guard != self.guard(data, metadata) {
            return Err(StatusCode::GUARD_CHECK);
        }
        if action.application && (application ^ action.tag) & action.mask != 0 {
            return Err(StatusCode::APPLICATION_TAG_CHECK);
        }
        if action.reference && self.kind != 3 && reference != self.reference(action, n) {
            return Err(StatusCode::REFERENCE_TAG_CHECK);
        }
        Ok(())
    }

    fn reference(self, action: Action, n: u32) -> u32 {
        if self.kind == 3 { action.first } else { action.first.wrapping_add(n) }
    }
}

/// T10 DIF: polynomial 0x8BB7.
fn crc(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |crc, &byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 15 == 1 { 0x8bb7 } else { 0 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(all(test, not(loom)))]
mod tests {
    /// The check value of CRC catalogues, and a codeword of T10's.
    #[test]
    fn guards_are_those_of_known_vectors() {
        assert_eq!(super::crc(0, b"123456789"), 0xd0db);
        assert_eq!(super::crc(0, &[0xff; 32]), 0xa293);
    }
}
