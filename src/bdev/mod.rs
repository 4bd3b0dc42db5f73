//! The block layer: one interface over anything that has blocks, on the core that asks.
//!
//! ```text
//!   open(name) ──► Descriptor (Send + Clone) ── channel() ──► Channel (this core's)
//!                      │                                        │ read, write, flush …
//!                      ▼                                        ▼
//!                  Bdev (the device, all cores)   Io ──► Submit (its channel) ──► Done
//! ```
//!
//! [`Channel`] is what one reads and writes through; [`Bdev`] and [`Submit`] are what a module implements; [`Io`] goes
//! in, [`Done`] comes out. Ready-made devices are in [`modules`].
//!
//! What SPDK asserts at run time does not compile here: a channel and an I/O are `!Send`, an I/O is consumed by its
//! answer, and an answer cannot be made up.

mod channel;
mod descriptor;
mod device;
mod device_ref;
mod error;
mod events;
mod extra;
mod geometry;
mod io;
#[cfg(all(test, not(loom)))]
mod life_tests;
mod module;
mod nvme;
mod op;
mod registry;
mod removal;
mod request;
mod slots;
mod split;
mod stats;
mod submitting;
#[cfg(all(test, not(loom)))]
mod tests;
mod zone;

#[cfg(any(feature = "testing", all(test, not(loom))))]
pub mod conformance;
pub mod modules;

pub use channel::Channel;
pub use descriptor::{Access, Descriptor};
pub use device_ref::DeviceRef;
pub use error::{Error, LengthExpected, ReadIntoError, Result};
pub use events::{Event, Events, Media};
pub use geometry::{Geometry, Metadata};
pub use io::{Done, Io, ReadBuf};
pub use module::{Bdev, Submit};
pub use modules::{open, parse_size};
pub use nvme::{NvmeAnswer, NvmeCommand, NvmeData};
pub use op::Op;
pub use registry::{names, open_private, register, unregister};
pub use removal::Removal;
pub use stats::ChannelStats;
pub use zone::{Zone, ZoneAction, ZoneShape, ZoneState};
