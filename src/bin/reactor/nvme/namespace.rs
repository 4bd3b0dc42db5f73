//! Identify Namespace, field by field, with what its command set adds.
//!
//! Keys are the abbreviations of the specifications (NVM Command Set 1.0 §4.1.5.1; ZNS 1.1 §4.1.5.1).

use super::controller::{name, uuid};
use super::field::{Field, Section, Value, counted, flags, hex, number, size, text};
use crate::report::{lines, table, thousands};
use reactor::nvme::spec::{IdentifyNamespace, IdentifyZonedNamespace, NamespaceId, NamespaceIds};

/// What a controller answered about one namespace.
pub(super) struct Pages {
    pub(super) id: u32,
    pub(super) identity: Box<IdentifyNamespace>,
    /// The list of its names.
    pub(super) names: Option<Vec<u8>>,
    pub(super) zoned: Option<Box<IdentifyZonedNamespace>>,
}

impl Pages {
    /// Its command set, by the list of its names: 0 is NVM, 2 zoned namespaces.
    pub(super) fn command_set(names: &[u8]) -> Option<u8> {
        NamespaceIds::new(names).find_map(|name| match name {
            NamespaceId::CommandSet(set) => Some(set),
            _ => None,
        })
    }
}

/// All of it: for people, and as one object.
pub(super) fn describe(pages: &Pages) -> (Vec<Section>, Value) {
    let it = &pages.identity;
    let mut sections = vec![
        Section::new(format!("Namespace {}", pages.id), size_and_format(it)),
        Section::new(format!("Namespace {}: names", pages.id), names(it, pages.names.as_deref())),
        Section::new(format!("Namespace {}: features", pages.id), features(it)),
        Section::new(format!("Namespace {}: limits", pages.id), limits(it)),
    ];
    if let Some(zoned) = &pages.zoned {
        sections.push(Section::new(format!("Namespace {}: zones", pages.id), zones(zoned, pages)));
    }
    let mut members = vec![("nsid".to_owned(), pages.id.into())];
    members.extend(super::field::object(sections.iter().flat_map(|section| &section.fields)));
    let (formats, list) = formats(pages);
    sections.push(formats);
    members.push(("lbafs".into(), list));
    (sections, Value::Object(members))
}

/// Bytes of a block as it is formatted now.
fn block_bytes(it: &IdentifyNamespace) -> Option<u32> {
    it.current_format()?.block_bytes()
}

fn size_and_format(it: &IdentifyNamespace) -> Vec<Field> {
    let block = block_bytes(it);
    let blocks = |key, name, blocks: u64| {
        let bytes = block.map(|block| u128::from(blocks) * u128::from(block));
        let meaning = bytes.map_or("blocks of no size".into(), size);
        number(key, name, blocks).meaning(meaning).and("bytes", bytes)
    };
    let format = it.current_format();
    let metadata = format.map(|format| u32::from(format.metadata_bytes.get()));
    let place = if it.format.extends_blocks() { "behind each block's data" } else { "apart" };
    let meaning = match (block, metadata) {
        (Some(block), Some(0)) => format!("blocks of {block} bytes"),
        (Some(block), Some(bytes)) => format!("blocks of {block} bytes and {bytes} of metadata, {place}"),
        _ => "none that it has".into(),
    };
    let protection = match it.protection.kind() {
        0 => "no protection".into(),
        kind @ 1..=3 => format!("type {kind}"),
        kind => format!("type {kind}, which is reserved"),
    };
    vec![
        blocks("nsze", "Namespace Size", it.size.get()),
        blocks("ncap", "Namespace Capacity", it.capacity.get()),
        blocks("nuse", "Namespace Utilization", it.used.get()),
        hex("flbas", "Formatted LBA Size", it.format.bits(), 2)
            .meaning(meaning)
            .and("block_bytes", block)
            .and("metadata_bytes", metadata),
        number("nlbaf", "Number of LBA Formats", it.formats_max)
            .meaning(counted(u32::from(it.formats_max) + 1, "format")),
        number("nulbaf", "Number of Unique Attribute LBA Formats", it.unique_formats),
        flags("dps", "End-to-end Data Protection", it.protection).meaning(protection),
        number("nvmcap", "NVM Capacity", it.capacity_bytes.get()).meaning(size(it.capacity_bytes.get())),
    ]
}

