//! The error of a call that needs a reactor, made where there is none: SPDK's fourth threading rule, told by name.

/// A call that needs a reactor was made on a thread that is not turning one.
///
/// Tasks, pollers, events and hooks run on a reactor. Other threads go through a [`Handle`](crate::Handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{what}` needs a reactor, and this thread is not turning one: call it from a task, poller or event \
     (see `#[reactor::main]`), or use a `Handle` from other threads"
)]
pub struct NotOnReactor {
    /// The call.
    pub what: &'static str,
}

impl NotOnReactor {
    /// Ends a call that cannot return an error.
    #[cold]
    #[track_caller]
    pub(crate) fn panic(what: &'static str) -> ! {
        panic!("{}", Self { what })
    }
}
