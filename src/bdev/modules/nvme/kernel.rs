//! A namespace that the kernel drives, as something that leads to a device: one path, by its character device.
//!
//! Paths, resets and time limits are the kernel's. What it tells of changes is listened to; where it tells nobody, a command that comes to
//! nothing, or [`rescan`](super::NvmeDisk::rescan), has the namespace asked anew.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures::stream::{self, Stream, StreamExt};

use super::attached::Attached;
use super::source::sealed::Sealed;
use super::{NvmeDisk, NvmeOptions, Source, Told};
use crate::bdev::modules::spec::{Bases, Kind, Plan, quoted};
use crate::bdev::{Error, Result};
use crate::nvme::passthru::{self, Change, OpenError};
use crate::nvme::spec::{Command, IdentifyController};
use crate::nvme::{self, Answer, Namespace, Payload};

pub(in crate::bdev::modules) const NG: Kind = Kind::new(
    "ng",
    "ng:/dev/ng0n1",
    "a namespace of a controller that the kernel drives, by its commands through io_uring; with `poll=true` its completions are polled for (feature `nvme`)",
    Bases::None,
    |args| {
        let missing =
            "name the character device of a namespace, such as ng:/dev/ng0n1 (`ls /dev/ng*` lists them)";
        let path = args.bare().ok_or_else(|| args.missing(missing))?;
        if path.text().is_empty() {
            return Err(path.fault(missing));
        }
        let path = PathBuf::from(path.text());
        // However it is spelled. What is not there is told when it is opened.
        let path = path.canonicalize().unwrap_or(path);
        let is_polling = match args.get("poll") {
            Some(value) => value.choice(&[("true", true), ("false", false)])?,
            None => false,
        };
        let name = format!("ng:{}", path.display());
        Ok(Plan::making(name, async move || {
            let name = path.display().to_string();
            let source =
                KernelNamespace::open(&path, is_polling).await.map_err(|e| of_namespace(&path, e))?;
            let spec = source.spec();
            let nsid = source.0.namespace.description().id();
            let failed = |e: nvme::Error| of_namespace(&path, e);
            let attached = Attached::new(name, source, NvmeOptions::default(), spec, false).await;
            Ok(NvmeDisk(attached.map_err(failed)?.take(nsid).await.map_err(failed)?))
        })
        .shared())
    },
);

fn of_namespace(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Os { context: format!("the NVMe namespace {}", path.display()), source: io::Error::other(error) }
}

/// A namespace that the kernel drives, as a [`Source`] of one device.
///
/// [`open`](crate::bdev::open) makes one of `ng:/dev/ng0n1`. In code:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use reactor::bdev::{self, Access, modules::{KernelNamespace, Nvme}};
/// let nvme = Nvme::attach("data", KernelNamespace::open("/dev/ng0n1", false).await?).await?;
/// let disk = bdev::open("datan1", Access::ReadWrite).await?;
/// # drop((nvme, disk));
/// # Ok(())
/// # }
/// ```
///
/// The device takes what the namespace takes. What the kernel passes no command on for, which is comparing and writing as one, the layer
/// does itself. Admin commands and resets go to the namespace's controller, which root alone may open as a rule; without, they fail with
/// [`Error::Io`] and the rest goes on.
#[derive(Clone)]
pub struct KernelNamespace(Arc<Shared>);

struct Shared {
    namespace: passthru::Namespace,
    is_polling: bool,
    /// Opened for the first command that goes there.
    controller: OnceLock<passthru::Controller>,
}

impl NvmeDisk<KernelNamespace> {
    /// The disk that the kernel makes of the same namespace: see [`disk_path`](passthru::Namespace::disk_path).
    #[must_use]
    pub fn disk_path(&self) -> Option<PathBuf> {
        self.0.controllers().first()?.source.namespace().disk_path()
    }
}

impl KernelNamespace {
    /// Opens the character device of a namespace, such as `/dev/ng0n1`; if it `polls`, by queues that are asked for completions (see
    /// [`polling_queue`](passthru::Namespace::polling_queue)).
    ///
    /// # Errors
    /// [`OpenError`]: no such device, another one, no permission, a kernel without commands through io_uring, a driver without queues
    /// to poll.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn open(path: impl Into<PathBuf>, polls: bool) -> Result<Self, OpenError> {
        let namespace = passthru::Namespace::open(path).await?;
        if polls && !namespace.has_polling_queues() {
            return Err(OpenError::NoPollQueues { path: namespace.path().into() });
        }
        Ok(Self(Arc::new(Shared { namespace, is_polling: polls, controller: OnceLock::new() })))
    }

    /// The namespace itself.
    #[must_use]
    pub fn namespace(&self) -> &passthru::Namespace {
        &self.0.namespace
    }

    /// What opens it again.
    fn spec(&self) -> Option<String> {
        let path = std::path::absolute(self.0.namespace.path()).ok()?;
        let poll = if self.0.is_polling { ",poll=true" } else { "" };
        Some(format!("ng:{}{poll}", quoted(path.to_str()?)))
    }

    /// What takes its admin commands.
    async fn controller(&self) -> Result<&passthru::Controller, nvme::Error> {
        if let Some(controller) = self.0.controller.get() {
            return Ok(controller);
        }
        let path = self.0.namespace.controller_path();
        let path =
            path.ok_or(nvme::Error::Unsupported("/sys does not tell which device takes its commands"))?;
        let controller = passthru::Controller::open(path).await.map_err(Box::new)?;
        Ok(self.0.controller.get_or_init(|| controller))
    }
}

impl Sealed for KernelNamespace {}

impl Source for KernelNamespace {
    type Queue = passthru::Queue;
    const IS_CONTROLLER: bool = false;

    async fn queue(&self) -> Result<passthru::Queue, nvme::Error> {
        let Shared { namespace, is_polling, .. } = &*self.0;
        let queue = if *is_polling { namespace.polling_queue() } else { namespace.queue() };
        Ok(queue.map_err(Box::new)?)
    }

    async fn admin(&self, command: Command, payload: Payload) -> (Result<Answer, nvme::Error>, Payload) {
        match self.controller().await {
            Ok(controller) => controller.admin(command, payload).await,
            Err(error) => (Err(error), payload),
        }
    }

    async fn namespaces(&self) -> Result<Vec<u32>, nvme::Error> {
        Ok(vec![self.0.namespace.description().id()])
    }

    async fn namespace(&self, _nsid: u32) -> Result<Namespace, nvme::Error> {
        self.0.namespace.describe().await
    }

    fn identity(&self) -> &IdentifyController {
        self.0.namespace.controller()
    }

    fn events(&self) -> impl Stream<Item = Told> + 'static {
        let told = |change| match change {
            Change::Removed => Told::Gone,
            _ => Told::Changed,
        };
        // Where the kernel does not tell, nothing is known to have happened.
        let changes = stream::iter(self.0.namespace.changes().ok()).flatten();
        changes.map(told).chain(stream::pending())
    }

    async fn reset(&self) -> Result<(), nvme::Error> {
        self.controller().await?.reset().await
    }

    fn is_lingering(queue: &passthru::Queue) -> bool {
        queue.is_busy()
    }
}

impl fmt::Debug for KernelNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KernelNamespace").field(&self.0.namespace).finish()
    }
}
