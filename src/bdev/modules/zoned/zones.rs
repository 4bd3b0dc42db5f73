//! The states of zones, and what may be done in which.
//!
//! ```text
//!             write, append                     close                      the last block is written,
//!   Empty ─────────────────────► ImplicitlyOpen ──────► Closed             or finish
//!     │                                ▲   │  ▲            │               any but Offline ──────────► Full
//!     │ open                  write    │   │  └────────────┘ write
//!     ▼                                │   │ open                          reset
//!   ExplicitlyOpen ◄───────────────────┼───┘                               any but Offline ──────────► Empty
//!     │    ▲                           │
//!     │    └── open ── Closed          │                                   offline
//!     └────── close ─────► Closed ─────┘                                   any ──────────────────────► Offline
//! ```
//!
//! NVMe Zoned Namespace Command Set 1.1, section 2.1.1.4. Closing a zone in which nothing was written makes it empty. Where as many
//! zones are open as may be, one that was opened implicitly is closed for the next.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bdev::{Error, Result, Zone, ZoneAction, ZoneShape, ZoneState};

/// All zones of a device. One lock for all: it is held for a few instructions, and open zones are counted together.
#[derive(Debug)]
pub(super) struct Zones {
    shape: ZoneShape,
    zones: Mutex<Vec<Zone>>,
    count: u64,
}

use ZoneState::{Closed, Empty, ExplicitlyOpen, Full, ImplicitlyOpen, Offline};

/// More zones than any disk has: each takes memory whether it is used or not.
const ZONES_MOST: u64 = 1 << 22;

impl Zones {
    pub(super) fn full(shape: ZoneShape, block_count: u64) -> Result<Self> {
        let wrong = |reason: String| Err(Error::BadGeometry { reason });
        let Some(count) = block_count.checked_div(shape.blocks).filter(|count| *count > 0) else {
            return wrong(format!("{block_count} blocks have no room for a zone of {}", shape.blocks));
        };
        if count > ZONES_MOST {
            return wrong(format!(
                "zones of {} blocks would be {count}, more than {ZONES_MOST}: make them larger",
                shape.blocks
            ));
        }
        if shape.max_active != 0 && (shape.max_open == 0 || shape.max_open > shape.max_active) {
            return wrong(format!(
                "of at most {} active zones, {} cannot be open: give max_open from 1 to that",
                shape.max_active, shape.max_open
            ));
        }
        let zone = |number| {
            let start = number * shape.blocks;
            Zone { start, capacity: shape.blocks, write_pointer: start + shape.blocks, state: Full }
        };
        Ok(Self { shape, zones: Mutex::new((0..count).map(zone).collect()), count })
    }

    pub(super) fn shape(&self) -> ZoneShape {
        self.shape
    }

