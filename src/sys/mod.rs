//! The operating system and the machine: the only loom switch, DMA memory, CPU topology, eventfds; and what waits for any of it
//! and for all above, in order.

pub(crate) mod blocking;
pub mod cpu;
pub mod dma;
pub mod eventfd;
#[cfg(all(test, not(loom)))]
pub(crate) mod hostile;
pub(crate) mod sync;
pub(crate) mod unwind;
pub(crate) mod wait_list;
pub(crate) mod waker_slot;
