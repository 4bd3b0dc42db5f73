//! The operating system and the machine: the only loom switch, DMA memory, CPU topology, eventfds.

pub(crate) mod blocking;
pub mod cpu;
pub mod dma;
pub mod eventfd;
pub(crate) mod sync;
pub(crate) mod unwind;
