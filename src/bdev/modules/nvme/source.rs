//! What leads to namespaces: a controller that is driven from user space; one of the kernel's is in `kernel`.

use std::future::Future;

use futures::{Stream, StreamExt};

use crate::Core;
use crate::nvme::spec::{Command, IdentifyController};
use crate::nvme::{Answer, Controller, Device, Error, Event, Namespace, Payload, Queue, QueuePair};

/// What the task that looks after a source is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Its namespaces, their sizes, or how they are reached may be others now.
    Changed,
    /// It is gone, for good.
    Gone,
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// What leads to namespaces: a [`Controller`], for one. Clones are the same. Sealed, as [`Queue`] is.
pub trait Source: Clone + Send + Sync + sealed::Sealed + 'static {
    /// Where a core's commands go.
    type Queue: Queue;
    /// Whether it is a controller: it has any number of namespaces, and says how well it leads to each. What is not is one namespace,
    /// whose paths are somebody else's to choose.
    const IS_CONTROLLER: bool;

    /// The calling core's queue, made on first use.
    fn queue(&self) -> impl Future<Output = Result<Self::Queue, Error>>;
    /// An admin command, from any core.
    fn admin(
        &self,
        command: Command,
        payload: Payload,
    ) -> impl Future<Output = (Result<Answer, Error>, Payload)>;
    /// Its active namespaces.
    fn namespaces(&self) -> impl Future<Output = Result<Vec<u32>, Error>>;
    /// What a namespace is at present.
    fn namespace(&self, nsid: u32) -> impl Future<Output = Result<Namespace, Error>>;
    /// What the controller says of itself.
    fn identity(&self) -> &IdentifyController;
    /// What happens to it from now on, which ends with [`Told::Gone`]. Does not keep it.
    fn events(&self) -> impl Stream<Item = Told> + 'static;
    /// Resets the controller.
    fn reset(&self) -> impl Future<Output = Result<(), Error>>;
    /// Whether the controller still works on what was given up here.
    fn is_lingering(queue: &Self::Queue) -> bool;
    /// Has the controller leave off what was given up here, if it can.
    fn abort_given_up(queue: &Self::Queue) {
        _ = queue;
    }
    /// The cores that have a queue, for those that get none: some controllers have fewer than there are cores.
    fn cores(&self) -> Vec<Core> {
        Vec::new()
    }
}

impl<D: Device> sealed::Sealed for Controller<D> {}

impl<D: Device> Source for Controller<D> {
    type Queue = QueuePair<D>;
    const IS_CONTROLLER: bool = true;

    async fn queue(&self) -> Result<QueuePair<D>, Error> {
        self.queue_pair().await
    }

    async fn admin(&self, command: Command, payload: Payload) -> (Result<Answer, Error>, Payload) {
        Controller::admin(self, command, payload).await
    }

    async fn namespaces(&self) -> Result<Vec<u32>, Error> {
        Controller::namespaces(self).await
    }

    async fn namespace(&self, nsid: u32) -> Result<Namespace, Error> {
        Controller::namespace(self, nsid).await
    }

    fn identity(&self) -> &IdentifyController {
        Controller::identity(self)
    }

    fn events(&self) -> impl Stream<Item = Told> + 'static {
        Controller::events(self).map(|event| match event {
            Event::Removed | Event::Failed => Told::Gone,
            _ => Told::Changed,
        })
    }

    async fn reset(&self) -> Result<(), Error> {
        Controller::reset(self).await
    }

    fn is_lingering(queue: &QueuePair<D>) -> bool {
        queue.given_up() > 0
    }

    fn abort_given_up(queue: &QueuePair<D>) {
        queue.abort_given_up();
    }

    fn cores(&self) -> Vec<Core> {
        Controller::cores(self)
    }
}
