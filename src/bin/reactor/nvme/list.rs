//! `reactor nvme list`: the NVMe functions of this machine, and who has them.
//!
//! What PCI and the kernel's driver say of them in sysfs: no device is touched, and no privileges are needed.

use super::args;
use super::field::{Value, size};
use crate::failure::{Failure, chain};
use crate::report::{self, lines, table};
use reactor::nvme::pcie;
use std::fs;
use std::path::Path;

/// An NVMe function on the PCI bus.
#[derive(Debug, PartialEq)]
struct Found {
    address: String,
    /// Who made it, and what it is.
    id: (u16, u16),
    driver: Option<String>,
    /// Functions that one program must have together; none without an IOMMU.
    iommu_group: Option<u32>,
    /// Where memory is near; none where all is.
    numa_node: Option<u32>,
    kernel: Option<Kernel>,
    /// What root types to lend it to programs; nothing if that is done.
    hand_over: Vec<String>,
}

/// What the kernel's driver knows of it.
#[derive(Debug, PartialEq)]
struct Kernel {
    name: String,
    model: String,
    serial: String,
    firmware: String,
    state: String,
    namespaces: Vec<Disk>,
}

/// A namespace as the kernel has it.
#[derive(Debug, PartialEq)]
struct Disk {
    id: u32,
    bytes: u64,
    block_bytes: u32,
    /// The block device, and the character device for passthrough.
    nodes: Vec<String>,
}

pub(crate) fn main(args: &args::List) -> Result<(), Failure> {
    let functions = pcie::list().map_err(|e| Failure::Run(chain(&e)))?;
    let found: Vec<_> = functions.into_iter().map(Found::from).collect();
    crate::print(&if args.json { report::json(&object(&found)) } else { shown(&found) })
}

impl From<pcie::Function> for Found {
    fn from(it: pcie::Function) -> Self {
        let address = it.address.to_string();
        Self {
            kernel: kernel(Path::new("/sys"), &address),
            hand_over: it.hand_over(),
            address,
            id: (it.vendor, it.device),
            driver: it.driver,
            iommu_group: it.group,
            numa_node: it.numa_node,
        }
    }
}

/// What the kernel's driver knows of the function at an address, by this sysfs; none if another driver has it.
fn kernel(sys: &Path, address: &str) -> Option<Kernel> {
    let controllers = sys.join("bus/pci/devices").join(address).join("nvme");
    let name = names(&controllers).into_iter().next()?;
    let path = controllers.join(&name);
    let mut namespaces: Vec<_> = names(&path).iter().filter_map(|entry| disk(sys, &path, entry)).collect();
    namespaces.sort_by_key(|disk| disk.id);
    Some(Kernel {
        name,
        model: word(&path.join("model")),
        serial: word(&path.join("serial")),
        firmware: word(&path.join("firmware_rev")),
        state: word(&path.join("state")),
        namespaces,
    })
}

/// A namespace by its entry in the controller's directory: `nvme0n1`, or `nvme0c1n1` where several controllers share it.
fn disk(sys: &Path, controller: &Path, entry: &str) -> Option<Disk> {
    let (head, namespace) = entry.strip_prefix("nvme")?.rsplit_once('n')?;
    let subsystem = head.split('c').next()?;
    let tail = format!("{subsystem}n{namespace}");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(subsystem) || !is_number(namespace) {
        return None;
    }
    let block = sys.join("class/block").join(format!("nvme{tail}"));
    let of_either = |name: &str| [&block, &controller.join(entry)].map(|path| number(&path.join(name)));
    let get = |name: &str| of_either(name).into_iter().flatten().next();
    let mut nodes = vec![format!("/dev/nvme{tail}")];
    if sys.join("class/nvme-generic").join(format!("ng{tail}")).exists() {
        nodes.push(format!("/dev/ng{tail}"));
    }
    Some(Disk {
        id: get("nsid").and_then(|id| id.try_into().ok())?,
        // In sectors of 512 bytes, whatever the blocks are.
        bytes: get("size").unwrap_or(0).saturating_mul(512),
        block_bytes: get("queue/logical_block_size").and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
        nodes,
    })
}

