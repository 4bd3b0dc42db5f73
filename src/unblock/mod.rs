//! Calls that block, on threads beside the reactors. `app` is the door: it makes the pool of an application and ends it.
//!
//! [`call`] is one call as a future, [`pool`] the threads and the queue before them.

mod call;
mod pool;

pub use call::{Unblock, unblock};
pub(crate) use pool::{Pool, THREADS_MAX};
