//! The logs of the software controller, and what goes into them (Base 2.0 §5.16).

use super::super::spec::{
    AdminOpcode, AnaLogHeader, ChangedZones, Command, CommandEffects, CommandEffectsLog, ErrorLogEntry,
    IoOpcode, LogPage, NamespaceList, SmartLog, Status, StatusCode,
};
use super::Done;
use super::reservation::Told;
use super::state::State;
use super::subsystem::Subsystem;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U128;

/// Entries of the error log: ELPE plus one.
pub(super) const ERRORS_MAX: usize = 16;

pub(super) struct Logs {
    pub(super) smart: SmartLog,
    /// Newest first.
    errors: VecDeque<ErrorLogEntry>,
    pub(super) changed_namespaces: BTreeSet<u32>,
    /// By their first blocks.
    pub(super) changed_zones: BTreeSet<u64>,
    pub(super) reservations: VecDeque<(u32, Told)>,
    /// How many notices of reservations were told.
    told: u64,
}

impl Default for Logs {
    fn default() -> Self {
        let mut smart = SmartLog::default();
        (smart.spare, smart.spare_threshold) = (100, 10);
        smart.temperature.set(273 + 40);
        smart.power_cycles.set(1);
        Self {
            smart,
            errors: VecDeque::new(),
            changed_namespaces: BTreeSet::new(),
            changed_zones: BTreeSet::new(),
            reservations: VecDeque::new(),
            told: 0,
        }
    }
}

impl Logs {
    /// A command failed.
    #[cold]
    pub(super) fn error(&mut self, queue: usize, command: &Command, status: Status) {
        add(&mut self.smart.errors, 1);
        let mut entry = ErrorLogEntry::default();
        entry.number.set(self.smart.errors.get() as u64);
        entry.sq_id.set(queue as u16);
        entry.cid.set(command.cid());
        entry.status_phase.set(status.bits() << 1);
        entry.location.set(u16::MAX);
        entry.lba.set(command.start_lba());
        entry.nsid.set(command.nsid());
        self.errors.truncate(ERRORS_MAX - 1);
        self.errors.push_front(entry);
    }
}

pub(super) fn add(counter: &mut U128, count: u128) {
    counter.set(counter.get().saturating_add(count));
}

impl State {
    pub(super) fn get_log_page(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let (page, offset, len) = command.log_page();
        let log = self.log(subsystem, page, command)?;
        if offset % 4 != 0 || offset > log.len() as u64 || len > 1 << 24 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let mut part = log[offset as usize..].to_vec();
        // What lies beyond the end of a log is undefined: here it is zeroes (Base 2.0 §5.16).
        part.resize(len as usize, 0);
        self.answer_with(command, part)?;
        let retains = command.cdw(10) >> 15 & 1 == 1;
        if !retains {
            self.events.unmask(page);
            match page {
                LogPage::CHANGED_NAMESPACES => self.logs.changed_namespaces.clear(),
                LogPage::CHANGED_ZONES => self.logs.changed_zones.clear(),
                LogPage::RESERVATIONS if self.logs.reservations.pop_front().is_some() => self.logs.told += 1,
                _ => {}
            }
        }
        Ok(0)
    }

    fn log(&self, subsystem: &Subsystem, page: LogPage, command: &Command) -> Result<Vec<u8>, StatusCode> {
        Ok(match page {
            LogPage::SUPPORTED => supported(),
            LogPage::ERROR => {
                let mut bytes: Vec<u8> =
                    self.logs.errors.iter().flat_map(|entry| entry.as_bytes().to_vec()).collect();
                bytes.resize(ERRORS_MAX * size_of::<ErrorLogEntry>(), 0);
                bytes
            }
            LogPage::SMART => {
                let mut smart = self.logs.smart;
                smart.data_read.set(self.units_read.div_ceil(1000).into());
                smart.data_written.set(self.units_written.div_ceil(1000).into());
                smart.as_bytes().to_vec()
            }
            LogPage::FIRMWARE => subsystem.firmware.log().as_bytes().to_vec(),
            LogPage::CHANGED_NAMESPACES => self.changed().as_bytes().to_vec(),
            LogPage::COMMAND_EFFECTS => effects().as_bytes().to_vec(),
            LogPage::ANA => self.ana(subsystem, command.cdw(10) >> 8 & 1 == 1),
            LogPage::RESERVATIONS => self.reservation(),
            LogPage::CHANGED_ZONES => {
                let mut log = ChangedZones::default();
                let zones = &self.logs.changed_zones;
                log.count.set(if zones.len() > log.raw.len() { u16::MAX } else { zones.len() as u16 });
                log.raw.iter_mut().zip(zones).for_each(|(to, &start)| to.set(start));
                log.as_bytes().to_vec()
            }
            _ => return Err(StatusCode::INVALID_LOG_PAGE),
        })
    }

