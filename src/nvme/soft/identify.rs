//! What the software controller says of itself, of its namespaces, and of others (Base 2.0 §5.17).

use super::super::spec::{
    ALL_NAMESPACES, AdminSupport, AnaCapabilities, AsyncEventSupport, Command, CommandSetVector,
    ControllerAttributes, ControllerList, FirmwareUpdates, FusedSupport, IdentifyController,
    IdentifyNamespace, IdentifyNvmController, IdentifyNvmNamespace, IdentifyWhat, IdentifyZonedController,
    IoSupport, LogSupport, MultiPath, NamespaceList, QueueEntrySizes, SglSupport, StatusCode,
    VolatileWriteCache, WriteProtection,
};
use super::Done;
use super::event::REQUESTS_MAX;
use super::firmware::SLOTS;
use super::log::ERRORS_MAX;
use super::namespace::{Namespace, common};
use super::state::State;
use super::subsystem::{NAMESPACES_MAX, Subsystem};
use zerocopy::{FromZeros, IntoBytes};

impl State {
    pub(super) fn identify(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let page = self.description(subsystem, command)?;
        self.answer_with(command, page)
    }

    fn description(&self, subsystem: &mut Subsystem, command: &Command) -> Result<Vec<u8>, StatusCode> {
        let nsid = command.nsid();
        let csi = command.identify_set();
        let what = command.identify_what();
        let is_mine = |one: &Namespace| one.attached >> self.id & 1 == 1;
        Ok(match what {
            IdentifyWhat::CONTROLLER => self.controller(subsystem).as_bytes().to_vec(),
            IdentifyWhat::NAMESPACE | IdentifyWhat::ALLOCATED_NAMESPACE => {
                self.namespace(subsystem, what, nsid)?.as_bytes().to_vec()
            }
            IdentifyWhat::ACTIVE_NAMESPACES => list(subsystem, nsid, is_mine)?,
            IdentifyWhat::ACTIVE_NAMESPACES_OF_SET => {
                list(subsystem, nsid, |one| is_mine(one) && one.csi() == csi)?
            }
            IdentifyWhat::ALLOCATED_NAMESPACES => list(subsystem, nsid, |_| true)?,
            IdentifyWhat::NAMESPACE_IDS => ids(subsystem.attached(nsid, self.id)?),
            IdentifyWhat::NAMESPACE_INDEPENDENT => {
                subsystem.attached(nsid, self.id)?.identify_independent().as_bytes().to_vec()
            }
            IdentifyWhat::NAMESPACE_OF_SET => {
                let namespace = subsystem.attached(nsid, self.id)?;
                match csi {
                    0 => IdentifyNvmNamespace::new_zeroed().as_bytes().to_vec(),
                    2 => namespace.identify_zoned()?.as_bytes().to_vec(),
                    _ => return Err(StatusCode::INVALID_FIELD),
                }
            }
            IdentifyWhat::CONTROLLER_OF_SET => match csi {
                0 => IdentifyNvmController::new_zeroed().as_bytes().to_vec(),
                2 => IdentifyZonedController::new_zeroed().as_bytes().to_vec(),
                _ => return Err(StatusCode::INVALID_FIELD),
            },
            IdentifyWhat::CONTROLLERS_OF_NAMESPACE => {
                let namespace = subsystem.allocated(nsid).ok_or(StatusCode::INVALID_NAMESPACE)?;
                let attached = namespace.attached;
                controllers(command, (0..64).filter(|id| attached >> id & 1 == 1))
            }
            IdentifyWhat::CONTROLLERS => controllers(command, 0..subsystem.ports.len() as u16),
            IdentifyWhat::COMMAND_SETS => {
                let mut vector = CommandSetVector::default();
                // NVM and zoned namespaces together.
                vector.combinations[0].set(0b101);
                vector.as_bytes().to_vec()
            }
            _ => return Err(StatusCode::INVALID_FIELD),
        })
    }

    fn namespace(
        &self,
        subsystem: &mut Subsystem,
        what: IdentifyWhat,
        nsid: u32,
    ) -> Result<IdentifyNamespace, StatusCode> {
        if nsid == ALL_NAMESPACES {
            return Ok(common());
        }
        if nsid == 0 || nsid > NAMESPACES_MAX {
            return Err(StatusCode::INVALID_NAMESPACE);
        }
        let is_active = subsystem.attached(nsid, self.id).is_ok();
        let is_wanted = is_active || what == IdentifyWhat::ALLOCATED_NAMESPACE;
        let namespace = subsystem.allocated(nsid).filter(|_| is_wanted);
        Ok(namespace.map_or_else(IdentifyNamespace::default, |namespace| namespace.identify()))
    }

