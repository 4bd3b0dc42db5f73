//! A kind of device as a whole: [`Module`], and those that were added to the layer.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::{by_configuration, start};
use crate::bdev::device::Device;
use crate::bdev::{Descriptor, Error, Removal, Result, registry};

/// A kind of device as a whole, which looks at other devices as they are registered and makes its own of them: what finds the
/// partitions of a disk, the members of an array, the volumes of a store. SPDK's `spdk_bdev_module`.
///
/// A module that only makes devices when told to needs none of this: [`Bdev`](crate::bdev::Bdev) and
/// [`register`](crate::bdev::register) are enough.
///
/// ```standalone_crate
/// use reactor::bdev::{self, Access, Claim, Descriptor, Module, modules::{Part, Ram}};
///
/// /// Makes a device of every disk that begins with its signature.
/// struct Stores;
///
/// impl Module for Stores {
///     fn name(&self) -> &'static str {
///         "stores"
///     }
///
///     async fn examine_disk(&self, disk: Descriptor) -> bdev::Result<()> {
///         let head = disk.channel()?.read(0..1).await?;
///         if head.starts_with(b"STORE") {
///             // From here on nobody else writes to it.
///             let disk = disk.claim(Claim::WriteOne, self.name())?;
///             let (name, end) = (format!("{}-store", disk.name()), disk.geometry().block_count);
///             bdev::register(name, Part::new(disk, 1..end)?)?;
///         }
///         Ok(())
///     }
/// }
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// bdev::register("shelf0", Ram::new(1 << 20)?)?;
/// # let channel = bdev::open("shelf0", Access::ReadWrite).await?.channel()?;
/// # let mut head = channel.alloc(512).await?;
/// # head[..5].copy_from_slice(b"STORE");
/// # channel.write(0, head).await?;
/// # drop(channel);
/// bdev::add_module(Stores).await?;
/// bdev::examined().await;
/// assert_eq!(bdev::open("shelf0-store", Access::ReadWrite).await?.name(), "shelf0-store");
/// # bdev::finish().await?;
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
pub trait Module: Send + Sync + 'static {
    /// What it is called, and what its claims say. Unique.
    fn name(&self) -> &'static str;

    /// Called once, before it is shown any device.
    ///
    /// # Errors
    /// Whatever keeps it from its work: it is not added then.
    fn init(&self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// A device is about to be registered; nobody can open it yet. The place to claim what this module knows by its name, alias or
    /// UUID ([`Descriptor::info`]), without having read it.
    ///
    /// # Errors
    /// Whatever went wrong. The device is registered all the same, and this module is not asked further about it.
    fn examine_config(&self, disk: &Descriptor) -> Result<()> {
        let _ = disk;
        Ok(())
    }

    /// A device was registered: the place to read it, and to [claim](Descriptor::claim) it and make devices over it if it is this
    /// module's. `disk` is open for reading, and should be dropped when it turns out to be none of this module's.
    ///
    /// All modules look at a device at the same time, on the core that registered it; if somebody has claimed it, only those that
    /// hold a claim. What is not ready after [a while](super::EXAMINE_SECONDS), and what is still looking when the device is
    /// removed, is dropped.
    ///
    /// # Errors
    /// Whatever went wrong. That the device is none of this module's is not wrong.
    fn examine_disk(&self, disk: Descriptor) -> impl Future<Output = Result<()>> {
        async {
            drop(disk);
            Ok(())
        }
    }

    /// Lines for [`load`](crate::bdev::load) that the devices which are there do not say for themselves: those that this module
    /// would still make, if what they stand on appeared.
    fn config(&self) -> String {
        String::new()
    }

    /// Called once, after the last device was shown to it: the place to take its own devices away.
    fn fini(&self) -> impl Future<Output = ()> {
        async {}
    }
}

/// What a [`Module`] does once it was added, without its type.
pub(super) trait AnyModule: Send + Sync {
    fn examine_config(&self, disk: &Descriptor) -> Result<()>;
    fn examine_disk(&self, disk: Descriptor) -> LocalBoxFuture<'_, Result<()>>;
    fn config(&self) -> String;
    fn fini(&self) -> LocalBoxFuture<'_, ()>;
}

impl<M: Module> AnyModule for M {
    fn examine_config(&self, disk: &Descriptor) -> Result<()> {
        Module::examine_config(self, disk)
    }
    fn examine_disk(&self, disk: Descriptor) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(Module::examine_disk(self, disk))
    }
    fn config(&self) -> String {
        Module::config(self)
    }
    fn fini(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(Module::fini(self))
    }
}

