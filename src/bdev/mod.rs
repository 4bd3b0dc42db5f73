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
//! # The life of a device
//!
//! | what happens | said by | heard by |
//! |---|---|---|
//! | it is made | [`register`], [`open`] | the module: [`Bdev::attached`] |
//! | it grows or shrinks, the medium wants something | the module: [`DeviceRef`] | [`Descriptor::events`]; what stands on it ([`Bdev::bases`]): [`Bdev::base_changed`] |
//! | it is held for a while | [`Descriptor::quiesce`], [`Descriptor::quiesce_range`], [`Descriptor::reset`] | nobody: I/O waits |
//! | I/O takes too long, or shall end | [`Channel::in_flight`], [`Channel::abort`] | [`Descriptor::on_timeout`]; the caller gets [`Error::Aborted`] |
//! | it goes | [`unregister`], [`DeviceRef::remove`] | as above, and the module: [`Bdev::removing`]; I/O is answered with [`Error::Removed`] |
//!
//! A device reaches every core that has channels of it, whatever runtime that belongs to. A core that has ended counts as
//! reached. One that is not turned is waited for, and [`Quiesce::waits_for`] and [`Removal::open_descriptors`] say so.
//!
//! # What a device does, and may do
//!
//! | | set by | found in |
//! |---|---|---|
//! | I/Os, bytes, errors by kind: always counted | | [`Channel::stats`], [`Descriptor::stats`] |
//! | how long they take | [`Descriptor::set_timing`] | [`IoStats::latency`], [`Descriptor::histograms`] |
//! | how many are in flight, on average | [`Descriptor::sample_queue_depth`] | [`Descriptor::queue_depth`] |
//! | how many there may be in a second | [`Descriptor::set_limits`] | [`Descriptor::limits`] |
//!
//! What SPDK asserts at run time does not compile here: a channel and an I/O are `!Send`, an I/O is consumed by its
//! answer, and an answer cannot be made up.

mod accounts;
mod admission;
mod buffer;
mod channel;
mod claims;
mod depth;
mod descriptor;
mod device;
mod device_ref;
mod emulate;
mod ending;
mod error;
mod events;
mod examine;
mod extra;
mod fan;
mod gate;
mod geometry;
mod gone;
mod holds;
mod in_flight;
mod io;
mod limiter;
mod limits;
mod metadata;
mod module;
mod nvme;
mod op;
#[cfg(all(test, not(loom)))]
mod op_tests;
mod overdue;
mod protection;
mod quiesce;
mod range_locks;
mod registry;
mod removal;
mod request;
mod slots;
mod split;
mod stats;
mod submitting;
mod tally;
#[cfg(all(test, not(loom)))]
mod tests;
mod timing;
mod traffic;
mod visit;
mod zone;

#[cfg(any(feature = "testing", all(test, not(loom))))]
pub mod conformance;
pub mod modules;

pub use channel::{Channel, Lent, Populate};
pub use claims::{Claim, Claimed};
pub use depth::QueueDepth;
pub use descriptor::{Access, Descriptor};
pub use device_ref::DeviceRef;
pub use error::{Error, LengthExpected, ReadIntoError, ReadVectoredError, Result};
pub use events::{Event, Events, Media};
pub use examine::{
    EXAMINE_SECONDS, Examined, Module, add_module, examine, examined, finish, remove_module, set_auto_examine,
};
pub use geometry::Geometry;
pub use in_flight::{InFlight, IoId};
pub use io::{Done, Io, ReadBuf};
pub use limits::Limits;
pub use metadata::Metadata;
pub use module::{Bdev, Submit};
pub use modules::{Kind, config, create, kinds, load, open, parse_size};
pub use nvme::{NvmeAnswer, NvmeCommand, NvmeData};
pub use op::Op;
pub use overdue::TimeoutWatch;
pub use protection::{Protection, ProtectionTuple, ProtectionType, Protector, Tag};
pub use quiesce::{Quiesce, Quiesced, WaitsFor};
pub use registry::{
    Info, Names, add_alias, info, list, names, open_private, register, remove_alias, unregister,
};
pub use removal::Removal;
pub use stats::{ByKind, Histograms, IoStats, Latencies, LatencyTotals, ResetStats, Timing};
pub use zone::{Zone, ZoneAction, ZoneShape, ZoneState};
