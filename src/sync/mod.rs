//! Channels, locks and signals between tasks, on one core and across cores.
//!
//! All but [`PerCore`] depends on [`Waker`](std::task::Waker) and the `futures` traits alone, so it runs in any executor.
//! Each ready result spends one unit of the polling task's budget: a task whose channel is always ready gives the core back in time.
//! [`local`], [`Mutex`], [`Semaphore`], [`Notify`] and [`Gate`] stay on their core and use no atomics;
//! [`oneshot`], [`mpsc`], [`spsc`] and [`Barrier`] cross cores and foreign threads. [`PerCore`] gives each core a value of its own.
//!
//! | from → to | one value | many values |
//! |---|---|---|
//! | the same core | [`local::oneshot`] | [`local::channel`], [`local::unbounded`] |
//! | one core to another | [`oneshot`] | [`spsc`], the fast path |
//! | many cores to one | – | [`mpsc::channel`], [`mpsc::unbounded`] |

mod barrier;
mod error;
mod gate;
#[cfg(all(test, not(loom)))]
mod hostile_tests;
pub mod local;
pub mod mpsc;
mod mutex;
mod notify;
pub mod oneshot;
mod per_core;
#[cfg(all(test, not(loom)))]
mod per_core_tests;
mod permits;
mod semaphore;
pub mod spsc;
mod waker_cell;

#[cfg(test)]
mod testing;

use crate::sys::wait_list;
pub use barrier::{Barrier, BarrierWait};
pub use error::{Closed, SendError, TryAcquireError, TryRecvError, TrySendError};
pub use gate::{Gate, GateClose, GateGuard};
pub use mutex::{Mutex, MutexGuard, MutexLock};
pub use notify::{Notified, Notify};
pub(crate) use per_core::Slots as PerCoreSlots;
pub use per_core::{PerCore, PerCoreRef, Unregistered};
pub use semaphore::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore};
