//! What a namespace is to the layer: its geometry, what it can do, and by what it is known.

use std::time::Duration;

use uuid::Uuid;

use crate::bdev::{Geometry, Io, Metadata, Op, Protection, ProtectionType, ZoneShape};
use crate::nvme::spec::IdentifyController;
use crate::nvme::{self, Error, Guard, Limits, Namespace};

/// The most blocks of one command, whose count has 16 bits.
const BLOCKS_MAX: u64 = 1 << 16;

/// A namespace as the layer has it.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) nsid: u32,
    pub(super) geometry: Geometry,
    /// Blocks are all that there is: no metadata, no zones.
    pub(super) is_plain: bool,
    pub(super) names: NamespaceNames,
    /// The most blocks of one read or write, which the geometry does not say where the layer must not split.
    pub(super) blocks_max: u64,
    /// Whether a read may go from one zone on to the next.
    pub(super) reads_cross_zones: bool,
    /// By the number that a status names (CRDT1 to CRDT3), the first for none.
    pub(super) retry_delays: [Duration; 4],
    /// What the controller says it can (ONCS, FUSES), as far as it can be used with these blocks.
    pub(super) can: Can,
}

/// Operations that a controller may have or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Can {
    unmap: bool,
    write_zeroes: bool,
    compare: bool,
    compare_and_write: bool,
    copy: bool,
    append: bool,
}

/// By what a namespace is known outside of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamespaceNames {
    subsystem: String,
    pub(super) nsid: u32,
    names: nvme::Names,
    /// Several controllers may have it (NMIC).
    is_shared: bool,
}

impl NamespaceNames {
    /// Whether both are names of one namespace, which two controllers have.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self == other && self.is_shared && !self.subsystem.is_empty()
    }

    /// The one that stands for it in the registry: its UUID, or its NGUID, which has the same form.
    pub(super) fn registered_uuid(&self) -> Option<Uuid> {
        self.names.uuid.or(self.names.nguid).map(Uuid::from_bytes)
    }

    /// Its further names, as udev has them: `eui.` with NGUID or EUI64; and its number within its subsystem.
    pub(super) fn aliases(&self) -> Vec<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let nguid = self.names.nguid.map(|id| format!("eui.{}", hex(&id)));
        let eui64 = self.names.eui64.map(|id| format!("eui.{}", hex(&id)));
        let numbered = (!self.subsystem.is_empty()).then(|| format!("{}n{}", self.subsystem, self.nsid));
        [nguid, eui64, numbered].into_iter().flatten().collect()
    }
}

impl Shape {
    /// Of a namespace of `controller`, by queues that take so much.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with what of it the layer has no form for.
    pub(super) fn of(
        controller: &IdentifyController,
        namespace: &Namespace,
        queue: Limits,
    ) -> Result<Self, Error> {
        let (format, limits, told) = (namespace.format(), namespace.limits(), namespace.identity());
        let metadata = metadata(&format)?;
        let block_size = match metadata {
            Some(Metadata { bytes, interleaved: true, .. }) => format.block_size + bytes,
            _ => format.block_size,
        };
        if namespace.zones().is_some() && metadata.is_some_and(|metadata| !metadata.interleaved) {
            return Err(Error::Unsupported(
                "its zones have metadata apart from the blocks: format it otherwise",
            ));
        }
        let most = |bytes: u64| bytes / u64::from(block_size);
        let blocks_max = most(queue.bytes.min(limits.transfer_bytes)).min(BLOCKS_MAX);
        if blocks_max == 0 {
            return Err(Error::Unsupported("one of its blocks is more than it transfers (MDTS)"));
        }
        let or_any =
            |blocks: u64| u32::try_from(blocks).ok().filter(|blocks| *blocks < u32::MAX).unwrap_or(0);
        let mut geometry = Geometry::new(block_size, namespace.size())
            .with_max_io_blocks(blocks_max as u32)
            .with_optimal_io_boundary(or_any(limits.boundary_blocks))
            .with_buffer_align(4)
            .with_max_unmap_blocks(or_any(limits.dataset_range_blocks.min(limits.dataset_blocks)))
            .with_max_write_zeroes_blocks(or_any(limits.write_zeroes_blocks))
            .with_max_copy_blocks(or_any(limits.copy_range_blocks.min(limits.copy_blocks)))
            .with_atomic_compare_blocks(or_any(limits.compare_and_write_blocks.min(blocks_max)))
            .with_metadata(metadata)
            .with_write_cache(controller.write_cache.is_present())
            .with_read_only(told.attributes.is_write_protected());
        // Without SGLs, buffers would have to meet on pages.
        if queue.has_sgls {
            geometry = geometry.with_max_segments(queue.segments as u32);
        }
        if told.features.has_preferences() {
            let unit = u32::from(told.write_granularity.get()) + 1;
            geometry =
                geometry.with_write_unit(unit).with_physical_block_size(unit.saturating_mul(block_size));
        }
        // What the commands below would have to say of metadata, the layer says by reads and writes.
        let is_unprotected = metadata.is_none_or(|metadata| metadata.protection.is_none());
        let is_one_piece = metadata.is_none_or(|metadata| metadata.interleaved);
        let (commands, is_zoned) = (namespace.commands(), namespace.zones().is_some());
        let has_fused = namespace.has_compare_and_write() && queue.has_fused;
        let can = Can {
            unmap: commands.dataset_management() && !is_zoned,
            write_zeroes: commands.write_zeroes() && !is_zoned,
            compare: commands.compare() && is_one_piece,
            compare_and_write: has_fused && is_one_piece && is_unprotected && !is_zoned,
            copy: commands.copy() && is_unprotected && !is_zoned,
            append: is_unprotected,
        };
        if let Some(zones) = namespace.zones() {
            // The layer splits nothing: writes would no longer come to the write pointer in order.
            geometry = geometry.with_max_io_blocks(0).with_optimal_io_boundary(0).with_max_segments(1);
            geometry = geometry.with_zones(Some(ZoneShape {
                blocks: zones.blocks,
                max_open: zones.open_max.unwrap_or(0),
                max_active: zones.active_max.unwrap_or(0),
                max_append_blocks: most(limits.append_bytes).clamp(1, blocks_max) as u32,
            }));
        }
        let delay = |crdt: usize| Duration::from_millis(100) * controller.retry_delays[crdt].get().into();
        let names = NamespaceNames {
            subsystem: controller.subsystem(),
            nsid: namespace.id(),
            names: namespace.names(),
            is_shared: told.sharing.is_shared(),
        };
        Ok(Self {
            nsid: namespace.id(),
            is_plain: geometry.metadata.is_none() && geometry.zones.is_none(),
            geometry,
            names,
            blocks_max,
            reads_cross_zones: namespace.zones().is_none_or(|zones| zones.reads_cross),
            retry_delays: [Duration::ZERO, delay(0), delay(1), delay(2)],
            can,
        })
    }

