//! What the run loop asks of a driver: a ring or a queue pair that completes operations.

use std::{os::fd::BorrowedFd, time::Duration};

/// A source of completions that the turn polls, flushes and may sleep on.
pub(crate) trait Driver {
    /// Reaps what has completed and wakes its tasks. Returns how many operations completed. Never blocks and makes no system
    /// call unless the kernel demands one to deliver completions.
    fn poll(&self) -> usize;

    /// Hands over what was queued since the last flush: at most one system call or one doorbell per queue.
    fn flush(&self);

    /// Becomes readable when `poll` has something to do, while [armed](Self::arm); registered with the core's epoll set once,
    /// level-triggered.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Called before the core sleeps, after the last flush: from now until the next `poll`, `fd` becomes readable when there
    /// is something to do. True if there is something already: then the core must not sleep but turn again.
    fn arm(&self) -> bool;

    /// Operations the device has not answered yet, orphans included.
    fn in_flight(&self) -> usize;

    /// Asks the device to give up what is in flight (shutdown); completions are still reaped by `poll`. Asked from time to time until
    /// all is answered, so that a driver may lose its patience; an operation that a device overlooks it repeats by itself.
    fn cancel_all(&self);

    /// Where the core may sleep instead of in its epoll set, if this driver is such a place now. Then it is not [armed](Self::arm)
    /// before the sleep, and what was queued is handed over with it.
    fn bed(&self) -> Option<&dyn Bed> {
        None
    }
}

/// A driver whose device wakes the core by itself: one wait for completions, events and time together.
pub(crate) trait Bed {
    /// Hands over what is queued, and sleeps until an operation completes, `bell` rings, something in `others` is ready or
    /// `timeout` is over: all in one system call. May return early.
    ///
    /// `bell` is heard by its edges, those included that came before the call and after the last; `others` is an epoll set, asked
    /// anew for each sleep. Both stay the same for all sleeps of a core.
    fn sleep(&self, bell: BorrowedFd<'_>, others: Option<BorrowedFd<'_>>, timeout: Option<Duration>);
}
