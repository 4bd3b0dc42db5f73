//! What happens at a controller's home, the core that attached it: its admin queue pair, and all that goes over it.

use super::config::Weights;
use super::device::Device;
use super::done::Lost;
use super::link::Link;
use super::namespace::Change;
use super::op::Op;
use super::pair::{Pair, Places};
use super::prp::PAGE;
use super::queue::ok;
use super::seat::Seat;
use super::spec::{Command, CompletionQueueFlags, IdentifyWhat, StatusCode, SubmissionQueueFlags};
use super::{Answer, Error, Payload};
use crate::reactor::context;
use crate::spawn_local;
use crate::sync::PerCoreRef;
use crate::sys::dma::{DmaBuf, DmaPool};
use crate::time::timeout;
use std::sync::Arc;
use std::time::Duration;

/// Entries of the admin queues.
pub(super) const ADMIN_ENTRIES: u16 = 32;

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

    /// One that makes something else of namespaces: nothing is known of them until it is answered, and what was sent to them before is
    /// answered first, on all cores.
    pub(super) async fn admin_changing(
        self: &Arc<Self>,
        change: Change,
        command: Command,
        payload: Payload,
    ) -> (Result<Answer, Error>, Payload) {
        let asked = self.at_home(async move |link| {
            // In a task of its own: whatever becomes of who asked, nothing is known until the answer.
            let changing = spawn_local(async move {
                link.drain().await;
                let answered = link.admin_here(command, payload).await;
                drop(change);
                answered
            });
            changing.await.map_err(|_ended| Error::Closed)
        });
        asked.await.and_then(|answered| answered).unwrap_or_else(|error| (Err(error), Payload::None))
    }

    /// Waits for the I/O that all cores have at present.
    async fn drain(self: &Arc<Self>) {
        let drain = async |seat: PerCoreRef<Seat<D>>| {
            if let Some(pair) = seat.io() {
                pair.drain().await;
            }
        };
        self.seats().for_each(drain).await;
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

    async fn admin_here(
        self: &Arc<Self>,
        command: Command,
        payload: Payload,
    ) -> (Result<Answer, Error>, Payload) {
        let Some(admin) = self.seats().get().ok().and_then(|seat| seat.admin()) else {
            return (Err(self.gone()), payload);
        };
        let (limit, generation) = (self.config().admin_timeout, self.generation());
        let answered = timeout(limit, Op::new(&admin, || command, payload)).await;
        match answered {
            Ok((answer, payload)) => (answer.map_err(|error| *error), payload),
            Err(_elapsed) => {
                self.reset_soon_after(generation);
                (Err(Error::AdminTimeout(limit)), Payload::None)
            }
        }
    }

    /// An admin command of home's own, while all others wait: of a controller that comes up. Its result.
    pub(super) async fn ask_own(&self, command: Command) -> Result<u64, Error> {
        self.send_own(command, Payload::None).await.map(|(result, _none)| result)
    }

    /// What the controller says of itself, likewise.
    pub(super) async fn identify_own(&self) -> Result<DmaBuf, Error> {
        let mut page = DmaPool::local().alloc(PAGE as usize).await?;
        page.fill(0);
        let (_, payload) = self.send_own(Command::identify(IdentifyWhat::CONTROLLER, 0), page.into()).await?;
        Ok(payload.into_buf().expect("an answered command's payload comes back"))
    }

    async fn send_own(&self, command: Command, payload: Payload) -> Result<(u64, Payload), Error> {
        let Some(admin) = self.seats().get().ok().and_then(|seat| seat.admin()) else {
            return Err(Error::Closed);
        };
        let limit = self.config().admin_timeout;
        match timeout(limit, Op::own(&admin, || command, payload)).await {
            Ok((answer, payload)) => Ok((ok(answer)?, payload)),
            Err(_elapsed) if self.status().is_gone() => Err(Error::Removed),
            Err(_elapsed) => Err(Error::AdminTimeout(limit)),
        }
    }

    /// Why it takes no commands.
    pub(super) fn gone(&self) -> Error {
        self.over().unwrap_or(Lost::Closed).error(Duration::ZERO)
    }

    /// Makes the admin queues, of a controller that is disabled.
    pub(super) fn make_admin(self: &Arc<Self>) -> Result<(), Error> {
        let seat = self.seats().get().map_err(|_closed| Error::Closed)?;
        let (admin, places) = Pair::new(self, seat.clone(), 0, ADMIN_ENTRIES)?;
        seat.set_admin(&admin);
        self.set_admin_places(places);
        context::add_driver(admin);
        Ok(())
    }

    /// Has the controller know of a pair's queues, as of this generation.
    pub(super) async fn create_queues(self: &Arc<Self>, places: Places) -> Result<(), Error> {
        loop {
            let generation = self.generation();
            let (cq, sq) = self.creation(places);
            let made = match self.ask(cq).await {
                Ok(_) => self.ask(sq).await,
                Err(error) => Err(error),
            };
            if generation == self.generation() {
                if made.is_ok() {
                    self.pairs().push(places);
                }
                return made.map(drop);
            }
            // It was reset meanwhile, and may know of neither, one or both: begins anew.
            self.ask(Command::delete_sq(places.qid)).await.ok();
            self.ask(Command::delete_cq(places.qid)).await.ok();
        }
    }

    /// The commands that have the controller know of a pair's queues: the completion queue comes first (Base 2.0 §5.5).
    pub(super) fn creation(&self, places: Places) -> (Command, Command) {
        let Places { qid, entries, vector, sq, cq, .. } = places;
        let flags = CompletionQueueFlags::default().with_contiguous(true).with_interrupts(vector.is_some());
        let flags = flags.with_vector(vector.unwrap_or(0).into());
        let create_cq = Command::create_cq(qid, entries.into(), flags).with_prp(cq, 0);
        let priority = self.weights().map_or(0, |weights| weights.priority.into());
        let flags = SubmissionQueueFlags::default().with_contiguous(true).with_cqid(qid.into());
        let flags = flags.with_priority(priority);
        (create_cq, Command::create_sq(qid, entries.into(), flags).with_prp(sq, 0))
    }

    /// How commands are taken by weight, if they are.
    pub(super) fn weights(&self) -> Option<Weights> {
        self.config().arbitration.filter(|_| self.capabilities().has_weighted_arbitration())
    }

    /// Has the controller forget a pair's queues, at home and later: then their memory and identifier are free. If it will not, they
    /// stay until it is disabled.
    pub(super) fn delete_queues(self: &Arc<Self>, qid: u16) {
        let (link, leaving) = (self.clone(), self.leaving());
        let (handle, core) = self.home();
        let delete = async move || {
            link.delete(qid).await;
            drop(leaving);
        };
        // If home has ended, the controller is disabled.
        let _ended = handle.post(core, move || drop(spawn_local(delete())));
    }

    async fn delete(self: Arc<Self>, qid: u16) {
        let generation = self.generation();
        self.pairs().retain(|pair| pair.qid != qid);
        let mut is_deleted = true;
        // The completion queue goes last (Base 2.0 §5.6).
        for command in [Command::delete_sq(qid), Command::delete_cq(qid)] {
            let answer = self.admin(command, Payload::None).await.0;
            is_deleted &= answer.is_ok_and(|answer| {
                answer.status.is_success() || answer.status.code() == StatusCode::INVALID_QID
            });
        }
        // A reset deletes them as well.
        if is_deleted || generation != self.generation() {
            self.free(qid);
            self.put_queue_id(qid);
        }
    }
}
