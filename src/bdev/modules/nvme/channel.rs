//! The data path of one core: an I/O becomes a command, which goes by one of the paths that the table names, and by others if need be.
//!
//! ```text
//!             a path that is used, its queue made                  success
//!   Io ─ask──────────────────────────────────────▶ carried ──────────────────▶ brought home, Done
//!                     │ none yet                      │ failed
//!                     ▼                               ▼
//!                 ┌─────────── persist (boxed: nothing of it weighs on the way above) ────────────┐
//!                 │ another path │ the same, later │ wait for a path │ give up, and explain why   │
//!                 └───────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Source;
use super::attached::Attached;
use super::failure::{Failure, Verdict};
use super::paths::{Disk, Used};
use super::request::{Ask, Home, Repeat};
use crate::bdev::{Done, Io, Op, Submit};
use crate::nvme::spec::Command;
use crate::nvme::{Answered, Error, Namespace, Payload, Queue, Request};
use crate::sys::dma::DmaPool;
use crate::time::{Instant, sleep, timeout_at};

/// One core's ways to a namespace.
pub struct NvmeChannel<S: Source> {
    pub(super) disk: Arc<Disk<S>>,
    view: RefCell<View<S>>,
}

/// The paths that this core uses, as of one version of the table.
struct View<S: Source> {
    version: u32,
    used: Vec<Rc<Here<S>>>,
    /// Whose turn it was, of several.
    turn: Cell<usize>,
}

/// A path, and this core's queue on it.
struct Here<S: Source> {
    epoch: Cell<u64>,
    controller: Arc<Attached<S>>,
    namespace: Namespace,
    queue: OnceCell<S::Queue>,
}

/// How often a controller is asked for a queue that has none left, and how long in between: one that is let go of takes a moment.
const QUEUE_TRIES: u32 = 50;
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// What became of a first try.
enum First<S: Source> {
    /// This path's turn it is, but it has no queue yet; or there is none.
    NotYet(Option<Rc<Here<S>>>),
    /// The path of this epoch was tried.
    Failed(u64, Failure),
}

impl<S: Source> Here<S> {
    /// The queue, if a command can go there at once: there is one, and the namespace is what it was. Whoever asks sends before he awaits
    /// anything.
    #[inline(always)]
    fn ready(&self) -> Option<&S::Queue> {
        if self.namespace.is_gone() { None } else { self.queue.get() }
    }

    /// The queue, once there is one, if the namespace is what it was. Whoever asks sends before he awaits anything.
    async fn ready_soon(&self) -> Result<&S::Queue, Error> {
        let queue = self.queue().await?;
        if self.namespace.is_gone() { Err(Error::NamespaceGone) } else { Ok(queue) }
    }

    /// This core's queue, made with the first I/O. Several may ask for it at a time, and get the same.
    async fn queue(&self) -> Result<&S::Queue, Error> {
        if let Some(queue) = self.queue.get() {
            return Ok(queue);
        }
        let mut tries = QUEUE_TRIES;
        loop {
            match self.controller.source.queue().await {
                Ok(queue) => return Ok(self.queue.get_or_init(|| queue)),
                Err(Error::NoQueue(_)) if tries > 0 => tries -= 1,
                Err(e) => return Err(e),
            }
            sleep(QUEUE_PAUSE).await;
        }
    }
}

impl<S: Source> View<S> {
    fn of(disk: &Disk<S>, before: &[Rc<Here<S>>]) -> Self {
        let (version, paths) = disk.used();
        let here = |(epoch, controller, namespace): Used<S>| {
            let known = before.iter().find(|it| Arc::ptr_eq(&it.controller, &controller));
            match known.filter(|it| it.namespace.is(&namespace)) {
                Some(here) => {
                    here.epoch.set(epoch);
                    here.clone()
                }
                None => {
                    let queue = known.map(|it| it.queue.clone()).unwrap_or_default();
                    Rc::new(Here { epoch: Cell::new(epoch), controller, namespace, queue })
                }
            }
        };
        Self { version, used: paths.into_iter().map(here).collect(), turn: Cell::new(0) }
    }

    #[inline(always)]
    fn next(&self) -> Option<&Rc<Here<S>>> {
        match self.used.len() {
            0 => None,
            1 => self.used.first(),
            many => {
                let turn = self.turn.get();
                self.turn.set(if turn + 1 < many { turn + 1 } else { 0 });
                self.used.get(turn)
            }
        }
    }
}

impl<S: Source> NvmeChannel<S> {
    pub(super) fn new(disk: Arc<Disk<S>>) -> Self {
        let view = RefCell::new(View::of(&disk, &[]));
        Self { disk, view }
    }