/// A module that was added.
pub(super) struct Added {
    /// No two have the same, also of one name after another.
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) module: Box<dyn AnyModule>,
}

static MODULES: Mutex<Vec<Arc<Added>>> = Mutex::new(Vec::new());

fn modules() -> MutexGuard<'static, Vec<Arc<Added>>> {
    // Every change is one push or remove.
    MODULES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that are there now, in the order in which they were added.
pub(super) fn all() -> Vec<Arc<Added>> {
    modules().clone()
}

/// Adds `module`, and shows it every device that is registered and, from now on, every one that will be.
///
/// It stays until it is [removed](remove_module). [`examined`](super::examined) waits until it has seen what there is.
///
/// # Errors
/// [`Error::Module`] if there is one of that name, or if its [`init`](Module::init) fails or panics.
pub async fn add_module(module: impl Module) -> Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = module.name();
    let refused = |reason: String| Err(Error::Module { module: name.to_owned(), reason });
    let taken = || "a module of that name is there already: remove it first".to_owned();
    if modules().iter().any(|known| known.name == name) {
        return refused(taken());
    }
    match AssertUnwindSafe(async { module.init().await }).catch_unwind().await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => return refused(format!("it does not start: {}", in_words(&e))),
        Err(panic) => return refused(format!("it does not start: {}", panicked(panic))),
    }
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let added = Arc::new(Added { id, name, module: Box::new(module) });
    let is_first = {
        let mut modules = modules();
        let is_first = modules.iter().all(|known| known.name != name);
        if is_first {
            modules.push(added.clone());
        }
        is_first
    };
    if !is_first {
        end(&added).await?;
        return refused(taken());
    }
    if super::is_automatic() {
        for device in registry::registered() {
            by_configuration(&device, std::slice::from_ref(&added));
            start(&device);
        }
    }
    Ok(())
}

/// Takes the module called `name` away: it is shown no further device, what it is looking at it looks at to the end, and then it
/// [ends](Module::fini). Devices that it made stay unless it takes them away.
///
/// # Errors
/// [`Error::Module`] if there is none of that name, or if its end panics.
pub async fn remove_module(name: &str) -> Result<()> {
    let found = {
        let mut modules = modules();
        let at = modules.iter().position(|known| known.name == name);
        at.map(|at| modules.remove(at))
    };
    let Some(found) = found else {
        return Err(Error::Module {
            module: name.to_owned(),
            reason: "there is none of that name".to_owned(),
        });
    };
    for device in registry::registered() {
        device.looks.end_of_turn().await;
    }
    end(&found).await
}

/// Ends all: takes every registered device away, those that stand on others first, ends the modules, the last one first, and waits until
/// the devices are gone. SPDK's `spdk_bdev_finish`.
///
/// Waits for as long as somebody has one of them open: [`timeout`](crate::time::timeout) gives up, and then nothing is undone.
///
/// # Errors
/// [`Error::Module`] for the first module whose end panics.
pub async fn finish() -> Result<()> {
    let modules = std::mem::take(&mut *modules());
    let mut removals = Vec::new();
    remove_all(&mut removals);
    let mut result = Ok(());
    for module in modules.iter().rev() {
        result = result.and(end(module).await);
    }
    // What somebody has registered meanwhile.
    remove_all(&mut removals);
    futures::future::join_all(removals).await;
    result
}

fn remove_all(removals: &mut Vec<Removal>) {
    loop {
        let devices = registry::registered();
        let mut below = Vec::new();
        devices.iter().for_each(|device| add_bases(device, &mut below));
        let is_base = |device: &&Arc<Device>| below.iter().any(|base| Arc::ptr_eq(base, device));
        let before = removals.len();
        removals.extend(devices.iter().filter(|device| !is_base(device)).map(registry::remove));
        if removals.len() == before {
            return;
        }
    }
}

/// Adds all that lies below `device`, however deep.
fn add_bases(device: &Device, below: &mut Vec<Arc<Device>>) {
    for base in device.bdev.bases() {
        add_bases(base.device(), below);
        below.push(base.device().clone());
    }
}

async fn end(added: &Added) -> Result<()> {
    let ended = AssertUnwindSafe(async { added.module.fini().await }).catch_unwind().await;
    ended.map_err(|panic| Error::Module {
        module: added.name.to_owned(),
        reason: format!("it did not end well: {}", panicked(panic)),
    })
}

pub(super) fn panicked(payload: Box<dyn std::any::Any + Send>) -> String {
    format!("it panicked: {}", crate::Panic::new(payload).message())
}

/// An error with what lies behind it.
pub(super) fn in_words(error: &Error) -> String {
    let sources = std::iter::successors(std::error::Error::source(error), |e| e.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