fn names(it: &IdentifyNamespace, names: Option<&[u8]>) -> Vec<Field> {
    let (mut uuids, mut sets) = (None, None);
    for name in names.into_iter().flat_map(NamespaceIds::new) {
        match name {
            NamespaceId::Uuid(bytes) => uuids = Some(bytes),
            NamespaceId::CommandSet(set) => sets = Some(set),
            _ => {}
        }
    }
    let set = match sets {
        None => "NVM, by default".to_owned(),
        Some(0) => "NVM".into(),
        Some(1) => "Key Value".into(),
        Some(2) => "Zoned Namespace".into(),
        Some(set) => format!("{set}, which has no name"),
    };
    vec![
        text("eui64", "IEEE Extended Unique Identifier", name(&it.eui64)),
        text("nguid", "Namespace Globally Unique Identifier", name(&it.nguid)),
        text("uuid", "Namespace UUID", uuids.map(uuid).unwrap_or_default()),
        Field::new("csi", "Command Set Identifier", sets.map(u32::from).into(), set),
        number("nvmsetid", "NVM Set Identifier", it.nvm_set.get()),
        number("endgid", "Endurance Group Identifier", it.endurance_group.get()),
        number("anagrpid", "ANA Group Identifier", it.ana_group.get()),
    ]
}

fn features(it: &IdentifyNamespace) -> Vec<Field> {
    let reads_as = match it.deallocate.reads_as() {
        1 => "deallocated blocks read as zeroes",
        2 => "deallocated blocks read as ones",
        _ => "what deallocated blocks read as is not told",
    };
    let progress = match it.format_progress.is_told() {
        true => format!("{} % are still to do", it.format_progress.left()),
        false => String::new(),
    };
    vec![
        flags("nsfeat", "Namespace Features", it.features),
        flags("nmic", "Multi-path I/O and Namespace Sharing", it.sharing),
        flags("nsattr", "Namespace Attributes", it.attributes),
        flags("mc", "Metadata Capabilities", it.metadata),
        flags("dpc", "End-to-end Data Protection Capabilities", it.protection_capabilities),
        flags("rescap", "Reservation Capabilities", it.reservations),
        flags("dlfeat", "Deallocate Logical Block Features", it.deallocate).meaning(reads_as),
        flags("fpi", "Format Progress Indicator", it.format_progress).meaning(progress),
    ]
}

fn limits(it: &IdentifyNamespace) -> Vec<Field> {
    let atomics = it.features.has_atomics();
    let preferences = it.features.has_preferences();
    // Less one, where a feature says that it counts.
    let blocks = |key, name, blocks: u16, is_told: bool| {
        let meaning = if is_told { counted(u32::from(blocks) + 1, "block") } else { "not reported".into() };
        number(key, name, blocks).meaning(meaning)
    };
    let boundary = |key, name, blocks: u16| {
        let meaning =
            if blocks == 0 { "no boundary".into() } else { counted(u32::from(blocks) + 1, "block") };
        number(key, name, blocks).meaning(meaning)
    };
    let ranges = u32::from(it.copy_ranges_max) + 1;
    let noiob = it.io_boundary.get();
    vec![
        blocks("nawun", "Namespace Atomic Write Unit Normal", it.atomic_write.get(), atomics),
        blocks("nawupf", "Namespace Atomic Write Unit Power Fail", it.atomic_write_power_fail.get(), atomics),
        blocks("nacwu", "Namespace Atomic Compare & Write Unit", it.atomic_compare_write.get(), atomics),
        boundary("nabsn", "Namespace Atomic Boundary Size Normal", it.atomic_boundary.get()),
        number("nabo", "Namespace Atomic Boundary Offset", it.atomic_offset.get()),
        boundary("nabspf", "Namespace Atomic Boundary Size Power Fail", it.atomic_boundary_power_fail.get()),
        number("noiob", "Namespace Optimal I/O Boundary", noiob).meaning(if noiob == 0 {
            "not reported".into()
        } else {
            counted(noiob, "block")
        }),
        blocks("npwg", "Namespace Preferred Write Granularity", it.write_granularity.get(), preferences),
        blocks("npwa", "Namespace Preferred Write Alignment", it.write_alignment.get(), preferences),
        blocks(
            "npdg",
            "Namespace Preferred Deallocate Granularity",
            it.deallocate_granularity.get(),
            preferences,
        ),
        blocks(
            "npda",
            "Namespace Preferred Deallocate Alignment",
            it.deallocate_alignment.get(),
            preferences,
        ),
        blocks("nows", "Namespace Optimal Write Size", it.optimal_write.get(), preferences),
        number("mssrl", "Maximum Single Source Range Length", it.copy_range_max.get()),
        number("mcl", "Maximum Copy Length", it.copy_max.get()),
        number("msrc", "Maximum Source Range Count", it.copy_ranges_max).meaning(counted(ranges, "range")),
    ]
}

