//! A controller by its character device: what it is, and admin commands.

use super::entry::{self, Operations};
use super::kernel::{self, URING_ADMIN, URING_ADMIN_VEC};
use super::namespace::{beside, identify};
use super::node::{self, Kind, Node, PIECES_MAX};
use super::queue::Sent;
use super::{OpenError, queue};
use crate::nvme::namespace::Change;
use crate::nvme::spec::{
    Command, FeatureId, FeatureSelect, IdentifyController, IdentifyWhat, LogPage, NamespaceList,
};
use crate::nvme::{Answer, Error, Limits, Payload, bounds};
use crate::spawn_local;
use crate::sys::dma::{DmaBuf, DmaPool};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::FromBytes;

/// A controller that the kernel drives. Clones are the same; any core may have one, and sends its commands by its own ring.
#[derive(Clone)]
pub struct Controller(Arc<Shared>);

struct Shared {
    path: PathBuf,
    node: Node,
    identity: Box<IdentifyController>,
}

const OPERATIONS: Operations = Operations { one: URING_ADMIN, many: URING_ADMIN_VEC };

/// The kernel tells of no limit for admin commands. Beyond its own it says so itself.
const LIMITS: Limits =
    Limits { bytes: u32::MAX as u64, segments: PIECES_MAX, has_sgls: false, has_fused: false };

