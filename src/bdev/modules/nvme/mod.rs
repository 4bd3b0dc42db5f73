//! NVMe namespaces, by whatever leads to them: queue pairs of our own, or the kernel's passthrough (feature `nvme`).
//!
//! ```text
//!   Nvme::attach ──▶ Attached (a controller, the task that looks after it)
//!                       │ a path of                     │ a path of
//!                       ▼                               ▼
//!   NvmeDisk ──▶ Disk (a namespace: its shape, its paths) ◀── another controller of its subsystem
//!      │ channel
//!      ▼
//!   NvmeChannel (a core's: a queue for each path that is used) ── Io ──▶ Command, Payload ──▶ Queue
//! ```
//!
//! What I/O becomes on its way is in `request`, and in `steps` where that takes several commands; what is made of failures in `failure`
//! and `explain`. Which path it takes is in `channel` and `view`, how paths come and go in `paths`, what a controller brings in
//! `attached`. What is given up is aborted by `sending`; a core that gets no queue, as the controller has fewer than there are cores, has
//! its commands sent `away`, by another core's.

mod attached;
mod away;
mod channel;
mod disk;
mod explain;
mod failure;
mod kernel;
mod kind;
mod paths;
mod request;
mod sending;
mod shape;
mod source;
mod steps;
mod view;

pub use channel::NvmeChannel;
pub use disk::NvmeDisk;
pub use kernel::KernelNamespace;
pub(super) use kernel::NG;
pub(super) use kind::NVME;
pub use paths::PathStatus;
pub use source::{Source, Told};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::bdev::{Error, Removal, Result};
use crate::nvme::Controller;
use crate::nvme::pcie::{self, Address, PcieDevice};
use attached::Attached;

/// Which of equally good paths I/O takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PathPolicy {
    /// The first that can be used: the others stand by.
    #[default]
    ActivePassive,
    /// All of them, in turn, on each core.
    RoundRobin,
}

/// How what a controller brings is to be used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NvmeOptions {
    /// Which namespaces become devices; none for all, those that appear later included.
    pub namespaces: Option<Vec<u32>>,
    /// Which paths are used, for a namespace that this controller is the first to have.
    pub policy: PathPolicy,
    /// How often I/O is tried again that a controller refuses for the moment: a status without DNR.
    pub retries: u32,
    /// How long I/O waits for a path, and how long it is tried on others.
    pub path_timeout: Duration,
    /// How long from one look at a controller that does not answer to the next.
    pub probe_every: Duration,
}

impl Default for NvmeOptions {
    fn default() -> Self {
        Self {
            namespaces: None,
            policy: PathPolicy::ActivePassive,
            retries: 3,
            path_timeout: Duration::from_secs(15),
            probe_every: Duration::from_secs(1),
        }
    }
}

/// A controller whose namespaces are block devices: SPDK's `bdev_nvme_attach_controller`.
///
/// Each active namespace becomes one, called by the controller's name and its number, such as `nvme0n1`, and found by its UUID, NGUID,
/// EUI64 and its subsystem's name as well. Namespaces that appear become devices, those that go are removed, those that grow are resized.
/// One that several controllers of a subsystem have becomes one device, with a path by each: I/O that fails on one path takes another.
///
/// Devices stay when this is dropped, and keep the controller; [`detach`](Self::detach) takes them away.
///
/// ```
/// use reactor::bdev::{self, Access, modules::Nvme};
/// use reactor::nvme::{Config, Controller, soft::SoftController};
/// # use reactor::Poller;
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// # let device = SoftController::default();
/// # let _works = Poller::register("device", { let device = device.clone(); move || device.step() });
/// let controller = Controller::attach(device, Config::default()).await?;
/// let nvme = Nvme::attach("nvme0", controller).await?;
/// let disk = bdev::open("nvme0n1", Access::ReadWrite).await?;
/// let block = disk.channel()?.read(0..1).await?;
/// # drop((disk, block));
/// nvme.detach();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Nvme<S: Source>(Arc<Attached<S>>);

impl<S: Source> Nvme<S> {
    /// Makes devices of the namespaces of `source`, whose names begin with `name`. Call it on the core that is to look after it, which may
    /// be any; when that ends, nobody does.
    ///
    /// A namespace that cannot be a device is left out, and [said](Self::refused).
    ///
    /// # Errors
    /// [`Error::Os`] with what the controller says, or does not; [`Error::Module`] if it has namespaces and none can be a device. Then, and
    /// if the future is dropped, nothing is attached.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn attach(name: impl Into<String>, source: S) -> Result<Self> {
        Self::attach_with(name, source, NvmeOptions::default()).await
    }

    /// The same, as told.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub async fn attach_with(name: impl Into<String>, source: S, options: NvmeOptions) -> Result<Self> {
        Self::attach_as(name.into(), source, options, None).await
    }

    async fn attach_as(name: String, source: S, options: NvmeOptions, spec: Option<String>) -> Result<Self> {
        let attached = Attached::new(name.clone(), source, options, spec, true).await;
        let attached = attached.map_err(|e| of_controller(&name, e))?;
        match attached.refused().into_iter().next() {
            Some((nsid, reason)) if attached.disks().is_empty() => {
                let reason = format!("namespace {nsid} of {name} cannot be a block device: {reason}");
                Err(Error::Module { module: "nvme".to_owned(), reason })
            }
            _ => Ok(Self(attached)),
        }
    }

    /// The names of the devices that it has a path to.
    #[must_use]
    pub fn disks(&self) -> Vec<String> {
        let disks = self.0.disks();
        disks.iter().filter_map(|disk| disk.device()).map(|device| device.name().to_owned()).collect()
    }

    /// The namespaces that are no device, and why.
    #[must_use]
    pub fn refused(&self) -> Vec<(u32, String)> {
        self.0.refused()
    }

    /// What leads to the namespaces.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.0.source
    }

    /// Gives its paths up. A device that has no other is removed: what is returned waits for that, for who wants to.
    pub fn detach(self) -> Vec<Removal> {
        self.0.leave_all()
    }
}

impl Nvme<Controller<PcieDevice>> {
    /// The same of the controller at a PCI address, written as `0000:00:04.0`, which vfio-pci has. Its devices stand in
    /// [`config`](crate::bdev::config) by their specs.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); [`Error::Os`] with what is missing for the controller to be opened, and what to do for it.
    pub async fn attach_address(
        name: impl Into<String>,
        address: &str,
        options: NvmeOptions,
    ) -> Result<Self> {
        let of = |e: pcie::Error| Error::Os {
            context: format!("the NVMe controller {address:?}"),
            source: io::Error::other(e),
        };
        let address: Address = address.parse().map_err(of)?;
        let controller = kind::attach(address).await?;
        Self::attach_as(name.into(), controller, options, Some(format!("nvme:{address}"))).await
    }
}

fn of_controller(name: &str, error: crate::nvme::Error) -> Error {
    Error::Os { context: format!("the NVMe controller {name}"), source: io::Error::other(error) }
}

impl<S: Source> fmt::Debug for Nvme<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nvme")
            .field("name", &self.0.name)
            .field("disks", &self.disks())
            .finish_non_exhaustive()
    }
}
