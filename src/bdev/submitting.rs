//! One I/O given to a module: the future that `channel`, `split` and stacked modules await.
//!
//! Starts the module's future on the first poll, drives it in its slot afterwards, and ends when the module answers or
//! loses the I/O. See the drawing in `io`.
//!
//! Written by hand where an `async fn` would do, because it is on every I/O's path: moving a buffer through nested
//! generated futures cost more than the null device itself.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::channel::Inner;
use super::request::{Buffer, Outcome, Request, State, Taken};
use super::slots::Running;
use super::traffic::{Place, UNLISTED};
use super::{Done, Error, Io, Op};

/// An I/O of the layer's own, in a request from the channel's store. Yields result and buffer.
#[must_use]
pub(super) struct Own<'c>(Submitting<'c>);

/// An I/O that a module hands on to the device below it. Yields the answer.
#[must_use]
pub(super) struct Submitting<'c> {
    inner: &'c Inner,
    request: Rc<Request>,
    /// 1 for the layer's own, one more per module in between.
    depth: usize,
    /// Where the I/O is for the module above: one below may move it.
    lba: u64,
    stage: Stage<'c>,
    kind: Kind,
}

enum Kind {
    /// In a request of the channel's.
    Own,
    /// The same, a part of a larger I/O that is counted instead.
    Piece,
    /// From a module above.
    Passing(Place),
}

enum Stage<'c> {
    /// Not polled yet. The `Io` is none while, and after, the module's first poll panics.
    Start(Option<Io>),
    /// The same, for the layer instead of the module.
    StartHere(Option<Io>),
    Running(Running<'c>),
    Over,
}

impl<'c> Submitting<'c> {
    /// Hands `io` on, counted by this channel, and polls once: the answer, or what is left to wait for.
    ///
    /// What is answered at once is never seen in flight: nobody looks meanwhile.
    #[inline(always)]
    pub(super) fn begin(inner: &'c Inner, io: Io, way: Way, cx: &mut Context<'_>) -> Result<Done, Self> {
        let request = io.request().clone();
        let (depth, lba) = (request.enter(), request.lba.get());
        let entered = Entered { inner, request: &request, depth };
        let started = match way {
            Way::Module => inner.submitter.start(io, cx),
            Way::Layer => inner.start_here(io, cx),
        };
        mem::forget(entered);
        match started {
            Ok(done) if done.is_for(&request) => {
                request.leave(depth);
                request.lba.set(lba);
                let is_ok = answered(inner, &request);
                inner.account.begin();
                inner.account.complete(request.op(), inner.bytes(request.blocks()) as u64, is_ok);
                Ok(done)
            }
            other => {
                let (stage, answer) = match other {
                    // Not over before it is known to be the answer.
                    Ok(done) => (Stage::Start(None), Some(done)),
                    Err(running) => (Stage::Running(running), None),
                };
                let place = inner.traffic.pass(&request, depth, inner.account.begin());
                let mut this = Self { inner, request, depth, lba, stage, kind: Kind::Passing(place) };
                match this.wait_or_end(answer, cx) {
                    Poll::Pending => Err(this),
                    Poll::Ready(done) => Ok(this.found(done)),
                }
            }
        }
    }

    /// One of this channel's own, in a request that has been filled.
    #[inline(always)]
    fn own(inner: &'c Inner, io: Io, way: Way, kind: Kind) -> Self {
        let request = io.request().clone();
        request.set_serial(if matches!(kind, Kind::Piece) { UNLISTED } else { inner.account.begin() });
        let (depth, lba) = (request.enter(), request.lba.get());
        let stage = match way {
            Way::Module => Stage::Start(Some(io)),
            Way::Layer => Stage::StartHere(Some(io)),
        };
        Self { inner, request, depth, lba, stage, kind }
    }

    #[inline(always)]
    fn is_counted(&self) -> bool {
        !matches!(self.kind, Kind::Piece)
    }