    fn controller(&self, subsystem: &Subsystem) -> IdentifyController {
        let mut it = IdentifyController::default();
        fill(&mut it.serial_bytes, &subsystem.serial.0.to_string());
        fill(&mut it.model_bytes, "software controller");
        it.firmware_bytes = subsystem.firmware.revision();
        fill(&mut it.subsystem_bytes[..43], "nqn.2014-08.org.nvmexpress:reactor-software");
        it.transfer_max = self.config.transfer_max;
        it.controller_id.set(self.id);
        // Several controllers, and ANA.
        it.multi_path = MultiPath::from_bits(0b1010);
        it.version = self.config.version;
        it.controller_type = 1;
        // Namespaces, firmware, ANA, zones.
        it.async_events = AsyncEventSupport::from_bits(1 << 8 | 1 << 9 | 1 << 11 | 1 << 27);
        // Host identifiers of 128 bits.
        it.attributes = ControllerAttributes::from_bits(1);
        let admin =
            AdminSupport::default().with_format(true).with_firmware(true).with_namespace_management(true);
        // Doorbell Buffer Config is bit 8.
        it.admin = AdminSupport::from_bits(admin.bits() | u16::from(self.config.has_shadow_doorbells) << 8);
        it.aborts_max = 3;
        it.async_events_max = REQUESTS_MAX as u8 - 1;
        // So many slots, the first of them read-only, activated without a reset.
        it.firmware_updates = FirmwareUpdates::from_bits(1 | SLOTS << 1 | 1 << 4);
        it.logs = LogSupport::default().with_command_effects(true).with_offsets(true);
        it.error_entries = ERRORS_MAX as u8 - 1;
        it.keep_alive.set(1);
        it.ana_seconds = 10;
        // All five states; groups stay the same.
        it.ana = AnaCapabilities::from_bits(0b0101_1111);
        it.ana_group_max.set(NAMESPACES_MAX);
        it.ana_groups.set(NAMESPACES_MAX);
        it.submission_entries = QueueEntrySizes::default().with_required(6).with_max(6);
        it.completion_entries = QueueEntrySizes::default().with_required(4).with_max(4);
        it.namespaces.set(NAMESPACES_MAX);
        it.allowed_namespaces.set(NAMESPACES_MAX);
        it.io = IoSupport::default()
            .with_compare(true)
            .with_write_uncorrectable(true)
            .with_dataset_management(true)
            .with_write_zeroes(true)
            .with_save(true)
            .with_reservations(true)
            .with_timestamp(true)
            .with_verify(true)
            .with_copy(true);
        it.fused = FusedSupport::default().with_compare_and_write(true);
        it.write_cache = VolatileWriteCache::from_bits(1 | 3 << 1);
        it.write_protection = WriteProtection::from_bits(1);
        it.atomic_compare_write.set(u16::MAX);
        it.copy_formats.set(1);
        if self.config.has_sgl {
            // In doublewords, with bit buckets, and for metadata too.
            it.sgl = SglSupport::from_bits(2 | 1 << 16 | 1 << 19);
        }
        it
    }
}

/// The first 1,024 identifiers above `after`, of those that are wanted.
fn list(
    subsystem: &Subsystem,
    after: u32,
    is_wanted: impl Fn(&Namespace) -> bool,
) -> Result<Vec<u8>, StatusCode> {
    if after >= ALL_NAMESPACES - 1 {
        return Err(StatusCode::INVALID_NAMESPACE);
    }
    let mut list = NamespaceList::default();
    let ids = subsystem.all().filter(|one| is_wanted(one)).map(|one| one.id).filter(|&id| id > after);
    list.raw.iter_mut().zip(ids).for_each(|(to, id)| to.set(id));
    Ok(list.as_bytes().to_vec())
}

/// Those from CDW10's CNTID on.
fn controllers(command: &Command, ids: impl Iterator<Item = u16>) -> Vec<u8> {
    let from = (command.cdw(10) >> 16) as u16;
    let ids: Vec<u16> = ids.filter(|&id| id >= from).collect();
    let mut list = ControllerList::default();
    list.count.set(ids.len() as u16);
    list.raw.iter_mut().zip(ids).for_each(|(to, id)| to.set(id));
    list.as_bytes().to_vec()
}

/// The names of a namespace, and its command set (Base 2.0 §5.17.2.3).
fn ids(namespace: &Namespace) -> Vec<u8> {
    let mut page = Vec::new();
    page.extend([1, 8, 0, 0]);
    page.extend(namespace.eui64());
    page.extend([2, 16, 0, 0]);
    page.extend(namespace.nguid());
    page.extend([4, 1, 0, 0, namespace.csi()]);
    page.resize(4096, 0);
    page
}

/// Text as devices have it: padded with spaces.
fn fill(field: &mut [u8], text: &str) {
    field.fill(b' ');
    field[..text.len()].copy_from_slice(text.as_bytes());
}
