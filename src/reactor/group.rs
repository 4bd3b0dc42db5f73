//! The cores of one runtime, as they and foreign threads see each other.

use super::{Core, Mode, balance::Balance, critical::Critical, outbox::Outboxes};
use crate::{
    sys::{
        eventfd::EventFd,
        sync::{self, CachePadded},
    },
    task::Home,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, Ordering::Relaxed},
};

/// All cores of a runtime; kept by each of them and by every [`Handle`](crate::Handle).
pub(crate) struct Group {
    peers: Box<[Peer]>,
    pub(super) balance: Balance,
    /// Dropped after the inboxes, whose events refer to them.
    pub(super) outboxes: Mutex<Outboxes>,
}

/// One core, seen from any thread.
pub(crate) struct Peer {
    pub(crate) core: Core,
    pub(crate) home: sync::Arc<Home>,
    /// Rings when the core sleeps.
    pub(crate) doorbell: Arc<EventFd>,
    /// Read by the core in every turn, written when somebody wants something else of it.
    pub(crate) control: CachePadded<Control>,
}

/// What others ask of a core.
pub(crate) struct Control {
    mode: AtomicU8,
    pub(crate) critical: Critical,
}

/// Events that a core's ring holds before it spills: enough for a few turns of the fastest sender measured (65 M/s), small
/// enough (64 KiB) to stay in the second-level cache with the rest of a core's state.
const INBOX_CAPACITY: usize = 1024;

impl Group {
    /// One core per id, in this order.
    pub(crate) fn new(
        ids: impl IntoIterator<Item = usize>,
        mode: Mode,
    ) -> Result<Arc<Self>, crate::sys::eventfd::Error> {
        let peer = |(index, id)| -> Result<Peer, crate::sys::eventfd::Error> {
            let doorbell = Arc::new(EventFd::new()?);
            let bell = doorbell.clone();
            Ok(Peer {
                core: Core::new(index, id),
                home: Home::new(INBOX_CAPACITY, Arc::new(move || bell.signal())),
                doorbell,
                control: CachePadded(Control { mode: AtomicU8::new(mode as u8), critical: Critical::new() }),
            })
        };
        let peers: Box<[Peer]> = ids.into_iter().enumerate().map(peer).collect::<Result<_, _>>()?;
        let balance = Balance::new(peers.len());
        Ok(Arc::new(Self { peers, balance, outboxes: Mutex::default() }))
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Peer> {
        self.peers.get(index)
    }

    /// The peer that `core` names, if it is of this group.
    #[inline]
    pub(crate) fn peer(&self, core: Core) -> Option<&Peer> {
        self.peers.get(core.index()).filter(|peer| peer.core == core)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Peer> {
        self.peers.iter()
    }

    pub(crate) fn cores(&self) -> Box<[Core]> {
        self.peers.iter().map(|peer| peer.core).collect()
    }
}

impl Peer {
    /// Switches the core's mode; a core that sleeps wakes up to see it.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.control.mode.store(mode as u8, Relaxed);
        // The poke orders the store before the core's next look: it is a read-modify-write of the word it parks on.
        self.home.poke();
    }

    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_u8(self.control.mode.load(Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{JoinError, reactor::LocalExecutor, spawn_on, time::Clock};

    /// What was sent to a core that never starts is dropped with the runtime: captures, proxy and homes.
    #[test]
    fn a_core_that_never_starts_leaks_nothing() {
        let group = Group::new([0, 1], Mode::Poll).unwrap();
        let homes: Vec<_> = group.iter().map(|peer| sync::Arc::downgrade(&peer.home)).collect();
        let target = group.get(1).unwrap().core;
        let executor = LocalExecutor::of_group(group.clone(), 0, Clock::manual().0).unwrap();
        let witness = Arc::new(());
        let [held, detached] = [witness.clone(), witness.clone()];
        let handle = executor.enter_with(|| spawn_on(target, async move { drop(held) }));
        executor.enter_with(|| spawn_on(target, async move { drop(detached) })).detach();
        drop(executor);
        drop(group);
        assert_eq!(Arc::strong_count(&witness), 1);
        assert!(matches!(handle.wait(), Err(JoinError::CoreGone)));
        assert!(homes.iter().all(|home| home.strong_count() == 0), "a home is left");
    }
}