    /// Polls until answered (`Some`) or lost (`None`).
    #[inline(always)]
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done>> {
        // The stage is changed in place: it is not worth moving.
        let answer = match &mut self.stage {
            Stage::Start(io) => {
                let io = io.take().expect("the module panicked when this i/o was first polled");
                match self.inner.submitter.start(io, cx) {
                    Ok(done) => Some(done),
                    Err(running) => {
                        self.stage = Stage::Running(running);
                        None
                    }
                }
            }
            Stage::Running(running) => match running.poll(cx) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            },
            Stage::StartHere(io) => {
                let io = io.take().expect("the layer panicked when this i/o was first polled");
                match self.inner.start_here(io, cx) {
                    Ok(done) => Some(done),
                    Err(running) => {
                        self.stage = Stage::Running(running);
                        None
                    }
                }
            }
            Stage::Over => panic!("an i/o was polled after it completed"),
        };
        self.wait_or_end(answer, cx)
    }

    /// What follows a poll that gave `answer`.
    #[inline(always)]
    fn wait_or_end(&mut self, answer: Option<Done>, cx: &mut Context<'_>) -> Poll<Option<Done>> {
        if let Some(done) = &answer {
            if !done.is_for(&self.request) {
                self.adopt(done);
            }
        } else if self.request.is_unanswered() || !self.is_over_unanswered() {
            self.request.register(self.depth, cx.waker());
            return Poll::Pending;
        }
        // Answered, or lost by a module that would wait for it for ever.
        self.stage = Stage::Over;
        let is_ok = answered(self.inner, &self.request);
        if self.is_counted() {
            let bytes = self.inner.bytes(self.request.blocks()) as u64;
            self.inner.account.complete(self.request.op(), bytes, is_ok);
        }
        Poll::Ready(answer)
    }

    /// Whether the I/O is over although the module has not answered: lost, or to be given up here.
    #[cold]
    fn is_over_unanswered(&mut self) -> bool {
        let is_lost = self.request.state() == State::Lost;
        if is_lost && self.request.is_replaced() {
            // By a module below, which goes on with another.
            return false;
        }
        let error = self.request.take_end(self.depth);
        if !is_lost {
            if error.is_none() {
                // Meant for another submitter.
                return false;
            }
            // The module's future goes, and the `Io` with it unless the module put it elsewhere.
            self.stage = Stage::Over;
            if self.request.state() != State::Lost {
                self.go_on_with(self.request.replace(self.depth));
            }
        }
        if let Some(error) = error {
            self.request.fail(error);
        }
        true
    }

    /// Takes the answer to a request that has replaced ours below.
    #[cold]
    fn adopt(&mut self, done: &Done) {
        assert!(
            done.request().stands_for(&self.request),
            "{}: submit was given {:?} and returned {done:?}, the answer to another i/o",
            self.inner.name(),
            self.request
        );
        self.go_on_with(done.request().clone());
    }

    fn go_on_with(&mut self, request: Rc<Request>) {
        request.set_depth(self.depth);
        let before = mem::replace(&mut self.request, request);
        before.leave(self.depth);
        if !matches!(self.kind, Kind::Passing(_)) {
            self.inner.traffic.abandon(&before);
        }
    }

    /// The answer, which the module may have lost.
    fn found(&self, done: Option<Done>) -> Done {
        self.request.lba.set(self.lba);
        done.unwrap_or_else(|| Done::found(self.request.clone()))
    }
}

/// Whether `request`, which is over, succeeded; if not, its error learns by whom.
#[inline(always)]
fn answered(inner: &Inner, request: &Request) -> bool {
    let is_ok = request.is_ok();
    if !is_ok {
        request.name_module(inner.module());
    }
    is_ok
}

/// Stands while a module is first asked, for the case that it panics.
struct Entered<'e> {
    inner: &'e Inner,
    request: &'e Request,
    depth: usize,
}

