//! NVMe controllers driven from user space: queue pairs of our own, polled from the reactor.
//!
//! [`spec`] is what the specifications define. A [`Controller`] is brought up over its registers, and is any core's; each core has a
//! [`QueuePair`] of its own, whose completions wake the tasks that wait. A [`Namespace`] says what there is to read and write, and a
//! [`Channel`] does so over a [`Queue`]. Controllers on the bus come from [`pcie`]; those made of software,
//! for tests, from `soft`, with the feature `testing`.
//!
//! [`passthru`] has the same commands go through the kernel's driver, where that keeps the device.

mod abort;
mod admin;
pub(crate) mod bounds;
mod channel;
mod cids;
mod commands;
mod config;
mod controller;
mod device;
mod done;
mod doorbells;
mod error;
mod events;
mod home;
mod identity;
mod link;
mod namespace;
mod op;
mod pair;
pub mod passthru;
mod payload;
pub mod pcie;
mod prp;
mod queue;
mod queue_pair;
mod recovery;
mod rings;
mod seat;
mod sgl;
#[cfg(any(test, feature = "testing"))]
pub mod soft;
pub mod spec;
mod start;

pub use abort::{AbortHandle, Abortable};
pub use channel::{Channel, IoOptions, Registrant, Reservations};
pub use config::{Config, Counters, Weights};
pub use controller::Controller;
pub(crate) use device::Device;
pub use error::Error;
pub use events::{Event, Events};
pub use namespace::{Format, Guard, Names, Namespace, NamespaceLimits, ProtectionFormat, Zones};
pub use payload::{Buffer, Payload, Pieces};
pub use queue::{Answer, Answered, Limits, Queue, Request};
pub use queue_pair::QueuePair;

#[cfg(all(test, not(loom)))]
mod tests;
