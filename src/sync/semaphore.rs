//! A fair semaphore for the tasks of one core.
//!
//! The counting and the line stand in `permits`; here are the futures and the permits one holds.

use super::{
    error::{Closed, TryAcquireError},
    permits::Permits,
    wait_list::Key,
};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Weighted permits, handed out in order of arrival.
///
/// A waiter that asks for many is never overtaken by one that asks for few. `!Send`: it serves one core.
///
/// ```
/// # use reactor::sync::Semaphore;
/// let tags = Semaphore::new(2);
/// let both = tags.try_acquire(2)?;
/// assert!(tags.try_acquire(1).is_err());
/// drop(both);
/// assert_eq!(tags.available(), 2);
/// # Ok::<(), reactor::sync::TryAcquireError>(())
/// ```
pub struct Semaphore {
    permits: Permits,
    local: PhantomData<Rc<()>>,
}

impl Semaphore {
    /// A semaphore with `permits` free permits.
    pub fn new(permits: usize) -> Self {
        Self { permits: Permits::new(permits), local: PhantomData }
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.permits.available()
    }

    /// Takes `count` permits, waiting in line for them.
    ///
    /// Dropping the future leaves the line; permits that were granted meanwhile go to the next. More permits than will
    /// ever be free are waited for until the semaphore is closed.
    ///
    /// # Errors
    /// [`Closed`] once the semaphore is closed.
    pub fn acquire(&self, count: usize) -> Acquire<'_> {
        Acquire { semaphore: self, count, place: None }
    }

    /// As [`acquire`](Self::acquire), for a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    /// [`Closed`] once the semaphore is closed.
    pub fn acquire_owned(self: &Rc<Self>, count: usize) -> AcquireOwned {
        AcquireOwned { semaphore: self.clone(), count, place: None }
    }

    /// Takes `count` permits now.
    ///
    /// # Errors
    /// [`TryAcquireError::NoPermits`] if they are short or others wait already; [`TryAcquireError::Closed`].
    pub fn try_acquire(&self, count: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.permits.try_acquire(count)?;
        Ok(Permit { semaphore: self, count })
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(self: &Rc<Self>, count: usize) -> Result<OwnedPermit, TryAcquireError> {
        self.permits.try_acquire(count)?;
        Ok(OwnedPermit { semaphore: self.clone(), count })
    }

    /// Adds `count` permits.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`.
    pub fn add(&self, count: usize) {
        self.permits.release(count);
    }

    /// Refuses everybody who waits and who comes. Permits that are out stay valid.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], given back on drop.
#[must_use = "permits are given back when this is dropped"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// Permits of a [`Semaphore`] that it owns a reference to, given back on drop.
#[must_use = "permits are given back when this is dropped"]
#[derive(Debug)]
pub struct OwnedPermit {
    semaphore: Rc<Semaphore>,
    count: usize,
}

impl Permit<'_> {
    /// How many permits this holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Never gives the permits back.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl OwnedPermit {
    /// How many permits this holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Never gives the permits back.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.permits.release(self.count);
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.permits.release(self.count);
    }
}

/// Made by [`Semaphore::acquire`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    count: usize,
    place: Option<Key>,
}

/// Made by [`Semaphore::acquire_owned`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct AcquireOwned {
    semaphore: Rc<Semaphore>,
    count: usize,
    place: Option<Key>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { semaphore, count, ref mut place } = *self;
        semaphore.permits.poll_acquire(place, count, cx).map_ok(|()| Permit { semaphore, count })
    }
}

impl Future for AcquireOwned {
    type Output = Result<OwnedPermit, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { semaphore, count, place } = &mut *self;
        let polled = semaphore.permits.poll_acquire(place, *count, cx);
        polled.map_ok(|()| OwnedPermit { semaphore: semaphore.clone(), count: *count })
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        self.semaphore.permits.cancel(&mut self.place);
    }
}

impl Drop for AcquireOwned {
    fn drop(&mut self) {
        self.semaphore.permits.cancel(&mut self.place);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::testing::{Count, poll};

    static_assertions::assert_not_impl_any!(Semaphore: Send, Sync);
    static_assertions::assert_not_impl_any!(Permit<'static>: Send, Sync);

    #[test]
    fn a_small_ask_never_overtakes_a_large_one() {
        let semaphore = Semaphore::new(3);
        let held = semaphore.try_acquire(2).unwrap();
        let (mut large, mut small) = (semaphore.acquire(2), semaphore.acquire(1));
        assert!(poll(&mut large).is_pending());
        assert!(poll(&mut small).is_pending(), "one is free, but the first in line needs two");
        assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
        drop(held);
        let Poll::Ready(Ok(two)) = poll(&mut large) else { panic!("two were free") };
        assert_eq!(two.count(), 2);
        assert!(poll(&mut small).is_ready());
    }

    #[test]
    fn a_granted_waiter_that_is_dropped_passes_its_permits_on() {
        let semaphore = Semaphore::new(1);
        let (first, second) = (Count::new(), Count::new());
        let held = semaphore.try_acquire(1).unwrap();
        let (mut a, mut b) = (semaphore.acquire(1), semaphore.acquire(1));
        assert!(first.poll(&mut a).is_pending());
        assert!(second.poll(&mut b).is_pending());
        drop(held);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        drop(a);
        assert_eq!(second.wakes(), 1);
        assert!(second.poll(&mut b).is_ready());
        drop(b);
        assert_eq!(semaphore.available(), 1);
    }

    #[test]
    fn a_waiter_that_leaves_makes_way_for_those_who_ask_for_less() {
        let semaphore = Semaphore::new(1);
        let count = Count::new();
        let (mut large, mut small) = (semaphore.acquire(5), semaphore.acquire(1));
        assert!(poll(&mut large).is_pending());
        assert!(count.poll(&mut small).is_pending());
        drop(large);
        assert_eq!(count.wakes(), 1);
        assert!(count.poll(&mut small).is_ready());
    }

    #[test]
    fn close_refuses_waiters_and_keeps_what_was_granted() {
        let semaphore = Rc::new(Semaphore::new(1));
        let held = semaphore.try_acquire_owned(1).unwrap();
        let (mut granted, mut refused) = (semaphore.acquire(1), semaphore.acquire_owned(1));
        assert!(poll(&mut granted).is_pending());
        assert!(poll(&mut refused).is_pending());
        drop(held);
        semaphore.close();
        assert!(matches!(poll(&mut granted), Poll::Ready(Ok(_))));
        assert!(matches!(poll(&mut refused), Poll::Ready(Err(Closed))));
        assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::Closed);
        assert!(semaphore.is_closed());
    }

    #[test]
    fn a_forgotten_permit_is_gone_and_add_makes_new_ones() {
        let semaphore = Semaphore::new(1);
        semaphore.try_acquire(1).unwrap().forget();
        assert_eq!(semaphore.available(), 0);
        let mut waiter = semaphore.acquire(3);
        assert!(poll(&mut waiter).is_pending());
        semaphore.add(4);
        assert!(poll(&mut waiter).is_ready());
    }
}
