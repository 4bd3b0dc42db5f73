//! A value that every core reads with each I/O and anybody may change meanwhile.
//!
//! Each core has a copy and compares one number to see that it is still the last. The number is changed under the lock of the
//! value, and read again under it: a copy is never kept under the number of a later value.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::DerefMut;

use crate::sys::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::sync::{Arc, Mutex};

/// The value itself.
pub(super) struct Setting<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// How often the value was changed. Relaxed throughout: the lock carries the value.
    version: AtomicU64,
    value: Mutex<T>,
}

/// A core's copy.
pub(super) struct Copied<T> {
    shared: Arc<Shared<T>>,
    version: Cell<u64>,
    value: RefCell<T>,
}

impl<T: Clone> Setting<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(Shared { version: AtomicU64::new(0), value: Mutex::new(value) }))
    }

    pub(super) fn get(&self) -> T {
        self.0.lock().clone()
    }

    /// Changes the value; cores see it with their next I/O.
    pub(super) fn change(&self, change: impl FnOnce(&mut T)) {
        let mut value = self.0.lock();
        change(&mut value);
        self.0.version.fetch_add(1, Relaxed);
    }

    /// A copy for the calling core.
    pub(super) fn copied(&self) -> Copied<T> {
        let value = self.0.lock();
        let version = self.0.version.load(Relaxed);
        Copied { shared: self.0.clone(), version: Cell::new(version), value: RefCell::new(value.clone()) }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> impl DerefMut<Target = T> + '_ {
        // A change that panicked has left what it had done by then, and that is a value.
        self.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T: Clone> Copied<T> {
    /// Lends the value as it is now. `read` must not come back here.
    #[inline]
    pub(super) fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        if self.shared.version.load(Relaxed) != self.version.get() {
            self.renew();
        }
        read(&self.value.borrow())
    }

    #[cold]
    fn renew(&self) {
        let value = self.shared.lock();
        self.version.set(self.shared.version.load(Relaxed));
        let old = self.value.replace(value.clone());
        drop(value);
        drop(old);
    }
}

impl<T: Clone + fmt::Debug> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Setting").field(&self.get()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Copied<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Copied").field(&self.value).finish()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;

    /// A reader may be late, but what it sees in the end is what was set in the end. Fails if `change` raises the number before it
    /// has the lock.
    #[test]
    fn loom_the_last_change_is_seen() {
        loom::model(|| {
            let setting = Setting::new(0);
            let copied = setting.0.clone();
            let reader = thread::spawn(move || {
                let copied = Setting(copied).copied();
                let before = copied.with(|value| *value);
                assert!(copied.with(|value| *value) >= before, "a later look sees an earlier value");
                copied
            });
            setting.change(|value| *value = 1);
            setting.change(|value| *value = 2);
            assert_eq!(reader.join().unwrap().with(|value| *value), 2);
        });
    }
}
