//! A namespace of a software subsystem: its blocks, its zones, who has reserved it, and what it says of itself.

use super::super::spec::{
    DataProtection, DeallocateFeatures, FormatIndex, IdentifyNamespace, IdentifyNamespaceIndependent,
    IdentifyZonedNamespace, MetadataCapabilities, NamespaceAttributes, NamespaceSharing,
    ProtectionCapabilities, ReservationSupport, StatusCode, ZonedCommands,
};
use super::config::SoftNamespace;
use super::disk::{Disk, Format};
use super::protection::Protection;
use super::reservation::Reservation;
use super::zones::Zones;

pub(super) struct Namespace {
    pub(super) id: u32,
    pub(super) config: SoftNamespace,
    pub(super) disk: Disk,
    pub(super) zones: Option<Zones>,
    pub(super) reservation: Reservation,
    /// The controllers that have it, a bit each.
    pub(super) attached: u64,
    pub(super) is_write_protected: bool,
    /// Reads and writes are copies and nothing else; see [`settle`](Self::settle).
    pub(super) is_plain: bool,
}

/// Formats that namespaces can have besides the one they came with: shift of the data, bytes of metadata.
const FORMATS: &[(u8, u16)] = &[(9, 0), (9, 8), (9, 16), (12, 0), (12, 8), (12, 64)];

/// The limits of a Copy: blocks of a range, blocks in all, ranges less one.
pub(super) const COPY: (u16, u32, u8) = (256, 1024, 15);

impl Namespace {
    pub(super) fn new(id: u32, config: SoftNamespace) -> Self {
        let protection = (config.protection > 0)
            .then_some(Protection { kind: config.protection, is_first: config.is_protection_first });
        let format = Format {
            shift: config.block_shift,
            metadata: config.metadata_bytes.into(),
            is_extended: config.is_extended,
            protection,
        };
        let mut it = Self {
            id,
            config,
            disk: Disk::new(config.blocks, format),
            zones: config.zones.map(|zones| Zones::new(zones, config.blocks)),
            reservation: Reservation::default(),
            attached: 0,
            is_write_protected: false,
            is_plain: false,
        };
        it.settle();
        it
    }

    /// After what may change whether reads and writes need more than a copy.
    pub(super) fn settle(&mut self) {
        self.is_plain = self.zones.is_none()
            && self.disk.format.metadata == 0
            && self.disk.is_sound()
            && self.reservation.is_free()
            && !self.is_write_protected;
    }

    pub(super) fn group(&self) -> u32 {
        if self.config.ana_group == 0 { self.id } else { self.config.ana_group }
    }

    /// The command set that it takes: 0 is NVM, 2 zoned namespaces.
    pub(super) fn csi(&self) -> u8 {
        if self.zones.is_some() { 2 } else { 0 }
    }

    pub(super) fn resize(&mut self, blocks: u64) {
        self.config.blocks = blocks;
        self.disk.resize(blocks);
    }

    /// Begins anew, with nothing in it.
    pub(super) fn format(&mut self, config: SoftNamespace) {
        let (attached, reservation) = (self.attached, std::mem::take(&mut self.reservation));
        *self = Self { attached, reservation, ..Self::new(self.id, config) };
        self.settle();
    }

    fn formats(&self) -> Vec<(u8, u16)> {
        formats_with(self.config.block_shift, self.config.metadata_bytes)
    }

    /// The format of this index.
    pub(super) fn format_at(&self, index: usize) -> Result<(u8, u16), StatusCode> {
        self.formats().get(index).copied().ok_or(StatusCode::INVALID_FORMAT)
    }

    pub(super) fn identify(&self) -> IdentifyNamespace {
        let mut it = capabilities(&self.formats());
        it.size.set(self.disk.blocks());
        it.capacity.set(self.disk.blocks());
        it.used.set(self.disk.blocks());
        let own = (self.config.block_shift, self.config.metadata_bytes);
        let index = self.formats().iter().position(|&format| format == own).unwrap_or(0);
        it.format =
            FormatIndex::default().with_low(index as u8).with_extended_blocks(self.config.is_extended);
        it.protection = DataProtection::from_bits(
            self.config.protection | u8::from(self.config.is_protection_first) << 3,
        );
        it.sharing = NamespaceSharing::from_bits(1);
        it.reservations = RESERVATIONS;
        it.io_boundary.set(self.config.io_boundary);
        it.copy_range_max.set(COPY.0);
        it.copy_max.set(COPY.1);
        it.copy_ranges_max = COPY.2;
        it.ana_group.set(self.group());
        it.attributes = NamespaceAttributes::from_bits(self.is_write_protected.into());
        it.nguid = self.nguid();
        it.eui64 = self.eui64();
        it
    }

    pub(super) fn identify_independent(&self) -> IdentifyNamespaceIndependent {
        let mut it = IdentifyNamespaceIndependent::default();
        it.sharing = NamespaceSharing::from_bits(1);
        it.reservations = RESERVATIONS;
        it.ana_group.set(self.group());
        it.attributes = NamespaceAttributes::from_bits(self.is_write_protected.into());
        it
    }

    pub(super) fn identify_zoned(&self) -> Result<IdentifyZonedNamespace, StatusCode> {
        let zones = &self.zones.as_ref().ok_or(StatusCode::INVALID_FIELD)?.config;
        let mut it = IdentifyZonedNamespace::default();
        it.options = ZonedCommands::from_bits(zones.reads_cross.into());
        // Less one; all ones is no limit.
        it.active_max.set(zones.active_max.wrapping_sub(1));
        it.open_max.set(zones.open_max.wrapping_sub(1));
        it.formats.iter_mut().for_each(|format| format.zone_blocks.set(zones.zone_blocks));
        Ok(it)
    }

    pub(super) fn nguid(&self) -> [u8; 16] {
        let mut name = *b"soft-namespace--";
        name[12..].copy_from_slice(&self.id.to_be_bytes());
        name
    }

    pub(super) fn eui64(&self) -> [u8; 8] {
        let mut name = *b"soft----";
        name[4..].copy_from_slice(&self.id.to_be_bytes());
        name
    }
}

/// All kinds of reservations, which outlast a loss of power, as there is none; IEKEY as of 1.3.
const RESERVATIONS: ReservationSupport = ReservationSupport::from_bits(0xff);

fn formats_with(shift: u8, metadata: u16) -> Vec<(u8, u16)> {
    let mut all = FORMATS.to_vec();
    if !all.contains(&(shift, metadata)) {
        all.push((shift, metadata));
    }
    all
}

/// What is true of all namespaces that could be made.
pub(super) fn common() -> IdentifyNamespace {
    capabilities(FORMATS)
}

fn capabilities(formats: &[(u8, u16)]) -> IdentifyNamespace {
    let mut it = IdentifyNamespace::default();
    it.formats_max = formats.len() as u8 - 1;
    for (to, &(shift, metadata)) in it.formats.iter_mut().zip(formats) {
        to.data_shift = shift;
        to.metadata_bytes.set(metadata);
    }
    it.metadata = MetadataCapabilities::from_bits(3);
    it.protection_capabilities = ProtectionCapabilities::from_bits(0x1f);
    it.deallocate = DeallocateFeatures::default().with_reads_as(1).with_write_zeroes(true);
    it
}
