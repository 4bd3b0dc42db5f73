//! std or loom: the one place that chooses.
//!
//! Under `cfg(all(test, loom))` every atomic, cell, mutex and thread-local below is loom's, which checks all the
//! interleavings of a model. loom sees races only on its own `UnsafeCell`, so payloads that cross threads live in
//! the [`UnsafeCell`] of this module, whose `with`/`with_mut` shape is loom's.

#[cfg(all(test, loom))]
pub(crate) use loom::{
    cell::UnsafeCell,
    hint,
    sync::atomic,
    sync::{Arc, Mutex, MutexGuard},
};

#[cfg(not(all(test, loom)))]
pub(crate) use self::std_cell::UnsafeCell;
#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    hint,
    sync::atomic,
    sync::{Arc, Mutex, MutexGuard},
};

#[cfg(not(all(test, loom)))]
mod std_cell {
    /// `std::cell::UnsafeCell` in the shape of loom's.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Wraps `value`.
        #[inline(always)]
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Lends a pointer for reading.
        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Lends a pointer for writing.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// A thread-local `Cell`: one move instruction under std, loom's own thread-locals in a model.
#[cfg(not(all(test, loom)))]
macro_rules! thread_local_cell {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        std::thread_local! { $(#[$meta])* static $name: std::cell::Cell<$type> = const { std::cell::Cell::new($init) }; }
    };
}
#[cfg(all(test, loom))]
macro_rules! thread_local_cell {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        loom::thread_local! { $(#[$meta])* static $name: std::cell::Cell<$type> = std::cell::Cell::new($init); }
    };
}
pub(crate) use thread_local_cell;

/// Keeps its content on a pair of cache lines of its own: x86's adjacent-line prefetch pulls lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
