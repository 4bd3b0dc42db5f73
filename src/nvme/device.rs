//! What a driver asks of a controller: its registers, where it sees memory, and how it interrupts.

#![expect(private_interfaces, reason = "nobody outside can name this trait, nor need its memory")]

use crate::sys::dma::{DmaAny, DmaWords};
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

/// A controller as its driver reaches it, from any core. Nobody outside can make one: what is written to its registers has it read
/// and write memory.
pub trait Device: Send + Sync + 'static {
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
    /// Lets the device see memory until it is [unmapped](Self::unmap), and says where it sees it.
    ///
    /// # Errors
    /// If the system does not let it.
    fn map(&self, memory: &DmaWords) -> io::Result<u64>;
    /// Takes it away from the device, which does not use it any more.
    fn unmap(&self, memory: &DmaWords);
    /// Where it sees a buffer of a pool; none if it cannot.
    fn see(&self, buffer: &DmaAny) -> Option<Range<u64>>;
    /// Keeps a device from memory for good that cannot be disabled. False if there is no way to.
    fn cut_off(&self) -> bool {
        false
    }
    /// How many interrupt vectors it offers. Queue pairs beyond them are polled.
    fn vectors(&self) -> u16 {
        0
    }
    /// What becomes readable when the vector interrupts: an eventfd, nonblocking.
    fn interrupt(&self, vector: u16) -> Option<BorrowedFd<'_>> {
        _ = vector;
        None
    }
}
