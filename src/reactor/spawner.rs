//! The `futures` crate's spawning traits, for libraries that take a spawner instead of knowing a runtime.

use super::{Core, Handle, LocalExecutor, context};
use futures::{
    future::{FutureObj, LocalFutureObj},
    task::{LocalSpawn, Spawn, SpawnError},
};

/// Spawns on the core that it was asked for, as `futures::task::{Spawn, LocalSpawn}`.
///
/// [`LocalSpawn`] starts a task of the current core and fails elsewhere; [`Spawn`] sends a `Send` future to the spawner's core from
/// any thread, in order with the other events.
///
/// ```
/// use futures::task::LocalSpawnExt;
/// let executor = reactor::LocalExecutor::new()?;
/// let spawner = executor.spawner();
/// let answer = executor.block_on(async move { spawner.spawn_local_with_handle(async { 6 * 7 }).unwrap().await });
/// assert_eq!(answer, 42);
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Spawner {
    handle: Handle,
    core: Core,
}

impl Spawner {
    /// A spawner for the current core.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn current() -> Self {
        context::with("Spawner::current", |core| Self { handle: core.handle(), core: core.core() })
    }
}

impl LocalExecutor {
    /// A spawner for this core, for libraries that take one.
    pub fn spawner(&self) -> Spawner {
        Spawner { handle: self.handle(), core: self.core() }
    }
}

impl LocalSpawn for Spawner {
    fn spawn_local_obj(&self, future: LocalFutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status_local()?;
        super::spawn_local(future).detach();
        Ok(())
    }

    /// Fails if this thread is not turning the spawner's core.
    fn status_local(&self) -> Result<(), SpawnError> {
        if self.handle.is_turning(self.core) { Ok(()) } else { Err(SpawnError::shutdown()) }
    }
}

impl Spawn for Spawner {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status()?;
        self.handle.spawn_on(self.core, future).detach();
        Ok(())
    }

    /// Fails if the core has ended.
    fn status(&self) -> Result<(), SpawnError> {
        if self.handle.is_gone(self.core) { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use futures::task::{LocalSpawnExt, SpawnExt};
    use std::{cell::Cell, rc::Rc};

    #[std::prelude::v1::test]
    fn libraries_spawn_through_the_futures_traits() {
        let executor = LocalExecutor::new().unwrap();
        let spawner = executor.spawner();
        let ran = Rc::new(Cell::new(0));
        let here = ran.clone();
        assert!(spawner.spawn_local(async {}).is_err(), "not inside of a turn");
        let abroad = std::thread::spawn({
            let spawner = spawner.clone();
            move || spawner.spawn_with_handle(async { 1 }).unwrap()
        });
        let remote = abroad.join().unwrap();
        let inside = spawner.clone();
        executor.block_on(async move {
            inside.spawn_local(async move { here.set(here.get() + 1) }).unwrap();
            let answer = remote.await;
            ran.set(ran.get() + answer);
            crate::yield_now().await;
            assert_eq!(ran.get(), 2);
        });
        drop(executor);
        assert!(spawner.spawn(async {}).is_err(), "the core is gone");
    }
}
