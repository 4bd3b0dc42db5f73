//! What a namespace is: its blocks and what can be done with them. Nothing of how commands get there, which is `channel`'s.

mod format;
mod known;
mod limits;
mod read;

pub use format::{Format, Guard, ProtectionFormat};
pub(super) use known::{Change, of as known_of};
pub(super) use limits::BLOCKS_MAX;
pub use limits::NamespaceLimits;

use super::queue::Origin;
use super::spec::{IdentifyNamespace, IoSupport};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a namespace of a controller is: what it says of itself, checked and put in order. A clone is the same namespace; it may go to any
/// core.
///
/// Read and written it is by a [`Channel`](super::Channel).
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    origin: Origin,
    place: known::Place,
    id: u32,
    /// Blocks; 0 once it is [gone](Namespace::is_gone). The only thing that changes.
    size: AtomicU64,
    format: Format,
    limits: NamespaceLimits,
    commands: IoSupport,
    has_fused: bool,
    names: Names,
    zones: Option<Zones>,
    identity: Box<IdentifyNamespace>,
}

/// What a namespace is called for ever; which of them it has is up to its maker.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Names {
    /// NGUID.
    pub nguid: Option<[u8; 16]>,
    /// EUI64.
    pub eui64: Option<[u8; 8]>,
    /// UUID.
    pub uuid: Option<[u8; 16]>,
}

/// How a zoned namespace is zoned (ZNS 1.1 §4.1.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Zones {
    /// Blocks from the start of one zone to that of the next.
    pub blocks: u64,
    /// Zones that may be open at a time; none is no limit.
    pub open_max: Option<u32>,
    /// Zones that may be active, which is open or closed, at a time; none is no limit.
    pub active_max: Option<u32>,
    /// Whether one read may go from zone to zone. If not, [`Channel`](super::Channel)s split it.
    pub reads_cross: bool,
    /// Bytes that a zone's descriptor can be extended by; 0 for none.
    pub extension_bytes: u32,
}

impl Namespace {
    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Whose it is.
    pub(super) fn origin(&self) -> Origin {
        self.0.origin
    }

    /// How many blocks it has, as the controller last said.
    #[must_use]
    #[inline(always)]
    pub fn size(&self) -> u64 {
        // Relaxed: a number that stands for itself.
        self.0.size.load(Relaxed)
    }

    /// Bytes of data of a block.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.0.format.block_size
    }

    /// What its blocks are like.
    #[must_use]
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// What one command takes.
    #[must_use]
    pub fn limits(&self) -> &NamespaceLimits {
        &self.0.limits
    }

    /// Which commands it has.
    #[must_use]
    pub fn commands(&self) -> IoSupport {
        self.0.commands
    }

    /// Whether it compares and writes as one.
    #[must_use]
    pub fn has_compare_and_write(&self) -> bool {
        self.0.has_fused
    }

    /// What it is called.
    #[must_use]
    pub fn names(&self) -> Names {
        self.0.names
    }

    /// How it is zoned, if it is.
    #[must_use]
    pub fn zones(&self) -> Option<Zones> {
        self.0.zones
    }

    /// What it said of itself when it was first asked, byte for byte.
    #[must_use]
    pub fn identity(&self) -> &IdentifyNamespace {
        &self.0.identity
    }

    /// Whether it was formatted, deleted or detached since, by whichever controller of its subsystem this process has asked: then nothing
    /// reaches it any more, and who wants to go on asks for it anew.
    #[must_use]
    #[inline(always)]
    pub fn is_gone(&self) -> bool {
        self.size() == 0
    }

    /// Takes over what it says of itself now. True if its size is another; one of another format is [gone](Self::is_gone), as a block is
    /// not what it was.
    pub(super) fn update(&self, identity: &IdentifyNamespace) -> bool {
        let known = &self.0.identity;
        let is_same = identity.is_active()
            && identity.current_format() == known.current_format()
            && (identity.format.extends_blocks(), identity.protection)
                == (known.format.extends_blocks(), known.protection);
        let size = if is_same { identity.size.get() } else { 0 };
        // Relaxed, as above. What is gone stays so: its successor is another namespace.
        let update = |old| (old != 0).then_some(size);
        self.0.size.fetch_update(Relaxed, Relaxed, update).is_ok_and(|old| old != size)
    }

    /// Whether both are one description.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets nothing reach it any more.
    fn retire(&self) {
        self.0.size.store(0, Relaxed);
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("id", &self.id())
            .field("size", &self.size())
            .field("format", &self.format())
            .field("zones", &self.zones())
            .finish_non_exhaustive()
    }
}