impl Drop for Entered<'_> {
    #[cold]
    fn drop(&mut self) {
        self.request.leave(self.depth);
        self.inner.account.begin();
        self.inner.account.give_up();
    }
}

impl Future for Submitting<'_> {
    type Output = Done;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        self.poll_answer(cx).map(|done| self.found(done))
    }
}

impl Submitting<'_> {
    /// Gives the I/O up unless it is over: the module's future goes, and the `Io` with it unless the module put it elsewhere.
    #[inline(always)]
    fn end(&mut self) {
        // First, so that a future dropped below does not wake the task that drops it.
        self.request.leave(self.depth);
        if !matches!(self.stage, Stage::Over) {
            self.stage = Stage::Over;
            if self.depth == 1 && self.request.state() == State::Lost {
                drop(self.request.take_answer());
            }
            if self.is_counted() {
                self.inner.account.give_up();
            }
        }
    }
}

impl Drop for Submitting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.end();
        match &self.kind {
            Kind::Own | Kind::Piece => self.inner.traffic.keep(&self.request),
            Kind::Passing(place) => self.inner.traffic.passed(place),
        }
    }
}

impl<'c> Own<'c> {
    /// An I/O that the channel counts.
    #[inline(always)]
    pub(super) fn new(inner: &'c Inner, op: Op, lba: u64, blocks: u64, buffer: Buffer, way: Way) -> Self {
        Self::start(inner, op, lba, blocks, buffer, way, Kind::Own)
    }

    /// A piece of a larger I/O, which is counted instead.
    pub(super) fn piece(inner: &'c Inner, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Self {
        let way = Way::of(!inner.is_misaligned(&buffer));
        Self::start(inner, op, lba, blocks, buffer, way, Kind::Piece)
    }

    #[inline(always)]
    fn start(inner: &'c Inner, op: Op, lba: u64, blocks: u64, buffer: Buffer, way: Way, kind: Kind) -> Self {
        let request = inner.traffic.take();
        match way {
            Way::Module => inner.note_checked(&request),
            Way::Layer => request.fits.set(0),
        }
        Self(Submitting::own(inner, Io::start(request, op, lba, blocks, buffer), way, kind))
    }
}

/// Who carries an I/O out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The module, as it is.
    Module,
    /// The layer, in pieces or by other operations: see `emulate`.
    Layer,
}

impl Way {
    /// By the module if that takes it.
    #[inline(always)]
    pub(super) fn of(module_takes_it: bool) -> Self {
        if module_takes_it { Self::Module } else { Self::Layer }
    }
}

/// An I/O that has more than blocks and a buffer, in a request that has been filled. Yields all of that.
#[must_use]
pub(super) struct Rich<'c>(Own<'c>);

impl<'c> Rich<'c> {
    pub(super) fn new(inner: &'c Inner, io: Io, way: Way) -> Self {
        Self::start(inner, io, way, Kind::Own)
    }

    /// A piece of a larger I/O, which is counted instead, for the module.
    pub(super) fn piece(inner: &'c Inner, io: Io) -> Self {
        Self::start(inner, io, Way::Module, Kind::Piece)
    }

    fn start(inner: &'c Inner, io: Io, way: Way, kind: Kind) -> Self {
        io.request().fits.set(0);
        Self(Own(Submitting::own(inner, io, way, kind)))
    }
}

impl Future for Rich<'_> {
    type Output = (Option<Box<Error>>, Taken);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (error, buffer) = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready((error, self.0.0.request.extra.take(buffer)))
    }
}

impl Drop for Rich<'_> {
    fn drop(&mut self) {
        self.0.0.end();
        // Unless the module has put the `Io` elsewhere: then it has what it needs, and the request is not used again.
        if !self.0.0.request.is_with_module() {
            drop(self.0.0.request.extra.take(None));
        }
    }
}

impl Future for Own<'_> {
    type Output = Outcome;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_answer(cx).map(|done| {
            if let Some(done) = done {
                done.accept();
            }
            self.0.request.take_answer()
        })
    }
}
