//! Commands of a core that has no queue of its own, as the controller has fewer than there are cores: they go by another core's.
//!
//! Which that is, is asked for each command: a core that may have a queue by then has one from then on. What is sent there is counted
//! here, as what was given up must be waited for here.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use futures::future::join_all;

use super::Source;
use crate::nvme::spec::Command;
use crate::nvme::{Answered, Error, Limits, Namespace, Payload, Queue, Request};
use crate::{Core, call_on, spawn_local};

/// What became of a command, and what it carried.
type Outcome = (Answered, Payload);

/// One core's commands that went by other cores' queues.
#[derive(Default)]
pub(super) struct Away(RefCell<Vec<Weak<()>>>);

impl Away {
    /// Sends commands to `namespace` by a core that has a queue, one right behind the other. Dropping the future leaves them to the
    /// controller.
    pub(super) async fn send<S: Source>(
        &self,
        source: &S,
        namespace: &Namespace,
        commands: Vec<(Command, Payload)>,
    ) -> Vec<Outcome> {
        let Some(core) = lender(source) else {
            return failed(Error::NoQueue(0), commands.into_iter().map(|(_, payload)| payload));
        };
        let count = commands.len();
        let (there, namespace) = (source.clone(), namespace.clone());
        let sent = call_on(core, async move || {
            let queue = match there.queue().await {
                Ok(_) if namespace.is_gone() => Err(Error::NamespaceGone),
                queue => queue,
            };
            match queue {
                Ok(queue) => {
                    let send = |(command, payload)| queue.send(Request::new(move || command, payload));
                    join_all(commands.into_iter().map(send)).await
                }
                Err(error) => failed(error, commands.into_iter().map(|(_, payload)| payload)),
            }
        });
        let here = Rc::new(());
        self.keep(&here);
        let kept = here.clone();
        let answered = spawn_local(async move {
            let answered = sent.await;
            drop(kept);
            answered
        });
        // What another core had with it when that ended is lost.
        let lost = || failed(Error::Closed, (0..count).map(|_| Payload::None));
        answered.await.ok().and_then(Result::ok).unwrap_or_else(lost)
    }

    /// Counts a command whose end, and whose caller, keep `here`.
    fn keep(&self, here: &Rc<()>) {
        let mut away = self.0.borrow_mut();
        away.retain(|one| one.strong_count() > 0);
        away.push(Rc::downgrade(here));
    }

    /// Whether something is on its way that was given up here.
    pub(super) fn is_lingering(&self) -> bool {
        self.0.borrow().iter().any(|one| one.strong_count() == 1)
    }
}

/// What a queue takes, on this core or, if it gets none, on another.
pub(super) async fn limits<S: Source>(source: &S) -> Result<Limits, Error> {
    match (source.queue().await, lender(source)) {
        (Ok(queue), _) => Ok(queue.limits()),
        (Err(Error::NoQueue(_)), Some(core)) => {
            let there = source.clone();
            let limits = call_on(core, async move || there.queue().await.map(|queue| queue.limits()));
            limits.await.map_err(|_ended| Error::Closed)?
        }
        (Err(error), _) => Err(error),
    }
}

/// A core that has a queue; not the same for all that have none.
fn lender<S: Source>(source: &S) -> Option<Core> {
    let cores = source.cores();
    let at = Core::current().index() % cores.len().max(1);
    cores.get(at).copied()
}

fn failed(error: Error, payloads: impl Iterator<Item = Payload>) -> Vec<Outcome> {
    let mut error = Some(error);
    payloads.map(|payload| (Err(Box::new(error.take().unwrap_or(Error::Closed))), payload)).collect()
}
