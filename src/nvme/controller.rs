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
//! Any core's. What goes over the admin queues is in `home` and `start`, what happens after in `recovery` and `events`, what the queue
//! pairs of a core do in `pair`.

use super::device::Device;
use super::link::{Attached, Link};
use super::namespace::Change;
use super::prp::PAGE;
use super::queue_pair::QueuePair;
use super::spec::register::VS;
use super::spec::{Command, IdentifyController, IdentifyWhat, NamespaceList, Version};
use super::{Answer, Config, Error, Events, Namespace, Payload, bounds};
use crate::Core;
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
        match link.bring_up().await {
            Ok(()) => {
                link.watch();
                link.hear();
                Ok(Self(attached))
            }
            Err(error) => {
                // What it says of that matters less.
                let _stuck = link.close_here().await;
                Err(error)
            }
        }
    }

    /// What it says of itself, as of its last reset or [new firmware](Self::update_firmware). What was lent before stays as it was.
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
    /// [`Error::NoQueue`] if the controller has fewer queue pairs than there are cores that use one: then commands can go by the queue
    /// pairs of [other cores](Self::cores). One that is about to be deleted is waited for. As the controller answers, or does not.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn queue_pair(&self) -> Result<QueuePair<D>, Error> {
        QueuePair::of(&self.0).await
    }

    /// The cores that have a queue pair at present.
    pub fn cores(&self) -> Vec<Core> {
        self.link().pairs().iter().map(|places| places.core).collect()
    }

    /// Sends an admin command from any core. Yields what was answered, whatever that is, and the payload; that is lost if the answer
    /// does not come. Identifier and pointers are filled in.
    ///
    /// # Errors
    /// [`Error::Payload`] if the command moves more than the payload has, [`Error::Frozen`] if it would write what is shared.
    /// [`Error::Unsupported`] for what is the driver's (queues, events, a host memory buffer), and for commands of vendors whose data is
    /// not one whole page. [`Error::AdminTimeout`], [`Error::Removed`], [`Error::Closed`].
    ///
    /// One that formats, deletes or detaches namespaces ends what is [known](Namespace::is_gone) of them, and is sent when the I/O is
    /// answered that was sent before, of all cores.
    pub async fn admin(&self, command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        if let Err(error) = bounds::check_admin(&command, &payload, PAGE as usize) {
            return (Err(error), payload);
        }
        let command = bounds::without_pointers(command);
        // A block may not be what it was: whoever reads on as before would be given more than he has room for.
        match Change::of(self.identity(), &command) {
            None => self.link().admin(command, payload).await,
            Some(change) => self.link().admin_changing(change, command, payload).await,
        }
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
    /// [`Error::NoNamespace`] if it is not active; [`Error::Unsupported`] if its format is none for this driver;
    /// [`Error::NamespaceGone`] if it is formatted at this moment.
    pub async fn namespace(&self, id: u32) -> Result<Namespace, Error> {
        let link = self.link();
        let identify = async |command| link.identify_by(command).await;
        Namespace::read(link.origin(), id, self.identity(), identify).await
    }

    /// What happens to it from now on.
    pub fn events(&self) -> Events {
        self.link().listeners().listen()
    }

    /// Resets the controller, and has it come back as it was: I/O that it had is sent again as [`Config::retries`] says, or ends with
    /// a status that is [retryable](super::spec::Status::is_retryable); I/O of any core that comes meanwhile waits in order.
    ///
    /// Dropping the future leaves the reset to go on.
    ///
    /// # Errors
    /// [`Error::Failed`] and [`Error::Removed`] if it does not come back, which is the end of it; [`Error::Closed`].
    pub async fn reset(&self) -> Result<(), Error> {
        let reset = self.link().at_home(async |link| {
            let generation = link.generation();
            crate::spawn_local(async move { link.reset_here(generation).await }).await
        });
        reset.await?.map_err(|_ended| Error::Closed)?
    }

    /// Tells the controller of the shutdown, and disables it. What is on its way ends with [`Error::Status`], what comes later with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::NotReady`] if it will not be disabled: then its memory and buffers stay its own.
    pub async fn close(&self) -> Result<(), Error> {
        self.link().at_home(async |link| link.close_here().await).await?
    }

    pub(super) fn link(&self) -> &Arc<Link<D>> {
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
