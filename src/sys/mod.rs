//! The operating system and the machine: the only loom switch, DMA memory, CPU topology, eventfds; and what waits for any of it
//! and for all above, in order.

pub(crate) mod blocking;
pub mod cpu;
pub mod dma;
pub mod eventfd;
pub(crate) mod sync;
pub(crate) mod unwind;
pub(crate) mod wait_list;