    pub(super) fn block_count(&self) -> u64 {
        self.count * self.shape.blocks
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = u64> + use<> {
        let blocks = self.shape.blocks;
        (0..self.count).map(move |number| number * blocks)
    }

    /// Those that have blocks in `blocks`.
    pub(super) fn report(&self, blocks: Range<u64>) -> Vec<Zone> {
        let zones = self.lock();
        zones[self.number(blocks.start)..=self.number(blocks.end - 1)].to_vec()
    }

    /// Accepts a write of `blocks`, which begins at the write pointer and stays in the zone.
    pub(super) fn write(&self, blocks: Range<u64>) -> Result<()> {
        let mut zones = self.lock();
        let number = self.number(blocks.start);
        let zone = &zones[number];
        if blocks.start != zone.write_pointer && !matches!(zone.state, Full | Offline) {
            return Err(wrong(zone, "a write begins at the write pointer"));
        }
        self.advance(&mut zones, number, blocks.end - blocks.start).map(drop)
    }

    /// Accepts `blocks` at the end of what the zone from `start` on holds, and says where that is.
    pub(super) fn append(&self, start: u64, blocks: u64) -> Result<u64> {
        let mut zones = self.lock();
        let number = self.number_at(&zones, start)?;
        self.advance(&mut zones, number, blocks)
    }

    /// Which of `blocks` were not written, if they can be read.
    pub(super) fn read(&self, blocks: Range<u64>) -> Result<Vec<Range<u64>>> {
        let zones = self.lock();
        let mut unwritten = Vec::new();
        for zone in &zones[self.number(blocks.start)..=self.number(blocks.end - 1)] {
            if zone.state == Offline {
                return Err(wrong(zone, "it is offline"));
            }
            // A zone that was finished early is full, and its pointer says where the data ends.
            let empty = blocks.start.max(zone.write_pointer)..blocks.end.min(zone.start + self.shape.blocks);
            if !empty.is_empty() {
                unwritten.push(empty);
            }
        }
        Ok(unwritten)
    }

    pub(super) fn manage(&self, start: u64, action: ZoneAction) -> Result<()> {
        let mut zones = self.lock();
        let number = self.number_at(&zones, start)?;
        let zone = &zones[number];
        if zone.state == Offline {
            return if action == ZoneAction::Offline { Ok(()) } else { Err(wrong(zone, "it is offline")) };
        }
        let next = match (action, zone.state) {
            (ZoneAction::Open, Full) => return Err(wrong(zone, "it is full: reset it first")),
            (ZoneAction::Open, ExplicitlyOpen) => return Ok(()),
            (ZoneAction::Open, _) => {
                self.make_room(&mut zones, number)?;
                ExplicitlyOpen
            }
            (ZoneAction::Close, Closed) => return Ok(()),
            (ZoneAction::Close, ImplicitlyOpen | ExplicitlyOpen) => closed(zone),
            (ZoneAction::Close, _) => return Err(wrong(zone, "it is not open")),
            (ZoneAction::Finish, _) => Full,
            (ZoneAction::Reset, _) => Empty,
            (ZoneAction::Offline, _) => Offline,
        };
        let zone = &mut zones[number];
        if next == Empty {
            zone.write_pointer = zone.start;
        }
        zone.state = next;
        Ok(())
    }

    /// Moves the write pointer over `blocks` and says where it was.
    fn advance(&self, zones: &mut [Zone], number: usize, blocks: u64) -> Result<u64> {
        let zone = &zones[number];
        match zone.state {
            Full => return Err(wrong(zone, "it is full: reset it first")),
            Offline => return Err(wrong(zone, "it is offline")),
            _ if zone.write_pointer + blocks > zone.start + zone.capacity => {
                return Err(wrong(zone, "it has not so many blocks left"));
            }
            ImplicitlyOpen | ExplicitlyOpen => {}
            _ => {
                self.make_room(zones, number)?;
                zones[number].state = ImplicitlyOpen;
            }
        }
        let zone = &mut zones[number];
        let at = zone.write_pointer;
        zone.write_pointer += blocks;
        if zone.write_pointer == zone.start + zone.capacity {
            zone.state = Full;
        }
        Ok(at)
    }

    /// Makes sure that the zone may be opened.
    fn make_room(&self, zones: &mut [Zone], number: usize) -> Result<()> {
        let is_open = |zone: &Zone| matches!(zone.state, ImplicitlyOpen | ExplicitlyOpen);
        if is_open(&zones[number]) {
            return Ok(());
        }
        let is_active = |zone: &Zone| is_open(zone) || zone.state == Closed;
        let reaches = |most: u32, is_it: &dyn Fn(&Zone) -> bool| {
            most != 0 && zones.iter().filter(|zone| is_it(zone)).count() >= most as usize
        };
        if !is_active(&zones[number]) && reaches(self.shape.max_active, &is_active) {
            return Err(wrong(&zones[number], "too many zones are active: finish or reset one"));
        }
        if reaches(self.shape.max_open, &is_open) {
            match zones.iter().position(|zone| zone.state == ImplicitlyOpen) {
                Some(other) => zones[other].state = closed(&zones[other]),
                None => return Err(wrong(&zones[number], "too many zones are open: close one")),
            }
        }
        Ok(())
    }

    fn number(&self, lba: u64) -> usize {
        (lba / self.shape.blocks) as usize
    }

    fn number_at(&self, zones: &[Zone], start: u64) -> Result<usize> {
        let number = self.number(start);
        match zones[number].start == start {
            true => Ok(number),
            false => Err(wrong(&zones[number], "a zone is named by its first block")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Zone>> {
        // Nothing below panics half way.
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an open zone becomes when it is closed.
fn closed(zone: &Zone) -> ZoneState {
    if zone.write_pointer == zone.start { Empty } else { Closed }
}

#[cold]
fn wrong(zone: &Zone, reason: &'static str) -> Error {
    Error::Zone { start: zone.start, write_pointer: zone.write_pointer, state: zone.state, reason }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Four zones of ten blocks.
    fn zones(max_open: u32, max_active: u32) -> Zones {
        let shape = ZoneShape { blocks: 10, max_open, max_active, max_append_blocks: 0 };
        let zones = Zones::full(shape, 45).unwrap();
        zones.starts().for_each(|start| zones.manage(start, ZoneAction::Reset).unwrap());
        zones
    }

    fn states(zones: &Zones) -> Vec<ZoneState> {
        zones.report(0..40).iter().map(|zone| zone.state).collect()
    }

    fn refused<T>(result: Result<T>) -> &'static str {
        match result {
            Err(Error::Zone { reason, .. }) => reason,
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("it was accepted"),
        }
    }

    #[test]
    fn writes_go_to_the_write_pointer_and_fill_the_zone() {
        let zones = zones(0, 0);
        zones.write(10..14).unwrap();
        assert!(refused(zones.write(10..11)).contains("write pointer"));
        assert!(refused(zones.write(15..16)).contains("write pointer"));
        assert!(refused(zones.write(14..21)).contains("left"));
        assert_eq!(zones.append(10, 2).unwrap(), 14);
        zones.write(16..20).unwrap();
        assert_eq!(states(&zones), [Empty, Full, Empty, Empty]);
        assert!(refused(zones.write(16..17)).contains("full"));
        assert!(refused(zones.append(10, 1)).contains("full"));
        assert!(refused(zones.append(11, 1)).contains("first block"));
        zones.manage(10, ZoneAction::Reset).unwrap();
        zones.write(10..11).unwrap();
    }

    #[test]
    fn what_was_not_written_is_known() {
        let zones = zones(0, 0);
        zones.write(0..3).unwrap();
        zones.write(10..20).unwrap();
        zones.write(20..21).unwrap();
        zones.manage(20, ZoneAction::Finish).unwrap();
        assert_eq!(zones.read(0..40).unwrap(), [3..10, 21..30, 30..40]);
        assert_eq!(zones.read(1..2).unwrap(), []);
        zones.manage(30, ZoneAction::Offline).unwrap();
        assert!(refused(zones.read(29..31)).contains("offline"));
        zones.manage(30, ZoneAction::Offline).unwrap();
        assert!(refused(zones.manage(30, ZoneAction::Reset)).contains("offline"));
    }

    #[test]
    fn zones_opened_implicitly_make_room_and_others_do_not() {
        let zones = zones(2, 3);
        zones.write(0..1).unwrap();
        zones.manage(10, ZoneAction::Open).unwrap();
        zones.write(20..21).unwrap();
        assert_eq!(states(&zones), [Closed, ExplicitlyOpen, ImplicitlyOpen, Empty]);
        assert!(refused(zones.write(30..31)).contains("active"));
        zones.manage(20, ZoneAction::Open).unwrap();
        assert!(refused(zones.write(1..2)).contains("open"));
        zones.manage(10, ZoneAction::Close).unwrap();
        assert_eq!(states(&zones), [Closed, Empty, ExplicitlyOpen, Empty], "nothing was written in it");
        zones.write(1..2).unwrap();
        assert!(refused(zones.manage(30, ZoneAction::Close)).contains("not open"));
        zones.manage(0, ZoneAction::Close).unwrap();
        zones.manage(0, ZoneAction::Close).unwrap();
        zones.manage(30, ZoneAction::Open).unwrap();
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for (blocks, max_open, max_active) in [(0, 0, 0), (46, 0, 0), (10, 3, 2), (10, 0, 2)] {
            let shape = ZoneShape { blocks, max_open, max_active, max_append_blocks: 0 };
            assert!(matches!(Zones::full(shape, 45), Err(Error::BadGeometry { .. })), "{shape:?}");
        }
        let shape = ZoneShape { blocks: 1, ..ZoneShape::default() };
        assert!(
            matches!(Zones::full(shape, 1 << 60), Err(Error::BadGeometry { reason }) if reason.contains("larger"))
        );
    }
}
