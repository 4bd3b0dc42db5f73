//! A namespace as a block device: [`NvmeDisk`].

use std::fmt;
use std::sync::Arc;

use super::channel::NvmeChannel;
use super::paths::{Disk, PathStatus};
use super::{PathPolicy, Source};
use crate::bdev::{Access, Bdev, DeviceRef, Error, Geometry, Op, Result, Timing};

/// A namespace, by one path or several. Made by [`Nvme::attach`](super::Nvme::attach); what can be asked of it while it runs is reached by
/// [`Descriptor::module_as`](crate::bdev::Descriptor::module_as).
pub struct NvmeDisk<S: Source>(pub(super) Arc<Disk<S>>);

impl<S: Source> NvmeDisk<S> {
    /// The paths to the namespace, in order of preference.
    #[must_use]
    pub fn paths(&self) -> Vec<PathStatus> {
        self.0.status()
    }

    /// Which of equal paths are used from now on.
    pub fn set_policy(&self, policy: PathPolicy) {
        self.0.set_policy(policy);
    }

    /// Prefers the path by the controller that was attached as `controller` from now on, wherever it is as good as others: SPDK's
    /// `bdev_nvme_set_preferred_path`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if none of the paths is by it.
    pub fn prefer(&self, controller: &str) -> Result<()> {
        if self.0.prefer(controller) { Ok(()) } else { Err(Error::NotFound { name: controller.to_owned() }) }
    }
}

impl<S: Source> NvmeDisk<S> {
    /// Has the task that looks after each controller ask again what the namespace is, as [`Uring::rescan`](crate::bdev::modules::Uring::rescan) does
    /// of a file: for controllers that tell of no change themselves.
    pub fn rescan(&self) {
        self.0.controllers().iter().for_each(|controller| controller.look_soon());
    }
}

impl<S: Source> Bdev for NvmeDisk<S> {
    type Channel = NvmeChannel<S>;

    fn module(&self) -> &'static str {
        "nvme"
    }

    fn geometry(&self) -> Geometry {
        self.0.shape.geometry
    }

    fn supports(&self, op: Op) -> bool {
        self.0.shape.supports(op)
    }

    fn attached(&self, device: DeviceRef) {
        self.0.set_device(device);
    }

    fn timing(&self) -> Timing {
        Timing::Totals
    }

    /// What `kind` reads: the first path with its namespace, then the others, then what is not as usual.
    fn spec(&self) -> Option<String> {
        let controllers = self.0.controllers();
        let (first, others) = controllers.split_first()?;
        let mut spec = first.spec(self.0.shape.nsid)?;
        for other in others {
            spec += &format!(",path={}", other.address()?);
        }
        if self.0.policy() == PathPolicy::RoundRobin {
            spec += ",policy=round_robin";
        }
        Some(spec)
    }

    fn channel(&self, _access: Access) -> Result<NvmeChannel<S>> {
        Ok(NvmeChannel::new(self.0.clone()))
    }
}

impl<S: Source> fmt::Debug for NvmeDisk<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmeDisk").field("nsid", &self.0.shape.nsid).field("paths", &self.paths()).finish()
    }
}
