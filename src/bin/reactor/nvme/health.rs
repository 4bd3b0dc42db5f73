//! The logs of health, of errors and of firmware, field by field.
//!
//! The specification gives most of these fields no abbreviation (Base 2.0 §5.16.1.3): the keys are its words, made short.

use super::controller::temperature;
use super::field::{Field, Section, Value, counted, flags, number, size, text};
use crate::report::{lines, table};
use reactor::nvme::spec::{Bits, ErrorLogEntry, FirmwareLog, SmartLog};

/// Entries of the error log that are printed for people; programs get all.
const ERRORS_SHOWN: usize = 32;

/// The SMART / Health Information log.
pub(super) fn smart(it: &SmartLog) -> Vec<Section> {
    vec![
        Section::new("Health", health(it)),
        Section::new("Temperature", temperatures(it)),
        Section::new("Use", usage(it)),
    ]
}

fn health(it: &SmartLog) -> Vec<Field> {
    let warning = flags("critical_warning", "Critical Warning", it.critical);
    let warning = if it.critical.number() == 0 { warning.shown("none".into()) } else { warning };
    vec![
        warning,
        percent("available_spare", "Available Spare", it.spare).meaning(
            match it.spare < it.spare_threshold {
                true => "below its threshold",
                false => "",
            },
        ),
        percent("available_spare_threshold", "Available Spare Threshold", it.spare_threshold),
        percent("percentage_used", "Percentage Used", it.used).meaning(if it.used > 100 {
            "beyond the life that it was made for"
        } else {
            ""
        }),
        number("endurance_group_critical_warning", "Endurance Group Critical Warning", it.endurance_groups),
        number("media_errors", "Media and Data Integrity Errors", it.media_errors.get()),
        number("unsafe_shutdowns", "Unsafe Shutdowns", it.unsafe_shutdowns.get()),
        number("error_log_entries", "Error Information Log Entries", it.errors.get()),
    ]
}

fn temperatures(it: &SmartLog) -> Vec<Field> {
    let minutes = |key, name, minutes: u32| number(key, name, minutes).shown(counted(minutes, "minute"));
    let seconds = |key, name, seconds: u32| number(key, name, seconds).shown(counted(seconds, "second"));
    let mut fields = vec![temperature("temperature", "Composite Temperature", it.temperature.get())];
    let sensors = [
        ("temperature_sensor_1", "Temperature Sensor 1"),
        ("temperature_sensor_2", "Temperature Sensor 2"),
        ("temperature_sensor_3", "Temperature Sensor 3"),
        ("temperature_sensor_4", "Temperature Sensor 4"),
        ("temperature_sensor_5", "Temperature Sensor 5"),
        ("temperature_sensor_6", "Temperature Sensor 6"),
        ("temperature_sensor_7", "Temperature Sensor 7"),
        ("temperature_sensor_8", "Temperature Sensor 8"),
    ];
    for ((key, name), sensor) in sensors.into_iter().zip(it.sensors) {
        // Sensors that are not there are not worth a line, or a key.
        if sensor.get() != 0 {
            fields.push(temperature(key, name, sensor.get()));
        }
    }
    let [light, heavy] = it.thermal_transitions.map(|count| count.get());
    let [light_s, heavy_s] = it.thermal_seconds.map(|seconds| seconds.get());
    fields.extend([
        minutes("warning_temperature_minutes", "Warning Temperature Time", it.warning_minutes.get()),
        minutes("critical_temperature_minutes", "Critical Temperature Time", it.critical_minutes.get()),
        number("thermal_1_transitions", "Thermal Management Temperature 1 Transitions", light),
        number("thermal_2_transitions", "Thermal Management Temperature 2 Transitions", heavy),
        seconds("thermal_1_seconds", "Time for Thermal Management Temperature 1", light_s),
        seconds("thermal_2_seconds", "Time for Thermal Management Temperature 2", heavy_s),
    ]);
    fields
}

