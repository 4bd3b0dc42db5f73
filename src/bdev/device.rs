//! A device as the layer keeps it: the module's part, its size, and the word that every I/O looks at.
//!
//! `registry` makes it known, a `descriptor` opens it, a `channel` asks its word. [`Life`] is what changes seldom, behind a lock that
//! no I/O takes. What happens to the device is told to `events` and to the devices that stand on it; how it ends is in `removal`.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::accounts::Accounts;
use super::claims::{Openings, Wish};
use super::depth::Sampler;
use super::device_ref::DeviceRef;
use super::events::Queue;
use super::examine::Looks;
use super::gone::Here;
use super::holds::{Holds, Stops};
use super::limiter::Limiter;
use super::module::AnyBdev;
use super::range_locks::RangeLocks;
use super::registry::Names;
use super::removal::{self, Removal};
use super::visit::Site;
use super::{Access, Descriptor, Error, Event, Geometry, Result, Timing};

/// A device that the registry knows, or that somebody has to himself.
pub(super) struct Device {
    pub(super) name: Arc<str>,
    pub(super) bdev: Box<dyn AnyBdev>,
    /// As stated by the module; its number of blocks is that of the beginning.
    geometry: Geometry,
    block_count: AtomicU64,
    /// The bits below; zero means that I/O may go. Read for every I/O.
    state: AtomicU32,
    /// Blocks that a compare-and-write of the layer has to itself.
    pub(super) locks: RangeLocks,
    life: Mutex<Life>,
    /// Which modules have examined it.
    pub(super) looks: Looks,
    // Dropped last: who waits for the end finds everything above gone.
    here: Here,
}

/// No I/O starts any more. Set once, under the lock of [`Life`].
const REMOVED: u32 = 1;
/// Some blocks are held, or all. Set and cleared under the lock of [`Life`], with its `holds`.
const HELD: u32 = 2;
/// There are limits. Set and cleared under the lock of [`Life`], with its `limiter`.
const LIMITED: u32 = 4;
/// How long I/O takes is measured.
const TIMED: u32 = 8;
/// Each of these times counts in a histogram.
const LISTED: u32 = 16;

/// What changes seldom.
#[derive(Default)]
pub(super) struct Life {
    pub(super) openings: Openings,
    /// What else the registry knows it by.
    pub(super) names: Names,
    /// Streams of events; those whose reader has gone are swept out when something happens.
    listeners: Vec<Weak<Queue>>,
    /// Devices that stand on this one.
    followers: Vec<Follower>,
    pub(super) holds: Holds,
    pub(super) accounts: Accounts,
    limiter: Option<Arc<Limiter>>,
    sampler: Option<Arc<Sampler>>,
    /// Where there are channels.
    pub(super) sites: Vec<Site>,
}

/// A device that stands on another, which is the `base`-th of those that it names.
#[derive(Clone)]
struct Follower {
    device: Weak<Device>,
    base: usize,
}

impl Device {
    /// A device around `bdev`, which learns of it by `attached`.
    pub(super) fn new(name: &str, bdev: Box<dyn AnyBdev>) -> Result<Arc<Self>> {
        let geometry = bdev.geometry();
        geometry.validate()?;
        let device = Arc::new(Self {
            name: name.into(),
            bdev,
            geometry,
            block_count: AtomicU64::new(geometry.block_count),
            state: AtomicU32::new(0),
            locks: RangeLocks::default(),
            life: Mutex::default(),
            looks: Looks::default(),
            here: Here::default(),
        });
        device.set_timing(device.bdev.timing());
        device.bdev.attached(DeviceRef::of(&device));
        for (number, base) in device.bdev.bases().iter().enumerate() {
            device.follow(number, base);
        }
        Ok(device)
    }

    /// Has the module told what happens to `base`.
    pub(super) fn follow(self: &Arc<Self>, number: usize, base: &Descriptor) {
        let follower = Follower { device: Arc::downgrade(self), base: number };
        if !base.device().add_follower(follower) {
            self.bdev.base_changed(number, &Event::Removed, &DeviceRef::of(self));
        }
    }

    pub(super) fn life(&self) -> MutexGuard<'_, Life> {
        // Each change below is whole before anything could panic.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shape as it is now.
    pub(super) fn geometry(&self) -> Geometry {
        Geometry { block_count: self.block_count(), ..self.geometry }
    }

    /// How many blocks there are now.
    #[inline(always)]
    pub(super) fn block_count(&self) -> u64 {
        // Relaxed: the number guards no memory. Who must know that nobody uses the old one holds the blocks first.
        self.block_count.load(Ordering::Relaxed)
    }

