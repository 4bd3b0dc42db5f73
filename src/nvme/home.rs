//! What happens at a controller's home, the core that attached it: its admin queue pair, and all that goes over it.

use super::device::Device;
use super::link::Link;
use super::op::Op;
use super::pair::{Pair, Places};
use super::prp::PAGE;
use super::spec::register::{ACQ, AQA, ASQ};
use super::spec::{
    AdminQueueAttributes, Command, CompletionQueueFlags, Configuration, FeatureId, IdentifyWhat,
    NumberOfQueues, SubmissionQueueFlags,
};
use super::{Answer, Error, Payload};
use crate::reactor::context;
use crate::spawn_local;
use crate::sys::dma::{DmaBuf, DmaPool};
use crate::time::timeout;
use std::sync::Arc;

/// Entries of the admin queues.
const ADMIN_ENTRIES: u16 = 32;

impl<D: Device> Link<D> {
    /// Runs `work` at home, from any core.
    pub(super) async fn at_home<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl AsyncFnOnce(Arc<Self>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (handle, core) = self.home();
        if handle.is_turning(core) {
            return Ok(work(self.clone()).await);
        }
        let link = self.clone();
        handle.call_on(core, async move || work(link).await).await.map_err(|_gone| Error::Closed)
    }

    /// An admin command, from any core. If home has ended, the payload has gone with it.
    pub(super) async fn admin(
        self: &Arc<Self>,
        command: Command,
        payload: Payload,
    ) -> (Result<Answer, Error>, Payload) {
        let asked = self.at_home(async move |link| link.admin_here(command, payload).await).await;
        asked.unwrap_or_else(|error| (Err(error), Payload::None))
    }

    /// An admin command that has no data and must go well; its result.
    pub(super) async fn ask(self: &Arc<Self>, command: Command) -> Result<u64, Error> {
        self.admin(command, Payload::None).await.0?.ok()
    }

    /// A page of what the controller says.
    pub(super) async fn identify(self: &Arc<Self>, what: IdentifyWhat, nsid: u32) -> Result<DmaBuf, Error> {
        self.identify_by(Command::identify(what, nsid)).await
    }

    /// The same, by the command itself.
    pub(super) async fn identify_by(self: &Arc<Self>, command: Command) -> Result<DmaBuf, Error> {
        let mut page = DmaPool::local().alloc(PAGE as usize).await?;
        page.fill(0);
        let (answer, payload) = self.admin(command, page.into()).await;
        answer?.ok()?;
        Ok(payload.into_buf().expect("an answered command's payload comes back"))
    }

    async fn admin_here(&self, command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        let Some(admin) = self.seats().get().ok().and_then(|seat| seat.admin()) else {
            return (Err(Error::Closed), payload);
        };
        let limit = self.config().admin_timeout;
        let answered = timeout(limit, Op::new(&admin, command, payload)).await;
        answered.unwrap_or_else(|_elapsed| {
            let is_gone = self.status().is_gone();
            (Err(if is_gone { Error::Removed } else { Error::AdminTimeout(limit) }), Payload::None)
        })
    }

    /// Enables the controller, which is disabled, with admin queues.
    pub(super) async fn enable_here(self: &Arc<Self>) -> Result<(), Error> {
        let seat = self.seats().get().map_err(|_closed| Error::Closed)?;
        let (admin, places) = Pair::new(self, seat.clone(), 0, ADMIN_ENTRIES)?;
        seat.set_admin(&admin);
        context::add_driver(admin);
        let device = self.device();
        let entries = u32::from(ADMIN_ENTRIES - 1);
        device.write32(AQA, AdminQueueAttributes::default().with_asqs(entries).with_acqs(entries).bits());
        device.write64(ASQ, places.sq);
        device.write64(ACQ, places.cq);
        // All command sets that there are, for namespaces with zones (Base 2.0 §3.1.3.5, CSS).
        let sets = if self.capabilities().css() >> 6 & 1 == 1 { 6 } else { 0 };
        // Entries of 64 and 16 bytes, pages of 4 KiB, round robin.
        let configuration = Configuration::default().with_css(sets).with_iosqes(6).with_iocqes(4);
        self.configure(configuration.with_enabled(true));
        self.wait_ready(true).await
    }

    /// Asks for a queue pair for each core.
    pub(super) async fn negotiate_queues(self: &Arc<Self>) -> Result<(), Error> {
        let cores = self.home().0.cores().len().min(u16::MAX.into()) as u32;
        let wanted = NumberOfQueues::default().with_submission(cores - 1).with_completion(cores - 1);
        let set = Command::set_features(FeatureId::NUMBER_OF_QUEUES, 0, wanted.bits(), false);
        let given = NumberOfQueues::from_bits(self.ask(set).await? as u32);
        let pairs = given.submission().min(given.completion()).min(cores - 1) + 1;
        self.allow_queues(pairs as u16);
        Ok(())
    }

    /// Has the controller know of a pair's queues.
    pub(super) async fn create_queues(
        self: &Arc<Self>,
        qid: u16,
        entries: u32,
        places: Places,
    ) -> Result<(), Error> {
        let contiguous = CompletionQueueFlags::default().with_contiguous(true);
        self.ask(Command::create_cq(qid, entries, contiguous).with_prp(places.cq, 0)).await?;
        let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(qid.into());
        self.ask(Command::create_sq(qid, entries, flags).with_prp(places.sq, 0)).await?;
        Ok(())
    }

    /// Has the controller forget a pair's queues, at home and later: then their memory and identifier are free. If it will not, they
    /// stay until it is disabled.
    pub(super) fn delete_queues(self: &Arc<Self>, qid: u16) {
        let link = self.clone();
        let (handle, core) = self.home();
        // If home has ended, the controller is disabled.
        let _ended = handle.post(core, move || drop(spawn_local(async move { link.delete(qid).await })));
    }

    async fn delete(self: Arc<Self>, qid: u16) -> Result<(), Error> {
        // The completion queue goes last (Base 2.0 §5.6).
        self.ask(Command::delete_sq(qid)).await?;
        self.ask(Command::delete_cq(qid)).await?;
        self.free(qid);
        self.put_queue_id(qid);
        Ok(())
    }

    /// Disables the controller, has the pairs of all cores end what is on its way, and lets go of it.
    pub(super) async fn close_here(self: &Arc<Self>) -> Result<(), Error> {
        self.disable().await?;
        self.seats().for_each(async |seat| seat.abort_all()).await;
        self.let_go();
        Ok(())
    }
}
