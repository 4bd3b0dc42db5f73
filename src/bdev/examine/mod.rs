//! Examination: every device that is registered is shown to the modules that were added, which make of it what it is to them.
//!
//! ```text
//!   register() ── examine_config() ──► known by name ── examine_disk() ──► examined()
//!                 on the spot, may claim               a task of this core's, may read, claim, and register
//! ```
//!
//! What a module is stands in `module`, how far a device has been examined in `looks`. Devices that a module registers are examined
//! in their turn.

mod looks;
mod module;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join_all, select};

pub use looks::Examined;
pub(super) use looks::Looks;
use module::{Added, in_words, panicked};
pub use module::{Module, add_module, finish, remove_module};

use super::device::Device;
use super::{Access, Descriptor, Error, Event, Result, registry};
use crate::NotOnReactor;
use crate::reactor::{context, spawn_local};
use crate::time::timeout;

/// How many seconds a module may look at a device.
pub const EXAMINE_SECONDS: u64 = 30;

static IS_AUTOMATIC: AtomicBool = AtomicBool::new(true);

/// Whether devices are shown to modules when they are registered, which they are unless told otherwise, or only by
/// [`examine`]: SPDK's `bdev_auto_examine`. For the whole process, from now on.
pub fn set_auto_examine(is_automatic: bool) {
    // Relaxed: it guards nothing.
    IS_AUTOMATIC.store(is_automatic, Ordering::Relaxed);
}

fn is_automatic() -> bool {
    IS_AUTOMATIC.load(Ordering::Relaxed)
}

/// Has every module look at the device known as `name`, again if it has, and waits until they have: SPDK's
/// `spdk_bdev_examine`. Modules that have a claim on it have seen it, and are not asked again.
///
/// Dropping the future lets the modules go on if they were looking already, and ends their look otherwise.
///
/// # Errors
/// [`Error::Examine`], with what the first module said that failed; [`Error::NotFound`], [`Error::Removed`],
/// [`Error::NotOnReactor`].
pub async fn examine(name: &str) -> Result<()> {
    context::try_with(|_| ()).ok_or(NotOnReactor { what: "bdev::examine" })?;
    let device = registry::find(name).ok_or_else(|| Error::NotFound { name: name.to_owned() })?;
    if device.looks.is_under_way() {
        device.looks.end_of_turn().await;
    } else {
        let claimed = device.life().openings.claimed();
        let has_claim = |module: &Arc<Added>| {
            claimed.as_ref().is_some_and(|claimed| claimed.by.iter().any(|by| **by == *module.name))
        };
        let again: Vec<_> = module::all().into_iter().filter(|module| !has_claim(module)).collect();
        device.looks.forget(&again);
        by_configuration(&device, &again);
    }
    look(&device).await?;
    match device.looks.said().into_iter().find_map(|said| Some((said.module, said.failure?))) {
        Some((module, reason)) => Err(Error::Examine { name: device.name.to_string(), module, reason }),
        None => Ok(()),
    }
}

/// Waits until every registered device has been examined, those included that are registered meanwhile: SPDK's
/// `spdk_bdev_wait_for_examine`. What was found is in [`Info::examined`](super::Info::examined).
///
/// Devices that were registered where no reactor turns are examined by this.
///
/// # Panics
/// With [`NotOnReactor`] outside of a reactor.
pub async fn examined() {
    loop {
        let modules = module::all();
        let is_due = |device: &Arc<Device>| {
            device.looks.is_under_way() || !device.looks.due(modules.clone()).is_empty()
        };
        let Some(device) = registry::registered().into_iter().find(is_due) else { return };
        device.looks.end_of_turn().await;
        // What has been removed meanwhile is not registered any more.
        let _ = look(&device).await;
    }
}

/// The first step for a device that is about to be registered.
pub(super) fn before_it_is_known(device: &Arc<Device>) {
    if is_automatic() {
        by_configuration(device, &module::all());
    }
}

/// The first step: each of `modules` is asked by the device's names.
fn by_configuration(device: &Arc<Device>, modules: &[Arc<Added>]) {
    device.looks.want();
    if modules.is_empty() {
        return;
    }
    let disk = match Descriptor::open(device.clone(), Access::ReadOnly) {
        Ok(disk) => disk,
        Err(e) => return modules.iter().for_each(|module| device.looks.record(module, Some(in_words(&e)))),
    };
    for added in modules {
        let failure = match catch_unwind(AssertUnwindSafe(|| added.module.examine_config(&disk))) {
            Ok(Ok(())) => continue,
            Ok(Err(e)) => in_words(&e),
            Err(panic) => panicked(panic),
        };
        device.looks.record(added, Some(failure));
    }
}

/// Has a task of this core's take the second step, if there is anything to do and a core to do it.
pub(super) fn start(device: &Arc<Device>) {
    if device.looks.due(module::all()).is_empty() || context::try_with(|_| ()).is_none() {
        return;
    }
    // Until it comes to that it does not keep the device.
    let device = Arc::downgrade(device);
    let look = async move {
        if let Some(device) = device.upgrade() {
            // Who removed it knows.
            let _ = look(&device).await;
        }
    };
    spawn_local(look).detach();
}

/// The second step: all modules that have not seen the device read it, at a time. Until it is removed.
async fn look(device: &Arc<Device>) -> Result<()> {
    let turn = loop {
        match device.looks.take_turn() {
            Ok(turn) => break turn,
            Err(over) => over.wait().await,
        }
    };
    let due = device.looks.due(module::all());
    if due.is_empty() {
        return Ok(());
    }
    let disk = match Descriptor::open(device.clone(), Access::ReadOnly) {
        Ok(disk) => disk,
        Err(Error::Removed) => return Err(Error::Removed),
        Err(e) => {
            due.iter().for_each(|module| device.looks.record(module, Some(in_words(&e))));
            return Ok(());
        }
    };
    let mut events = disk.events();
    let claimed = device.life().openings.claimed();
    let looks = due.iter().map(|added| {
        let is_asked = claimed.as_ref().is_none_or(|claimed| claimed.by.iter().any(|by| **by == *added.name));
        let disk = is_asked.then(|| disk.clone());
        async move {
            let failure = match disk {
                Some(disk) => look_by(added, disk).await,
                None => None,
            };
            device.looks.record(added, failure);
        }
    });
    let looks = join_all(looks);
    drop(disk);
    let removed = async { while events.next().await.is_some_and(|event| event != Event::Removed) {} };
    let result = match select(pin!(looks), pin!(removed)).await {
        futures::future::Either::Left(_) => Ok(()),
        futures::future::Either::Right(_) => Err(Error::Removed),
    };
    drop(turn);
    result
}

/// What goes wrong when one module reads `disk`, if anything does.
async fn look_by(added: &Added, disk: Descriptor) -> Option<String> {
    let look = AssertUnwindSafe(async { added.module.examine_disk(disk).await }).catch_unwind();
    match timeout(Duration::from_secs(EXAMINE_SECONDS), look).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(e))) => Some(in_words(&e)),
        Ok(Err(panic)) => Some(panicked(panic)),
        Err(_elapsed) => Some(format!("it did not end within {EXAMINE_SECONDS} seconds and was given up")),
    }
}

/// What modules say beyond their devices, each under its name.
pub(super) fn config(text: &mut String) {
    for added in module::all() {
        let lines = added.module.config();
        if !lines.trim().is_empty() {
            let _infallible = writeln!(text, "# {}\n{}", added.name, lines.trim_end());
        }
    }
}
