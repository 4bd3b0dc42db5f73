//! A core's second ring, which asks devices for completions instead of waiting for their interrupts (`IOPOLL`).
//!
//! Made when a device first wants it. Such a ring takes reads and writes with O_DIRECT only, so it stands beside the core's
//! [ordinary one](Ring::current), which is also where I/O goes that a device refuses to be asked about.

use super::{Config, Error, Ring};
use crate::reactor::context;
use std::rc::Rc;

/// Tells the core's singletons apart.
struct Polling(Rc<Ring>);

impl Ring {
    /// The polling ring of the core that the calling thread turns, made on first use.
    ///
    /// On a device that cannot be asked, or without O_DIRECT, operations on it end with `EOPNOTSUPP` and hand the buffer back. While one
    /// is in flight the core does not sleep. Dropped futures are not cancelled: the device answers soon.
    ///
    /// # Errors
    /// Whatever keeps a ring from being made.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn current_polling() -> Result<Rc<Self>, Error> {
        context::with("uring::Ring::current_polling", |_| ());
        let made = context::singleton(|| {
            let ring = Self::new(&Config { is_polling: true, ..Config::default() })?;
            context::add_driver(ring.clone());
            Ok(Rc::new(Polling(ring)))
        })?;
        Ok(made.0.clone())
    }
}