    /// The oldest notice that was not told; zeroes if there is none (Base 2.0 §5.16.1.24).
    fn reservation(&self) -> Vec<u8> {
        let mut page = vec![0; 64];
        if let Some(&(nsid, told)) = self.logs.reservations.front() {
            page[..8].copy_from_slice(&(self.logs.told + 1).to_le_bytes());
            page[8] = told as u8;
            page[9] = (self.logs.reservations.len() - 1).min(255) as u8;
            page[12..16].copy_from_slice(&nsid.to_le_bytes());
        }
        page
    }

    /// Groups with their namespaces, or without (Base 2.0 §5.16.1.13).
    fn ana(&self, subsystem: &Subsystem, groups_only: bool) -> Vec<u8> {
        let mut groups = BTreeMap::<u32, Vec<u32>>::new();
        for namespace in subsystem.all().filter(|one| one.attached >> self.id & 1 == 1) {
            groups.entry(namespace.group()).or_default().push(namespace.id);
        }
        let changes = subsystem.ports[usize::from(self.id)].ana_changes;
        let mut head = AnaLogHeader::default();
        head.changes.set(changes);
        head.groups.set(groups.len() as u16);
        let mut log = head.as_bytes().to_vec();
        for (id, namespaces) in groups {
            let listed = if groups_only { &[][..] } else { &namespaces };
            log.extend(id.to_le_bytes());
            log.extend((listed.len() as u32).to_le_bytes());
            log.extend(changes.to_le_bytes());
            log.push(subsystem.ana(self.id, id).0);
            log.extend([0; 15]);
            listed.iter().for_each(|id| log.extend(id.to_le_bytes()));
        }
        log
    }

    fn changed(&self) -> NamespaceList {
        let mut list = NamespaceList::default();
        if self.logs.changed_namespaces.len() > list.raw.len() {
            list.raw[0].set(u32::MAX);
        } else {
            list.raw.iter_mut().zip(&self.logs.changed_namespaces).for_each(|(to, &id)| to.set(id));
        }
        list
    }
}

const PAGES: &[LogPage] = &[
    LogPage::SUPPORTED,
    LogPage::ERROR,
    LogPage::SMART,
    LogPage::FIRMWARE,
    LogPage::CHANGED_NAMESPACES,
    LogPage::COMMAND_EFFECTS,
    LogPage::ANA,
    LogPage::RESERVATIONS,
    LogPage::CHANGED_ZONES,
];

/// A doubleword for each log that there could be; bit 0 says that there is (Base 2.0 §5.16.1.1).
fn supported() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    PAGES.iter().for_each(|page| bytes[usize::from(page.0) * 4] = 1);
    bytes
}

fn effects() -> CommandEffectsLog {
    let mut log = CommandEffectsLog::default();
    let supported = CommandEffects::default().with_supported(true);
    for opcode in [
        AdminOpcode::DELETE_SQ,
        AdminOpcode::CREATE_SQ,
        AdminOpcode::GET_LOG_PAGE,
        AdminOpcode::DELETE_CQ,
        AdminOpcode::CREATE_CQ,
        AdminOpcode::IDENTIFY,
        AdminOpcode::ABORT,
        AdminOpcode::SET_FEATURES,
        AdminOpcode::GET_FEATURES,
        AdminOpcode::ASYNC_EVENT,
        AdminOpcode::KEEP_ALIVE,
        AdminOpcode::NAMESPACE_MANAGEMENT,
        AdminOpcode::NAMESPACE_ATTACHMENT,
        AdminOpcode::FIRMWARE_COMMIT,
        AdminOpcode::FIRMWARE_DOWNLOAD,
        AdminOpcode::FORMAT,
    ] {
        log.admin[usize::from(opcode.0)] = supported;
    }
    let changes = supported.with_changes_data(true);
    for (opcode, effects) in [
        (IoOpcode::FLUSH, supported),
        (IoOpcode::READ, supported),
        (IoOpcode::WRITE, changes),
        (IoOpcode::WRITE_ZEROES, changes),
        (IoOpcode::DATASET_MANAGEMENT, changes),
        (IoOpcode::WRITE_UNCORRECTABLE, changes),
        (IoOpcode::COMPARE, supported),
        (IoOpcode::VERIFY, supported),
        (IoOpcode::COPY, changes),
        (IoOpcode::RESERVATION_REGISTER, supported),
        (IoOpcode::RESERVATION_REPORT, supported),
        (IoOpcode::RESERVATION_ACQUIRE, supported),
        (IoOpcode::RESERVATION_RELEASE, supported),
        (IoOpcode::ZONE_MANAGEMENT_SEND, changes),
        (IoOpcode::ZONE_MANAGEMENT_RECEIVE, supported),
        (IoOpcode::ZONE_APPEND, changes),
    ] {
        log.io[usize::from(opcode.0)] = effects;
    }
    log
}
