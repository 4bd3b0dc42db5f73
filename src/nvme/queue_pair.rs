//! A core's queue pair, as its users have it: made for the first of them, deleted after the last.

use super::device::Device;
use super::done::Lost;
use super::link::{Attached, Link};
use super::op::Op;
use super::pair::Pair;
use super::prp::{BYTES_MAX, PAGE};
use super::queue::{Limits, Origin, Queue, Request, sealed::Sealed};
use super::sgl::PIECES_MAX;
use super::spec::Command;
use super::{Counters, Error};
use crate::time::sleep;
use crate::{spawn_local, sync::PerCoreRef};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::seat::Seat;

/// This core's queues of a controller, from [`Controller::queue_pair`](super::Controller::queue_pair). Clones are the same, and keep
/// the controller attached.
///
/// Commands are handed over when the core's turn ends, and wait in order while the queue is full.
pub struct QueuePair<D: Device> {
    pair: Rc<Pair<D>>,
    attached: Arc<Attached<D>>,
}

impl<D: Device> QueuePair<D> {
    fn new(pair: Rc<Pair<D>>, attached: Arc<Attached<D>>) -> Self {
        pair.add_user();
        Self { pair, attached }
    }

    pub(super) fn pair(&self) -> &Rc<Pair<D>> {
        &self.pair
    }

    /// This core's, made if it has none.
    pub(super) async fn of(attached: &Arc<Attached<D>>) -> Result<Self, Error> {
        let link = &attached.0;
        if link.over().is_some() {
            return Err(link.gone());
        }
        let seat = link.seats().get().map_err(|_closed| Error::Closed)?;
        if let Some(pair) = seat.io() {
            return Ok(Self::new(pair, attached.clone()));
        }
        // In a task of its own: what has begun is not left half done. A pair that nobody waits for any more is dropped as it comes.
        let making = spawn_local(Self::make(attached.clone(), seat));
        making.await.map_err(|_cancelled| Error::Closed)?
    }

    async fn make(attached: Arc<Attached<D>>, seat: PerCoreRef<Seat<D>>) -> Result<Self, Error> {
        let _making = seat.making.lock().await;
        if let Some(pair) = seat.io() {
            return Ok(Self::new(pair, attached));
        }
        let link = &attached.0;
        let limit = link.capabilities().queue_entries_max();
        let entries = u32::from(link.config().queue_entries).min(limit);
        let qid = link.queue_id().await?;
        let made = Self::create(link, &seat, qid, entries).await;
        if made.is_err() {
            // Of one of the two the controller may know.
            link.delete_queues(qid);
        }
        let pair = made?;
        while link.is_resetting() && link.over().is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        if link.over().is_some() {
            pair.end(Lost::Closed);
            return Err(link.gone());
        }
        pair.begin();
        seat.set_io(&pair);
        Ok(Self::new(pair, attached.clone()))
    }

    async fn create(
        link: &Arc<Link<D>>,
        seat: &PerCoreRef<Seat<D>>,
        qid: u16,
        entries: u32,
    ) -> Result<Rc<Pair<D>>, Error> {
        let (pair, places) = Pair::new(link, seat.clone(), qid, entries as u16)?;
        let known = link.at_home(async move |link| link.create_queues(places).await).await;
        known.and_then(|made| made)?;
        Ok(pair)
    }

    /// Commands that are not answered yet, those that wait and those that nobody awaits any more included.
    pub fn in_flight(&self) -> usize {
        self.pair.commands().unanswered()
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        self.pair.commands().counters()
    }
}

impl<D: Device> Sealed for QueuePair<D> {}

impl<D: Device> Queue for QueuePair<D> {
    type Sent<'a, Ask: Fn() -> Command + 'a> = Op<'a, D, Ask>;

    #[inline(always)]
    fn send<'a, Ask: Fn() -> Command + 'a>(&'a self, request: Request<Ask>) -> Op<'a, D, Ask> {
        Op::new(&self.pair, request.ask, request.payload)
    }

    fn origin(&self) -> Origin {
        self.pair.link().origin()
    }

    fn limits(&self) -> Limits {
        let identity = self.pair.link().identity().get().expect("it is attached");
        let has_sgls = identity.sgl.data() != 0;
        let (most, segments) =
            if has_sgls { (u32::MAX as u64 & !3, PIECES_MAX) } else { (BYTES_MAX, usize::MAX) };
        let bytes = identity.transfer_bytes_max(PAGE).unwrap_or(most).min(most);
        let has_fused = identity.fused.compare_and_write() && self.pair.commands().capacity() >= 2;
        Limits { bytes, segments, has_sgls, has_fused }
    }
}

impl<D: Device> Clone for QueuePair<D> {
    fn clone(&self) -> Self {
        Self::new(self.pair.clone(), self.attached.clone())
    }
}

impl<D: Device> Drop for QueuePair<D> {
    fn drop(&mut self) {
        self.pair.drop_user();
    }
}

impl<D: Device> fmt::Debug for QueuePair<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePair").field("counters", &self.counters()).finish_non_exhaustive()
    }
}
