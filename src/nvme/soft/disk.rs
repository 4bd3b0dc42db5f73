//! The namespace: blocks in memory, and the commands on them.

use super::super::spec::{Command, DatasetRange, IoOpcode, StatusCode};
use super::memory::Memory;
use std::ops::Range;
use zerocopy::{FromZeros, IntoBytes};

pub(super) struct Disk {
    bytes: Vec<u8>,
    shift: u8,
}

impl Disk {
    pub(super) fn new(blocks: u64, shift: u8) -> Self {
        Self { bytes: vec![0; (blocks << shift) as usize], shift }
    }

    #[inline]
    pub(super) fn perform(&mut self, memory: &mut Memory, command: &Command) -> Result<(), StatusCode> {
        if command.nsid.get() != 1 {
            return Err(StatusCode::INVALID_NAMESPACE);
        }
        match IoOpcode(command.opcode) {
            IoOpcode::READ => {
                let range = self.range(command.start_lba(), command.block_count())?;
                memory.put(command, &self.bytes[range])
            }
            IoOpcode::WRITE => {
                let range = self.range(command.start_lba(), command.block_count())?;
                memory.get(command, &mut self.bytes[range])
            }
            IoOpcode::WRITE_ZEROES => {
                let range = self.range(command.start_lba(), command.block_count())?;
                self.bytes[range].fill(0);
                Ok(())
            }
            IoOpcode::DATASET_MANAGEMENT => self.deallocate(memory, command),
            IoOpcode::FLUSH => Ok(()),
            _ => Err(StatusCode::INVALID_OPCODE),
        }
    }

    fn deallocate(&mut self, memory: &mut Memory, command: &Command) -> Result<(), StatusCode> {
        let mut ranges = vec![DatasetRange::new_zeroed(); command.range_count() as usize];
        memory.get(command, ranges.as_mut_slice().as_mut_bytes())?;
        for range in ranges {
            let range = self.range(range.lba.get(), range.blocks.get())?;
            self.bytes[range].fill(0);
        }
        Ok(())
    }

    /// Where blocks are.
    #[inline]
    fn range(&self, lba: u64, blocks: u32) -> Result<Range<usize>, StatusCode> {
        let size = self.bytes.len() as u64 >> self.shift;
        let end =
            lba.checked_add(blocks.into()).filter(|&end| end <= size).ok_or(StatusCode::LBA_OUT_OF_RANGE)?;
        Ok((lba << self.shift) as usize..(end << self.shift) as usize)
    }
}
