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
//! One core's: whoever attaches it, on that core. What its queue pair does is in `qpair`, what its namespaces do in `namespace`.

use super::device::Device;
use super::link::Link;
use super::namespace::Namespace;
use super::op::Op;
use super::prp::PAGE;
use super::qpair::{Places, QueuePair};
use super::spec::register::{ACQ, AQA, ASQ, VS};
use super::spec::{
    AdminQueueAttributes, Command, CompletionQueueFlags, Configuration, FeatureId, IdentifyController,
    IdentifyNamespace, IdentifyWhat, NamespaceList, NumberOfQueues, SubmissionQueueFlags, Version,
};
use super::{Config, Counters, Error};
use crate::reactor::context;
use crate::sys::dma::{DmaAny, DmaBuf, DmaPool};
use crate::time::timeout;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;
use zerocopy::FromBytes;

/// Entries of the admin queues.
const ADMIN_ENTRIES: u16 = 32;
/// The only I/O queue pair so far.
const IO_QUEUE: u16 = 1;

/// A controller that takes commands. Clones are the same; dropping the last one, and the last of its namespaces, disables it.
pub struct Controller<D: Device>(Rc<Inner<D>>);

pub(super) struct Inner<D: Device> {
    link: Rc<Link<D>>,
    admin: Rc<QueuePair<D>>,
    io: OnceCell<Rc<QueuePair<D>>>,
    identity: OnceCell<DmaBuf>,
}

impl<D: Device> Controller<D> {
    /// Resets the controller, configures it for 4 KiB pages and the NVM Command Set, asks what it is, and makes a queue pair for this
    /// core (Base 2.0 §3.5.1).
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
        let link = Rc::new(Link::new(device, config)?);
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
        link.configure(link.configuration().with_enabled(false));
        link.wait_ready(false).await?;

        let (admin, places) = QueuePair::new(&link, 0, ADMIN_ENTRIES)?;
        context::add_driver(admin.clone());
        let inner = Inner { link, admin, io: OnceCell::new(), identity: OnceCell::new() };
        inner.enable(&places).await?;
        let identity = inner.identify(IdentifyWhat::CONTROLLER, 0).await?;
        let _ = inner.identity.set(identity);
        let io = inner.make_io_queues().await?;
        let _ = inner.io.set(io);
        Ok(Self(Rc::new(inner)))
    }

    /// What it says of itself.
    pub fn identity(&self) -> &IdentifyController {
        self.0.identity()
    }

    /// The version that it keeps to.
    pub fn version(&self) -> Version {
        Version::from_bits(self.0.link.device().read32(VS))
    }

    /// The identifiers of its active namespaces, in order (Base 2.0 §5.17.2.2).
    ///
    /// # Errors
    /// As the controller answers, or does not.
    pub async fn namespaces(&self) -> Result<Vec<u32>, Error> {
        let mut ids: Vec<u32> = Vec::new();
        loop {
            let after = ids.last().copied().unwrap_or(0);
            let answer = self.0.identify(IdentifyWhat::ACTIVE_NAMESPACES, after).await?;
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
    pub async fn namespace(&self, id: u32) -> Result<Namespace<D>, Error> {
        let answer = self.0.identify(IdentifyWhat::NAMESPACE, id).await?;
        let identity = IdentifyNamespace::ref_from_bytes(&answer).expect("it is a page");
        Namespace::new(self.0.clone(), id, identity)
    }

    /// What the I/O queue pair has done.
    pub fn counters(&self) -> Counters {
        self.0.io().queues().counters()
    }

    /// Disables the controller. What is on its way ends with [`Error::Status`], what comes later with [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::NotReady`] if it will not be disabled: then its memory and buffers stay its own.
    pub async fn close(&self) -> Result<(), Error> {
        self.0.link.disable().await?;
        self.0.abort_all();
        Ok(())
    }
}

impl<D: Device> Inner<D> {
    async fn enable(&self, places: &Places) -> Result<(), Error> {
        let device = self.link.device();
        let entries = u32::from(ADMIN_ENTRIES - 1);
        device.write32(AQA, AdminQueueAttributes::default().with_asqs(entries).with_acqs(entries).bits());
        device.write64(ASQ, places.sq);
        device.write64(ACQ, places.cq);
        // Entries of 64 and 16 bytes, pages of 4 KiB, round robin.
        self.link.configure(Configuration::default().with_iosqes(6).with_iocqes(4).with_enabled(true));
        self.link.wait_ready(true).await
    }

    async fn make_io_queues(&self) -> Result<Rc<QueuePair<D>>, Error> {
        let wanted = NumberOfQueues::default();
        self.admin(Command::set_features(FeatureId::NUMBER_OF_QUEUES, 0, wanted.bits(), false), None).await?;
        let limit = self.link.capabilities().queue_entries_max();
        let entries = u32::from(self.link.config().queue_entries).min(limit);
        let (pair, places) = QueuePair::new(&self.link, IO_QUEUE, entries as u16)?;
        let contiguous = CompletionQueueFlags::default().with_contiguous(true);
        let create = Command::create_cq(IO_QUEUE, entries, contiguous).with_prp(places.cq, 0);
        self.admin(create, None).await?;
        let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(IO_QUEUE.into());
        self.admin(Command::create_sq(IO_QUEUE, entries, flags).with_prp(places.sq, 0), None).await?;
        context::add_driver(pair.clone());
        Ok(pair)
    }

    /// A page of what the controller says.
    async fn identify(&self, what: IdentifyWhat, nsid: u32) -> Result<DmaBuf, Error> {
        let mut page = DmaPool::local().alloc(PAGE as usize).await?;
        page.fill(0);
        let (_, held) = self.admin(Command::identify(what, nsid), Some(page.into())).await?;
        Ok(held.and_then(DmaAny::into_buf).expect("the page comes back"))
    }

    /// An admin command's answer, and its buffer.
    async fn admin(&self, command: Command, data: Option<DmaAny>) -> Result<(u32, Option<DmaAny>), Error> {
        let limit = self.link.config().admin_timeout;
        let answered = timeout(limit, Op::new(&self.admin, command, data)).await;
        let (answer, held) = answered.map_err(|_elapsed| match self.link.status().is_gone() {
            true => Error::Removed,
            false => Error::AdminTimeout(limit),
        })?;
        let answer = answer.ok_or(Error::Closed)?;
        match answer.status.is_success() {
            true => Ok((answer.result, held)),
            false => Err(Error::Status(answer.status)),
        }
    }

    pub(super) fn io(&self) -> &Rc<QueuePair<D>> {
        self.io.get().expect("it is attached")
    }

    pub(super) fn identity(&self) -> &IdentifyController {
        let page = self.identity.get().expect("it is attached");
        IdentifyController::ref_from_bytes(page).expect("it is a page")
    }

    fn abort_all(&self) {
        self.admin.abort_all();
        if let Some(io) = self.io.get() {
            io.abort_all();
        }
    }
}

impl<D: Device> Drop for Inner<D> {
    /// On the spot: [`close`](Controller::close) awaits instead.
    fn drop(&mut self) {
        if self.link.disable_now() {
            self.abort_all();
        }
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
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
