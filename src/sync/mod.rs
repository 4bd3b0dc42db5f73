//! Channels, locks and signals between tasks, on one core and across cores.
//!
//! Everything here depends on [`Waker`](std::task::Waker) and the `futures` traits alone, so it runs in any executor.
//! [`local`], [`Mutex`], [`Semaphore`], [`Notify`] and [`Gate`] stay on their core and use no atomics;
//! [`oneshot`], [`mpsc`], [`spsc`] and [`Barrier`] cross cores and foreign threads.
//!
//! | from → to | one value | many values |
//! |---|---|---|
//! | the same core | [`local::oneshot`] | [`local::channel`], [`local::unbounded`] |
//! | one core to another | [`oneshot`] | [`spsc`], the fast path |
//! | many cores to one | – | [`mpsc::channel`], [`mpsc::unbounded`] |

mod barrier;
mod blocking;
mod error;
mod gate;
pub mod local;
pub mod mpsc;
mod mutex;
mod notify;
pub mod oneshot;
mod permits;
mod semaphore;
pub mod spsc;
mod wait_list;
mod waker_cell;
mod waker_slot;

#[cfg(test)]
mod testing;

pub use barrier::{Barrier, BarrierWait};
pub use error::{Closed, SendError, TryAcquireError, TryRecvError, TrySendError};
pub use gate::{Gate, GateClose, GateGuard};
pub use mutex::{Mutex, MutexGuard, MutexLock};
pub use notify::{Notified, Notify};
pub use semaphore::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore};