/// The entries of a directory, in order; none if it is not there.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What a file of sysfs says, in one line that a terminal can be given; empty if it is not there.
fn word(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().replace(|mark: char| mark.is_control(), "\u{fffd}")
}

fn number(path: &Path) -> Option<u64> {
    word(path).parse().ok()
}

/// For people.
fn shown(found: &[Found]) -> String {
    if found.is_empty() {
        return "no NVMe function on the PCI bus of this machine".into();
    }
    let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or("-".into());
    let mut shown = table(&["address", "id", "driver", "group", "model", "serial", "firmware", "state"], 8);
    for it in found {
        let of_kernel =
            |get: fn(&Kernel) -> &String| or_none(it.kernel.as_ref().map(|kernel| get(kernel).clone()));
        let group = it.iommu_group.map(|group| group.to_string());
        shown.add_row([
            it.address.clone(),
            format!("{:04x}:{:04x}", it.id.0, it.id.1),
            or_none(it.driver.clone()),
            or_none(group),
            of_kernel(|it| &it.model),
            of_kernel(|it| &it.serial),
            of_kernel(|it| &it.firmware),
            of_kernel(|it| &it.state),
        ]);
    }
    let mut parts = vec![lines(&shown)];
    let mut disks = table(&["address", "controller", "namespace", "size", "block", "nodes"], 3);
    let mut is_empty = true;
    for (it, kernel) in found.iter().filter_map(|it| Some((it, it.kernel.as_ref()?))) {
        for disk in &kernel.namespaces {
            is_empty = false;
            disks.add_row([
                it.address.clone(),
                format!("/dev/{}", kernel.name),
                disk.id.to_string(),
                size(disk.bytes.into()),
                disk.block_bytes.to_string(),
                disk.nodes.join(" "),
            ]);
        }
    }
    if !is_empty {
        parts.push(lines(&disks));
    }
    parts.extend(advice(found));
    parts.join("\n\n")
}

/// How to lend the first function that is not lent, or why none can be.
fn advice(found: &[Found]) -> Option<String> {
    if found.iter().all(|it| it.iommu_group.is_none()) {
        return Some(
            "No IOMMU group: to drive these from a program, switch the IOMMU on, in the firmware and on the kernel's command\n\
             line (intel_iommu=on, or amd_iommu=on). The kernel's driver is used by /dev/ng* in any case."
                .into(),
        );
    }
    let it = found.iter().find(|it| !it.hand_over.is_empty() && it.iommu_group.is_some())?;
    let what = match &it.kernel {
        Some(kernel) if !kernel.namespaces.is_empty() => {
            ", whose disks the kernel then has no more: unmount them first"
        }
        _ => "",
    };
    let lines = it.hand_over.iter().map(|line| format!("\n  {line}")).collect::<String>();
    Some(format!("To lend {} to programs{what}, as root:{lines}", it.address))
}

/// For programs.
fn object(found: &[Found]) -> Value {
    let list = found.iter().map(|it| {
        let vfio: Vec<Value> = it.hand_over.iter().cloned().map(Value::Text).collect();
        Value::Object(vec![
            ("address".into(), it.address.as_str().into()),
            ("vendor".into(), u32::from(it.id.0).into()),
            ("device".into(), u32::from(it.id.1).into()),
            ("driver".into(), it.driver.clone().into()),
            ("iommu_group".into(), it.iommu_group.into()),
            ("numa_node".into(), it.numa_node.into()),
            ("kernel".into(), it.kernel.as_ref().map_or(Value::None, of_kernel)),
            ("hand_over".into(), Value::List(vfio)),
        ])
    });
    Value::Object(vec![("controllers".into(), Value::List(list.collect()))])
}

