//! `reactor nvme` beside nvme-cli, which is asked about the same controller: field by field, over every way to it.

use super::in_guest;
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const REACTOR: &str = env!("CARGO_BIN_EXE_reactor");

#[test]
fn nvme_tools() {
    let Some(cli) = nvme_cli() else {
        // Past the harness, which shows what failing tests say and nothing else.
        let _ = writeln!(
            std::io::stderr(),
            "nvme_tools is skipped: there is no nvme, of Debian's package nvme-cli"
        );
        return;
    };
    let cli = cli.to_str().expect("a path in UTF-8");
    let iommu = "-device intel-iommu,intremap=on,aw-bits=48";
    let vfio = ["-m", "vfio-pci", "-m", "vfio_iommu_type1", "-q", iommu, "-k", "intel_iommu=on iommu=pt"];
    // Many programs of an unoptimized build, one after the other: a minute where the host is busy.
    let options = [&vfio[..], &["-n", "64M", "-f", REACTOR, "-f", cli, "-t", "300"]].concat();
    in_guest("nvme_tools::nvme_tools", &options, &[every_way_tells_what_nvme_cli_tells]);
}

/// The host's nvme-cli, which is at the same place in the guest.
fn nvme_cli() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join("nvme")).find(|file| file.is_file())
}

fn run(program: &str, line: &str) -> String {
    let output = Command::new(program).args(line.split_whitespace()).output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {line}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn json(program: &str, line: &str) -> Value {
    let text = run(program, line);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{program} {line}: {e} in {text}"))
}

fn every_way_tells_what_nvme_cli_tells() {
    let cli = nvme_cli().expect("it was copied in");
    let cli = |line: &str| json(cli.to_str().expect("a path"), &format!("{line} -o json"));
    let (controller, namespace) = (cli("id-ctrl /dev/nvme0"), cli("id-ns /dev/nvme0n1"));
    let (mut smart, firmware) = (cli("smart-log /dev/nvme0"), cli("fw-log /dev/nvme0"));

    let listed = json(REACTOR, "nvme list --json")["controllers"][0].clone();
    assert_eq!((&listed["driver"], &listed["kernel"]["name"]), (&"nvme".into(), &"nvme0".into()), "{listed}");
    assert_eq!(listed["kernel"]["model"], text(&controller["mn"]), "{listed}");
    let disk = &listed["kernel"]["namespaces"][0];
    assert_eq!((&disk["nsid"], &disk["bytes"]), (&1.into(), &(64 << 20).into()), "{listed}");
    assert_eq!(disk["nodes"], serde_json::json!(["/dev/nvme0n1", "/dev/ng0n1"]));

    let address = listed["address"].as_str().expect("an address");
    for target in ["/dev/nvme0", "/dev/ng0n1", address] {
        if target == address {
            overwrites_no_disk_in_use();
            measures("/dev/ng0n1");
            // Which counts there.
            smart = cli("smart-log /dev/nvme0");
            hand_over(&listed);
        }
        println!("{target}");
        let ours = json(REACTOR, &format!("nvme identify {target} --json"));
        assert_eq!(ours["namespaces"].as_array().map(Vec::len), Some(1), "{ours}");
        same_controller(&ours, &controller);
        same_namespace(&ours["namespaces"][0], &namespace);
        let only = json(REACTOR, &format!("nvme identify {target} --ns 1 --json"));
        assert_eq!(only, ours);
        let ours = json(REACTOR, &format!("nvme smart {target} --errors --json"));
        same_health(&ours["smart"], &smart);
        let slot = firmware.as_object().and_then(|it| it.values().next()).expect("slots");
        // Written as a number, and as what that is in letters.
        let revision = format!("({}", text(&ours["firmware"]["frs1"]));
        assert!(text(&slot["Firmware Rev Slot 1"]).contains(&revision), "{firmware}, {revision}");
        assert!(ours["errors"].is_array());
        // For people, too.
        let shown = run(REACTOR, &format!("nvme identify {target}"));
        assert!(shown.contains(text(&controller["mn"])) && shown.contains("64 MiB"), "{shown}");
    }
    measures(address);
}

fn measures(target: &str) {
    for rw in ["randread", "verify"] {
        let ran = json(
            REACTOR,
            &format!("nvme perf {target} --rw {rw} --bs 512 --qd 8 --cores 0-1 --time 0.5 --json"),
        );
        assert_eq!(ran["jobs"].as_array().map(Vec::len), Some(2), "{ran}");
        assert!(ran["total"]["iops"].as_f64() > Some(0.0) && ran["total"]["errors"] == 0, "{ran}");
    }
}

/// Whoever mounts a disk opens it like this.
fn overwrites_no_disk_in_use() {
    let exclusively = rustix::fs::OFlags::EXCL.bits() as i32;
    let _user =
        OpenOptions::new().read(true).custom_flags(exclusively).open("/dev/nvme0n1").expect("it is free");
    for line in ["nvme perf /dev/ng0n1", "perf ng:/dev/ng0n1", "perf passthru(ng:/dev/ng0n1)"] {
        let line = format!("{line} --rw write --bs 512 --time 0.1");
        let output =
            Command::new(REACTOR).args(line.split_whitespace()).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains("is in use, mounted for example"),
            "{line}: {said}"
        );
    }
}

