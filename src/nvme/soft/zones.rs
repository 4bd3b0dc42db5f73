//! The zones of a namespace: what may be written where, and how many may be open (ZNS 1.1 §2.1.1).
//!
//! ```text
//!          write, append               open                close             finish, all written
//!   empty ──────────────▶ implicit ──────────▶ explicit ──────────▶ closed ──────────────────────▶ full
//!     ▲                       └── close, too many open ──────────▶   │ write: implicit, open: explicit │
//!     └───────────────────────────────────── reset ─────────────────┴─────────────────────────────────┘
//! ```

use super::super::spec::{
    Command, ReportFilter, StatusCode, ZoneAction, ZoneDescriptor, ZoneReceive, ZoneReportHeader, ZoneSend,
    ZoneState,
};
use super::config::SoftZones;
use std::ops::Range;
use zerocopy::IntoBytes;

pub(super) struct Zones {
    pub(super) config: SoftZones,
    list: Vec<Zone>,
}

struct Zone {
    state: ZoneState,
    /// Blocks from its start to its write pointer.
    written: u64,
}

impl Zones {
    pub(super) fn new(config: SoftZones, blocks: u64) -> Self {
        let count = blocks / config.zone_blocks;
        let list = (0..count).map(|_| Zone { state: ZoneState::EMPTY, written: 0 }).collect();
        Self { config, list }
    }

    fn at(&self, lba: u64) -> usize {
        (lba / self.config.zone_blocks) as usize
    }

    fn start(&self, at: usize) -> u64 {
        at as u64 * self.config.zone_blocks
    }

    pub(super) fn set_state(&mut self, at: usize, state: ZoneState) -> u64 {
        self.list[at].state = state;
        self.start(at)
    }

    /// Whether these blocks may be read.
    pub(super) fn readable(&self, blocks: Range<u64>) -> Result<(), StatusCode> {
        let (first, last) = (self.at(blocks.start), self.at(blocks.end - 1));
        if first != last && !self.config.reads_cross {
            return Err(StatusCode::ZONE_BOUNDARY);
        }
        match self.list[first..=last].iter().any(|zone| zone.state == ZoneState::OFFLINE) {
            true => Err(StatusCode::ZONE_OFFLINE),
            false => Ok(()),
        }
    }

    /// Takes note of a write, which is at the write pointer or refused.
    pub(super) fn write(&mut self, blocks: Range<u64>) -> Result<(), StatusCode> {
        let at = self.at(blocks.start);
        self.room(at, blocks.end - blocks.start, blocks.end - self.start(at))?;
        if blocks.start != self.start(at) + self.list[at].written {
            return Err(StatusCode::INVALID_ZONE_WRITE);
        }
        self.advance(at, blocks.end - blocks.start)
    }

    /// Takes note of an append to the zone that starts at `start`, and says where it goes.
    pub(super) fn append(&mut self, start: u64, blocks: u64) -> Result<u64, StatusCode> {
        let at = self.at(start);
        if at >= self.list.len() {
            return Err(StatusCode::LBA_OUT_OF_RANGE);
        }
        if start != self.start(at) {
            return Err(StatusCode::INVALID_FIELD);
        }
        let lba = start + self.list[at].written;
        self.room(at, blocks, self.list[at].written + blocks)?;
        self.advance(at, blocks)?;
        Ok(lba)
    }

