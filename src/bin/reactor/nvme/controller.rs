//! Identify Controller, field by field.
//!
//! Keys are the abbreviations of the specification (Base 2.0 §5.17.2.1, Figure 275), its words the names; the sections are ours.

use super::field::{Field, Section, Value, celsius, counted, digits, flags, hex, number, size, text};
use crate::report::{lines, table, thousands};
use reactor::nvme::spec::{IdentifyController, PowerState, QueueEntrySizes};
use uuid::Uuid;

/// All of it, for a controller whose smallest page is of so many bytes.
pub(super) fn sections(it: &IdentifyController, page_min: u64) -> Vec<Section> {
    vec![
        Section::new("Controller", identity(it)),
        Section::new("Commands and features", support(it)),
        Section::new("Limits", limits(it, page_min)),
        Section::new("Capacity and namespaces", capacity(it)),
        Section::new("Firmware, self-test, sanitize", upkeep(it)),
        Section::new("Temperature, power, time", conditions(it)),
    ]
}

fn identity(it: &IdentifyController) -> Vec<Field> {
    let [low, middle, high] = it.oui;
    let oui = u32::from_be_bytes([0, high, middle, low]);
    let kind = match it.controller_type {
        0 => "not reported",
        1 => "I/O",
        2 => "discovery",
        3 => "administrative",
        _ => "reserved",
    };
    vec![
        text("mn", "Model Number", it.model()),
        text("sn", "Serial Number", it.serial()),
        text("fr", "Firmware Revision", it.firmware()),
        text("subnqn", "NVM Subsystem NVMe Qualified Name", it.subsystem()),
        hex("vid", "PCI Vendor ID", it.vendor.get(), 4),
        hex("ssvid", "PCI Subsystem Vendor ID", it.subsystem_vendor.get(), 4),
        hex("ieee", "IEEE OUI Identifier", oui, 6),
        number("cntlid", "Controller ID", it.controller_id.get()),
        number("cntrltype", "Controller Type", it.controller_type).meaning(kind),
        hex("ver", "Version", it.version.bits(), 6)
            .meaning(it.version.to_string())
            .and("text", it.version.to_string()),
        text("fguid", "FRU Globally Unique Identifier", uuid(it.guid)),
        number("domainid", "Domain Identifier", it.domain.get()),
        flags("cmic", "Multi-Path I/O and Namespace Sharing", it.multi_path),
        flags("nvmsr", "NVM Subsystem Report", it.management),
        flags("mec", "Management Endpoint Capabilities", it.endpoints),
        number("vwci", "VPD Write Cycle Information", it.product_data_writes),
    ]
}

fn support(it: &IdentifyController) -> Vec<Field> {
    let data = match it.sgl.data() {
        0 => "none",
        1 => "data of any alignment",
        2 => "data in doublewords",
        _ => "reserved",
    };
    let flush = match it.write_cache.flush_of_all() {
        2 => "Flush of all namespaces is refused",
        3 => "Flush of all namespaces flushes all",
        _ => "",
    };
    vec![
        flags("oacs", "Optional Admin Command Support", it.admin),
        flags("oncs", "Optional NVM Command Support", it.io),
        flags("fuses", "Fused Operation Support", it.fused),
        flags("vwc", "Volatile Write Cache", it.write_cache).meaning(flush),
        flags("sgls", "SGL Support", it.sgl).meaning(data),
        hex("ocfs", "Optional Copy Formats Supported", it.copy_formats.get(), 0),
        flags("fna", "Format NVM Attributes", it.format),
        flags("nwpc", "Namespace Write Protection", it.write_protection),
        flags("ctratt", "Controller Attributes", it.attributes),
        flags("oaes", "Optional Asynchronous Events Supported", it.async_events),
        flags("lpa", "Log Page Attributes", it.logs),
        hex("rrls", "Read Recovery Levels Supported", it.read_recovery_levels.get(), 4),
        hex("avscc", "Admin Vendor Specific Commands", it.vendor_admin, 0),
        hex("icsvscc", "I/O Vendor Specific Commands", it.vendor_io, 0),
        number("rpmbs", "Replay Protected Memory Blocks", it.protected_memory.get()),
    ]
}

