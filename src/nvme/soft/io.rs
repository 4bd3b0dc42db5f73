//! The I/O commands of the software controller: who may do what, and what that does to blocks.
//!
//! Reads and writes of a namespace without metadata, zones or reservations take the short way, as benchmarks do.

use super::super::spec::{
    ALL_NAMESPACES, Command, CopyRange, DatasetAttributes, DatasetRange, IoOpcode, StatusCode,
};
use super::Done;
use super::disk::{self, Format};
use super::memory::Memory;
use super::namespace::{COPY, Namespace};
use super::protection::Action;
use super::reservation::Host;
use super::state::State;
use super::subsystem::Subsystem;
use std::ops::Range;
use zerocopy::{FromZeros, IntoBytes};

impl State {
    #[inline]
    pub(super) fn perform_io(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let reaches_all = subsystem.reaches_all(self.id);
        if command.opcode() == IoOpcode::FLUSH.0 && command.nsid() == ALL_NAMESPACES {
            return Ok(0);
        }
        if command.flags().psdt() != 0 && !self.config.has_sgl {
            return Err(StatusCode::INVALID_FIELD);
        }
        let namespace = subsystem.attached(command.nsid(), self.id)?;
        if namespace.is_plain && reaches_all {
            let disk = &mut namespace.disk;
            let most = self.transfer_max;
            let range = |disk: &disk::Disk| {
                let range = disk.range(command.start_lba(), command.block_count())?;
                let bytes = u64::from(command.block_count()) << disk.format.shift;
                if bytes > most { Err(StatusCode::INVALID_FIELD) } else { Ok(range) }
            };
            match IoOpcode(command.opcode()) {
                IoOpcode::READ => {
                    add_units(&mut self.units_read, command.block_count(), disk.format);
                    return self.memory.put(command, disk.data(range(disk)?)).map(|()| 0);
                }
                IoOpcode::WRITE => {
                    add_units(&mut self.units_written, command.block_count(), disk.format);
                    let range = range(disk)?;
                    return self.memory.get(command, disk.data_mut(range)).map(|()| 0);
                }
                _ => {}
            }
        }
        self.perform_slowly(subsystem, command)
    }

    fn perform_slowly(&mut self, subsystem: &mut Subsystem, command: &Command) -> Done {
        let nsid = command.nsid();
        let opcode = IoOpcode(command.opcode());
        let host = self.host();
        let group = subsystem.attached(nsid, self.id)?.group();
        subsystem.reaches(self.id, group)?;
        let namespace = subsystem.attached(nsid, self.id)?;
        if namespace.csi() == 2 && self.configuration.css() == 0 {
            return Err(StatusCode::COMMAND_SET_DISABLED);
        }
        namespace.reservation.allows(host, opcode)?;
        if namespace.is_write_protected && changes(opcode) {
            return Err(StatusCode::WRITE_PROTECTED);
        }
        let mut job = Job { memory: &mut self.memory, namespace, command, transfer_max: self.transfer_max };
        let done = match opcode {
            IoOpcode::FLUSH => Ok(0),
            IoOpcode::READ => job.read(),
            IoOpcode::WRITE => job.write(command.start_lba()),
            IoOpcode::COMPARE => job.compare(),
            IoOpcode::VERIFY => job.verify(),
            IoOpcode::WRITE_ZEROES => job.write_zeroes(),
            IoOpcode::WRITE_UNCORRECTABLE => job.spoil(),
            IoOpcode::DATASET_MANAGEMENT => job.manage(),
            IoOpcode::COPY => job.copy(),
            IoOpcode::ZONE_APPEND => job.append(),
            IoOpcode::ZONE_MANAGEMENT_SEND => job.zone_send(),
            IoOpcode::ZONE_MANAGEMENT_RECEIVE => {
                let report =
                    job.namespace.zones.as_ref().ok_or(StatusCode::INVALID_OPCODE)?.report(command)?;
                return self.answer_with(command, report);
            }
            IoOpcode::RESERVATION_REPORT => {
                let report = job.namespace.reservation.report(command)?;
                return self.answer_with(command, report);
            }
            IoOpcode::RESERVATION_REGISTER
            | IoOpcode::RESERVATION_ACQUIRE
            | IoOpcode::RESERVATION_RELEASE => {
                let mut keys = [0_u64; 2];
                let count = if opcode == IoOpcode::RESERVATION_RELEASE { 1 } else { 2 };
                job.memory.get(command, keys[..count].as_mut_bytes())?;
                let keys = keys.map(u64::from_le);
                let reservation = &mut job.namespace.reservation;
                let notices = match opcode {
                    IoOpcode::RESERVATION_REGISTER => reservation.register(command, host, keys)?,
                    IoOpcode::RESERVATION_ACQUIRE => reservation.acquire(command, host, keys)?,
                    _ => reservation.release(command, host, keys[0])?,
                };
                job.namespace.settle();
                subsystem.tell_reservation(nsid, notices);
                return Ok(0);
            }
            _ => Err(StatusCode::INVALID_OPCODE),
        };
        job.namespace.settle();
        done
    }

