//! VFIO's interfaces beside groups and containers, in a machine whose kernel has them: all that holds of the one holds of the others.

use super::in_guest;
use super::pcie::{
    SMALL, a_group_is_taken_as_a_whole, all_to_user_space, controllers, each_controller_has_its_own_blocks,
    huge_pages_are_seen, machine, pools_come_and_go, vfio_file, vfio_group, without_groups,
};
use super::pcie_life::{
    a_core_that_may_sleep_is_woken_by_the_device, every_command_ends_when_the_device_is_removed,
};
use super::pcie_refusals::{as_nobody, refused, what_may_be_locked_is_limited};
use std::fs;
use std::path::Path;

#[test]
fn device_files() {
    let options = machine(SMALL, &["-e", "-n", "64M", "-n", "64M", "-k", "hugepages=64"]);
    let stories = [
        without_groups,
        huge_pages_are_seen,
        a_file_is_taken_where_there_is_no_group,
        pools_come_and_go,
        each_controller_has_its_own_blocks,
        a_core_that_may_sleep_is_woken_by_the_device,
        what_may_be_locked_is_limited,
        every_command_ends_when_the_device_is_removed,
    ];
    in_guest("pcie_ways::device_files", &options, &stories);
}

fn a_file_is_taken_where_there_is_no_group() {
    let address = &all_to_user_space()[0];
    let (group, file) = (vfio_group(address), vfio_file(address));
    assert!(!Path::new(&group).exists() && Path::new(&file).exists() && Path::new("/dev/iommu").exists());
    assert!(as_nobody(|| refused(address)).contains(&format!("no permission to open {file}")));
    fs::rename("/dev/iommu", "/dev/gone").unwrap();
    assert!(refused(address).contains(&format!("there is no {group}")));
    fs::rename("/dev/gone", "/dev/iommu").unwrap();
}

#[test]
fn device_files_of_a_group() {
    let pair = "-drive file=null-co://,if=none,id=null0,format=raw -drive file=null-co://,if=none,id=null1,format=raw \
        -device nvme,drive=null0,serial=left,addr=10.0,multifunction=on -device nvme,drive=null1,serial=right,addr=10.1";
    let options = machine(SMALL, &["-e", "-q", pair, "-n", "64M", "-n", "64M"]);
    in_guest("pcie_ways::device_files_of_a_group", &options, &[without_groups, a_group_is_taken_as_a_whole]);
}

#[test]
fn no_iommu() {
    let options = ["-e", "-m", "vfio-pci", "-n", "16M"];
    in_guest("pcie_ways::no_iommu", &options, &[what_has_no_iommu_is_not_opened]);
}

fn what_has_no_iommu_is_not_opened() {
    fs::write("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "1").unwrap();
    assert!(refused(&controllers()[0]).contains("intel_iommu=on"));
    let address = &all_to_user_space()[0];
    let group = vfio_group(address).replace("vfio/", "vfio/noiommu-");
    assert!(Path::new(&group.replacen("/dev/noiommu-", "/dev/", 1)).exists(), "{group}");
    let refused = refused(address);
    assert!(refused.contains("unsafe mode") && refused.contains("intel_iommu=on"), "{refused}");
}
