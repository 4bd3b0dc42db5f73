//! The table of what a spec can make: one [`Kind`] per module, each stated in the module's own file.

use std::fmt::Display;
use std::future::ready;

use futures::future::BoxFuture;

use super::{Args, Fault};
use crate::bdev::module::AnyBdev;
#[cfg(feature = "crypt")]
use crate::bdev::modules::crypt;
#[cfg(feature = "gpt")]
use crate::bdev::modules::gpt;
#[cfg(feature = "nvme")]
use crate::bdev::modules::nvme;
use crate::bdev::modules::{
    concat, delay, faulty, mirror, null, part, passthru, ram, stripe, uring, verify, zoned,
};
use crate::bdev::{Access, Bdev, Descriptor, Result};

/// Every kind, in the order of the table of [`open`](super::open).
pub(super) static KINDS: &[&Kind] = &[
    &null::KIND,
    &ram::KIND,
    &uring::FILE,
    &uring::POLL,
    #[cfg(feature = "nvme")]
    &nvme::NVME,
    #[cfg(feature = "nvme")]
    &nvme::NG,
    &passthru::KIND,
    &delay::KIND,
    &faulty::KIND,
    &part::KIND,
    #[cfg(feature = "gpt")]
    &gpt::KIND,
    &concat::KIND,
    &stripe::KIND,
    &mirror::KIND,
    #[cfg(feature = "crypt")]
    &crypt::KIND,
    &verify::KIND,
    &zoned::KIND,
];

/// A kind of block device that [`open`](crate::bdev::open) makes from a spec. [`kinds`](crate::bdev::kinds) lists them.
#[derive(Debug)]
pub struct Kind {
    pub(in crate::bdev::modules) name: &'static str,
    pub(in crate::bdev::modules) form: &'static str,
    pub(in crate::bdev::modules) about: &'static str,
    pub(in crate::bdev::modules) bases: Bases,
    /// What follows the colon is a path.
    pub(in crate::bdev::modules) takes_path: bool,
    /// Reads the arguments.
    pub(in crate::bdev::modules) plan: fn(&mut Args<'_>) -> Result<Plan, Fault>,
}

/// What a kind stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bdev::modules) enum Bases {
    None,
    One,
    /// One or more.
    Many,
}

impl Kind {
    /// A kind for devices of its own. Change what is different.
    pub(in crate::bdev::modules) const fn new(
        name: &'static str,
        form: &'static str,
        about: &'static str,
        bases: Bases,
        plan: fn(&mut Args<'_>) -> Result<Plan, Fault>,
    ) -> Self {
        Self { name, form, about, bases, takes_path: false, plan }
    }

    /// The word that a spec of this kind begins with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How it is written. SPEC stands for any other spec.
    #[must_use]
    pub fn form(&self) -> &'static str {
        self.form
    }

    /// What it is, in a line.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().copied().find(|kind| kind.name == name)
    }
}

/// A device whose arguments were read: how it is called, and how it is made.
pub(in crate::bdev::modules) struct Plan {
    /// The name that the device goes by, whatever its spelling. None: as written.
    pub(super) name: Option<String>,
    /// True if the name stands for something outside of this process, which must be one device also below others.
    pub(super) is_shared: bool,
    pub(super) make: Make,
}

pub(super) type Make = Box<dyn FnOnce(Vec<Descriptor>, Access) -> Made + Send>;
pub(super) type Made = BoxFuture<'static, Result<Box<dyn AnyBdev>>>;

impl Plan {
    /// A device that stands on nothing, called `name`.
    pub(in crate::bdev::modules) fn leaf<B: Bdev>(
        name: impl Display,
        make: impl FnOnce(Access) -> Result<B> + Send + 'static,
    ) -> Self {
        let name = Some(name.to_string());
        Self { name, is_shared: false, make: Box::new(|_, access| at_once(make(access))) }
    }

    /// The same, with a name that stands for something outside of this process.
    pub(in crate::bdev::modules) fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// The same for one that is made by I/O.
    #[cfg(feature = "nvme")]
    pub(in crate::bdev::modules) fn making<B: Bdev, F: Future<Output = Result<B>> + 'static>(
        name: impl Display,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        let name = Some(name.to_string());
        Self { name, is_shared: false, make: Box::new(|_, _| -> Made { Box::pin(on_this_core(make)) }) }
    }

    /// A device over others.
    pub(in crate::bdev::modules) fn over<B: Bdev>(
        make: impl FnOnce(Vec<Descriptor>) -> Result<B> + Send + 'static,
    ) -> Self {
        Self { name: None, is_shared: false, make: Box::new(|bases, _| at_once(make(bases))) }
    }

    /// A device over one other: its kind is of [`Bases::One`].
    pub(in crate::bdev::modules) fn over_one<B: Bdev>(
        make: impl FnOnce(Descriptor) -> Result<B> + Send + 'static,
    ) -> Self {
        Self::over(|bases| make(the_one(bases)))
    }

    /// The same for one that is made of what stands on the other: `make` may do I/O.
    #[cfg(feature = "gpt")]
    pub(in crate::bdev::modules) fn reading_one<B: Bdev, F: Future<Output = Result<B>> + 'static>(
        make: impl FnOnce(Descriptor) -> F + Send + 'static,
    ) -> Self {
        let make = move |bases, _| -> Made { Box::pin(on_this_core(move || make(the_one(bases)))) };
        Self { name: None, is_shared: false, make: Box::new(make) }
    }
}

fn the_one(bases: Vec<Descriptor>) -> Descriptor {
    let Ok([base]) = <[Descriptor; 1]>::try_from(bases) else { unreachable!("the parser counts them") };
    base
}

fn at_once<B: Bdev>(made: Result<B>) -> Made {
    Box::pin(ready(made.map(|made| Box::new(made) as Box<dyn AnyBdev>)))
}

/// Channels stay on their core, and opening a device may be waited for by a task that does not: a task of this core's makes it then,
/// and gives up if nobody waits any more.
#[cfg(any(feature = "gpt", feature = "nvme"))]
async fn on_this_core<B: Bdev, F: Future<Output = Result<B>> + 'static>(
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<Box<dyn AnyBdev>> {
    use std::pin::pin;

    use crate::bdev::Error;
    use crate::reactor::{context, spawn_local};

    let started = move || {
        context::try_with(|_| ()).ok_or(crate::NotOnReactor { what: "bdev::open" })?;
        let (mut tell, told) = crate::sync::oneshot::channel();
        let making = async move {
            let made = match futures::future::select(pin!(make()), pin!(tell.closed())).await {
                futures::future::Either::Left((made, _)) => made,
                futures::future::Either::Right(_) => return,
            };
            // Who has gone meanwhile drops it.
            let _ = tell.send(made);
        };
        spawn_local(making).detach();
        Ok::<_, Error>(told)
    };
    let told = started()?;
    let made = told.await.unwrap_or(Err(Error::Aborted))?;
    Ok(Box::new(made))
}
