//! The logs of the software controller, and what goes into them (Base 2.0 §5.16).

use super::super::spec::{
    AdminOpcode, Command, CommandEffects, CommandEffectsLog, ErrorLogEntry, FirmwareLog, IoOpcode, LogPage,
    NamespaceList, SmartLog, Status, StatusCode,
};
use super::State;
use std::collections::{BTreeSet, VecDeque};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U128;

/// Entries of the error log: ELPE plus one.
pub(super) const ERRORS_MAX: usize = 16;

pub(super) struct Logs {
    pub(super) smart: SmartLog,
    /// Newest first.
    errors: VecDeque<ErrorLogEntry>,
    pub(super) changed_namespaces: BTreeSet<u32>,
}

impl Default for Logs {
    fn default() -> Self {
        let mut smart = SmartLog::default();
        (smart.spare, smart.spare_threshold) = (100, 10);
        smart.temperature.set(273 + 40);
        smart.power_cycles.set(1);
        Self { smart, errors: VecDeque::new(), changed_namespaces: BTreeSet::new() }
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
        entry.cid = command.cid;
        entry.status_phase.set(status.bits() << 1);
        entry.location.set(u16::MAX);
        entry.lba.set(command.start_lba());
        entry.nsid = command.nsid;
        self.errors.truncate(ERRORS_MAX - 1);
        self.errors.push_front(entry);
    }
}

pub(super) fn add(counter: &mut U128, count: u128) {
    counter.set(counter.get().saturating_add(count));
}

impl State {
    pub(super) fn get_log_page(&mut self, command: &Command) -> Result<(), StatusCode> {
        let (page, offset, len) = command.log_page();
        let log = self.log(page, command)?;
        if offset % 4 != 0 || offset > log.len() as u64 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let mut part = log[offset as usize..].to_vec();
        // What lies beyond the end of a log is undefined: here it is zeroes (Base 2.0 §5.16).
        part.resize(len as usize, 0);
        self.memory.put(command, &part)?;
        let retains = command.cdw10.get() >> 15 & 1 == 1;
        if !retains {
            self.events.unmask(page);
            if page == LogPage::CHANGED_NAMESPACES {
                self.logs.changed_namespaces.clear();
            }
        }
        Ok(())
    }

    fn log(&self, page: LogPage, _command: &Command) -> Result<Vec<u8>, StatusCode> {
        Ok(match page {
            LogPage::SUPPORTED => supported(),
            LogPage::ERROR => {
                let mut bytes: Vec<u8> =
                    self.logs.errors.iter().flat_map(|entry| entry.as_bytes().to_vec()).collect();
                bytes.resize(ERRORS_MAX * size_of::<ErrorLogEntry>(), 0);
                bytes
            }
            LogPage::SMART => self.logs.smart.as_bytes().to_vec(),
            LogPage::FIRMWARE => {
                let mut log = FirmwareLog::default();
                log.active = 1;
                log.revisions[0] = *b"1.0     ";
                log.as_bytes().to_vec()
            }
            LogPage::CHANGED_NAMESPACES => self.changed().as_bytes().to_vec(),
            LogPage::COMMAND_EFFECTS => effects().as_bytes().to_vec(),
            _ => return Err(StatusCode::INVALID_LOG_PAGE),
        })
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
    ] {
        log.io[usize::from(opcode.0)] = effects;
    }
    log
}