    /// The path for the next command, if there is one.
    #[inline]
    fn path(&self) -> Option<Rc<Here<S>>> {
        if self.view.borrow().version != self.disk.version() {
            self.look_again();
        }
        self.view.borrow().next().cloned()
    }

    #[cold]
    fn look_again(&self) {
        let view = View::of(&self.disk, &self.view.borrow().used);
        // The one before is dropped with nothing borrowed: its queues may be the last.
        drop(self.view.replace(view));
    }

    /// Has the device carry `command` out, by whatever path; yields its result and what it carried.
    #[inline]
    pub(super) async fn carry(
        &self,
        command: Command,
        payload: Payload,
        repeat: Repeat,
    ) -> (Result<u64, Failure>, Payload) {
        let bytes = payload.len();
        let here = self.path();
        let ready = here.as_ref().and_then(|here| Some((here.ready()?, here.epoch.get())));
        let (first, payload) = match ready {
            Some((queue, epoch)) => {
                let (answer, payload) = queue.send(Request::new(|| command, payload)).await;
                match answer {
                    Ok(answer) if answer.status.is_success() => return (Ok(answer.result), payload),
                    other => (First::Failed(epoch, failure_of(other)), payload),
                }
            }
            None => (First::NotYet(here), payload),
        };
        Box::pin(self.persist(command, payload, bytes, repeat, first)).await
    }

    /// Goes on where the first try failed, or could not be.
    async fn persist(
        &self,
        command: Command,
        mut payload: Payload,
        bytes: usize,
        repeat: Repeat,
        first: First<S>,
    ) -> (Result<u64, Failure>, Payload) {
        let (mut chosen, mut failed) = match first {
            First::NotYet(here) => (here, None),
            First::Failed(epoch, failure) => (None, Some((epoch, failure))),
        };
        let options = &self.disk.options;
        let mut retries = options.retries;
        let mut until = None;
        loop {
            if let Some((epoch, failure)) = failed.take() {
                let verdict = failure.verdict();
                match verdict {
                    Verdict::OtherPath => self.disk.failed(epoch, &failure),
                    Verdict::AccessChanged => self.disk.access_changed(epoch),
                    Verdict::Final | Verdict::Again(_) => {}
                }
                // What was carried must come back for another try.
                if payload.len() != bytes || !repeat.is_allowed(&failure, verdict) {
                    return (Err(failure), payload);
                }
                match verdict {
                    Verdict::Final => return (Err(failure), payload),
                    Verdict::Again(_) if retries == 0 => return (Err(failure), payload),
                    Verdict::Again(delay) => {
                        retries -= 1;
                        sleep(self.disk.shape.retry_delays[delay]).await;
                    }
                    // Paths that come back and fail again: not for ever.
                    _ if until.is_some_and(|until| until <= Instant::now()) => {
                        return (Err(failure), payload);
                    }
                    _ => {
                        until.get_or_insert_with(|| Instant::now() + options.path_timeout);
                    }
                }
            }
            let Some(here) = chosen.take().or_else(|| self.path()) else {
                let until = *until.get_or_insert_with(|| Instant::now() + options.path_timeout);
                match self.wait_for_path(until).await {
                    Ok(()) => continue,
                    Err(failure) => return (Err(failure), payload),
                }
            };
            let epoch = here.epoch.get();
            let answer;
            match here.ready_soon().await {
                Ok(queue) => (answer, payload) = queue.send(Request::new(|| command, payload)).await,
                Err(e) => answer = Err(Box::new(e)),
            }
            match outcome(answer) {
                Ok(value) => return (Ok(value), payload),
                Err(failure) => failed = Some((epoch, failure)),
            }
        }
    }

    /// Ready when the table has changed.
    async fn wait_for_path(&self, until: Instant) -> Result<(), Failure> {
        let version = self.view.borrow().version;
        match timeout_at(until, poll_fn(|cx| self.disk.poll_change(version, cx))).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Gone),
            Err(_elapsed) => Err(Failure::NoPath),
        }
    }

    /// The controllers of all paths, used or not.
    pub(super) fn controllers(&self) -> Vec<Arc<Attached<S>>> {
        self.disk.controllers()
    }

    /// A queue of a path that is used, once there is one. Whoever asks sends before he awaits anything.
    pub(super) async fn queue(&self) -> Result<S::Queue, Failure> {
        let until = Instant::now() + self.disk.options.path_timeout;
        loop {
            match self.path() {
                Some(here) => match here.ready_soon().await {
                    Ok(queue) => return Ok(queue.clone()),
                    Err(e) => {
                        let failure = Failure::from(e);
                        if failure.verdict() == Verdict::Final {
                            return Err(failure);
                        }
                        self.disk.failed(here.epoch.get(), &failure);
                    }
                },
                None => self.wait_for_path(until).await?,
            }
        }
    }

    /// The controller of a path that is used, once there is one.
    pub(super) async fn controller(&self) -> Result<Arc<Attached<S>>, Failure> {
        let until = Instant::now() + self.disk.options.path_timeout;
        loop {
            match self.path() {
                Some(here) => return Ok(here.controller.clone()),
                None => self.wait_for_path(until).await?,
            }
        }
    }
}