    /// What the module does itself.
    pub(super) fn supports(&self, op: Op) -> bool {
        match op {
            Op::Read | Op::Write | Op::Flush | Op::Reset | Op::NvmeAdmin | Op::NvmeIo => true,
            Op::WriteZeroes => self.can.write_zeroes,
            Op::Unmap => self.can.unmap,
            Op::Compare => self.can.compare,
            Op::CompareAndWrite => self.can.compare_and_write,
            Op::Copy => self.can.copy,
            Op::ZoneReport | Op::ZoneManage => self.geometry.zones.is_some(),
            Op::ZoneAppend => self.geometry.zones.is_some() && self.can.append,
            Op::SeekData | Op::SeekHole => false,
        }
    }

    /// Whether I/O that was made for this can go to `other` as well: the same namespace, be it of another size.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (own, others) = (&self.geometry, &other.geometry);
        let form = |it: &Geometry| (it.block_size, it.metadata, it.zones, it.write_cache);
        // Zero is any number.
        let reaches = |own: u32, others: u32| others == 0 || own != 0 && own <= others;
        self.names == other.names
            && self.can == other.can
            && form(own) == form(others)
            && self.blocks_max <= other.blocks_max
            && own.max_segments <= others.max_segments
            && reaches(own.max_unmap_blocks, others.max_unmap_blocks)
            && reaches(own.max_write_zeroes_blocks, others.max_write_zeroes_blocks)
            && own.max_copy_blocks <= others.max_copy_blocks
            && own.atomic_compare_blocks <= others.atomic_compare_blocks
            && own.read_only == others.read_only
    }

    /// Whether a read or a write is one command: where there are zones, the layer leaves it to the module to split it in order.
    #[inline(always)]
    pub(super) fn takes_whole(&self, io: &Io) -> bool {
        match self.geometry.zones {
            None => true,
            Some(zones) => {
                let crosses = io.lba() / zones.blocks != (io.lba() + io.blocks() - 1) / zones.blocks;
                io.blocks() <= self.blocks_max && (self.reads_cross_zones || io.op() != Op::Read || !crosses)
            }
        }
    }
}

fn metadata(format: &nvme::Format) -> Result<Option<Metadata>, Error> {
    let metadata = match format.is_extended {
        _ if format.metadata_size == 0 => return Ok(None),
        true => Metadata::interleaved(format.metadata_size),
        false => Metadata::separate(format.metadata_size),
    };
    let Some(protection) = format.protection else { return Ok(Some(metadata)) };
    let kind = match (protection.kind, protection.guard) {
        (1, Guard::Crc16) => ProtectionType::Type1,
        (2, Guard::Crc16) => ProtectionType::Type2,
        (_, Guard::Crc16) => ProtectionType::Type3,
        _ => {
            return Err(Error::Unsupported(
                "its protection information has guards of 32 or 64 bits: format it for 16",
            ));
        }
    };
    let protection = Protection::new(kind).with_first(protection.is_first);
    Ok(Some(metadata.with_protection(protection)))
}