impl Controller {
    /// Opens the character device of a controller, such as `/dev/nvme0`, and asks what it is.
    ///
    /// # Errors
    /// [`OpenError`]: no such device, another one, no permission, a kernel without commands through io_uring.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        queue::ring(false)?;
        let path = path.into();
        let asked = path.clone();
        let opened = beside(move || node::open(&asked, Kind::Controller)).await;
        let node = opened.map_err(|error| OpenError::io(&path, error))??;
        match identify(&node.fd, Command::identify(IdentifyWhat::CONTROLLER, 0)).await {
            Err(source) => Err(OpenError::Unusable { path, source: Box::new(source) }),
            Ok(page) => {
                let identity = Box::new(IdentifyController::read_from_bytes(&page).expect("it is a page"));
                Ok(Self(Arc::new(Shared { path, node, identity })))
            }
        }
    }

    /// What it says of itself.
    pub fn identity(&self) -> &IdentifyController {
        &self.0.identity
    }

    /// Which device it was opened as.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Sends an admin command by this core's ring. Yields what was answered, whatever that is, and the payload.
    ///
    /// Dropping the future leaves the command to the controller; the payload is kept until it has answered.
    ///
    /// One that formats, deletes or detaches namespaces ends what is [known](crate::nvme::Namespace::is_gone) of them. Await all I/O to them
    /// before: what waits in the kernel meanwhile goes to the namespace as it is then.
    ///
    /// # Errors
    /// [`Error::Kernel`] for what the kernel does not pass on. [`Error::Payload`] if the command moves more than the payload has.
    /// [`Error::Unsupported`] for what would take the controller out of the kernel's hands (queues, a host memory buffer, events), and
    /// for commands of vendors with data that is not in whole pages of memory. [`Error::Frozen`].
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn admin(&self, command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        self.send(command, payload, None).await
    }

    /// The same for a command that may take longer than the kernel allows (`nvme_core.admin_timeout`, 60 s), or shall not take as long:
    /// a format, a self-test in the foreground. After `limit` the kernel aborts it, and then resets the controller.
    ///
    /// # Errors
    /// As [`admin`](Self::admin).
    ///
    /// # Panics
    /// As [`admin`](Self::admin).
    pub async fn admin_within(
        &self,
        limit: Duration,
        command: Command,
        payload: Payload,
    ) -> (Result<Answer, Error>, Payload) {
        self.send(command, payload, Some(limit)).await
    }

    /// Has the kernel reset the controller, and waits until it has come back. What others have under way there is sent again by the
    /// kernel; commands of this kind end with [`Error::Kernel`] (`EINTR`).
    ///
    /// # Errors
    /// [`Error::Kernel`]: only root may (`CAP_SYS_ADMIN`); it did not come back.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn reset(&self) -> Result<(), Error> {
        let fd = self.0.node.fd.clone();
        let reset = beside(move || kernel::reset(&fd)).await;
        reset.and_then(|done| Ok(done?)).map_err(Error::Kernel)
    }

    /// The identifiers of its active namespaces, in order (Base 2.0 §5.17.2.2); the first 1,024 of them.
    ///
    /// # Errors
    /// As [`admin`](Self::admin); [`Error::Status`].
    ///
    /// # Panics
    /// As [`admin`](Self::admin).
    pub async fn namespaces(&self) -> Result<Vec<u32>, Error> {
        let page = self.ask(Command::identify(IdentifyWhat::ACTIVE_NAMESPACES, 0), 4096).await?;
        Ok(NamespaceList::ref_from_bytes(&page).expect("a list is a page").iter().collect())
    }

    /// The first `bytes` of a log page (Base 2.0 §5.16), a multiple of 4, of a namespace or of
    /// [all](crate::nvme::spec::ALL_NAMESPACES).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use reactor::nvme::{passthru::Controller, spec::{ALL_NAMESPACES, LogPage, SmartLog}};
    /// use zerocopy::FromBytes;
    /// let controller = Controller::open("/dev/nvme0").await?;
    /// let log = controller.log(LogPage::SMART, ALL_NAMESPACES, 512).await?;
    /// println!("{} °C", SmartLog::ref_from_bytes(&log[..]).unwrap().celsius());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`namespaces`](Self::namespaces).
    ///
    /// # Panics
    /// As [`admin`](Self::admin); if `bytes` is no multiple of 4, or 0.
    pub async fn log(&self, page: LogPage, nsid: u32, bytes: u32) -> Result<DmaBuf, Error> {
        assert!(bytes > 0 && bytes % 4 == 0, "bytes of a log page: {bytes}");
        self.ask(Command::get_log_page(page, nsid, 0, bytes), bytes as usize).await
    }

    /// The value of a feature that has no data structure (Base 2.0 §5.15).
    ///
    /// # Errors
    /// As [`namespaces`](Self::namespaces).
    ///
    /// # Panics
    /// As [`admin`](Self::admin).
    pub async fn feature(&self, feature: FeatureId, nsid: u32, select: FeatureSelect) -> Result<u32, Error> {
        let (answer, _) = self.admin(Command::get_features(feature, nsid, select), Payload::None).await;
        Ok(answer?.ok()? as u32)
    }

    /// Sets a feature that has no data structure, also for after the next reset with `save` (Base 2.0 §5.27). Yields what the
    /// controller made of it.
    ///
    /// # Errors
    /// As [`namespaces`](Self::namespaces).
    ///
    /// # Panics
    /// As [`admin`](Self::admin).
    pub async fn set_feature(
        &self,
        feature: FeatureId,
        nsid: u32,
        value: u32,
        save: bool,
    ) -> Result<u32, Error> {
        let (answer, _) = self.admin(Command::set_features(feature, nsid, value, save), Payload::None).await;
        Ok(answer?.ok()? as u32)
    }

    /// So many bytes that the controller answers.
    async fn ask(&self, command: Command, bytes: usize) -> Result<DmaBuf, Error> {
        let mut buf = DmaPool::local().alloc(bytes).await?;
        buf.fill(0);
        let (answer, payload) = self.admin(command, buf.into()).await;
        answer?.ok()?;
        Ok(payload.into_buf().expect("the buffer comes back"))
    }

    async fn send(
        &self,
        command: Command,
        payload: Payload,
        limit: Option<Duration>,
    ) -> (Result<Answer, Error>, Payload) {
        let checked = bounds::check_admin(&command, &payload, usize::MAX)
            .and_then(|()| entry::check(&command, &payload, LIMITS));
        if let Err(error) = checked {
            return (Err(error), payload);
        }
        let ring = match queue::ring(false) {
            Ok(ring) => ring,
            Err(error) => return (Err(Error::Kernel(io::Error::other(error))), payload),
        };
        let target = ring.plain_target(self.0.node.fd.clone());
        let Some(change) = Change::of(self.identity(), &command) else {
            let sent = Sent::new(entry::send(&ring, &target, OPERATIONS, &command, payload, limit));
            let (answer, payload) = sent.await;
            return (answer.map_err(|error| *error), payload);
        };
        // In a task of its own: whatever becomes of who asked, nothing is known until the answer.
        let changing = spawn_local(async move {
            let answered = Sent::new(entry::send(&ring, &target, OPERATIONS, &command, payload, limit)).await;
            drop(change);
            answered
        });
        match changing.await {
            Ok((answer, payload)) => (answer.map_err(|error| *error), payload),
            Err(_ended) => (Err(Error::Closed), Payload::None),
        }
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("path", &self.0.path).finish_non_exhaustive()
    }
}
