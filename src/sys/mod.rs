//! The operating system and the machine: the only loom switch, DMA memory, CPU topology, eventfds.

pub mod dma;
pub(crate) mod sync;
