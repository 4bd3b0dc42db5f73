//! NVMe controllers on the bus, driven from user space: in machines with an IOMMU, where vfio-pci has the controllers.

use super::in_guest;
use reactor::LocalExecutor;
use reactor::nvme::pcie::{Error, PcieDevice, list};
use reactor::nvme::{Config, Controller};
use std::fs;
use std::path::Path;

/// An IOMMU as small as they come: 39 bits of addresses, where the process has 47.
const IOMMU: &[&str] = &[
    "-m",
    "vfio-pci",
    "-m",
    "vfio_iommu_type1",
    "-q",
    "-device intel-iommu,intremap=on",
    "-k",
    "intel_iommu=on iommu=pt",
];

fn machine<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [IOMMU, more].concat()
}

/// The addresses of the machine's controllers.
fn controllers() -> Vec<String> {
    list().unwrap().iter().map(|function| function.address.to_string()).collect()
}

/// Takes the device from who has it, for `driver`.
fn bind(address: &str, driver: &str) {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    fs::write(device.join("driver_override"), driver).unwrap();
    if device.join("driver").exists() {
        fs::write(device.join("driver/unbind"), address).unwrap();
    }
    fs::write("/sys/bus/pci/drivers_probe", address).unwrap();
}

fn all_to_user_space() -> Vec<String> {
    let controllers = controllers();
    controllers.iter().for_each(|address| bind(address, "vfio-pci"));
    controllers
}

#[test]
fn identifies() {
    in_guest("pcie::identifies", &machine(&["-n", "16M"]), &[a_controller_says_what_it_is]);
}

fn a_controller_says_what_it_is() {
    let all = all_to_user_space();
    let [address] = &all[..] else { panic!("{all:?}") };
    LocalExecutor::new().unwrap().block_on(async {
        let device = PcieDevice::open(address).unwrap();
        let again = PcieDevice::open(address).unwrap_err();
        assert!(matches!(again, Error::Open(_)), "{again}");
        let controller = Controller::attach(device, Config::default()).await.unwrap();
        let identity = controller.identity();
        assert_eq!([identity.model(), identity.serial()], ["QEMU NVMe Ctrl", "disk0"]);
        assert_eq!(controller.namespaces().await.unwrap(), [1]);
        controller.close().await.unwrap();
    });
}
