//! Controllers on the bus that cannot be had: each refusal says what to do.

use super::in_guest;
use super::pcie::{SMALL, all_to_user_space, controllers, machine, vfio_group};
use reactor::nvme::pcie::{Error, PcieDevice};
use reactor::sys::dma::{DmaPool, Unseen};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::process::Command;

#[test]
fn bad_input() {
    let options = machine(SMALL, &["-n", "16M"]);
    in_guest(
        "pcie_refusals::bad_input",
        &options,
        &[each_refusal_says_what_to_do, what_may_be_locked_is_limited],
    );
}

pub fn refused(address: &str) -> String {
    let refused = PcieDevice::open(address).unwrap_err();
    println!("{refused}\n");
    refused.to_string()
}

/// The calling thread is a user who has nothing but files that are open to all; it ends with that.
pub fn as_nobody<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let become_nobody_and_run = || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        run()
    };
    std::thread::scope(|scope| scope.spawn(become_nobody_and_run).join().unwrap())
}

fn each_refusal_says_what_to_do() {
    let all = controllers();
    let [address] = &all[..] else { panic!("{all:?}") };
    assert!(refused("nvme0").contains("write it as 0000:00:04.0"));
    assert!(refused("0000:00:1e.7").ends_with(&format!("NVMe controllers are at {address}")));
    assert!(refused("0000:00:00.0").contains("no NVMe controller (its class is 060000)"));

    let kernels = refused(address);
    assert!(kernels.contains("driver nvme"));
    for line in kernels.lines().skip(1).filter(|line| !line.contains("modprobe")) {
        assert!(Command::new("sh").args(["-c", line]).status().unwrap().success(), "{line}");
    }
    let group = vfio_group(address);
    assert!(as_nobody(|| refused(address)).contains(&format!("no permission to open {group}")));
    let other = fs::File::options().read(true).write(true).open(&group).unwrap();
    assert!(refused(address).contains(&format!("{group} is open elsewhere")));
    drop(other);
    fs::rename("/dev/vfio/vfio", "/dev/vfio/gone").unwrap();
    assert!(refused(address).contains("there is no /dev/vfio/vfio: `modprobe vfio-pci`"));
    fs::rename("/dev/vfio/gone", "/dev/vfio/vfio").unwrap();
    drop(PcieDevice::open(address).unwrap());
}

pub fn what_may_be_locked_is_limited() {
    let address = &all_to_user_space()[0];
    // Of what there is: a group and its container, or a file and its address space.
    let all = Command::new("chmod").args(["-R", "a+rwX", "/dev/vfio", "/dev/iommu"]).output().unwrap();
    println!("{all:?}");
    let may_lock = |bytes: u64| {
        let limit = Rlimit { current: Some(bytes), maximum: None };
        setrlimit(Resource::Memlock, limit).unwrap();
    };
    let needed = {
        let pool = DmaPool::new();
        let _held = pool.try_alloc(1 << 20).unwrap();
        may_lock(512 << 10);
        match as_nobody(|| PcieDevice::open(address)).unwrap_err() {
            error @ Error::Unseen(Unseen::LockLimit { needed, limit }) => {
                assert!(error.to_string().contains("`ulimit -l`"), "{error}");
                assert_eq!(limit, 512 << 10);
                needed
            }
            error => panic!("{error:?}"),
        }
    };
    assert!(needed >= 1 << 20, "{needed}");
    // With so much, and one more chunk.
    may_lock(needed + (1 << 20));
    as_nobody(|| {
        let device = PcieDevice::open(address).unwrap();
        let pool = DmaPool::new();
        let mut held = Vec::new();
        let dry = loop {
            assert!(held.len() < 64, "nothing was refused");
            match pool.try_alloc(1 << 20) {
                Ok(buf) => held.push(buf),
                Err(error) => break error,
            }
        };
        let why = std::error::Error::source(&dry).expect("a reason").to_string();
        assert!(!held.is_empty() && why.contains("`ulimit -l`"), "{dry}: {why}");
        drop(held);
        // What is given back can be had again, and without the device all of it.
        drop(pool);
        drop(DmaPool::new().try_alloc(1 << 20).unwrap());
        drop(device);
        drop(DmaPool::new().try_alloc(4 << 20).unwrap());
    });
}

#[test]
fn no_iommu() {
    in_guest(
        "pcie_refusals::no_iommu",
        &["-m", "vfio-pci", "-n", "16M"],
        &[without_an_iommu_nothing_is_opened],
    );
}

fn without_an_iommu_nothing_is_opened() {
    assert!(refused(&controllers()[0]).contains("intel_iommu=on"));
}
