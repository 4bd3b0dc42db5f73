//! NVMe commands as they pass through the layer: 64 bytes that it does not read, what they carry, and the answer.

use std::fmt;

use crate::sys::dma::{DmaBuf, DmaBytes};

/// A submission queue entry, as NVMe Base 2.0 §4.1.1 lays it out. The command identifier, the namespace and the data pointers are
/// the driver's to fill in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NvmeCommand(pub [u8; 64]);

impl NvmeCommand {
    /// A command of zeroes but for its operation code.
    #[must_use]
    pub const fn new(opcode: u8) -> Self {
        let mut bytes = [0; 64];
        bytes[0] = opcode;
        Self(bytes)
    }

    /// The operation code.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.0[0]
    }

    /// Command dword `index`, of 16.
    ///
    /// # Panics
    /// If there is no such dword.
    #[must_use]
    pub fn dword(&self, index: usize) -> u32 {
        let bytes = &self.0[4 * index..4 * index + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    /// The same with command dword `index`.
    ///
    /// # Panics
    /// If there is no such dword.
    #[must_use]
    pub fn with_dword(mut self, index: usize, value: u32) -> Self {
        self.0[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
        self
    }
}

impl fmt::Debug for NvmeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NvmeCommand(opcode {:#04x})", self.opcode())
    }
}

/// What a command carries.
#[derive(Debug)]
pub enum NvmeData {
    /// Nothing.
    None,
    /// To the device.
    Write(DmaBytes),
    /// From the device.
    Read(DmaBuf),
}

/// How the device answered a command, its refusals included.
#[derive(Debug)]
#[non_exhaustive]
pub struct NvmeAnswer {
    /// Dwords 0 and 1 of the completion queue entry, the lower first.
    pub result: u64,
    /// The status field without the phase bit: 0 is success.
    pub status: u16,
    /// The buffer of [`NvmeData::Read`].
    pub data: Option<DmaBuf>,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn dwords_lie_where_the_specification_has_them() {
        let command = NvmeCommand::new(0x02).with_dword(10, 0x0403_0201).with_dword(15, 7);
        assert_eq!((command.opcode(), command.dword(0), command.dword(10)), (2, 2, 0x0403_0201));
        assert_eq!((&command.0[40..44], command.0[60]), (&[1, 2, 3, 4][..], 7));
    }
}
