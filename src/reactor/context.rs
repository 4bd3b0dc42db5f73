//! Which core the calling thread is turning.
use crate::time::Timers;
use super::driver::Driver;
use std::rc::Rc;

thread_local! { static TIMERS: Timers = Timers::new(crate::time::Clock::tsc()); }

/// Lends the timers of the core that the calling thread is turning.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
pub(crate) fn with_timers<R>(f: impl FnOnce(&Timers) -> R) -> R {
    TIMERS.with(f)
}

/// The current core's singleton of type `T`, made by `init` on first use on this core and dropped with the core.
/// Called when a channel opens, not per I/O.
pub(crate) fn singleton<T: 'static, E>(_init: impl FnOnce() -> Result<Rc<T>, E>) -> Result<Rc<T>, E> {
    todo!("replaced when the core lands")
}

/// Has the current core's turn poll and flush `driver` from now on, until the core ends.
pub(crate) fn add_driver(_driver: Rc<dyn Driver>) {
    todo!("replaced when the core lands")
}
