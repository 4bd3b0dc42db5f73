//! Which core the calling thread is turning.
#![expect(unsafe_code, reason = "a thread-local pointer to the core being turned")]

use super::{Inner, NotOnReactor, driver::Driver};
use crate::{
    task::{Entered, Home, Local},
    time::Timers,
};
use std::{
    any::{Any, TypeId},
    cell::Cell,
    ptr::null,
    rc::Rc,
};

thread_local! {
    static CURRENT: Cell<*const Inner> = const { Cell::new(null()) };
}

/// While it lives, the calling thread is turning one core.
pub(crate) struct Turning {
    before: *const Inner,
    _entered: Entered,
    // Keeps the core for as long as it is current.
    _core: Rc<Inner>,
}

impl Drop for Turning {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Makes `core` the one that the calling thread is turning.
pub(super) fn enter(core: &Rc<Inner>) -> Turning {
    // SAFETY: an `Inner` never leaves its thread, is its home's only owner, and outlives the guard, which holds it. Guards are
    // local variables or fields of such, so they end in order.
    let entered = unsafe { core.home().enter() };
    Turning { before: CURRENT.replace(Rc::as_ptr(core)), _entered: entered, _core: core.clone() }
}

/// Lends the core that the calling thread is turning, if any.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(&Inner) -> R) -> Option<R> {
    let core = CURRENT.get();
    // SAFETY: the guard that set the pointer keeps the core; it is alive, as it resets the pointer when it goes.
    (!core.is_null()).then(|| f(unsafe { &*core }))
}

/// Lends the core that the calling thread is turning.
///
/// # Panics
/// With [`NotOnReactor`], naming `what` was called.
#[inline]
#[track_caller]
pub(crate) fn with<R>(what: &'static str, f: impl FnOnce(&Inner) -> R) -> R {
    match try_with(f) {
        Some(result) => result,
        None => NotOnReactor::panic(what),
    }
}

/// Lends the core's task half alone: one thread-local and one comparison, for what starts tasks.
#[inline]
#[track_caller]
pub(super) fn with_home<R>(what: &'static str, f: impl FnOnce(&Home, &Local) -> R) -> R {
    match Home::with_current(f) {
        Some(result) => result,
        None => NotOnReactor::panic(what),
    }
}

/// Lends the core's task half as well.
#[inline]
#[track_caller]
pub(crate) fn with_local<R>(what: &'static str, f: impl FnOnce(&Inner, &Home, &Local) -> R) -> R {
    with(what, |core| {
        let home: &Home = core.home();
        let local = home.local().expect("the core being turned is the home being turned");
        f(core, home, local)
    })
}

/// Lends the timers of the core that the calling thread is turning.
///
/// # Panics
/// With [`NotOnReactor`] outside of a reactor, naming `what` was called.
#[inline]
#[track_caller]
pub(crate) fn with_timers<R>(what: &'static str, f: impl FnOnce(&Timers) -> R) -> R {
    with(what, |core| f(&core.timers))
}

/// The current core's singleton of type `T`, made by `init` on first use on this core and dropped with the core, newest first.
/// Called when a channel opens, not per I/O.
///
/// # Panics
/// With [`NotOnReactor`] outside of a reactor.
#[track_caller]
pub(crate) fn singleton<T: 'static, E>(init: impl FnOnce() -> Result<Rc<T>, E>) -> Result<Rc<T>, E> {
    let find = || {
        with("a per-core object", |core| {
            let singletons = core.singletons.borrow();
            let found = singletons.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
            found.1.clone().downcast::<T>().ok()
        })
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    // Not borrowed here: making one may ask for another.
    let made = init()?;
    with("a per-core object", |core| {
        core.singletons.borrow_mut().push((TypeId::of::<T>(), made.clone() as Rc<dyn Any>));
    });
    Ok(made)
}

/// Has the current core's turn poll and flush `driver` from now on, until the core ends or it is [removed](remove_driver).
///
/// # Panics
/// With [`NotOnReactor`] outside of a reactor.
#[track_caller]
pub(crate) fn add_driver(driver: Rc<dyn Driver>) {
    with("a driver", |core| core.add_driver(driver));
}

/// Ends what [`add_driver`] began, from within the driver's own calls if need be. It has nothing in flight.
///
/// # Panics
/// With [`NotOnReactor`] outside of a reactor.
#[track_caller]
#[cfg_attr(not(feature = "nvme"), allow(dead_code, reason = "NVMe's queues come and go"))]
pub(crate) fn remove_driver(driver: &dyn Driver) {
    with("a driver", |core| core.remove_driver(driver));
}

/// Ends a call that would block the reactor that it was made on, naming `what` was called.
///
/// # Panics
/// On a reactor.
#[track_caller]
pub(crate) fn forbid_blocking(what: &'static str) {
    assert!(
        CURRENT.get().is_null(),
        "`{what}` would block this core, and what it waits for needs this core to go on: await it instead, or call \
         it from a thread of `app::unblock`"
    );
}