fn limits(it: &IdentifyController, page_min: u64) -> Vec<Field> {
    let transfer = it.transfer_bytes_max(page_min);
    let of_transfer = match (it.transfer_max, transfer) {
        (0, _) => "no limit".into(),
        (_, None) => "more than can be".into(),
        (_, Some(bytes)) => size(bytes.into()),
    };
    let entries = |sizes: QueueEntrySizes| format!("{} to {} bytes", 1 << sizes.required(), 1 << sizes.max());
    let burst = match it.arbitration_burst {
        burst @ 0..64 => counted(1_u64 << burst, "command"),
        _ => "more than can be".into(),
    };
    vec![
        number("mdts", "Maximum Data Transfer Size", it.transfer_max)
            .meaning(of_transfer)
            .and("bytes", transfer),
        number("rab", "Recommended Arbitration Burst", it.arbitration_burst).meaning(burst),
        hex("sqes", "Submission Queue Entry Size", it.submission_entries.bits(), 2)
            .meaning(entries(it.submission_entries)),
        hex("cqes", "Completion Queue Entry Size", it.completion_entries.bits(), 2)
            .meaning(entries(it.completion_entries)),
        number("maxcmd", "Maximum Outstanding Commands", it.commands_max.get()),
        less_one("acl", "Abort Command Limit", it.aborts_max, "command"),
        less_one("aerl", "Asynchronous Event Request Limit", it.async_events_max, "request"),
        less_one("elpe", "Error Log Page Entries", it.error_entries, "entry"),
        less_one("awun", "Atomic Write Unit Normal", it.atomic_write.get(), "block"),
        less_one("awupf", "Atomic Write Unit Power Fail", it.atomic_write_power_fail.get(), "block"),
        less_one("acwu", "Atomic Compare & Write Unit", it.atomic_compare_write.get(), "block"),
        number("hmpre", "Host Memory Buffer Preferred Size", it.host_buffer_preferred.get())
            .meaning(size(u128::from(it.host_buffer_preferred.get()) << 12)),
        number("hmmin", "Host Memory Buffer Minimum Size", it.host_buffer_min.get())
            .meaning(size(u128::from(it.host_buffer_min.get()) << 12)),
        number("hmminds", "Host Memory Buffer Minimum Entry Size", it.host_buffer_piece_min.get())
            .meaning(size(u128::from(it.host_buffer_piece_min.get()) << 12)),
        number("hmmaxd", "Host Memory Maximum Descriptors Entries", it.host_buffer_pieces_max.get()),
        number("pels", "Persistent Event Log Size", it.persistent_events.get())
            .meaning(size(u128::from(it.persistent_events.get()) << 16)),
    ]
}

fn capacity(it: &IdentifyController) -> Vec<Field> {
    let bytes = |key, name, bytes: u128| number(key, name, bytes).meaning(size(bytes));
    vec![
        number("nn", "Number of Namespaces", it.namespaces.get()),
        number("mnan", "Maximum Number of Allowed Namespaces", it.allowed_namespaces.get()),
        number("maxcna", "Maximum I/O Controller Namespace Attachments", it.attachments_max.get()),
        number("maxdna", "Maximum Domain Namespace Attachments", it.domain_attachments_max.get()),
        bytes("tnvmcap", "Total NVM Capacity", it.capacity.get()),
        bytes("unvmcap", "Unallocated NVM Capacity", it.capacity_unallocated.get()),
        bytes("megcap", "Max Endurance Group Capacity", it.endurance_group_capacity.get()),
        number("nsetidmax", "NVM Set Identifier Maximum", it.nvm_sets_max.get()),
        number("endgidmax", "Endurance Group Identifier Maximum", it.endurance_groups_max.get()),
        flags("anacap", "Asymmetric Namespace Access Capabilities", it.ana),
        number("anatt", "ANA Transition Time", it.ana_seconds).meaning(counted(it.ana_seconds, "second")),
        number("anagrpmax", "ANA Group Identifier Maximum", it.ana_group_max.get()),
        number("nanagrpid", "Number of ANA Group Identifiers", it.ana_groups.get()),
    ]
}

fn upkeep(it: &IdentifyController) -> Vec<Field> {
    let granularity = match it.firmware_granularity {
        0 => "not reported".into(),
        255 => "none".into(),
        units => size(u128::from(units) << 12),
    };
    let minutes = it.self_test_minutes.get();
    vec![
        flags("frmw", "Firmware Updates", it.firmware_updates)
            .meaning(counted(it.firmware_updates.slots(), "slot"))
            .and("slots", u32::from(it.firmware_updates.slots())),
        number("fwug", "Firmware Update Granularity", it.firmware_granularity).meaning(granularity),
        number("mtfa", "Maximum Time for Firmware Activation", it.firmware_time.get())
            .meaning(tenths(it.firmware_time.get())),
        number("edstt", "Extended Device Self-test Time", minutes).meaning(counted(minutes, "minute")),
        flags("dsto", "Device Self-test Options", it.self_test_options),
        flags("sanicap", "Sanitize Capabilities", it.sanitize),
    ]
}

