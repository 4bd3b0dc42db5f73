//! Having a device, or a range of its blocks, to oneself for a while: [`Quiesce`] and [`Quiesced`].
//!
//! ```text
//!   hold (the word says HELD) ──► visit every core ──► each waits for what had begun there ──► Quiesced ──drop──► let go
//! ```
//!
//! The hold is in `holds`, the way to the cores in `visit`, what had begun in `traffic`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak as RcWeak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};

use super::channel::{self, Inner};
use super::device::Device;
use super::holds::Stops;
use super::traffic::Traffic;
use super::{Descriptor, Error, Geometry, Op, Result};
use crate::reactor::{Core, spawn_local, yield_now};
use crate::sys::wait_list::Key;

impl Descriptor {
    /// Holds the whole device: I/O that begins from now on waits, on all cores and through all descriptors, and what is in flight
    /// is waited for. It goes on when the [`Quiesced`] is dropped.
    ///
    /// Nothing is exempt, the caller's own I/O included: do not wait for any while you hold the device.
    ///
    /// # Errors
    /// [`Error::Removed`].
    pub fn quiesce(&self) -> Quiesce {
        Quiesce::new(self.device(), None, Work::Finishes)
    }

    /// As [`quiesce`](Self::quiesce), for I/O that touches `blocks`; what is about no blocks, such as a flush, goes on.
    ///
    /// # Errors
    /// [`Error::Removed`]; [`Error::EmptyRange`], [`Error::OutOfRange`].
    pub fn quiesce_range(&self, blocks: Range<u64>) -> Quiesce {
        Quiesce::new(self.device(), Some(blocks), Work::Finishes)
    }

    /// Starts the device afresh, from the calling core: holds new I/O on all cores, gives up what is in flight, whose callers get
    /// [`Error::Aborted`], has the module do [`Op::Reset`] if it has that, and lets go again.
    ///
    /// What a module keeps of an I/O that was given up is not waited for.
    ///
    /// # Errors
    /// [`Error::Removed`]; as [`channel`](Self::channel); what the module says to the reset.
    pub async fn reset(&self) -> Result<()> {
        let channel = self.channel()?;
        let _held = Quiesce::new(self.device(), None, Work::IsAborted).await?;
        let inner = channel.inner();
        if !inner.supported.get().has(Op::Reset) {
            return Ok(());
        }
        // Past the hold, which is ours.
        match inner.begin(Op::Reset, 0, 0, None).await {
            (None, _) => Ok(()),
            (Some(e), _) => Err(*e),
        }
    }
}

/// Has who changes `blocks` wait, once those who do so already are done: for an operation of the layer's own, on this core, that
/// reads and then writes.
///
/// Operations of that kind are not waited for, but have a lock among themselves; nor is what callers have dropped. Nothing is
/// allocated while all is on this core and nobody is in the way.
pub(super) async fn hold_changes(device: &Arc<Device>, blocks: Range<u64>) -> Result<Quiesced> {
    let number = device.hold(Some(blocks.clone()), Stops::Changes)?;
    let held = Quiesced { device: Arc::downgrade(device), number };
    let is_clear = || !channel::any_of_device(device, |inner| inner.traffic.changes(&blocks));
    if !(device.has_one_site() && is_clear()) {
        let drain = Drain::begin(device, Some(&blocks), Work::ChangesFinish);
        poll_fn(|cx| drain.poll(cx)).await;
    }
    Ok(held)
}

/// What becomes of the I/O in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Finishes,
    /// What changes blocks; the rest goes on.
    ChangesFinish,
    IsAborted,
}

impl Work {
    /// Whether an operation is waited for.
    fn meant(self) -> fn(Op) -> bool {
        if self == Self::ChangesFinish { Traffic::is_plain_change } else { |_| true }
    }
}

/// A device, or some of its blocks, about to be held: a future from [`Descriptor::quiesce`] that is ready when no I/O is in flight
/// there.
///
/// The hold begins with the first poll, and of two that have a block in common the later is ready when the earlier has been let go:
/// do not wait for one while you have another. Dropping the future lets go. It waits as long as an I/O takes: one that its module never
/// answers, or whose future its caller never polls, is waited for until it is aborted, and so is a core that is not turned;
/// [`waits_for`](Self::waits_for) says which. To wait no longer than so long, use [`timeout`](crate::time::timeout()).
#[must_use = "nothing is held until this is awaited"]
pub struct Quiesce {
    device: Weak<Device>,
    blocks: Option<Range<u64>>,
    work: Work,
    held: Option<(Quiesced, Arc<Drain>)>,
    /// Among those who wait for an older hold.
    place: Option<Key>,
}

/// A device, or some of its blocks, at rest until this is dropped.
#[must_use = "the i/o goes on when this is dropped"]
pub struct Quiesced {
    device: Weak<Device>,
    number: u64,
}

/// What a [`Quiesce`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// The core, which has not turned since.
    Core(Core),
    /// So many I/Os on the core; if none, what the device still does of I/O whose futures were dropped.
    Io(Core, usize),
    /// An older hold of some of the same blocks.
    Hold,
}

impl Quiesce {
    fn new(device: &Arc<Device>, blocks: Option<Range<u64>>, work: Work) -> Self {
        Self { device: Arc::downgrade(device), blocks, work, held: None, place: None }
    }

    pub(super) fn of(device: Weak<Device>, blocks: Option<Range<u64>>) -> Self {
        Self { device, blocks, work: Work::Finishes, held: None, place: None }
    }