fn usage(it: &SmartLog) -> Vec<Field> {
    // A unit is a thousand times 512 bytes.
    let data = |key, name, units: u128| {
        let bytes = units.checked_mul(512_000);
        number(key, name, units)
            .meaning(bytes.map_or("more bytes than can be".into(), size))
            .and("bytes", bytes)
    };
    let hours = it.power_on_hours.get();
    vec![
        data("data_units_read", "Data Units Read", it.data_read.get()),
        data("data_units_written", "Data Units Written", it.data_written.get()),
        number("host_read_commands", "Host Read Commands", it.reads.get()),
        number("host_write_commands", "Host Write Commands", it.writes.get()),
        number("controller_busy_minutes", "Controller Busy Time", it.busy_minutes.get())
            .shown(counted(it.busy_minutes.get(), "minute")),
        number("power_cycles", "Power Cycles", it.power_cycles.get()),
        number("power_on_hours", "Power On Hours", hours).meaning(counted(hours / 24, "day")),
    ]
}

fn percent(key: &'static str, name: &'static str, percent: u8) -> Field {
    number(key, name, percent).shown(format!("{percent} %"))
}

/// The Firmware Slot Information log.
pub(super) fn firmware(it: &FirmwareLog) -> (Section, Value) {
    let next = it.next().map_or("the same".into(), |slot| slot.to_string());
    let slots = [
        ("frs1", "Firmware Revision for Slot 1"),
        ("frs2", "Firmware Revision for Slot 2"),
        ("frs3", "Firmware Revision for Slot 3"),
        ("frs4", "Firmware Revision for Slot 4"),
        ("frs5", "Firmware Revision for Slot 5"),
        ("frs6", "Firmware Revision for Slot 6"),
        ("frs7", "Firmware Revision for Slot 7"),
    ];
    let mut fields = vec![
        number("afi", "Active Firmware Info", it.active)
            .shown(format!("slot {} runs; after the next reset: {next}", it.running()))
            .and("running", u32::from(it.running()))
            .and("next", it.next().map(u32::from)),
    ];
    for (slot, (key, name)) in (1..).zip(slots) {
        if let Some(revision) = it.revision(slot) {
            fields.push(text(key, name, revision));
        }
    }
    let object = Value::Object(super::field::object(&fields));
    (Section::new("Firmware slots", fields), object)
}

/// The Error Information log, newest first.
pub(super) fn errors(entries: &[ErrorLogEntry]) -> (Section, Value) {
    let used = || entries.iter().filter(|entry| entry.is_used());
    let head = ["error", "queue", "command", "namespace", "LBA", "status"];
    let mut shown = table(&head, 0);
    for entry in used().take(ERRORS_SHOWN) {
        let or_none = |number: u16| if number == u16::MAX { "-".into() } else { number.to_string() };
        shown.add_row([
            entry.number.get().to_string(),
            or_none(entry.sq_id.get()),
            or_none(entry.cid.get()),
            format!("{:#x}", entry.nsid.get()),
            entry.lba.get().to_string(),
            entry.status().to_string(),
        ]);
    }
    let section = match used().count() {
        0 => Section { table: Some("none".into()), ..Section::new("Errors", []) },
        count => {
            let title = match count > ERRORS_SHOWN {
                true => format!("Errors, newest first: {ERRORS_SHOWN} of {count}, all of them with --json"),
                false => "Errors, newest first".into(),
            };
            Section { table: Some(lines(&shown)), ..Section::new(title, []) }
        }
    };
    (section, Value::List(used().map(error).collect()))
}

fn error(entry: &ErrorLogEntry) -> Value {
    Value::Object(vec![
        ("error_count".into(), entry.number.get().into()),
        ("sqid".into(), u32::from(entry.sq_id.get()).into()),
        ("cid".into(), u32::from(entry.cid.get()).into()),
        ("status".into(), u32::from(entry.status().bits()).into()),
        ("status_text".into(), entry.status().to_string().into()),
        ("parameter_error_location".into(), u32::from(entry.location.get()).into()),
        ("lba".into(), entry.lba.get().into()),
        ("nsid".into(), entry.nsid.get().into()),
        ("vendor_log".into(), u32::from(entry.vendor_log).into()),
        ("transport_type".into(), u32::from(entry.transport).into()),
        ("command_specific".into(), entry.command_specific.get().into()),
        ("transport_specific".into(), u32::from(entry.transport_specific.get()).into()),
    ])
}
