//! Names of cores.

use super::{Inner, context};
use std::fmt;

/// One core of a runtime: where a reactor runs.
///
/// Made by [`cores`], [`Core::current`] and [`Core::nth`] on a reactor, or by a [`Handle`](crate::Handle). It is a name within its
/// runtime: each has its own core 0, and one that another runtime does not have counts as gone there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Core {
    pub(super) index: u16,
    pub(super) id: u16,
}

impl Core {
    pub(crate) fn new(index: usize, id: usize) -> Self {
        let narrow = |n: usize| u16::try_from(n).expect("at most 65536 cores");
        Self { index: narrow(index), id: narrow(id) }
    }

    /// The processor it is pinned to, as the system numbers them; its position where it is not pinned.
    pub fn id(self) -> usize {
        self.id.into()
    }

    /// Its position among the runtime's cores, from 0; the main core is first.
    pub fn index(self) -> usize {
        self.index.into()
    }

    /// The core that the calling thread is turning.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) elsewhere; see [`Core::try_current`].
    #[track_caller]
    pub fn current() -> Self {
        context::with("Core::current", Inner::core)
    }

    /// The core that the calling thread is turning, if any.
    pub fn try_current() -> Option<Self> {
        context::try_with(Inner::core)
    }

    /// The `index`-th core of this runtime.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) elsewhere.
    #[track_caller]
    pub fn nth(index: usize) -> Option<Self> {
        context::with("Core::nth", |core| core.group.get(index).map(|peer| peer.core))
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core({})", self.id)
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// The cores of the runtime that the calling thread belongs to, in order.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) on other threads.
#[track_caller]
pub fn cores() -> Cores {
    cores_for("cores")
}

/// [`cores`], for a call named `what`.
#[track_caller]
pub(super) fn cores_for(what: &'static str) -> Cores {
    context::with(what, |core| Cores { cores: core.group.cores(), next: 0 })
}

/// Iterates over [`cores`].
#[derive(Clone, Debug)]
pub struct Cores {
    cores: Box<[Core]>,
    next: usize,
}

impl Iterator for Cores {
    type Item = Core;

    fn next(&mut self) -> Option<Core> {
        let core = self.cores.get(self.next).copied()?;
        self.next += 1;
        Some(core)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.cores.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Cores {}
