//! Zoned devices: zones that are written from their start to their end and reset as a whole.
//!
//! The words are those of the NVMe Zoned Namespace command set and of SPDK's `bdev_zone.h`.

/// The zones of a device, in its [`Geometry`](super::Geometry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZoneShape {
    /// Blocks from the start of a zone to that of the next.
    pub blocks: u64,
    /// Zones that may be open at a time. Zero: any number.
    pub max_open: u32,
    /// Zones that may be open or closed at a time, begun and neither full nor empty. Zero: any number.
    pub max_active: u32,
    /// The largest append in blocks. Zero: any size.
    pub max_append_blocks: u32,
}

/// One zone, as a report has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    /// Its first block.
    pub start: u64,
    /// How many of its blocks can be written: all, or fewer.
    pub capacity: u64,
    /// The next block that a write or an append goes to.
    pub write_pointer: u64,
    /// What may be done with it.
    pub state: ZoneState,
}

/// What may be done with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneState {
    /// Nothing was written since it was reset.
    Empty,
    /// Open because it was written to.
    ImplicitlyOpen,
    /// Open because it was asked for.
    ExplicitlyOpen,
    /// Begun, and holding no place among the open ones.
    Closed,
    /// Written to its end, or finished.
    Full,
    /// Can be read only.
    ReadOnly,
    /// Can neither be read nor written.
    Offline,
    /// Can be written anywhere.
    Conventional,
}

/// What is to be done with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneAction {
    /// Keep it open until it is closed, finished or reset.
    Open,
    /// Give its place among the open ones up.
    Close,
    /// Count it as full.
    Finish,
    /// Forget what is in it: empty.
    Reset,
    /// Take it out of use for good.
    Offline,
}

impl ZoneAction {
    const ALL: [Self; 5] = [Self::Open, Self::Close, Self::Finish, Self::Reset, Self::Offline];

    /// As an I/O carries it.
    pub(super) const fn number(self) -> u64 {
        self as u64
    }

    /// What [`number`](Self::number) was made from.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn actions_survive_the_way_through_an_io() {
        for action in ZoneAction::ALL {
            assert_eq!(ZoneAction::from_number(action.number()), Some(action));
        }
        assert_eq!(ZoneAction::from_number(5), None);
        assert_eq!(ZoneAction::from_number(u64::MAX), None);
    }
}