    /// Whether a zone takes a write that ends so many blocks into it.
    fn room(&self, at: usize, blocks: u64, end: u64) -> Result<(), StatusCode> {
        match self.list[at].state {
            ZoneState::FULL => Err(StatusCode::ZONE_FULL),
            ZoneState::READ_ONLY => Err(StatusCode::ZONE_READ_ONLY),
            ZoneState::OFFLINE => Err(StatusCode::ZONE_OFFLINE),
            _ if end > self.config.capacity || blocks > self.config.capacity => {
                Err(StatusCode::ZONE_BOUNDARY)
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self, at: usize, blocks: u64) -> Result<(), StatusCode> {
        if !self.is_open(at) {
            self.open(at, ZoneState::IMPLICITLY_OPEN)?;
        }
        let zone = &mut self.list[at];
        zone.written += blocks;
        if zone.written == self.config.capacity {
            zone.state = ZoneState::FULL;
        }
        Ok(())
    }

    fn is_open(&self, at: usize) -> bool {
        matches!(self.list[at].state, ZoneState::IMPLICITLY_OPEN | ZoneState::EXPLICITLY_OPEN)
    }

    /// Opens a zone that is empty or closed, if there may be one more.
    fn open(&mut self, at: usize, state: ZoneState) -> Result<(), StatusCode> {
        let open = (0..self.list.len()).filter(|&at| self.is_open(at)).count() as u32;
        let closed = self.list.iter().filter(|zone| zone.state == ZoneState::CLOSED).count() as u32;
        let SoftZones { open_max, active_max, .. } = self.config;
        if active_max > 0 && self.list[at].state == ZoneState::EMPTY && open + closed >= active_max {
            return Err(StatusCode::TOO_MANY_ACTIVE_ZONES);
        }
        if open_max > 0 && open >= open_max {
            // One that nobody opened expressly makes room (ZNS 1.1 §2.1.1.4.1).
            let victim = self.list.iter_mut().find(|zone| zone.state == ZoneState::IMPLICITLY_OPEN);
            victim.ok_or(StatusCode::TOO_MANY_OPEN_ZONES)?.state = ZoneState::CLOSED;
        }
        self.list[at].state = state;
        Ok(())
    }

    /// Does what Zone Management Send asks, and says which blocks are to be given up.
    pub(super) fn send(&mut self, command: &Command) -> Result<Vec<Range<u64>>, StatusCode> {
        let send = ZoneSend::from_bits(command.cdw(13));
        let action = ZoneAction(send.action() as u8);
        let mut cleared = Vec::new();
        if send.is_of_all() {
            for at in 0..self.list.len() {
                if is_for(action, self.list[at].state)? {
                    self.act(action, at, &mut cleared)?;
                }
            }
            return Ok(cleared);
        }
        let at = self.at(command.start_lba());
        if at >= self.list.len() {
            return Err(StatusCode::LBA_OUT_OF_RANGE);
        }
        if command.start_lba() != self.start(at) {
            return Err(StatusCode::INVALID_FIELD);
        }
        self.act(action, at, &mut cleared)?;
        Ok(cleared)
    }

    fn act(
        &mut self,
        action: ZoneAction,
        at: usize,
        cleared: &mut Vec<Range<u64>>,
    ) -> Result<(), StatusCode> {
        use ZoneState as S;
        let state = self.list[at].state;
        let next = match (action, state) {
            (ZoneAction::CLOSE, S::IMPLICITLY_OPEN | S::EXPLICITLY_OPEN | S::CLOSED) => S::CLOSED,
            (ZoneAction::OPEN, S::EMPTY | S::CLOSED) => return self.open(at, S::EXPLICITLY_OPEN),
            (ZoneAction::OPEN, S::IMPLICITLY_OPEN | S::EXPLICITLY_OPEN) => S::EXPLICITLY_OPEN,
            (ZoneAction::FINISH, S::READ_ONLY | S::OFFLINE) => {
                return Err(StatusCode::INVALID_ZONE_TRANSITION);
            }
            (ZoneAction::FINISH, _) => S::FULL,
            (ZoneAction::RESET, S::READ_ONLY | S::OFFLINE) => {
                return Err(StatusCode::INVALID_ZONE_TRANSITION);
            }
            (ZoneAction::RESET, _) => {
                cleared.push(self.start(at)..self.start(at) + self.config.zone_blocks);
                self.list[at].written = 0;
                S::EMPTY
            }
            (ZoneAction::OFFLINE, S::READ_ONLY | S::OFFLINE) => S::OFFLINE,
            (ZoneAction::CLOSE | ZoneAction::OPEN | ZoneAction::OFFLINE, _) => {
                return Err(StatusCode::INVALID_ZONE_TRANSITION);
            }
            _ => return Err(StatusCode::INVALID_FIELD),
        };
        self.list[at].state = next;
        Ok(())
    }

    /// What Zone Management Receive answers, as long as it asks.
    pub(super) fn report(&self, command: &Command) -> Result<Vec<u8>, StatusCode> {
        let receive = ZoneReceive::from_bits(command.cdw(13));
        let bytes = (u64::from(command.cdw(12)) + 1) * 4;
        let first = self.at(command.start_lba());
        if first >= self.list.len() {
            return Err(StatusCode::LBA_OUT_OF_RANGE);
        }
        if receive.action() != 0 || bytes > 1 << 24 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let filter = state_of(ReportFilter(receive.filter() as u8))?;
        let zones: Vec<_> = (first..self.list.len())
            .filter(|&at| filter.is_none_or(|state| self.list[at].state == state))
            .map(|at| self.describe(at))
            .collect();
        let listed = (bytes.saturating_sub(64) / 64).min(zones.len() as u64);
        let mut head = ZoneReportHeader::default();
        head.zones.set(if receive.is_partial() { listed } else { zones.len() as u64 });
        let mut report = head.as_bytes().to_vec();
        zones[..listed as usize].iter().for_each(|zone| report.extend(zone.as_bytes()));
        report.resize(bytes as usize, 0);
        Ok(report)
    }

    fn describe(&self, at: usize) -> ZoneDescriptor {
        let zone = &self.list[at];
        let mut it = ZoneDescriptor::default();
        it.kind = 2;
        it.state_bits = zone.state.0 << 4;
        it.capacity.set(self.config.capacity);
        it.start.set(self.start(at));
        let has_pointer = !matches!(zone.state, ZoneState::FULL | ZoneState::READ_ONLY | ZoneState::OFFLINE);
        it.write_pointer.set(if has_pointer { self.start(at) + zone.written } else { u64::MAX });
        it
    }
}

/// Whether an action on all zones is for those in this state (ZNS 1.1 §3.4.3.1).
fn is_for(action: ZoneAction, state: ZoneState) -> Result<bool, StatusCode> {
    use ZoneState as S;
    Ok(match action {
        ZoneAction::CLOSE => matches!(state, S::IMPLICITLY_OPEN | S::EXPLICITLY_OPEN),
        ZoneAction::FINISH => matches!(state, S::IMPLICITLY_OPEN | S::EXPLICITLY_OPEN | S::CLOSED),
        ZoneAction::OPEN => state == S::CLOSED,
        ZoneAction::RESET => matches!(state, S::IMPLICITLY_OPEN | S::EXPLICITLY_OPEN | S::CLOSED | S::FULL),
        ZoneAction::OFFLINE => state == S::READ_ONLY,
        _ => return Err(StatusCode::INVALID_FIELD),
    })
}

fn state_of(filter: ReportFilter) -> Result<Option<ZoneState>, StatusCode> {
    Ok(Some(match filter {
        ReportFilter::ALL => return Ok(None),
        ReportFilter::EMPTY => ZoneState::EMPTY,
        ReportFilter::IMPLICITLY_OPEN => ZoneState::IMPLICITLY_OPEN,
        ReportFilter::EXPLICITLY_OPEN => ZoneState::EXPLICITLY_OPEN,
        ReportFilter::CLOSED => ZoneState::CLOSED,
        ReportFilter::FULL => ZoneState::FULL,
        ReportFilter::READ_ONLY => ZoneState::READ_ONLY,
        ReportFilter::OFFLINE => ZoneState::OFFLINE,
        _ => return Err(StatusCode::INVALID_FIELD),
    }))
}
