//! One value per core, made on first use there: SPDK's io_device and io_channel.
//!
//! ```text
//!   PerCore (any thread) ── number, id ──► slot n of the core's Slots ── Weak ──► Value ◄── Rc ── PerCoreRef (this core)
//!        │                                                                          │
//!        └──────────────── Registry: which cores hold one, is it closed ◄───────────┘ Presence
//! ```
//!
//! Taking and dropping a reference looks at the core's own slot and counts without atomics; only the first one on a core and the
//! last lock the registry.

use crate::{
    JoinError, call_on,
    reactor::{Core, Handle, context},
    sys::unwind::wake,
};
use std::{
    any::Any,
    cell::RefCell,
    fmt,
    future::poll_fn,
    ops::Deref,
    rc::{Rc, Weak},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
};

/// A value of its own for each core that uses it, such as a queue pair: made where it is first asked for, shared there by reference
/// count, dropped on the same core with the last reference.
///
/// Clones name the same values. `T` need not be `Send`: it never leaves its core.
///
/// ```
/// # let executor = reactor::LocalExecutor::new()?;
/// # executor.block_on(async {
/// use reactor::sync::PerCore;
/// use std::cell::Cell;
/// let counters = PerCore::new("requests", |_core| Cell::new(0));
/// let here = counters.get()?;
/// here.set(here.get() + 1);
/// let sums = counters.for_each(async |counter| counter.get()).await;
/// assert_eq!(sums.into_iter().map(|(_core, n)| n.unwrap()).sum::<i32>(), 1);
/// drop(here);
/// counters.unregister().await;
/// assert!(counters.get().is_err());
/// # Ok::<(), reactor::sync::Unregistered>(())
/// # }).unwrap();
/// # Ok::<(), reactor::Error>(())
/// ```
pub struct PerCore<T> {
    registry: Arc<Registry>,
    make: Arc<dyn Fn(Core) -> T + Send + Sync>,
}

/// A [`PerCore`] is asked for a value after [`unregister`](PerCore::unregister).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is unregistered and gives out no more references: get them before, or register it anew")]
pub struct Unregistered {
    /// The name of the `PerCore`.
    pub name: String,
}

/// Counted reference to this core's value of a [`PerCore`]. `!Send`: it is used and dropped where it was taken.
pub struct PerCoreRef<T: 'static> {
    value: Rc<Value<T>>,
}

impl<T: 'static> PerCore<T> {
    /// Registers a value per core. `make` is called on each core that asks, when it first does, and again if it asks after its
    /// last reference was dropped.
    pub fn new(name: impl Into<String>, make: impl Fn(Core) -> T + Send + Sync + 'static) -> Self {
        Self { registry: Arc::new(Registry::new(name.into())), make: Arc::new(make) }
    }

    /// The current core's value, made now if there is none.
    ///
    /// # Errors
    /// [`Unregistered`] once that has begun.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor; if making the value asks for itself; with the panic of
    /// `make`, after which the next call tries again.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Result<PerCoreRef<T>, Unregistered> {
        // Relaxed: who is too late to see it finds a value, which `unregister` then waits for, or the lock.
        if !self.registry.is_closed.load(Relaxed) {
            if let Some(value) = self.registry.find("PerCore::get") {
                return Ok(PerCoreRef { value });
            }
        }
        self.make()
    }

    /// Runs a clone of `closure` on every core of this runtime that has a value, all at once, and returns the answers: SPDK's
    /// `spdk_for_each_channel`, which goes from one to the next. Cores that get one later are not visited.
    ///
    /// Dropping the future does not stop what runs on other cores.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) when first polled outside of a reactor.
    pub async fn for_each<F, R>(&self, closure: F) -> Vec<(Core, Result<R, JoinError>)>
    where
        F: AsyncFnOnce(PerCoreRef<T>) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let calls: Vec<_> =
            self.cores().map(|core| (core, call_on(core, self.visit(closure.clone())))).collect();
        let mut answers = Vec::with_capacity(calls.len());
        for (core, call) in calls {
            // `None`: the value was dropped meanwhile.
            if let Some(answer) = call.await.transpose() {
                answers.push((core, answer));
            }
        }
        answers
    }

    fn visit<F, R>(&self, closure: F) -> impl AsyncFnOnce() -> Option<R> + Send + 'static
    where
        F: AsyncFnOnce(PerCoreRef<T>) -> R + Send + 'static,
    {
        let registry = self.registry.clone();
        async move || {
            let value = registry.find("PerCore::for_each")?;
            Some(closure(PerCoreRef { value }).await)
        }
    }

    /// The cores of this runtime that have a value at the moment.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn cores(&self) -> impl Iterator<Item = Core> + use<T> {
        context::with("PerCore::cores", |current| {
            let mut cores: Vec<Core> = {
                let state = self.registry.state();
                let ours = state.holders.iter().filter(|(runtime, _)| current.is_of(runtime));
                ours.map(|(_, core)| *core).collect()
            };
            cores.sort_unstable();
            cores.dedup();
            cores.into_iter()
        })
    }

    /// Refuses to give out more references, and waits until the last one on every core has been dropped, and the values with them.
    ///
    /// A task that holds a reference itself waits for ever. Dropping the future stops the waiting and no more.
    pub async fn unregister(&self) {
        self.registry.close();
        poll_fn(|cx| self.registry.poll_empty(cx.waker())).await;
    }

    /// Whether [`unregister`](Self::unregister) has begun.
    pub fn is_unregistered(&self) -> bool {
        self.registry.is_closed.load(Relaxed)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.registry.name
    }

    #[cold]
    #[track_caller]
    fn make(&self) -> Result<PerCoreRef<T>, Unregistered> {
        let registry = &self.registry;
        let (runtime, core) = context::with("PerCore::get", |core| (core.handle(), core.core()));
        let refused = || Unregistered { name: registry.name.clone() };
        let presence = Presence::new(registry, runtime, core).ok_or_else(refused)?;
        context::with("PerCore::get", |core| core.per_core.begin_making(registry));
        // Nothing is borrowed or locked here: making one may ask for others.
        let value = Rc::new(Value { value: (self.make)(core), _presence: presence });
        let erased: Rc<dyn Any> = value.clone();
        context::with("PerCore::get", |core| core.per_core.made(registry, &erased));
        Ok(PerCoreRef { value })
    }
}

