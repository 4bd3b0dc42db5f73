//! A namespace as a block device, by each way to it: what every device promises, and its spec.

use super::in_guest;
use super::pcie::{SMALL, bind, controllers, machine};
use reactor::LocalExecutor;
use reactor::bdev::modules::{Nvme, NvmeOptions};
use reactor::bdev::{self, Access, conformance};
use std::fs;
use std::path::Path;

#[test]
fn block_devices() {
    let options = machine(SMALL, &["-n", "64M", "-n", "64M", "-k", "nvme.poll_queues=1"]);
    let stories =
        [every_way_conforms, what_was_written_by_one_way_is_read_by_the_other, config_makes_it_again];
    in_guest("nvme_bdev::block_devices", &options, &stories);
}

/// The first controller from user space; the second stays the kernel's.
fn by_address() -> String {
    let address = controllers().remove(0);
    bind(&address, "vfio-pci");
    address
}

/// The number that the kernel has given the controller: in the order in which they answered, which is not that of their addresses.
fn number(address: &str) -> String {
    let place = Path::new("/sys/bus/pci/devices").join(address).join("nvme");
    loop {
        let name = fs::read_dir(&place)
            .ok()
            .and_then(|mut names| names.next()?.ok()?.file_name().into_string().ok());
        match name.as_deref().and_then(|name| name.strip_prefix("nvme")) {
            Some(number) => return number.to_owned(),
            None => std::thread::yield_now(),
        }
    }
}

/// A spec for each way.
fn ways() -> Vec<String> {
    let kernels = number(&controllers()[1]);
    vec![
        format!("nvme:{}", by_address()),
        format!("nvme:{},ns=1", by_address()),
        format!("file:/dev/nvme{kernels}n1"),
        format!("ng:/dev/ng{kernels}n1"),
        format!("ng:/dev/ng{kernels}n1,poll=true"),
    ]
}

fn every_way_conforms() {
    ways().iter().for_each(|spec| conformance::check_spec(spec));
}

fn what_was_written_by_one_way_is_read_by_the_other() {
    let address = by_address();
    LocalExecutor::new().unwrap().block_on(async {
        let disk = bdev::open(&format!("nvme:{address}"), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let mut data = channel.try_alloc(4096).unwrap();
        data.fill(0x5a);
        channel.write(8, data).await.unwrap();
        channel.flush().await.unwrap();
        drop((channel, disk));
    });
    bind(&address, "nvme");
    // The kernel makes the devices of it in its own time.
    let number = number(&address);
    let nodes = [format!("/dev/nvme{number}n1"), format!("/dev/ng{number}n1")];
    while !nodes.iter().all(|node| Path::new(node).exists()) {
        std::thread::yield_now();
    }
    let [block, generic] = nodes;
    for spec in [format!("file:{block}"), format!("ng:{generic}"), format!("ng:{generic},poll=true")] {
        LocalExecutor::new().unwrap().block_on(async {
            let disk = bdev::open(&spec, Access::ReadOnly).await.unwrap();
            let read = disk.channel().unwrap().read(8..16).await.unwrap();
            assert!(read.iter().all(|byte| *byte == 0x5a), "{spec}");
        });
    }
}

fn config_makes_it_again() {
    let address = by_address();
    LocalExecutor::new().unwrap().block_on(async {
        let nvme = Nvme::attach_address("nvme7", &address, NvmeOptions::default()).await.unwrap();
        assert_eq!(nvme.disks(), ["nvme7n1"]);
        let config = bdev::config();
        assert!(config.contains(&format!("nvme:{address},ns=1")), "{config}");
        for removal in nvme.detach() {
            removal.await;
        }
        let made = bdev::load(&config).await.unwrap();
        assert_eq!(bdev::config(), config);
        let channel = bdev::open("nvme7n1", Access::ReadWrite).await.unwrap().channel().unwrap();
        channel.read(0..8).await.unwrap();
        drop(channel);
        for device in made {
            device.remove().await;
        }
    });
}
