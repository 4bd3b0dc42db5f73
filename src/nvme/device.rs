//! What a driver asks of a controller: its registers, and where it sees memory.

#![expect(private_interfaces, reason = "nobody outside can name this trait, nor need its memory")]

use crate::sys::dma::{DmaAny, DmaWords};
use std::ops::Range;

/// A controller as its driver reaches it. Nobody outside can make one: what is written to its registers has it read and write memory.
pub trait Device: 'static {
    /// Makes it the caller's alone, until it is [released](Self::release). False if it is another's: two drivers of one controller would
    /// have it do what neither of them asked.
    fn claim(&self) -> bool;
    /// Lets another driver have it; this one writes to no register any more.
    fn release(&self);
    /// Reads a register of 32 bits; all ones if the device is gone.
    fn read32(&self, at: usize) -> u32;
    /// Reads a register of 64 bits, likewise.
    fn read64(&self, at: usize) -> u64;
    /// Writes a register of 32 bits. The device sees all memory that was written before.
    fn write32(&self, at: usize, value: u32);
    /// Writes a register of 64 bits.
    fn write64(&self, at: usize, value: u64);
    /// Lets the device see memory for as long as it is the driver's, and says where it sees it.
    fn map(&self, memory: &DmaWords) -> u64;
    /// Where it sees a buffer of a pool.
    fn see(&self, buffer: &DmaAny) -> Range<u64>;
}