    /// Who the host is: one of its own if it has not said.
    fn host(&self) -> Host {
        let id = match self.features.host_id {
            id if id == [0; 16] => {
                let mut id = [0xff; 16];
                id[..2].copy_from_slice(&self.id.to_le_bytes());
                id
            }
            id => id,
        };
        Host { controller: self.id, id }
    }
}

/// Thousands of 512 bytes, which the SMART log counts in, are made of these.
#[inline]
fn add_units(units: &mut u64, blocks: u32, format: Format) {
    *units += u64::from(blocks) << (format.shift - 9);
}

fn changes(opcode: IoOpcode) -> bool {
    matches!(
        opcode,
        IoOpcode::WRITE
            | IoOpcode::WRITE_ZEROES
            | IoOpcode::WRITE_UNCORRECTABLE
            | IoOpcode::DATASET_MANAGEMENT
            | IoOpcode::COPY
            | IoOpcode::ZONE_APPEND
            | IoOpcode::ZONE_MANAGEMENT_SEND
    )
}

/// A command on a namespace, one way or another.
struct Job<'a> {
    memory: &'a mut Memory,
    namespace: &'a mut Namespace,
    command: &'a Command,
    transfer_max: u64,
}

impl Job<'_> {
    fn format(&self) -> Format {
        self.namespace.disk.format
    }

    /// The blocks of the command from `lba` on, of which it transfers no more than it may; what it wants done with their protection.
    fn blocks(&self, lba: u64, transfers: bool) -> Result<(Range<u64>, Action), StatusCode> {
        let range = self.namespace.disk.range(lba, self.command.block_count())?;
        let action = Action::of(self.command);
        if let Some(protection) = self.format().protection {
            protection.allows(action, lba)?;
        }
        let bytes = u64::from(self.command.block_count()) * self.format().transfer_bytes(action);
        if transfers && bytes > self.transfer_max {
            return Err(StatusCode::INVALID_FIELD);
        }
        Ok((range, action))
    }

    /// Blocks that can be read, and are what their protection says.
    fn readable(&self, transfers: bool) -> Result<(Range<u64>, Action), StatusCode> {
        let (range, action) = self.blocks(self.command.start_lba(), transfers)?;
        if let Some(zones) = &self.namespace.zones {
            zones.readable(range.clone())?;
        }
        self.namespace.disk.readable(range.clone())?;
        self.namespace.disk.check(range.clone(), action)?;
        Ok((range, action))
    }

    fn read(&mut self) -> Done {
        let (range, action) = self.readable(true)?;
        let (format, disk) = (self.format(), &self.namespace.disk);
        let (data, metadata) = (disk.data(range.clone()), disk.metadata(range));
        if !format.transfers_metadata(action) {
            self.memory.put(self.command, data)?;
        } else if format.is_extended {
            let blocks = data.chunks_exact(1 << format.shift).zip(metadata.chunks_exact(format.metadata));
            let whole: Vec<u8> = blocks.flat_map(|(data, metadata)| [data, metadata].concat()).collect();
            self.memory.put(self.command, &whole)?;
        } else {
            self.memory.put(self.command, data)?;
            self.memory.put_metadata(self.command, metadata)?;
        }
        Ok(0)
    }

    /// What the host brings: data and metadata, with the protection that it wants made, or checked.
    fn bring(&mut self, action: Action) -> Result<(Vec<u8>, Vec<u8>), StatusCode> {
        let format = self.format();
        let blocks = self.command.block_count() as usize;
        let mut data = vec![0; blocks << format.shift];
        let mut metadata = vec![0; blocks * format.metadata];
        if !format.transfers_metadata(action) {
            self.memory.get(self.command, &mut data)?;
        } else if format.is_extended {
            let mut whole = vec![0; data.len() + metadata.len()];
            self.memory.get(self.command, &mut whole)?;
            let block = (1 << format.shift) + format.metadata;
            let to = data.chunks_exact_mut(1 << format.shift).zip(metadata.chunks_exact_mut(format.metadata));
            for (from, (data, metadata)) in whole.chunks_exact(block).zip(to) {
                data.copy_from_slice(&from[..data.len()]);
                metadata.copy_from_slice(&from[data.len()..]);
            }
        } else {
            self.memory.get(self.command, &mut data)?;
            self.memory.get_metadata(self.command, &mut metadata)?;
        }
        Ok((data, metadata))
    }

    fn write(&mut self, lba: u64) -> Done {
        let (range, action) = self.blocks(lba, true)?;
        let (data, mut metadata) = self.bring(action)?;
        match action.is_made {
            true => disk::protect(self.format(), action, &data, &mut metadata),
            false => disk::check(self.format(), action, &data, &metadata)?,
        }
        if let Some(zones) = &mut self.namespace.zones {
            zones.write(range.clone())?;
        }
        self.namespace.disk.store(range, &data, &metadata);
        Ok(0)
    }

    fn append(&mut self) -> Done {
        let blocks = self.command.block_count();
        let action = Action::of(self.command);
        if u64::from(blocks) * self.format().transfer_bytes(action) > self.transfer_max {
            return Err(StatusCode::INVALID_FIELD);
        }
        if self.namespace.zones.is_none() {
            return Err(StatusCode::INVALID_OPCODE);
        }
        let (data, metadata) = self.bring(action)?;
        let zones = self.namespace.zones.as_mut().ok_or(StatusCode::INVALID_OPCODE)?;
        let lba = zones.append(self.command.start_lba(), blocks.into())?;
        self.namespace.disk.store(lba..lba + u64::from(blocks), &data, &metadata);
        Ok(lba)
    }

    fn compare(&mut self) -> Done {
        let (range, action) = self.readable(true)?;
        let (data, metadata) = self.bring(action)?;
        let disk = &self.namespace.disk;
        let differs = disk.data(range.clone()) != data
            || self.format().transfers_metadata(action) && disk.metadata(range) != metadata;
        if differs { Err(StatusCode::COMPARE_FAILURE) } else { Ok(0) }
    }

    fn verify(&mut self) -> Done {
        self.readable(false).map(|_| 0)
    }

    fn write_zeroes(&mut self) -> Done {
        let (range, action) = self.blocks(self.command.start_lba(), false)?;
        if let Some(zones) = &mut self.namespace.zones {
            zones.write(range.clone())?;
        }
        self.namespace.disk.clear(range.clone());
        if action.is_made && self.format().protection.is_some() {
            let blocks = (range.end - range.start) as usize;
            let (data, mut metadata) =
                (vec![0; blocks << self.format().shift], vec![0; blocks * self.format().metadata]);
            disk::protect(self.format(), action, &data, &mut metadata);
            self.namespace.disk.store(range, &data, &metadata);
        }
        Ok(0)
    }

    fn spoil(&mut self) -> Done {
        let (range, _) = self.blocks(self.command.start_lba(), false)?;
        if let Some(zones) = &mut self.namespace.zones {
            zones.write(range.clone())?;
        }
        self.namespace.disk.spoil(range);
        Ok(0)
    }

    fn manage(&mut self) -> Done {
        let mut ranges = vec![DatasetRange::new_zeroed(); self.command.range_count() as usize];
        self.memory.get(self.command, ranges.as_mut_slice().as_mut_bytes())?;
        let disk = &mut self.namespace.disk;
        let ranges: Result<Vec<_>, _> =
            ranges.iter().map(|range| disk.range(range.lba.get(), range.blocks.get())).collect();
        let deallocates = DatasetAttributes::from_bits(self.command.cdw(11)).deallocates();
        // Zones are given up by a reset (ZNS 1.1 §3.2).
        if deallocates && self.namespace.zones.is_none() {
            ranges?.into_iter().for_each(|range| disk.clear(range));
        } else {
            ranges?;
        }
        Ok(0)
    }

    /// Reads all sources before it writes (NVM Command Set 1.0 §3.2.2).
    fn copy(&mut self) -> Done {
        let format = self.format();
        let control = self.command.cdw(12);
        if control >> 8 & 0xf != 0 {
            return Err(StatusCode::INVALID_FIELD);
        }
        let count = self.command.range_count();
        if count > u32::from(COPY.2) + 1 {
            return Err(StatusCode::COMMAND_SIZE_LIMIT);
        }
        let mut sources = vec![CopyRange::new_zeroed(); count as usize];
        self.memory.get(self.command, sources.as_mut_slice().as_mut_bytes())?;
        let blocks = |source: &CopyRange| u32::from(source.nlb.get()) + 1;
        let all: u32 = sources.iter().map(blocks).sum();
        if all > COPY.1 || sources.iter().any(|source| blocks(source) > COPY.0.into()) {
            return Err(StatusCode::COMMAND_SIZE_LIMIT);
        }
        let (mut data, mut metadata) = (Vec::new(), Vec::new());
        for source in &sources {
            let disk = &self.namespace.disk;
            let range = disk.range(source.lba.get(), blocks(source))?;
            if let Some(zones) = &self.namespace.zones {
                zones.readable(range.clone())?;
            }
            disk.readable(range.clone())?;
            let (tag, mask) = (source.application_tag.get(), source.application_tag_mask.get());
            let action = Action::new((control >> 12 & 0xf) as u8, source.reference_tag.get(), tag, mask);
            disk.check(range.clone(), action)?;
            data.extend(disk.data(range.clone()));
            metadata.extend(disk.metadata(range));
        }
        let to = self.namespace.disk.range(self.command.start_lba(), all)?;
        let action = Action::of(self.command);
        if let Some(protection) = format.protection {
            protection.allows(action, to.start)?;
        }
        match action.is_made {
            true => disk::protect(format, action, &data, &mut metadata),
            false => disk::check(format, action, &data, &metadata)?,
        }
        if let Some(zones) = &mut self.namespace.zones {
            zones.write(to.clone())?;
        }
        self.namespace.disk.store(to, &data, &metadata);
        Ok(0)
    }

    fn zone_send(&mut self) -> Done {
        let zones = self.namespace.zones.as_mut().ok_or(StatusCode::INVALID_OPCODE)?;
        for cleared in zones.send(self.command)? {
            self.namespace.disk.clear(cleared);
        }
        Ok(0)
    }
}