    /// What it waits for at present. Nothing before its first poll.
    #[must_use]
    pub fn waits_for(&self) -> Vec<WaitsFor> {
        let Some((_, drain)) = &self.held else { return Vec::new() };
        let sites: Vec<_> = drain.state().sites.iter().flatten().copied().collect();
        if sites.is_empty() && self.place.is_some() { vec![WaitsFor::Hold] } else { sites }
    }

    fn begin(&mut self) -> Result<Arc<Drain>> {
        let device = self.device.upgrade().ok_or(Error::Removed)?;
        if let Some(blocks) = &self.blocks {
            Geometry::check(blocks, device.block_count())?;
        }
        let number = device.hold(self.blocks.clone(), Stops::All)?;
        let held = Quiesced { device: self.device.clone(), number };
        let drain = Drain::begin(&device, self.blocks.as_ref(), self.work);
        self.held = Some((held, drain.clone()));
        Ok(drain)
    }
}

impl Future for Quiesce {
    type Output = Result<Quiesced>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let drain = match &self.held {
            Some((_, drain)) => drain.clone(),
            None => self.begin()?,
        };
        ready!(drain.poll(cx));
        let this = &mut *self;
        let (Quiesced { device, number }, _) = this.held.as_ref().expect("held above");
        let device = device.upgrade().ok_or(Error::Removed)?;
        ready!(device.poll_alone(*number, &mut this.place, cx))?;
        // The device may have shrunk meanwhile.
        if let Some(blocks) = &this.blocks {
            Geometry::check(blocks, device.block_count())?;
        }
        let (held, _) = self.held.take().expect("held above");
        Poll::Ready(Ok(held))
    }
}

impl Drop for Quiesce {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if let Some(device) = self.device.upgrade() {
            device.leave_line(place);
        }
    }
}

impl Drop for Quiesced {
    fn drop(&mut self) {
        if let Some(device) = self.device.upgrade() {
            device.let_go(self.number);
        }
    }
}

/// Waits on the channel's core until nothing is in flight over `blocks` there, or the channel is gone.
async fn drained(inner: RcWeak<Inner>, blocks: Option<&Range<u64>>, work: Work, seat: &Seat) {
    let strays = work == Work::Finishes;
    loop {
        // The channel is not kept open while this waits.
        let Some(channel) = inner.upgrade() else { return };
        let (watch, (count, requests)) =
            (channel.traffic.watch(), channel.traffic.on(blocks, work.meant(), strays));
        let lingers = strays && channel.is_lingering();
        drop(channel);
        if count == 0 && !lingers {
            return;
        }
        seat.waits_for(count);
        if count == 0 {
            // Nobody is told when a device is done with what was given up.
            yield_now().await;
            continue;
        }
        let mut told = pin!(watch.notified());
        let mut is_first = true;
        poll_fn(|cx| {
            let is_told = told.as_mut().poll(cx).is_ready();
            // Nobody else is told of the end of what callers have left behind.
            requests
                .iter()
                .filter(|request| !request.is_awaited())
                .for_each(|stray| stray.register(1, cx.waker()));
            if std::mem::take(&mut is_first) && !is_told { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// What one [`Quiesce`] waits for.
#[derive(Default)]
struct Drain(Mutex<State>);

#[derive(Default)]
struct State {
    /// By core, until it has nothing in flight.
    sites: Vec<Option<WaitsFor>>,
    waker: Option<Waker>,
}

impl Drain {
    /// Visits every core.
    fn begin(device: &Arc<Device>, blocks: Option<&Range<u64>>, work: Work) -> Arc<Self> {
        let drain = Arc::new(Self::default());
        device.visit(|core| {
            let seat = Seat::new(&drain, core);
            let blocks = blocks.cloned();
            move |channels: Vec<Rc<Inner>>| {
                if work == Work::IsAborted {
                    for inner in &channels {
                        inner.traffic.end(None, || Error::Aborted);
                    }
                }
                let strays = work == Work::Finishes;
                let is_busy = |inner: &Rc<Inner>| {
                    inner.traffic.on(blocks.as_ref(), work.meant(), strays).0 > 0
                        || strays && inner.is_lingering()
                };
                let busy: Vec<_> =
                    channels.iter().filter(|inner| is_busy(inner)).map(Rc::downgrade).collect();
                if !busy.is_empty() {
                    spawn_local(async move {
                        for inner in busy {
                            drained(inner, blocks.as_ref(), work, &seat).await;
                        }
                    })
                    .detach();
                }
            }
        });
        drain
    }

    /// Ready when every core is done.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.state();
        if state.sites.iter().all(Option::is_none) {
            return Poll::Ready(());
        }
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One core's share in a [`Drain`]. It is dropped when the core is done, wherever that happens: also if the core has ended.
struct Seat {
    drain: Arc<Drain>,
    core: Core,
    at: usize,
}

impl Seat {
    fn new(drain: &Arc<Drain>, core: Core) -> Self {
        let mut state = drain.state();
        let at = state.sites.len();
        state.sites.push(Some(WaitsFor::Core(core)));
        drop(state);
        Self { drain: drain.clone(), core, at }
    }

    fn waits_for(&self, count: usize) {
        self.drain.state().sites[self.at] = Some(WaitsFor::Io(self.core, count));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.drain.state();
        state.sites[self.at] = None;
        let waker = if state.sites.iter().any(Option::is_some) { None } else { state.waker.take() };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(core) => write!(f, "core {} to turn", core.id()),
            Self::Io(core, count) => write!(f, "{count} i/os on core {}", core.id()),
            Self::Hold => write!(f, "another hold of the same blocks"),
        }
    }
}

impl fmt::Debug for Quiesce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quiesce").field("waits_for", &self.waits_for()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Quiesced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quiesced").finish_non_exhaustive()
    }
}
