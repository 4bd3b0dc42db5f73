//! A fair mutex whose lock may be held across `.await`, for the tasks of one core.
//!
//! One permit of `permits` and a `RefCell` that is therefore never borrowed twice: no unsafe code.

use super::{permits::Permits, wait_list::Key};
use std::{
    cell::{RefCell, RefMut},
    fmt,
    future::Future,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Mutual exclusion between tasks of one core, in order of arrival.
///
/// State that is never borrowed across an `.await` needs only a `Cell` or a `RefCell`. A panic while the lock is held
/// unlocks it; there is no poisoning. `!Send`, as is the guard.
///
/// ```
/// # use reactor::sync::Mutex;
/// let journal = Mutex::new(vec![1]);
/// journal.try_lock().expect("nobody holds it").push(2);
/// assert_eq!(journal.into_inner(), [1, 2]);
/// ```
pub struct Mutex<T: ?Sized> {
    lock: Permits,
    local: PhantomData<Rc<()>>,
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex around `value`.
    pub fn new(value: T) -> Self {
        Self { lock: Permits::new(1), local: PhantomData, value: RefCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting in line.
    ///
    /// Dropping the future leaves the line; a lock that was granted meanwhile goes to the next.
    pub fn lock(&self) -> MutexLock<'_, T> {
        MutexLock { mutex: self, place: None }
    }

    /// Locks now, or returns `None` if the lock is held or waited for.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.lock.try_acquire(1).ok()?;
        Some(self.guard())
    }

    /// The value, which `&mut self` shows to be unlocked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { value: self.value.borrow_mut(), _unlock: Unlock(&self.lock) }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.try_borrow() {
            Ok(value) => f.debug_tuple("Mutex").field(&&*value).finish(),
            Err(_) => f.write_str("Mutex(<locked>)"),
        }
    }
}

/// The lock of a [`Mutex`], held until this is dropped.
#[must_use = "the mutex is unlocked when this is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Declared, and so dropped, before the permit: the next in line finds the value unborrowed.
    value: RefMut<'a, T>,
    _unlock: Unlock<'a>,
}

struct Unlock<'a>(&'a Permits);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Made by [`Mutex::lock`].
#[must_use = "futures do nothing unless awaited"]
pub struct MutexLock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    place: Option<Key>,
}

impl<'a, T: ?Sized> Future for MutexLock<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mutex = self.mutex;
        // The permits of a mutex are never closed.
        mutex.lock.poll_acquire(&mut self.place, 1, cx).map(|_| mutex.guard())
    }
}

impl<T: ?Sized> Drop for MutexLock<'_, T> {
    fn drop(&mut self) {
        self.mutex.lock.cancel(&mut self.place);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::testing::{Count, poll};

    static_assertions::assert_not_impl_any!(Mutex<u8>: Send, Sync);
    static_assertions::assert_not_impl_any!(MutexGuard<'static, u8>: Send, Sync);

    #[test]
    fn the_lock_goes_round_in_order_of_arrival() {
        let mutex = Mutex::new(Vec::new());
        let mut held = mutex.try_lock().unwrap();
        let (mut first, mut second) = (mutex.lock(), mutex.lock());
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending());
        held.push(0);
        drop(held);
        assert!(mutex.try_lock().is_none(), "it belongs to the first in line");
        assert!(poll(&mut second).is_pending());
        let Poll::Ready(mut guard) = poll(&mut first) else { panic!("it was granted") };
        guard.push(1);
        drop(guard);
        let Poll::Ready(mut guard) = poll(&mut second) else { panic!("it was granted") };
        guard.push(2);
        drop(guard);
        drop((first, second));
        assert_eq!(mutex.into_inner(), [0, 1, 2]);
    }

    #[test]
    fn a_granted_lock_that_is_dropped_goes_to_the_next() {
        let mutex = Mutex::new(());
        let count = Count::new();
        let held = mutex.try_lock().unwrap();
        let (mut first, mut second) = (mutex.lock(), mutex.lock());
        assert!(poll(&mut first).is_pending());
        assert!(count.poll(&mut second).is_pending());
        drop(held);
        drop(first);
        assert_eq!(count.wakes(), 1);
        assert!(count.poll(&mut second).is_ready());
    }

    #[test]
    fn a_panic_unlocks() {
        let mutex = Mutex::new(1);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = mutex.try_lock().unwrap();
            panic!("while locked");
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    }
}
