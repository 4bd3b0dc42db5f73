//! A namespace by its character device: what it is, and this core's queue to it.

use super::kernel::{self, namespace_id};
use super::node::{self, Kind, Node};
use super::{OpenError, Queue, queue};
use crate::nvme::queue::Origin;
use crate::nvme::spec::{Command, IdentifyController, IdentifyNamespace, IdentifyWhat};
use crate::nvme::{self, Error};
use crate::sys::dma::{DmaBuf, DmaPool};
use crate::unblock::unblock;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zerocopy::FromBytes;

/// A namespace that the kernel drives. Clones are the same; any core may have one.
#[derive(Clone)]
pub struct Namespace(Arc<Shared>);

struct Shared {
    path: PathBuf,
    node: Node,
    description: nvme::Namespace,
    controller: Box<IdentifyController>,
}

impl Namespace {
    /// Opens the character device of a namespace, such as `/dev/ng0n1`, and asks what it is.
    ///
    /// # Errors
    /// [`OpenError`]: no such device, another one, no permission, a kernel without commands through io_uring.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        // That there is none is known before the device is touched.
        queue::ring(false)?;
        let path = path.into();
        let asked = path.clone();
        let opened = beside(move || {
            let node = node::open(&asked, Kind::Namespace)?;
            let id = namespace_id(&node.fd).map_err(|error| OpenError::io(&asked, error.into()))?;
            Ok((node, id))
        });
        let (node, id) = opened.await.map_err(|error| OpenError::io(&path, error))??;
        let unusable = |source| OpenError::Unusable { path: path.clone(), source: Box::new(source) };
        let page =
            identify(&node.fd, Command::identify(IdentifyWhat::CONTROLLER, 0)).await.map_err(unusable)?;
        let controller = Box::new(IdentifyController::read_from_bytes(&page).expect("it is a page"));
        let description = describe(&node, Origin::new(), id, &controller).await.map_err(unusable)?;
        Ok(Self(Arc::new(Shared { path, node, description, controller })))
    }

    /// What there is to read and write, and how.
    pub fn description(&self) -> &nvme::Namespace {
        &self.0.description
    }

    /// What its controller says of itself; where several have it, one of them.
    pub fn controller(&self) -> &IdentifyController {
        &self.0.controller
    }

    /// The character device of that controller, which takes admin commands: none if `/sys` has it not.
    pub fn controller_path(&self) -> Option<PathBuf> {
        self.0.node.controller()
    }

    /// The disk that the kernel makes of it, such as `/dev/nvme0n1`, and of which it may have a file system mounted. None if there is no
    /// such, as for kinds of namespaces that are none to the kernel.
    pub fn disk_path(&self) -> Option<PathBuf> {
        self.0.node.disk()
    }

    /// Asks anew what it is, as [`open`](Self::open) did.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh); [`Error::NoNamespace`] and [`Error::Unsupported`] of what it has become.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn describe(&self) -> Result<nvme::Namespace, Error> {
        let known = self.description();
        describe(&self.0.node, known.origin(), known.id(), self.controller()).await
    }

    /// Whether the kernel has queues for it that are asked for completions: see [`polling_queue`](Self::polling_queue).
    pub fn has_polling_queues(&self) -> bool {
        self.0.node.limits().is_polled
    }

    /// Where `/sys` has it.
    pub(super) fn place(&self) -> Option<&Path> {
        self.0.node.place.as_deref()
    }

    /// Which device it was opened as.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Asks again what it is, as after the kernel has told of a change (`udevadm monitor`). True if its size is another. One that was
    /// formatted otherwise is [gone](nvme::Namespace::is_gone).
    ///
    /// # Errors
    /// What the device answers, and [`Error::Kernel`].
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn refresh(&self) -> Result<bool, Error> {
        let description = self.description();
        let command = Command::identify(IdentifyWhat::NAMESPACE, description.id());
        let page = identify(&self.0.node.fd, command).await?;
        Ok(description.update(IdentifyNamespace::ref_from_bytes(&page).expect("it is a page")))
    }

    /// This core's way to the kernel's queues, whose completions interrupt.
    ///
    /// # Errors
    /// If the core's ring for commands cannot be made.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub fn queue(&self) -> Result<Queue, OpenError> {
        Queue::new(&self.0.node.fd, self.0.node.limits(), self.description().origin(), false)
    }

    /// The same to the kernel's queues that are asked for completions, whose interrupts are off (Linux 6.1). While a command is on its
    /// way the core does not sleep.
    ///
    /// # Errors
    /// [`OpenError::NoPollQueues`] if the driver was loaded without; as [`queue`](Self::queue).
    ///
    /// # Panics
    /// As [`queue`](Self::queue).
    pub fn polling_queue(&self) -> Result<Queue, OpenError> {
        let limits = self.0.node.limits();
        match limits.is_polled {
            true => Queue::new(&self.0.node.fd, limits, self.description().origin(), true),
            false => Err(OpenError::NoPollQueues { path: self.0.path.clone() }),
        }
    }
}

async fn describe(
    node: &Node,
    origin: Origin,
    id: u32,
    controller: &IdentifyController,
) -> Result<nvme::Namespace, Error> {
    nvme::Namespace::read(origin, id, controller, async |command| identify(&node.fd, command).await).await
}

/// What `f` says, which may wait for a device.
pub(super) async fn beside<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    unblock(f).await.map_err(io::Error::other)
}

/// A page of what the device says.
pub(super) async fn identify(fd: &Arc<OwnedFd>, command: Command) -> Result<DmaBuf, Error> {
    let mut page = DmaPool::local().alloc(4096).await?;
    let fd = fd.clone();
    let asked = move || {
        let mut page = Box::new([0; 4096]);
        kernel::identify(&fd, &command, &mut page).map(|status| (status, page))
    };
    let (status, said) = beside(asked).await.and_then(|said| Ok(said?)).map_err(Error::Kernel)?;
    match status.is_success() {
        true => page.copy_from_slice(&said[..]),
        false => return Err(Error::Status(status)),
    }
    Ok(page)
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("path", &self.0.path)
            .field("description", &self.0.description)
            .finish_non_exhaustive()
    }
}
