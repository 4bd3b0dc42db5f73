//! A light thread as every core and foreign thread may know it: who it is, and how to run something in it.

use crate::{
    JoinError, JoinHandle,
    reactor::{Core, Handle, Inner, context},
    task::{Local, NO_GROUP},
};
use std::{borrow::Cow, fmt, future::poll_fn, sync::Arc, task::Poll};

/// Refers to a [`LightThread`](crate::LightThread) from any core or foreign thread, as SPDK's `spdk_thread *` does. Cheap to clone;
/// outlives the thread, and then says that it is gone.
#[derive(Clone)]
pub struct ThreadRef {
    identity: Arc<Identity>,
}

/// Who a light thread is.
pub(super) struct Identity {
    pub(super) runtime: Handle,
    pub(super) core: Core,
    /// Its number on its core, used again after it.
    pub(super) number: u16,
    /// Its number in the process, never used again.
    pub(super) id: u64,
    pub(super) name: Cow<'static, str>,
}

impl ThreadRef {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity: Arc::new(identity) }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The light thread that the running task or poller belongs to, if any.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn current() -> Option<Self> {
        context::with_local("ThreadRef::current", |core, _, local| match local.group() {
            NO_GROUP => None,
            number => core.groups.get(number),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Its number in this process, from 1; never used again.
    pub fn id(&self) -> u64 {
        self.identity.id
    }

    /// The core that it runs on.
    pub fn core(&self) -> Core {
        self.identity.core
    }

    /// Runs an async closure as a task of the light thread: SPDK's `spdk_thread_send_msg`, with an answer. The closure is `Send`;
    /// its future is made in the thread and never leaves it. Calls made one after another start in that order.
    ///
    /// A thread that has exited, or is about to, answers [`JoinError::Cancelled`]; one whose core has ended,
    /// [`JoinError::CoreGone`].
    ///
    /// ```
    /// # let executor = reactor::LocalExecutor::new()?;
    /// # executor.block_on(async {
    /// use reactor::{LightThread, ThreadRef};
    /// let thread = LightThread::new("poll group");
    /// let name = thread.to_ref().call(async || ThreadRef::current().map(|thread| thread.name().to_owned())).await?;
    /// assert_eq!(name.as_deref(), Some("poll group"));
    /// thread.exit().await;
    /// # Ok::<(), reactor::JoinError>(())
    /// # })?;
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn call<F, T>(&self, closure: F) -> JoinHandle<T>
    where
        F: AsyncFnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let thread = self.clone();
        self.identity.runtime.call_on(self.core(), async move || {
            thread.join().await;
            closure().await
        })
    }

    /// Runs `f` in the light thread, fire and forget. A thread that has exited drops it.
    ///
    /// # Errors
    /// [`JoinError::CoreGone`] if the core has ended; `f` is dropped.
    pub fn post(&self, f: impl FnOnce() + Send + 'static) -> Result<(), JoinError> {
        let thread = self.clone();
        self.identity.runtime.post(self.core(), move || {
            context::with_local("ThreadRef::post", |core, _, local| {
                if core.groups.is_open(&thread.identity) {
                    enter(core, local, thread.identity.number, f);
                }
            });
        })
    }

    /// Makes the task that polls this one of the thread's; does not return if the thread is gone.
    async fn join(&self) {
        let mut has_joined = false;
        poll_fn(|cx| {
            if has_joined {
                return Poll::Ready(());
            }
            context::with_local("ThreadRef::call", |core, _, local| {
                if core.groups.is_open(&self.identity) {
                    local.join_group(self.identity.number);
                    // The rest is for the run queue, which charges it to the thread.
                    has_joined = true;
                    cx.waker().wake_by_ref();
                } else {
                    local.abort_polled();
                }
            });
            Poll::Pending
        })
        .await;
    }
}

/// Runs `f` as if from a task of the light thread, whose time it spends.
pub(super) fn enter<R>(core: &Inner, local: &Local, number: u16, f: impl FnOnce() -> R) -> R {
    struct ChargeBack<'a>(&'a Inner, u16);
    impl Drop for ChargeBack<'_> {
        fn drop(&mut self) {
            self.0.groups.charge(self.1, self.0);
        }
    }
    let _charge_back = ChargeBack(core, core.groups.current());
    core.groups.charge(number, core);
    local.in_group(number, f)
}

impl PartialEq for ThreadRef {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for ThreadRef {}

impl fmt::Debug for ThreadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadRef")
            .field("name", &self.identity.name)
            .field("id", &self.identity.id)
            .field("core", &self.identity.core)
            .finish()
    }
}
