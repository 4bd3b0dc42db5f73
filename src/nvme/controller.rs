//! A controller: from whatever state it is in to answering commands, and back.
//!
//! ```text
//!             attach                  wait_ready            wait_ready              identify, queues
//!   any state ──────▶ disabling (EN=0) ─────────▶ disabled ──EN=1──▶ enabling ─────────▶ ready ─────────▶ attached
//!                          ▲  │ CAP.TO over: NotReady          CAP.TO over: NotReady │                    │
//!                          │  ▼ all ones: Removed                      CFS: Fatal     ▼                    │
//!                          └──────────────────────── close, drop ──────────────────── failed ◀─────────────┘
//! ```
//!
//! Any core's. What goes over the admin queues is in `home`, what the queue pairs of a core do in `pair`.

use super::device::Device;
use super::link::{Attached, Link};
use super::queue_pair::QueuePair;
use super::spec::register::VS;
use super::spec::{Command, IdentifyController, IdentifyWhat, NamespaceList, Version};
use super::{Answer, Config, Error, Namespace, Payload};
use std::fmt;
use std::sync::Arc;
use zerocopy::FromBytes;

/// A controller that takes commands, from any core. Clones are the same; after the last one, and the last of its queue pairs, it is
/// disabled.
///
/// The core that attached it is its home: there its admin queues are, and with the end of that core the controller is disabled.
pub struct Controller<D: Device>(Arc<Attached<D>>);

impl<D: Device> Controller<D> {
    /// Resets the controller, configures it for 4 KiB pages and the NVM Command Set, and asks what it is (Base 2.0 §3.5.1).
    ///
    /// Dropping the future disables the controller.
    ///
    /// # Errors
    /// [`Error::NotReady`], [`Error::Fatal`], [`Error::Removed`] and [`Error::AdminTimeout`] if it does not come up;
    /// [`Error::Unsupported`] if it is none for this driver; [`Error::Busy`] if it is attached already.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor; if the configuration's queue entries are out of range.
    pub async fn attach(device: D, config: Config) -> Result<Self, Error> {
        assert!((2..=1 << 15).contains(&config.queue_entries), "queue entries: {}", config.queue_entries);
        let attached = Arc::new(Attached(Arc::new(Link::new(device, config)?)));
        let link = &attached.0;
        match Self::bring_up(link).await {
            Ok(()) => Ok(Self(attached)),
            Err(error) => {
                // What it says of that matters less.
                let _stuck = link.close_here().await;
                Err(error)
            }
        }
    }

    async fn bring_up(link: &Arc<Link<D>>) -> Result<(), Error> {
        let capabilities = link.capabilities();
        if link.status().is_gone() || capabilities.bits() == u64::MAX {
            return Err(Error::Removed);
        }
        if !capabilities.has_nvm() {
            return Err(Error::Unsupported("it has no NVM Command Set (CAP.CSS)"));
        }
        if capabilities.mpsmin() > 0 {
            return Err(Error::Unsupported("it has no pages of 4 KiB (CAP.MPSMIN)"));
        }
        // A reset needs the controller to have become ready first (Base 2.0 §3.1.3.5, EN).
        if link.configuration().is_enabled() && !link.status().is_fatal() {
            link.wait_ready(true).await?;
        }
        link.disable().await?;
        link.enable_here().await?;
        let page = link.identify(IdentifyWhat::CONTROLLER, 0).await?;
        let identity = IdentifyController::read_from_bytes(&page).expect("it is a page");
        let _ = link.identity().set(Box::new(identity));
        link.negotiate_queues().await
    }

    /// What it says of itself.
    pub fn identity(&self) -> &IdentifyController {
        self.link().identity().get().expect("it is attached")
    }

    /// The version that it keeps to.
    pub fn version(&self) -> Version {
        Version::from_bits(self.link().device().read32(VS))
    }

    /// This core's queue pair, made on first use, and deleted after the last of its users has gone.
    ///
    /// # Errors
    /// [`Error::NoQueue`] if the controller has fewer queue pairs than there are cores that ask; as it answers, or does not.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn queue_pair(&self) -> Result<QueuePair<D>, Error> {
        QueuePair::of(&self.0).await
    }

    /// Sends an admin command from any core. Yields what was answered, whatever that is, and the payload; that is lost if the answer
    /// does not come.
    ///
    /// # Errors
    /// [`Error::AdminTimeout`], [`Error::Removed`], [`Error::Closed`].
    pub async fn admin(&self, command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        self.link().admin(command, payload).await
    }

    /// The identifiers of its active namespaces, in order (Base 2.0 §5.17.2.2).
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn namespaces(&self) -> Result<Vec<u32>, Error> {
        let mut ids: Vec<u32> = Vec::new();
        loop {
            let after = ids.last().copied().unwrap_or(0);
            let answer = self.link().identify(IdentifyWhat::ACTIVE_NAMESPACES, after).await?;
            let list = NamespaceList::ref_from_bytes(&answer).expect("a list is a page");
            let before = ids.len();
            for id in list.iter() {
                // A controller that does not count upwards would be asked for ever.
                if ids.last().is_some_and(|&last| id <= last) {
                    return Err(Error::Unsupported("its list of namespaces is not in order"));
                }
                ids.push(id);
            }
            if ids.len() - before < list.raw.len() || ids.last().is_some_and(|&last| last >= u32::MAX - 1) {
                return Ok(ids);
            }
        }
    }

    /// One of its namespaces.
    ///
    /// # Errors
    /// [`Error::NoNamespace`] if it is not active; [`Error::Unsupported`] if its format is none for this driver.
    pub async fn namespace(&self, id: u32) -> Result<Namespace, Error> {
        Namespace::read(id, self.identity(), async |command| self.link().identify_by(command).await).await
    }

    /// Disables the controller. What is on its way ends with [`Error::Status`], what comes later with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::NotReady`] if it will not be disabled: then its memory and buffers stay its own.
    pub async fn close(&self) -> Result<(), Error> {
        self.link().at_home(async |link| link.close_here().await).await?
    }

    fn link(&self) -> &Arc<Link<D>> {
        &self.0.0
    }
}

impl<D: Device> Clone for Controller<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Device> fmt::Debug for Controller<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("model", &self.identity().model())
            .field("serial", &self.identity().serial())
            .finish_non_exhaustive()
    }
}