fn conditions(it: &IdentifyController) -> Vec<Field> {
    let keep_alive = match it.keep_alive.get() {
        0 => "no keep-alive".into(),
        units => tenths(units),
    };
    let microseconds = |key, name, us: u32| {
        let meaning = if us == 0 { "not reported".into() } else { format!("{} s", f64::from(us) / 1e6) };
        number(key, name, us).meaning(meaning)
    };
    let [first, second, third] = it.retry_delays.map(|delay| delay.get());
    vec![
        temperature("wctemp", "Warning Composite Temperature", it.warning_temperature.get()),
        temperature("cctemp", "Critical Composite Temperature", it.critical_temperature.get()),
        flags("hctma", "Host Controlled Thermal Management", it.thermal),
        temperature("mntmt", "Minimum Thermal Management Temperature", it.thermal_min.get()),
        temperature("mxtmt", "Maximum Thermal Management Temperature", it.thermal_max.get()),
        less_one("npss", "Number of Power States Support", it.power_states_max, "state"),
        hex("apsta", "Autonomous Power State Transition", it.autonomous_power, 0),
        microseconds("rtd3r", "RTD3 Resume Latency", it.resume_us.get()),
        microseconds("rtd3e", "RTD3 Entry Latency", it.shutdown_us.get()),
        number("crdt1", "Command Retry Delay Time 1", first).meaning(tenths(first)),
        number("crdt2", "Command Retry Delay Time 2", second).meaning(tenths(second)),
        number("crdt3", "Command Retry Delay Time 3", third).meaning(tenths(third)),
        number("kas", "Keep Alive Support", it.keep_alive.get()).meaning(keep_alive),
    ]
}

/// A number that is told less one.
fn less_one(key: &'static str, name: &'static str, less: impl Into<u128>, one: &str) -> Field {
    let less = less.into();
    let count =
        if one == "entry" && less > 0 { format!("{} entries", less + 1) } else { counted(less + 1, one) };
    number(key, name, less).meaning(count)
}

/// In units of 100 ms.
fn tenths(units: u16) -> String {
    format!("{} s", f64::from(units) / 10.0)
}

/// A temperature in kelvin, with its degrees Celsius under `KEY_celsius`.
pub(super) fn temperature(key: &'static str, name: &'static str, kelvin: u16) -> Field {
    let shown = celsius(kelvin).map_or("not reported".into(), |celsius| format!("{celsius} °C"));
    number(key, name, kelvin).shown(shown).and("celsius", celsius(kelvin))
}

/// As such names are written; nothing for zeroes, which are no name.
pub(super) fn uuid(bytes: [u8; 16]) -> String {
    if bytes == [0; 16] { String::new() } else { Uuid::from_bytes(bytes).to_string() }
}

/// The power states that it says it has.
pub(super) fn power_states(it: &IdentifyController) -> (Section, Value) {
    let states = &it.power_states[..it.power_states.len().min(usize::from(it.power_states_max) + 1)];
    let watts = |uw: Option<u64>| uw.map_or("-".into(), |uw| format!("{} W", uw as f64 / 1e6));
    let head = [
        "state",
        "power",
        "idle",
        "active",
        "I/O",
        "enter µs",
        "leave µs",
        "read",
        "latency",
        "write",
        "latency",
    ];
    let mut shown = table(&head, 0);
    let mut list = Vec::new();
    for (number, state) in (0_u32..).zip(states) {
        let [read, read_latency, write, write_latency] = state.relative;
        let io = if state.is_operational() { "yes" } else { "no" };
        let mut row = vec![number.to_string(), watts(Some(state.power_uw()))];
        row.extend([watts(state.idle_power_uw()), watts(state.active_power_uw()), io.into()]);
        row.extend([state.entry_us, state.exit_us].map(|us| thousands(&us.get().to_string())));
        row.extend(state.relative.map(|relative| relative.to_string()));
        shown.add_row(row);
        let relative = [("rrt", read), ("rrl", read_latency), ("rwt", write), ("rwl", write_latency)];
        list.push(power_state(number, state, relative));
    }
    let section = Section {
        title: "Power states (relative: 0 is best)".into(),
        table: Some(lines(&shown)),
        ..Section::default()
    };
    (section, Value::List(list))
}

fn power_state(number: u32, state: &PowerState, relative: [(&str, u8); 4]) -> Value {
    let mut members: Vec<(String, Value)> = vec![
        ("state".into(), number.into()),
        ("mp".into(), u32::from(state.power.get()).into()),
        ("power_uw".into(), state.power_uw().into()),
        ("idle_power_uw".into(), state.idle_power_uw().into()),
        ("active_power_uw".into(), state.active_power_uw().into()),
        ("is_operational".into(), state.is_operational().into()),
        ("enlat".into(), state.entry_us.get().into()),
        ("exlat".into(), state.exit_us.get().into()),
    ];
    members.extend(relative.map(|(key, value)| (key.into(), u32::from(value).into())));
    Value::Object(members)
}

/// The bytes of a name, or none for zeroes.
pub(super) fn name(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) { String::new() } else { digits(bytes) }
}
