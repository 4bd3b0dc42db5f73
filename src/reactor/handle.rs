//! A runtime as other threads see it: what foreign threads and signal handlers may ask of its cores.

use super::{Core, Mode, context, group::Group, spawn::in_order};
use crate::task::{JoinError, JoinHandle, call_remote, spawn_foreign};
use std::{fmt, future::Future, sync::Arc};

/// Sends work to a runtime's cores from any thread. Cheap to clone; outlives the runtime, and then says that its cores are gone.
///
/// A [`LocalExecutor`](crate::LocalExecutor) that is forgotten instead of dropped has not ended: what is sent to it is kept and waits, as
/// for one that nobody turns.
///
/// ```
/// let executor = reactor::LocalExecutor::new()?;
/// let handle = executor.handle();
/// let core = handle.cores()[0];
/// let asker = std::thread::spawn(move || handle.spawn_on(core, async { 6 * 7 }).wait());
/// while !asker.is_finished() {
///     executor.turn();
/// }
/// assert_eq!(asker.join().unwrap()?, 42);
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(super) group: Arc<Group>,
}

impl Handle {
    pub(crate) fn new(group: Arc<Group>) -> Self {
        Self { group }
    }

    /// The runtime of the calling reactor.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) elsewhere.
    #[track_caller]
    pub fn current() -> Self {
        context::with("Handle::current", |core| Self::new(core.group.clone()))
    }

    /// Its cores, in order.
    pub fn cores(&self) -> Box<[Core]> {
        self.group.cores()
    }

    /// Runs `future` on `core`; see [`spawn_on`](crate::spawn_on). A foreign thread waits for the answer by
    /// [`JoinHandle::wait`] or on an executor of its own.
    pub fn spawn_on<F>(&self, core: Core, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.call(core, move || future)
    }

    /// Runs an async closure on `core`; see [`call_on`](crate::call_on).
    pub fn call_on<F, T>(&self, core: Core, closure: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.call(core, move || async move { closure().await })
    }

    /// Runs a clone of `closure` on every core, all at once; see [`on_every_core`](crate::on_every_core). They run whether or not
    /// the future is awaited, which yields their results in order and may be awaited on any executor.
    ///
    /// ```
    /// # let executor = reactor::LocalExecutor::new()?;
    /// # let handle = executor.handle();
    /// let names = handle.on_every_core(async || std::thread::current().name().map(str::to_owned));
    /// # let names = executor.block_on(names);
    /// # assert_eq!(names.len(), 1);
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn on_every_core<F, T>(
        &self,
        closure: F,
    ) -> impl Future<Output = Vec<Result<T, JoinError>>> + use<F, T>
    where
        F: AsyncFnOnce() -> T + Clone + Send + 'static,
        T: Send + 'static,
    {
        let calls: Vec<_> = self.cores().iter().map(|&core| self.call_on(core, closure.clone())).collect();
        in_order(calls)
    }

    fn call<M, F, T>(&self, core: Core, make: M) -> JoinHandle<T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let Some(peer) = self.group.peer(core) else { return JoinHandle::failed(JoinError::CoreGone) };
        // Only a core of the same runtime may leave a proxy behind: it outlives neither.
        let mut make = Some(make);
        context::try_with(|current| {
            if !Arc::ptr_eq(&current.group, &self.group) {
                return None;
            }
            let home = &**current.home();
            Some(call_remote(home, home.local()?, peer.core.index(), make.take()?))
        })
        .flatten()
        .unwrap_or_else(|| match make {
            Some(make) => spawn_foreign(&peer.home, make),
            None => JoinHandle::failed(JoinError::CoreGone),
        })
    }

    /// Runs `f` on `core`, fire and forget; see [`post`](crate::post).
    ///
    /// # Errors
    /// [`JoinError::CoreGone`] if the core has ended; `f` is dropped.
    pub fn post(&self, core: Core, f: impl FnOnce() + Send + 'static) -> Result<(), JoinError> {
        match self.group.peer(core) {
            Some(peer) => peer.home.send(f).map_err(|_refused| JoinError::CoreGone),
            None => Err(JoinError::CoreGone),
        }
    }

    /// Has `core` call `function` first thing in its next turn. Async-signal-safe: the one event that a signal handler may send.
    ///
    /// Returns `false` if one is waiting on that core already, if the core has ended, or if it is none of this runtime's.
    pub fn critical(&self, core: Core, function: fn()) -> bool {
        let Some(peer) = self.group.peer(core).filter(|peer| !peer.home.is_closed()) else { return false };
        let is_sent = peer.control.critical.send(function);
        peer.home.poke();
        is_sent
    }

    /// Has the first core whose slot is free call `function` likewise. Async-signal-safe.
    pub(crate) fn critical_any(&self, function: fn()) -> bool {
        self.group.iter().any(|peer| self.critical(peer.core, function))
    }

    /// Whether the calling thread is turning `core` of this runtime.
    #[inline]
    pub(crate) fn is_turning(&self, core: Core) -> bool {
        let is_here =
            |current: &super::Inner| current.core() == core && Arc::ptr_eq(&current.group, &self.group);
        context::try_with(is_here) == Some(true)
    }

    /// Switches how `core` waits for work, while it runs; `false` if the core is none of this runtime's.
    pub fn set_mode(&self, core: Core, mode: Mode) -> bool {
        self.group.peer(core).map(|peer| peer.set_mode(mode)).is_some()
    }

    /// How `core` waits for work.
    pub fn mode(&self, core: Core) -> Option<Mode> {
        self.group.peer(core).map(super::group::Peer::mode)
    }

    /// Whether `core` has ended.
    pub fn is_gone(&self, core: Core) -> bool {
        self.group.peer(core).is_none_or(|peer| peer.home.is_closed())
    }
}

/// Handles are equal if they are of one runtime.
impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.group, &other.group)
    }
}

impl Eq for Handle {}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("cores", &self.group.cores()).finish()
    }
}
