//! The I/Os of a channel that are not over, for who asks: listed, and given up one by one or all.
//!
//! What `traffic` knows, as users see it.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::traffic::Listed;
use super::{Channel, Error, Op};
use crate::reactor::context;

/// Names an I/O of one channel. No other I/O of that channel ever has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoId(u64);

/// An I/O in flight, from [`Channel::in_flight`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight {
    /// For [`Channel::abort`].
    pub id: IoId,
    /// What it asks for.
    pub op: Op,
    /// Its blocks; none for what is about no blocks, such as a flush.
    pub blocks: Range<u64>,
    /// For how long it has been in flight at least: since it was first looked for on its channel. Nobody reads a clock when an
    /// I/O begins, so this is exact only where somebody looks often, as [`Descriptor::on_timeout`](super::Descriptor::on_timeout)
    /// does.
    pub age: Duration,
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.blocks;
        write!(f, "{} of blocks {start}..{end}, in flight for {:?} or longer", self.op.name(), self.age)
    }
}

impl Channel {
    /// The I/Os of this channel whose callers wait for them, oldest first. One that the layer has split is listed once.
    ///
    /// What waits to be let in, because the device is [quiesced](super::Descriptor::quiesce) or the pool is dry, is not in flight.
    #[must_use]
    pub fn in_flight(&self) -> Vec<InFlight> {
        let now = context::try_with(|core| core.timers.now());
        let list = self.inner().traffic.list();
        let mut looks = self.inner().traffic.looks.borrow_mut();
        looks.retain(|(serial, _)| list.iter().any(|listed| listed.serial == *serial));
        let mut age = |serial| {
            let Some(now) = now else { return Duration::ZERO };
            match looks.iter().find(|(known, _)| *known == serial) {
                Some((_, first)) => now.duration_since(*first),
                None => {
                    looks.push((serial, now));
                    Duration::ZERO
                }
            }
        };
        let listed =
            |Listed { serial, op, blocks }| InFlight { id: IoId(serial), op, blocks, age: age(serial) };
        list.into_iter().map(listed).collect()
    }

    /// Whether the device, or one that it stands on, still works on I/O of this channel whose future was dropped, as far as its
    /// module [says](super::Submit::is_lingering).
    #[must_use]
    pub fn is_lingering(&self) -> bool {
        self.inner().is_lingering()
    }

    /// Gives an I/O up: its caller gets [`Error::Aborted`], with what there is of its buffer, unless it completes first. What the
    /// device still does with it goes on unheard; its buffer stays with the driver until then. An NVMe controller is asked to leave off.
    ///
    /// Returns `false` if that I/O is not in flight any more.
    pub fn abort(&self, id: IoId) -> bool {
        self.inner().traffic.end(Some(id.0), || Error::Aborted) > 0
    }

    /// Gives up every I/O of this channel, as [`abort`](Self::abort), and says how many that were.
    pub fn abort_all(&self) -> usize {
        let count = self.in_flight().len();
        self.inner().traffic.end(None, || Error::Aborted);
        count
    }
}
