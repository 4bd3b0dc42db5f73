//! A core of an application, made on the thread that will turn it.

use super::{CoreError, buffers::Buffers, state::App, state::HookName};
use crate::{
    LocalExecutor, NotOnReactor,
    reactor::{Group, context},
    sys::cpu,
    time::Clock,
};
use futures::future::LocalBoxFuture;
use slab::Slab;
use std::{
    cell::RefCell, convert::Infallible, num::NonZeroU64, panic::Location, rc::Rc, sync::Arc, time::Duration,
};

/// What a core knows of its application.
pub(super) struct Seat {
    pub(super) app: Arc<App>,
    hooks: RefCell<Slab<Hook>>,
}

/// A shutdown hook: made and run on one core.
pub(super) type Hook = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()>>;

/// What all cores of an application have in common.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) group: Arc<Group>,
    pub(super) is_pinned: bool,
    pub(super) spin: Option<Duration>,
    pub(super) timer_slack: Option<Duration>,
    pub(super) clock: Clock,
    pub(super) buffers: Buffers,
}

/// A reactor sleeps until a deadline, and the kernel's default of 50 µs would be most of its lateness: median 65 µs with it,
/// 20 µs without.
const TIMER_SLACK: NonZeroU64 = NonZeroU64::MIN;

impl Plan {
    /// Makes the `index`-th core on the calling thread, and seats `app` on it.
    pub(super) fn seat(&self, index: usize, app: &Arc<App>) -> Result<LocalExecutor, CoreError> {
        if self.is_pinned {
            cpu::pin(self.group.get(index).expect("a core of the group").core.id())?;
        }
        // Refused by a seccomp filter at worst: timers are then as late as everybody's.
        let _refused = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK));
        let executor = LocalExecutor::of_group(self.group.clone(), index, self.clock.clone())?;
        if let Some(spin) = self.spin {
            executor.set_spin(spin);
        }
        if let Some(slack) = self.timer_slack {
            executor.set_timer_slack(slack);
        }
        // The oldest per-core object is dropped last: whatever ends with the core may still ask for its application.
        let seat = || Ok::<_, Infallible>(Rc::new(Seat { app: app.clone(), hooks: RefCell::default() }));
        executor.enter_with(|| {
            context::singleton(seat).unwrap_or_else(|never| match never {});
            app.pool.serve_core();
            self.buffers.serve_core(executor.handle(), executor.core());
        });
        Ok(executor)
    }
}

/// No application runs the calling core.
struct NoApp;

impl Seat {
    /// The calling core's, if an application runs it.
    pub(super) fn try_current() -> Option<Rc<Self>> {
        context::try_with(|_| ())?;
        context::singleton(|| Err(NoApp)).ok()
    }

    /// # Panics
    /// With [`NotOnReactor`] outside of a reactor, and on one that no application runs.
    #[track_caller]
    pub(super) fn current(what: &'static str) -> Rc<Self> {
        match Self::try_current() {
            Some(seat) => seat,
            None if context::try_with(|_| ()).is_none() => NotOnReactor::panic(what),
            None => panic!(
                "`{what}` needs an application, and this reactor is a `LocalExecutor` of its own: start it by \
                 `#[reactor::main]` or `app::Builder`"
            ),
        }
    }

    /// Keeps `hook` for the end.
    pub(super) fn add_hook(&self, hook: Hook, location: &'static Location<'static>) {
        let core = context::with("app::on_shutdown", crate::reactor::Inner::core);
        let key = self.hooks.borrow_mut().insert(hook);
        self.app.add_hook(HookName { core, key, location });
    }

    /// Hands out the hook of that name.
    pub(super) fn take_hook(&self, key: usize) -> Option<Hook> {
        self.hooks.borrow_mut().try_remove(key)
    }
}

/// Gives the calling thread back its affinity and timer slack when it goes.
pub(super) struct Restore {
    affinity: Option<rustix::thread::CpuSet>,
    slack: Option<NonZeroU64>,
}

impl Restore {
    pub(super) fn remember() -> Self {
        Self {
            affinity: rustix::thread::sched_getaffinity(None).ok(),
            slack: rustix::thread::current_timer_slack().ok().and_then(NonZeroU64::new),
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // Whatever the thread had it may have again; where the kernel disagrees by now there is nobody to tell.
        if let Some(affinity) = &self.affinity {
            let _refused = rustix::thread::sched_setaffinity(None, affinity);
        }
        let _refused = rustix::thread::set_current_timer_slack(self.slack);
    }
}
