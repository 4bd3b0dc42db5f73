//! Admin commands that change namespaces and firmware: format, management, attachment, images.

use super::super::spec::{
    ALL_NAMESPACES, Command, ControllerList, FormatOptions, IdentifyNamespace, StatusCode,
};
use super::Done;
use super::config::SoftNamespace;
use super::state::State;
use super::subsystem::{Letter, Subsystem};
use zerocopy::{FromZeros, IntoBytes};

/// Blocks of the largest namespace that can be made.
const BLOCKS_MAX: u64 = 1 << 24;

impl State {
    pub(super) fn format(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let nsid = command.nsid();
        let options = FormatOptions::from_bits(command.cdw(10));
        let index = (options.format_low() | options.format_high() << 4) as usize;
        let ids: Vec<u32> = match nsid {
            ALL_NAMESPACES => {
                subsystem.all().filter(|one| one.attached >> self.id & 1 == 1).map(|one| one.id).collect()
            }
            id => vec![subsystem.attached(id, self.id)?.id],
        };
        for id in ids {
            let namespace = subsystem.attached(id, self.id)?;
            let (shift, metadata_bytes) = namespace.format_at(index)?;
            let protection = options.protection() as u8;
            if protection > 3 || protection > 0 && (metadata_bytes < 8 || namespace.zones.is_some()) {
                return Err(StatusCode::INVALID_FORMAT);
            }
            if namespace.is_write_protected {
                return Err(StatusCode::WRITE_PROTECTED);
            }
            let bytes = namespace.config.blocks << namespace.config.block_shift;
            let mut config = SoftNamespace {
                blocks: bytes >> shift,
                block_shift: shift,
                metadata_bytes,
                is_extended: options.extends_blocks() && metadata_bytes > 0,
                protection,
                is_protection_first: options.has_protection_first(),
                ..namespace.config
            };
            if config.zones.is_some() && shift != namespace.config.block_shift {
                return Err(StatusCode::INVALID_FORMAT);
            }
            config.blocks = config.blocks.max(1);
            namespace.format(config);
            // Who asked knows (Base 2.0 §5.2, Namespace Attribute Changed).
            let others = namespace.attached & !(1 << self.id);
            subsystem.tell(others, Letter::Namespace(id));
        }
        Ok(0)
    }

    pub(super) fn manage_namespace(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let nsid = command.nsid();
        match command.cdw(10) & 0xf {
            0 => self.create_namespace(subsystem, command),
            1 if nsid == ALL_NAMESPACES => {
                let ids: Vec<u32> = subsystem.all().map(|one| one.id).collect();
                ids.into_iter().try_for_each(|id| subsystem.delete(id)).map(|()| 0)
            }
            1 => subsystem.delete(nsid).map(|()| 0),
            _ => Err(StatusCode::INVALID_FIELD),
        }
    }

    fn create_namespace(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let mut wanted = IdentifyNamespace::new_zeroed();
        self.memory.get(command, wanted.as_mut_bytes())?;
        if command.cdw(11) >> 24 != 0 {
            return Err(StatusCode::NO_COMMAND_SET);
        }
        let (size, capacity) = (wanted.size.get(), wanted.capacity.get());
        if size == 0 || size != capacity {
            return Err(if capacity < size {
                StatusCode::NO_THIN_PROVISIONING
            } else {
                StatusCode::INVALID_FIELD
            });
        }
        if size > BLOCKS_MAX {
            return Err(StatusCode::INSUFFICIENT_CAPACITY);
        }
        let format = super::namespace::common().formats;
        let index = wanted.format.low() as usize;
        let format =
            format.get(index).filter(|format| format.data_shift > 0).ok_or(StatusCode::INVALID_FORMAT)?;
        let protection = wanted.protection.kind();
        if protection > 3 || protection > 0 && format.metadata_bytes.get() < 8 {
            return Err(StatusCode::INVALID_FORMAT);
        }
        let config = SoftNamespace {
            metadata_bytes: format.metadata_bytes.get(),
            is_extended: wanted.format.extends_blocks() && format.metadata_bytes.get() > 0,
            protection,
            is_protection_first: wanted.protection.is_first(),
            ana_group: wanted.ana_group.get(),
            ..SoftNamespace::new(size, format.data_shift)
        };
        subsystem.create(config).map(u64::from)
    }

    pub(super) fn attach_namespace(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let mut list = ControllerList::new_zeroed();
        self.memory.get(command, list.as_mut_bytes())?;
        let count = list.count.get() as usize;
        let known = subsystem.ports.len() as u16;
        if count == 0 || count > list.raw.len() || list.iter().any(|id| id >= known) {
            return Err(StatusCode::INVALID_CONTROLLER_LIST);
        }
        let nsid = command.nsid();
        let namespace = subsystem.allocated(nsid).ok_or(StatusCode::INVALID_NAMESPACE)?;
        let listed = list.iter().fold(0_u64, |bits, id| bits | 1 << id);
        match command.cdw(10) & 0xf {
            0 if namespace.attached & listed != 0 => return Err(StatusCode::ALREADY_ATTACHED),
            0 => namespace.attached |= listed,
            1 if namespace.attached & listed != listed => return Err(StatusCode::NOT_ATTACHED),
            1 => namespace.attached &= !listed,
            _ => return Err(StatusCode::INVALID_FIELD),
        }
        subsystem.tell(listed, Letter::Namespace(nsid));
        Ok(0)
    }

    pub(super) fn download_firmware(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let bytes = (u64::from(command.cdw(10)) + 1) * 4;
        let offset = u64::from(command.cdw(11)) * 4;
        if bytes > 1 << 20 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let mut part = vec![0; bytes as usize];
        self.memory.get(command, &mut part)?;
        subsystem.firmware.download(offset as usize, &part).map(|()| 0)
    }

    pub(super) fn commit_firmware(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let bits = command.cdw(10);
        subsystem.firmware.commit((bits & 7) as u8, (bits >> 3 & 7) as u8).map(|()| 0)
    }
}
