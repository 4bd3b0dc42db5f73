//! The two ways to the file system: the core's ring, and a thread beside the core for what has no operation there.

use crate::{reactor::context, unblock::unblock, uring::Ring};
use std::{io, rc::Rc};

/// The core's ring.
pub(super) fn ring() -> io::Result<Rc<Ring>> {
    context::with("reactor::fs", |_| ());
    Ring::current().map_err(io::Error::other)
}

/// Calls `f` on a thread beside the core. Dropping the future once polled does not stop a call that has its place.
pub(super) async fn beside<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    context::with("reactor::fs", |_| ());
    unblock(f).await.map_err(io::Error::other)?
}