impl<T> Clone for PerCore<T> {
    fn clone(&self) -> Self {
        Self { registry: self.registry.clone(), make: self.make.clone() }
    }
}

impl<T> fmt::Debug for PerCore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerCore").field("name", &self.registry.name).finish_non_exhaustive()
    }
}

impl<T> Clone for PerCoreRef<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self { value: self.value.clone() }
    }
}

impl<T> Deref for PerCoreRef<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value.value
    }
}

impl<T: fmt::Debug> fmt::Debug for PerCoreRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerCoreRef").field(&self.value.value).finish()
    }
}

/// What the references of one core share.
struct Value<T> {
    value: T,
    // Dropped after the value, also should that unwind.
    _presence: Presence,
}

/// What all clones of a `PerCore` and all its values share.
pub(crate) struct Registry {
    /// Which slot of every core; used again after it.
    number: usize,
    /// Never used again, so that a slot's content is known to be this one's.
    id: u64,
    name: String,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    holders: Vec<(Handle, Core)>,
    /// Woken when the last holder is gone.
    waiters: Vec<Waker>,
}

/// Numbers that are free, and how many there are.
static NUMBERS: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Registry {
    fn new(name: String) -> Self {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.0.pop().unwrap_or_else(|| {
            numbers.1 += 1;
            numbers.1 - 1
        });
        Self {
            number,
            id: NEXT_ID.fetch_add(1, Relaxed),
            name,
            is_closed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// The current core's value. Its `T` is that of every `PerCore` with this registry.
    #[inline]
    #[track_caller]
    fn find<T: 'static>(&self, what: &'static str) -> Option<Rc<Value<T>>> {
        context::with(what, |core| core.per_core.find(self)?.downcast::<Value<T>>().ok())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        // Under the lock: a value is made before this and waited for, or refused.
        let _state = self.state();
        self.is_closed.store(true, Relaxed);
    }

    fn poll_empty(&self, waker: &Waker) -> Poll<()> {
        // Before the lock, and dropped after it: both may run foreign code.
        let clone = waker.clone();
        let mut state = self.state();
        if state.holders.is_empty() {
            return Poll::Ready(());
        }
        if !state.waiters.iter().any(|known| known.will_wake(waker)) {
            state.waiters.push(clone);
        }
        Poll::Pending
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.number);
    }
}

/// A core's entry among the holders, for as long as its value lives.
struct Presence {
    registry: Arc<Registry>,
    runtime: Handle,
    core: Core,
}

impl Presence {
    fn new(registry: &Arc<Registry>, runtime: Handle, core: Core) -> Option<Self> {
        let mut state = registry.state();
        if registry.is_closed.load(Relaxed) {
            return None;
        }
        state.holders.push((runtime.clone(), core));
        Some(Self { registry: registry.clone(), runtime, core })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        context::try_with(|core| {
            if core.is(&self.runtime, self.core) {
                core.per_core.vacate(&self.registry);
            }
        });
        let mut state = self.registry.state();
        let entry =
            state.holders.iter().position(|(runtime, core)| (runtime, core) == (&self.runtime, &self.core));
        let gone = entry.map(|entry| state.holders.swap_remove(entry));
        let waiters = if state.holders.is_empty() { std::mem::take(&mut state.waiters) } else { Vec::new() };
        drop(state);
        drop(gone);
        waiters.into_iter().for_each(wake);
    }
}

/// One core's values, by number.
#[derive(Default)]
pub(crate) struct Slots {
    slots: RefCell<Vec<Slot>>,
}

struct Slot {
    /// Whose value it is.
    id: u64,
    value: Weak<dyn Any>,
    is_making: bool,
}

impl Slots {
    #[inline]
    fn find(&self, registry: &Registry) -> Option<Rc<dyn Any>> {
        let slots = self.slots.borrow();
        let slot = slots.get(registry.number)?;
        if slot.id == registry.id { slot.value.upgrade() } else { None }
    }

    #[track_caller]
    fn begin_making(&self, registry: &Registry) {
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= registry.number {
            slots.resize_with(registry.number + 1, Slot::vacant);
        }
        let slot = &mut slots[registry.number];
        let is_making = slot.id == registry.id && slot.is_making;
        assert!(!is_making, "making the value of `{}` asks for that value", registry.name);
        *slot = Slot { id: registry.id, is_making: true, ..Slot::vacant() };
    }

    fn made(&self, registry: &Registry, value: &Rc<dyn Any>) {
        self.slots.borrow_mut()[registry.number] =
            Slot { id: registry.id, value: Rc::downgrade(value), is_making: false };
    }

    /// Forgets a value that is gone, or was not made. Keeps one that was made anew while the old one was being dropped.
    fn vacate(&self, registry: &Registry) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(registry.number) {
            if slot.id == registry.id && slot.value.strong_count() == 0 {
                *slot = Slot::vacant();
            }
        }
    }
}

impl Slot {
    fn vacant() -> Self {
        Self { id: 0, value: Weak::<()>::new(), is_making: false }
    }
}