#[inline(always)]
pub(super) fn outcome(answered: Answered) -> Result<u64, Failure> {
    match answered {
        Ok(answer) if answer.status.is_success() => Ok(answer.result),
        other => Err(failure_of(other)),
    }
}

#[cold]
fn failure_of(answered: Answered) -> Failure {
    answered.map_or_else(|error| (*error).into(), |answer| Failure::Status(answer.status))
}

impl<S: Source> Submit for NvmeChannel<S> {
    async fn submit(&self, mut io: Io) -> Done {
        let shape = &self.disk.shape;
        let Some(payload) = shape.plain(&mut io) else { return self.submit_any(io).await };
        let (is_read, nsid, lba, blocks) = (io.op() == Op::Read, shape.nsid, io.lba(), io.blocks() as u32);
        let ask = move || match is_read {
            true => Command::read(nsid, lba, blocks),
            false => Command::write(nsid, lba, blocks),
        };
        let bytes = payload.len();
        // As in `carry`, which would move what it is given once more.
        let here = self.path();
        let ready = here.as_ref().and_then(|here| Some((here.ready()?, here.epoch.get())));
        let (first, payload) = match ready {
            Some((queue, epoch)) => {
                let (answer, payload) = queue.send(Request::new(&ask, payload)).await;
                match answer {
                    Ok(answer) if answer.status.is_success() => {
                        if let Some(buf) = payload.into_buf() {
                            io.put_buffer(Some(buf.into()));
                        }
                        return io.done(Ok(()));
                    }
                    other => (First::Failed(epoch, failure_of(other)), payload),
                }
            }
            None => (First::NotYet(here), payload),
        };
        Box::pin(async move {
            let (result, payload) = self.persist(ask(), payload, bytes, Repeat::Freely, first).await;
            Home::default().put_back(&mut io, payload);
            match result {
                Ok(_) => io.done(Ok(())),
                Err(failure) => self.explain(io, failure).await,
            }
        })
        .await
    }

    fn is_lingering(&self) -> bool {
        self.view.borrow().used.iter().any(|here| here.queue.get().is_some_and(S::is_lingering))
    }
}

impl<S: Source> NvmeChannel<S> {
    /// Any I/O, also what is no plain read or write.
    async fn submit_any(&self, mut io: Io) -> Done {
        let shape = &self.disk.shape;
        match io.op() {
            Op::Read | Op::Write if shape.takes_whole(&io) => {}
            Op::Flush if !shape.geometry.write_cache => return io.done(Ok(())),
            Op::Read | Op::Write | Op::ZoneReport | Op::CompareAndWrite | Op::Reset | Op::NvmeAdmin => {
                return Box::pin(self.take_steps(io)).await;
            }
            _ => {}
        }
        let aside = match shape.bytes_aside(&mut io) {
            0 => None,
            bytes => match DmaPool::local().alloc(bytes).await {
                Ok(buf) => Some(buf),
                Err(e) => return io.done(Err(e.into())),
            },
        };
        let Some(Ask { command, payload, repeat, home }) = shape.ask(&mut io, aside) else {
            return io.unsupported();
        };
        if io.op() == Op::NvmeIo {
            if let Err(error) = shape.check(&command, &payload) {
                home.put_back(&mut io, payload);
                return Box::pin(self.explain(io, Failure::Queue(error))).await;
            }
        }
        match self.carry(command, payload, repeat).await {
            (Ok(value), payload) => {
                shape.bring_home(&mut io, home, value, payload);
                io.done(Ok(()))
            }
            (Err(failure), payload) => {
                home.put_back(&mut io, payload);
                Box::pin(self.explain(io, failure)).await
            }
        }
    }
}

impl<S: Source> fmt::Debug for NvmeChannel<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmeChannel").field("paths", &self.view.borrow().used.len()).finish_non_exhaustive()
    }
}
