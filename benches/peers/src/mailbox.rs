//! A mailbox for runtimes that have no way to start a task on another core: boxed futures over a `flume` channel.
//!
//! The other core receives and spawns them; answers come back through a `futures` oneshot. It is what such a runtime's
//! own dispatcher does (compio's, for one), and it lives from the runtime's wakers working from another thread.

use std::future::Future;
use std::pin::Pin;

use futures_channel::oneshot;

use crate::{Remote, Runtime};

/// A future on its way to another core.
pub type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The sending side.
#[derive(Debug)]
pub struct Mailbox(flume::Sender<Job>);

impl Mailbox {
    /// A mailbox and what [`serve_mailbox`] takes on the other core.
    pub fn new() -> (Self, flume::Receiver<Job>) {
        let (tx, rx) = flume::unbounded();
        (Self(tx), rx)
    }
}

/// Starts whatever arrives, until the mailbox is gone.
pub async fn serve_mailbox<R: Runtime>(jobs: flume::Receiver<Job>) {
    while let Ok(job) = jobs.recv_async().await {
        R::spawn_detached(job);
    }
}

impl Remote for Mailbox {
    type Answer = oneshot::Receiver<u64>;

    async fn spawn(&mut self, future: impl Future<Output = u64> + Send + 'static) -> Self::Answer {
        let (answer, receiver) = oneshot::channel();
        let job = Box::pin(async move {
            let _ = answer.send(future.await);
        });
        self.0.send(job).expect("the far core serves");
        receiver
    }

    async fn post(&mut self, event: impl FnOnce() + Send + 'static) {
        self.0.send(Box::pin(async move { event() })).expect("the far core serves");
    }
}
