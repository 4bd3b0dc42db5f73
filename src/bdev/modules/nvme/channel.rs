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

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;

use super::Source;
use super::attached::Attached;
use super::away::Away;
use super::failure::{Failure, Verdict};
use super::paths::Disk;
use super::request::{Ask, Home, Repeat};
use super::sending::{Sending, send};
use super::view::{Here, View};
use crate::bdev::{Done, Io, Op, Submit};
use crate::nvme::spec::Command;
use crate::nvme::{Answered, Error, Payload, Queue, Request};
use crate::spawn_local;
use crate::sys::dma::DmaPool;
use crate::time::{Instant, sleep, timeout_at};

/// One core's ways to a namespace.
pub struct NvmeChannel<S: Source> {
    pub(super) disk: Arc<Disk<S>>,
    view: RefCell<View<S>>,
    away: Away,
    /// Queues of paths that are not used any more, which still have to do with what was given up.
    left: Rc<Cell<usize>>,
}

/// How long a queue that was left is asked whether it has done what was given up.
const LEFT_PAUSE: Duration = Duration::from_millis(1);

/// What became of a first try.
enum First<S: Source> {
    /// This path's turn it is, but it has no queue yet; or there is none.
    NotYet(Option<Rc<Here<S>>>),
    /// The path of this epoch was tried.
    Failed(u64, Failure),
}

impl<S: Source> NvmeChannel<S> {
    pub(super) fn new(disk: Arc<Disk<S>>) -> Self {
        let view = RefCell::new(View::of(&disk, &[]));
        Self { disk, view, away: Away::default(), left: Rc::default() }
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
        let before = self.view.replace(view);
        let queues = before.used.iter().filter_map(|here| here.queue.get());
        queues.filter(|queue| S::is_lingering(queue)).for_each(|queue| self.leave_behind(queue.clone()));
    }

    fn leave_behind(&self, queue: S::Queue) {
        let left = self.left.clone();
        left.set(left.get() + 1);
        let waiting = async move {
            while S::is_lingering(&queue) {
                sleep(LEFT_PAUSE).await;
            }
            left.set(left.get() - 1);
        };
        spawn_local(waiting).detach();
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
                let sending = Sending::<S>(queue);
                let (answer, payload) = queue.send(Request::new(|| command, payload)).await;
                std::mem::forget(sending);
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
                Ok(queue) => (answer, payload) = send::<S>(queue, command, payload).await,
                Err(Error::NoQueue(_)) => {
                    let sent = self.send_away(&here, vec![(command, payload)]);
                    (answer, payload) = sent.await.pop().expect("one for each command");
                }
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

    async fn send_away(&self, here: &Here<S>, commands: Vec<(Command, Payload)>) -> Vec<(Answered, Payload)> {
        self.away.send(&here.controller.source, &here.namespace, commands).await
    }

    /// Sends two commands, with nothing in between, by a path that is used, once there is one.
    pub(super) async fn send_both(
        &self,
        one: (Command, Payload),
        other: (Command, Payload),
    ) -> Result<[Answered; 2], Failure> {
        let until = Instant::now() + self.disk.options.path_timeout;
        loop {
            match self.path() {
                Some(here) => match here.ready_soon().await {
                    Ok(queue) => {
                        let (one, other) =
                            join(send::<S>(queue, one.0, one.1), send::<S>(queue, other.0, other.1)).await;
                        return Ok([one.0, other.0]);
                    }
                    Err(Error::NoQueue(_)) => {
                        let answered = self.send_away(&here, vec![one, other]).await;
                        let answers = answered.into_iter().map(|(answer, _)| answer);
                        return Ok(answers.collect::<Vec<_>>().try_into().expect("one for each command"));
                    }
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
                let sending = Sending::<S>(queue);
                let (answer, payload) = queue.send(Request::new(&ask, payload)).await;
                std::mem::forget(sending);
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
        let is_here = |here: &Rc<Here<S>>| here.queue.get().is_some_and(S::is_lingering);
        self.left.get() > 0 || self.away.is_lingering() || self.view.borrow().used.iter().any(is_here)
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