fn zones(it: &IdentifyZonedNamespace, pages: &Pages) -> Vec<Field> {
    let zones = |key, name, less: u32| {
        let meaning = match less.checked_add(1) {
            Some(count) => counted(count, "zone"),
            None => "no limit".into(),
        };
        number(key, name, less).meaning(meaning)
    };
    let index = pages.identity.format.index(usize::from(pages.identity.formats_max) + 1);
    let format = it.formats.get(index).copied().unwrap_or_default();
    let block = block_bytes(&pages.identity);
    let bytes = block.map(|block| u128::from(format.zone_blocks.get()) * u128::from(block));
    vec![
        number("zsze", "Zone Size", format.zone_blocks.get())
            .meaning(bytes.map_or("blocks of no size".into(), size))
            .and("bytes", bytes),
        number("zdes", "Zone Descriptor Extension Size", format.extension)
            .meaning(counted(u32::from(format.extension) * 64, "byte")),
        zones("mar", "Maximum Active Resources", it.active_max.get()),
        zones("mor", "Maximum Open Resources", it.open_max.get()),
        flags("zoc", "Zone Operation Characteristics", it.capabilities),
        flags("ozcs", "Optional Zoned Command Support", it.options),
        number("numzrwa", "Number of ZRWA Resources", it.random_write_areas.get()),
        number("zrwafg", "ZRWA Flush Granularity", it.random_write_granularity.get()),
        number("zrwasz", "ZRWA Size", it.random_write_size.get()),
        hex("zrwacap", "ZRWA Capability", it.random_write_capabilities, 0),
    ]
}

/// The formats that it has, the one in use marked.
fn formats(pages: &Pages) -> (Section, Value) {
    let it = &pages.identity;
    let count = usize::from(it.formats_max) + 1 + usize::from(it.unique_formats);
    let current = it.format.index(usize::from(it.formats_max) + 1);
    let mut shown = table(&["format", "data", "metadata", "performance", "in use"], 0);
    let mut list = Vec::new();
    for (index, format) in it.formats.iter().enumerate().take(count) {
        let performance = ["best", "better", "good", "degraded"][usize::from(format.performance & 3)];
        let data = format.block_bytes().map_or("none".into(), |bytes| thousands(&bytes.to_string()));
        let metadata = format.metadata_bytes.get();
        let is_used = index == current;
        let used = if is_used { "yes" } else { "" };
        shown.add_row([index.to_string(), data, metadata.to_string(), performance.into(), used.into()]);
        list.push(Value::Object(vec![
            ("ms".into(), u32::from(metadata).into()),
            ("lbads".into(), u32::from(format.data_shift).into()),
            ("rp".into(), u32::from(format.performance & 3).into()),
            ("block_bytes".into(), format.block_bytes().into()),
            ("is_in_use".into(), is_used.into()),
        ]));
    }
    let title = format!("Namespace {}: formats (bytes of each block)", pages.id);
    (Section { title, table: Some(lines(&shown)), ..Section::default() }, Value::List(list))
}
