//! The run loop and what stands on it.

pub(crate) mod context;
pub(crate) mod driver;
