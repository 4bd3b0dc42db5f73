//! NVMe controllers driven from user space: queue pairs of our own, polled from the reactor.
//!
//! [`spec`] is what the specifications define. A [`Controller`] is brought up over its registers, its [`Namespace`]s are read and
//! written by the queue pair of the core, whose completions wake the tasks that wait. The controllers that there are so far are made
//! of software, for tests: `soft`, with the feature `testing`.

mod cids;
mod config;
mod controller;
mod device;
mod error;
mod link;
mod namespace;
mod op;
mod prp;
mod qpair;
mod queue;
#[cfg(any(test, feature = "testing"))]
pub mod soft;
pub mod spec;

pub use config::{Config, Counters};
pub use controller::Controller;
pub use error::Error;
pub use namespace::Namespace;

#[cfg(all(test, not(loom)))]
mod tests;