    /// Whether I/O may go without asking further: looked at once for each I/O, when it begins.
    ///
    /// Relaxed, as the stores: the word guards no memory, and who must know that a core has seen it visits that core.
    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }

    /// Whether an I/O that found the device not open may go nevertheless: no more is asked of it than how long it takes.
    #[inline(always)]
    pub(super) fn is_only_timed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & !(TIMED | LISTED) == 0
    }

    /// Whether an I/O that found the device not open must ask with the lock taken.
    #[inline(always)]
    pub(super) fn is_barred(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (REMOVED | HELD) != 0
    }

    /// Whether an I/O that found the device not open may have to wait for a limit.
    pub(super) fn is_limited(&self) -> bool {
        self.state.load(Ordering::Relaxed) & (REMOVED | LIMITED) == LIMITED
    }

    pub(super) fn limiter(&self) -> Option<Arc<Limiter>> {
        self.life().limiter.clone()
    }

    /// Has I/O go by `limiter`, once the cores were told.
    pub(super) fn set_limiter(&self, limiter: Option<Arc<Limiter>>) -> Result<()> {
        let mut life = self.life();
        if self.is_removed() {
            return Err(Error::Removed);
        }
        match limiter {
            Some(_) => self.state.fetch_or(LIMITED, Ordering::Relaxed),
            None => self.state.fetch_and(!LIMITED, Ordering::Relaxed),
        };
        life.limiter = limiter;
        Ok(())
    }

    pub(super) fn sampler(&self) -> Option<Arc<Sampler>> {
        self.life().sampler.clone()
    }

    pub(super) fn set_sampler(&self, sampler: Option<Arc<Sampler>>) {
        self.life().sampler = sampler;
    }

    pub(super) fn timing(&self) -> Timing {
        let state = self.state.load(Ordering::Relaxed);
        match (state & TIMED != 0, state & LISTED != 0) {
            (false, _) => Timing::Off,
            (true, false) => Timing::Totals,
            (true, true) => Timing::Histograms,
        }
    }

    pub(super) fn set_timing(&self, timing: Timing) {
        let bits = match timing {
            Timing::Off => 0,
            Timing::Totals => TIMED,
            Timing::Histograms => TIMED | LISTED,
        };
        let set = |state: u32| Some(state & !(TIMED | LISTED) | bits);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, set);
    }

    pub(super) fn is_removed(&self) -> bool {
        self.state.load(Ordering::Relaxed) & REMOVED != 0
    }

    /// Has I/O over `blocks`, or all of it, or what of that changes something, wait until [`let_go`](Self::let_go) with the number returned.
    pub(super) fn hold(&self, blocks: Option<Range<u64>>, stops: Stops) -> Result<u64> {
        let mut life = self.life();
        if self.is_removed() {
            return Err(Error::Removed);
        }
        self.state.fetch_or(HELD, Ordering::Relaxed);
        Ok(life.holds.add(blocks, stops))
    }

    pub(super) fn let_go(&self, number: u64) {
        let mut life = self.life();
        if life.holds.lift(number) {
            self.state.fetch_and(!HELD, Ordering::Relaxed);
        }
        let waiting = life.holds.release();
        drop(life);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Counts descriptor `id` in.
    pub(super) fn open(&self, id: u64, wish: &Wish) -> Result<()> {
        let mut life = self.life();
        if self.is_removed() {
            return Err(Error::Removed);
        }
        if wish.access() == Access::ReadWrite && self.geometry.read_only {
            return Err(Error::ReadOnly { name: self.name.to_string() });
        }
        life.openings.open(&self.name, id, wish)
    }

    /// Counts descriptor `id` out.
    pub(super) fn close(&self, id: u64, access: Access) {
        self.life().openings.close(id, access);
    }

    /// How many descriptors are open.
    pub(super) fn open_descriptors(&self) -> usize {
        self.life().openings.count()
    }

    /// Has `queue` told from now on what happens.
    pub(super) fn add_listener(&self, queue: &Arc<Queue>) {
        let mut life = self.life();
        if self.is_removed() {
            // Nobody reads it yet.
            let _ = queue.push(&Event::Removed);
        } else {
            life.listeners.push(Arc::downgrade(queue));
        }
    }

    /// `false` if the device has been removed before.
    fn add_follower(&self, follower: Follower) -> bool {
        let mut life = self.life();
        if !self.is_removed() {
            life.followers.push(follower);
        }
        !self.is_removed()
    }

    /// Changes the number of blocks and tells so.
    pub(super) fn resize(&self, block_count: u64) -> Result<()> {
        let geometry = Geometry { block_count, ..self.geometry };
        geometry.validate()?;
        let life = self.life();
        if self.is_removed() {
            return Err(Error::Removed);
        }
        if self.block_count.swap(block_count, Ordering::Relaxed) != block_count {
            self.tell(life, &Event::Resized(geometry));
        }
        Ok(())
    }

    /// Tells that the medium wants something.
    pub(super) fn media_managed(&self, event: &Event) {
        let life = self.life();
        if !self.is_removed() {
            self.tell(life, event);
        }
    }

    /// Begins the end: no I/O starts from here on. Called again it says the same.
    pub(super) fn remove(self: &Arc<Self>) -> Removal {
        let mut life = self.life();
        if self.state.fetch_or(REMOVED, Ordering::Relaxed) & REMOVED == 0 {
            let waiting = life.holds.release();
            self.tell(life, &Event::Removed);
            waiting.into_iter().for_each(Waker::wake);
            removal::end_in_flight(self, self.bdev.removing());
        }
        Removal::new(Arc::downgrade(self), self.here.0.clone())
    }

    /// Tells `event` to all who listen, in the order in which the lock was taken, and then, with the lock free, to those who
    /// stand on this device.
    fn tell(&self, mut life: MutexGuard<'_, Life>, event: &Event) {
        let mut readers = Vec::new();
        life.listeners.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            readers.extend(queue.push(event));
            true
        });
        life.followers.retain(|follower| follower.device.strong_count() > 0);
        let followers = life.followers.clone();
        drop(life);
        readers.into_iter().for_each(Waker::wake);
        for Follower { device, base } in followers {
            if let Some(device) = device.upgrade() {
                device.bdev.base_changed(base, event, &DeviceRef::of(&device));
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let listeners = std::mem::take(&mut self.life().listeners);
        listeners.iter().filter_map(Weak::upgrade).for_each(|queue| queue.close());
    }
}