/// Does what `reactor nvme list` says is to be done.
fn hand_over(listed: &Value) {
    for line in listed["hand_over"].as_array().expect("lines") {
        let line = line.as_str().expect("text");
        // The modules are there already, and no modprobe is.
        if !line.starts_with("modprobe ") {
            let status = Command::new("sh").args(["-c", line]).status().expect("a shell");
            assert!(status.success(), "{line}");
        }
    }
    let after = json(REACTOR, "nvme list --json")["controllers"][0].clone();
    assert_eq!((&after["driver"], &after["kernel"]), (&"vfio-pci".into(), &Value::Null), "{after}");
    assert_eq!(after["hand_over"], serde_json::json!([]));
    assert!(Path::new("/dev/vfio").join(after["iommu_group"].to_string()).exists(), "{after}");
    assert!(!fs::exists("/dev/nvme0n1").expect("a directory"));
}

/// Without the padding that nvme-cli leaves.
fn text(value: &Value) -> &str {
    value.as_str().expect("text").trim()
}

/// Without quotes: nvme-cli writes long numbers as text. Names of zeroes are none.
fn plain(value: &Value, is_name: bool) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    let is_none = is_name && text.bytes().all(|byte| matches!(byte, b'0' | b'-'));
    if value.is_null() || is_none { String::new() } else { text }
}

/// Compares what has the same key in both. Returns how many that were.
fn same_keys(ours: &Value, theirs: &Value) -> usize {
    let theirs = theirs.as_object().expect("an object");
    let both = theirs.iter().filter_map(|(key, their)| Some((key, ours.get(key)?, their)));
    both.inspect(|(key, our, their)| {
        let is_name = !our.is_number();
        assert_eq!(plain(our, is_name), plain(their, is_name), "{key}");
    })
    .count()
}

fn same_controller(ours: &Value, theirs: &Value) {
    let count = same_keys(&ours["controller"], theirs);
    println!("{count} fields of the controller are the same");
    assert!(count >= 70, "{count} of {theirs}");
    let states = theirs["psds"].as_array().expect("power states");
    let count = theirs["npss"].as_u64().expect("a number") as usize + 1;
    for (our, their) in ours["power_states"].as_array().expect("power states").iter().zip(&states[..count]) {
        for (ours, theirs) in
            [("mp", "max_power"), ("enlat", "entry_lat"), ("exlat", "exit_lat"), ("rrt", "read_tput")]
        {
            assert_eq!(our[ours], their[theirs], "{ours}");
        }
    }
}

fn same_namespace(ours: &Value, theirs: &Value) {
    let formats = theirs["lbafs"].as_array().expect("formats");
    let mut without = theirs.clone();
    without.as_object_mut().expect("an object").remove("lbafs");
    let count = same_keys(ours, &without);
    println!("{count} fields of the namespace are the same");
    assert!(count >= 25, "{count} of {theirs}");
    for (our, their) in ours["lbafs"].as_array().expect("formats").iter().zip(formats) {
        assert_eq!((&our["ms"], &our["lbads"], &our["rp"]), (&their["ms"], &their["ds"], &their["rp"]));
    }
}

fn same_health(ours: &Value, theirs: &Value) {
    for (our, their) in [
        ("critical_warning", "critical_warning"),
        ("temperature", "temperature"),
        ("available_spare", "avail_spare"),
        ("available_spare_threshold", "spare_thresh"),
        ("percentage_used", "percent_used"),
        ("endurance_group_critical_warning", "endurance_grp_critical_warning_summary"),
        ("data_units_read", "data_units_read"),
        ("data_units_written", "data_units_written"),
        ("host_read_commands", "host_read_commands"),
        ("host_write_commands", "host_write_commands"),
        ("power_cycles", "power_cycles"),
        ("power_on_hours", "power_on_hours"),
        ("unsafe_shutdowns", "unsafe_shutdowns"),
        ("media_errors", "media_errors"),
        ("error_log_entries", "num_err_log_entries"),
        ("warning_temperature_minutes", "warning_temp_time"),
        ("critical_temperature_minutes", "critical_comp_time"),
        ("thermal_1_transitions", "thm_temp1_trans_count"),
        ("thermal_2_seconds", "thm_temp2_total_time"),
    ] {
        assert_eq!(plain(&ours[our], false), plain(&theirs[their], false), "{our}");
    }
}