fn of_kernel(it: &Kernel) -> Value {
    let namespaces = it.namespaces.iter().map(|disk| {
        Value::Object(vec![
            ("nsid".into(), disk.id.into()),
            ("bytes".into(), disk.bytes.into()),
            ("block_bytes".into(), disk.block_bytes.into()),
            ("nodes".into(), disk.nodes.clone().into()),
        ])
    });
    Value::Object(vec![
        ("name".into(), it.name.as_str().into()),
        ("node".into(), format!("/dev/{}", it.name).into()),
        ("model".into(), it.model.as_str().into()),
        ("serial".into(), it.serial.as_str().into()),
        ("firmware".into(), it.firmware.as_str().into()),
        ("state".into(), it.state.as_str().into()),
        ("namespaces".into(), Value::List(namespaces.collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn put(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn the_kernels_namespaces_are_found_by_its_controller() {
        let sys = tempfile::tempdir().expect("a directory");
        let at = |path: &str| sys.path().join(path);
        let address = "0000:00:05.0";
        assert_eq!(kernel(sys.path(), address), None);
        let controller = at(&format!("bus/pci/devices/{address}/nvme/nvme0"));
        put(&controller.join("model"), "QEMU \x1b[31mNVMe Ctrl                     \n");
        put(&controller.join("serial"), "disk1\n");
        put(&controller.join("firmware_rev"), "7.2\n");
        put(&controller.join("state"), "live\n");
        // A namespace of its own, and one that another controller has, too.
        put(&controller.join("nvme0n1/nsid"), "1\n");
        put(&controller.join("nvme3c0n2/nsid"), "2\n");
        put(&controller.join("hwmon0/name"), "nvme\n");
        put(&at("class/block/nvme0n1/size"), "131072\n");
        put(&at("class/block/nvme0n1/queue/logical_block_size"), "4096\n");
        put(&at("class/nvme-generic/ng3n2/dev"), "1:1\n");

        let found = |address: &str, driver: Option<&str>, group, hand_over: &[&str]| Found {
            address: address.into(),
            id: (0x1b36, 0x10),
            driver: driver.map(String::from),
            iommu_group: group,
            numa_node: None,
            kernel: kernel(sys.path(), address),
            hand_over: hand_over.iter().map(|line| String::from(*line)).collect(),
        };
        let all = [
            found("0000:00:04.0", Some("vfio-pci"), Some(3), &[]),
            found(address, Some("nvme"), Some(7), &["unbind it", "probe it"]),
            found("0000:00:06.0", None, Some(8), &["probe it"]),
        ];
        let it: Json = serde_json::from_str(&report::json(&object(&all))).expect("JSON");
        let controllers = it["controllers"].as_array().expect("a list");
        assert_eq!(
            (&controllers[0]["driver"], &controllers[0]["hand_over"]),
            (&"vfio-pci".into(), &serde_json::json!([]))
        );
        assert_eq!((&controllers[1]["iommu_group"], &controllers[1]["numa_node"]), (&7.into(), &Json::Null));
        assert_eq!(controllers[1]["kernel"]["model"], "QEMU \u{fffd}[31mNVMe Ctrl");
        assert_eq!(
            controllers[1]["kernel"]["namespaces"],
            serde_json::json!([
                {"nsid": 1, "bytes": 64 << 20, "block_bytes": 4096, "nodes": ["/dev/nvme0n1"]},
                {"nsid": 2, "bytes": 0, "block_bytes": 0, "nodes": ["/dev/nvme3n2", "/dev/ng3n2"]},
            ])
        );
        assert_eq!(controllers[1]["hand_over"], serde_json::json!(["unbind it", "probe it"]));

        let text = shown(&all);
        for words in [
            "0000:00:04.0  1b36:0010  vfio-pci",
            "64 MiB",
            "To lend 0000:00:05.0 to programs, whose disks",
            "\n  unbind it\n  probe it",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(shown(&[]).contains("no NVMe function"));
        assert!(shown(&[found("0000:00:06.0", None, None, &["probe it"])]).contains("intel_iommu=on"));
    }
}
