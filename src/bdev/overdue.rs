//! I/O that takes too long is told: [`Descriptor::on_timeout`].
//!
//! Each channel of the descriptor has a task that looks, a few times per limit, at what is in flight. No I/O pays for it.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::{Rc, Weak as RcWeak};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::channel::Inner;
use super::{Channel, Descriptor, InFlight};
use crate::reactor::spawn_local;
use crate::time::sleep;

/// Looks per limit: an I/O is told of when it has been in flight for the limit, and a quarter of it at most.
const LOOKS: u32 = 8;

/// Watches for I/O that takes too long, until it is dropped. From [`Descriptor::on_timeout`].
#[must_use = "nobody watches when this is dropped"]
pub struct TimeoutWatch {
    _watch: Arc<Watch>,
}

struct Watch {
    limit: Duration,
    #[expect(clippy::type_complexity, reason = "a function, written out")]
    overdue: Box<dyn Fn(&Channel, &InFlight) + Send + Sync>,
}

/// Those who watch one descriptor's channels, and its clones'.
#[derive(Default)]
pub(super) struct Watches(Mutex<Vec<Weak<Watch>>>);

impl Descriptor {
    /// Calls `overdue` on the core concerned, once for each I/O of this descriptor and its clones that is in flight for longer than
    /// `limit`, on channels that exist and those to come: SPDK's `spdk_bdev_set_timeout`.
    ///
    /// It is told between `limit` and one and a quarter of it; what is split is told of once. The function may give the I/O up by
    /// [`Channel::abort`], and must not wait. Dropping what is returned ends the watch.
    ///
    /// ```
    /// use reactor::bdev::{self, Access};
    /// use std::time::Duration;
    ///
    /// # reactor::LocalExecutor::new().unwrap().block_on(async {
    /// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
    /// let _watch = disk.on_timeout(Duration::from_secs(30), |channel, io| {
    ///     eprintln!("{channel:?}: {io}");
    ///     channel.abort(io.id);
    /// });
    /// disk.channel()?.read(0..8).await?;
    /// # Ok::<(), bdev::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn on_timeout(
        &self,
        limit: Duration,
        overdue: impl Fn(&Channel, &InFlight) + Send + Sync + 'static,
    ) -> TimeoutWatch {
        let watch = Arc::new(Watch { limit, overdue: Box::new(overdue) });
        self.watches().add(&watch);
        let id = self.id();
        self.device().visit(|_core| {
            let watch = Arc::downgrade(&watch);
            move |channels: Vec<Rc<Inner>>| {
                channels
                    .iter()
                    .filter(|inner| inner.descriptor.id() == id)
                    .for_each(|inner| look(inner, &watch));
            }
        });
        TimeoutWatch { _watch: watch }
    }
}

impl Watches {
    fn add(&self, watch: &Arc<Watch>) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(watch));
    }

    /// Has those who watch look at a new channel as well.
    pub(super) fn begin(&self, inner: &Rc<Inner>) {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        watches.iter().for_each(|watch| look(inner, watch));
    }
}

/// Looks at `inner` from now on, unless it is looked at already: a new channel may be visited as well.
fn look(inner: &Rc<Inner>, watch: &Weak<Watch>) {
    let Some(limit) = watch.upgrade().map(|watch| watch.limit) else { return };
    if !inner.watched_by.borrow_mut().insert(watch.as_ptr().addr()) {
        return;
    }
    let (inner, watch) = (Rc::downgrade(inner), watch.clone());
    let period = (limit / LOOKS).max(Duration::from_micros(1));
    spawn_local(async move {
        let mut told = BTreeSet::new();
        // Neither channel nor watch is kept while this sleeps.
        while look_once(&inner, &watch, &mut told) {
            sleep(period).await;
        }
    })
    .detach();
}

/// `false` once there is nothing to look at, or nobody to tell.
fn look_once(inner: &RcWeak<Inner>, watch: &Weak<Watch>, told: &mut BTreeSet<super::IoId>) -> bool {
    let Some(channel) = inner.upgrade().map(Channel::from) else { return false };
    let Some(watch) = watch.upgrade() else {
        channel.inner().watched_by.borrow_mut().remove(&watch.as_ptr().addr());
        return false;
    };
    let list = channel.in_flight();
    told.retain(|id| list.iter().any(|io| io.id == *id));
    for io in list.iter().filter(|io| io.age >= watch.limit) {
        if told.insert(io.id) {
            (watch.overdue)(&channel, io);
        }
    }
    true
}

impl fmt::Debug for TimeoutWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutWatch").finish_non_exhaustive()
    }
}
