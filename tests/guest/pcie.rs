//! NVMe controllers on the bus, driven from user space: in machines with an IOMMU, where vfio-pci has the controllers.

use super::in_guest;
use reactor::nvme::pcie::{Error, PcieDevice, list};
use reactor::nvme::{self, Channel, Config, Controller, QueuePair};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::{LocalExecutor, spawn_local};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// An IOMMU as small as they come: 39 bits of addresses, where the process has 47.
pub const SMALL: &str = "-device intel-iommu,intremap=on";
const LARGE: &str = "-device intel-iommu,intremap=on,aw-bits=48";

pub fn machine<'a>(iommu: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let vfio = [
        "-m",
        "vfio-pci",
        "-m",
        "vfio_iommu_type1",
        "-q",
        iommu,
        "-k",
        "intel_iommu=on iommu=pt",
        "-t",
        "600",
    ];
    [&vfio, more].concat()
}

/// The addresses of the machine's controllers.
pub fn controllers() -> Vec<String> {
    list().unwrap().iter().map(|function| function.address.to_string()).collect()
}

/// Takes the device from who has it, for `driver`.
pub fn bind(address: &str, driver: &str) {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    fs::write(device.join("driver_override"), driver).unwrap();
    if device.join("driver").exists() {
        fs::write(device.join("driver/unbind"), address).unwrap();
    }
    fs::write("/sys/bus/pci/drivers_probe", address).unwrap();
}

pub fn all_to_user_space() -> Vec<String> {
    let controllers = controllers();
    controllers.iter().for_each(|address| bind(address, "vfio-pci"));
    if WITHOUT_GROUPS.load(Relaxed) {
        controllers.iter().for_each(|address| {
            // Those of one group have one file.
            let _ = fs::remove_file(vfio_group(address));
        });
    }
    controllers
}

pub fn vfio_group(address: &str) -> String {
    let found = list().unwrap().into_iter().find(|function| function.address.to_string() == address);
    format!("/dev/vfio/{}", found.unwrap().group.unwrap())
}

/// The device's own file.
pub fn vfio_file(address: &str) -> String {
    let folder = format!("/sys/bus/pci/devices/{address}/vfio-dev");
    let name = fs::read_dir(folder).unwrap().next().unwrap().unwrap().file_name();
    format!("/dev/vfio/devices/{}", name.to_str().unwrap())
}

/// What takes a device's group takes its file instead.
static WITHOUT_GROUPS: AtomicBool = AtomicBool::new(false);

/// From now on devices have no groups in user space, as on a kernel that is built without.
pub fn without_groups() {
    WITHOUT_GROUPS.store(true, Relaxed);
}

/// The only namespace of the controller.
#[derive(Clone)]
pub struct Disk {
    pub controller: Controller<PcieDevice>,
    pub channel: Channel<QueuePair<PcieDevice>>,
}

impl Disk {
    pub async fn attach(address: &str) -> Self {
        let controller =
            Controller::attach(PcieDevice::open(address).unwrap(), Config::default()).await.unwrap();
        Self::of(controller).await
    }

    pub async fn of(controller: Controller<PcieDevice>) -> Self {
        let namespace = controller.namespace(1).await.unwrap();
        let channel = Channel::new(namespace, controller.queue_pair().await.unwrap());
        Self { controller, channel }
    }
}

/// What block `lba` is to hold in a round.
fn fill(buf: &mut DmaBuf, lba: u64, round: u64) {
    for (n, block) in (lba..).zip(buf.chunks_exact_mut(512)) {
        for (m, word) in (0_u64..).zip(block.chunks_exact_mut(8)) {
            word.copy_from_slice(
                &(n << 32 | round << 8 | m).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes(),
            );
        }
    }
}

/// Writes and reads back `rounds` times all that `depth` tasks have between them, with buffers of `len` bytes.
pub async fn write_and_verify(disk: &Disk, depth: u64, len: usize, rounds: u64) {
    let blocks = len as u64 / 512;
    let tasks: Vec<_> = (0..depth)
        .map(|task| {
            let disk = disk.clone();
            spawn_local(async move {
                let lba = task * blocks;
                let mut wanted = DmaPool::local().alloc(len).await.unwrap();
                let mut buf = DmaPool::local().alloc(len).await.unwrap();
                for round in 0..rounds {
                    fill(&mut buf, lba, round);
                    disk.channel.write(lba, buf.freeze()).await.unwrap();
                    buf = DmaPool::local().alloc(len).await.unwrap();
                    buf.fill(0xee);
                    let (read, back) = disk.channel.read(lba, buf).await;
                    read.unwrap();
                    fill(&mut wanted, lba, round);
                    assert!(back[..] == wanted[..], "block {lba}, round {round}");
                    buf = back;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn small_addresses() {
    let options = machine(SMALL, &["-n", "64M"]);
    in_guest(
        "pcie::small_addresses",
        &options,
        &[it_says_what_it_is, what_is_written_is_read, pools_come_and_go],
    );
}

#[test]
fn large_addresses_and_pages() {
    let options = machine(LARGE, &["-n", "64M", "-k", "hugepages=64"]);
    in_guest("pcie::large_addresses_and_pages", &options, &[huge_pages_are_seen, what_is_written_is_read]);
}

fn it_says_what_it_is() {
    let all = all_to_user_space();
    let [address] = &all[..] else { panic!("{all:?}") };
    LocalExecutor::new().unwrap().block_on(async {
        let device = PcieDevice::open(address).unwrap();
        assert_eq!(device.function(), &list().unwrap()[0]);
        assert_eq!(
            (device.function().vendor, device.function().driver.as_deref()),
            (0x1b36, Some("vfio-pci"))
        );
        let again = PcieDevice::open(address).unwrap();
        let controller = Controller::attach(device, Config::default()).await.unwrap();
        let identity = controller.identity();
        assert_eq!([identity.model(), identity.serial()], ["QEMU NVMe Ctrl", "disk0"]);
        assert_eq!(controller.namespaces().await.unwrap(), [1]);
        let busy = Controller::attach(again, Config::default()).await.unwrap_err();
        assert!(matches!(busy, nvme::Error::Busy), "{busy}");
        controller.close().await.unwrap();
    });
}

fn what_is_written_is_read() {
    let address = &all_to_user_space()[0];
    LocalExecutor::new().unwrap().block_on(async {
        // A second time as well, as after the first it was left as it was.
        for _ in 0..2 {
            let disk = Disk::attach(address).await;
            write_and_verify(&disk, 128, 4096, 5).await;
            write_and_verify(&disk, 32, 512, 5).await;
            write_and_verify(&disk, 16, 256 << 10, 2).await;
            disk.controller.close().await.unwrap();
        }
    });
}

/// Memory is mapped and unmapped while a device is at work, by this core and others.
pub fn pools_come_and_go() {
    let address = all_to_user_space().remove(0);
    LocalExecutor::new().unwrap().block_on(async {
        let disk = Disk::attach(&address).await;
        let others: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    for round in 0..50 {
                        let pool = DmaPool::new();
                        let len = 4096 << (round % 11);
                        let mut bufs: Vec<_> = (0..4).map(|_| pool.try_alloc(len).unwrap()).collect();
                        bufs.iter_mut().for_each(|buf| buf.fill(round));
                    }
                })
            })
            .collect();
        for round in 0..40 {
            // Each pool is new to the device, and gone when it goes round again; the buffers of one outlive it.
            let pool = DmaPool::with_limit(1 << 20);
            let mut buf = pool.try_alloc(64 << 10).unwrap();
            fill(&mut buf, 0, round);
            drop(pool);
            disk.channel.write(0, buf.freeze()).await.unwrap();
            // Of another thread's pool.
            let lent = std::thread::spawn(|| DmaPool::local().try_alloc(64 << 10).unwrap()).join().unwrap();
            let (read, lent) = disk.channel.read(0, lent).await;
            read.unwrap();
            let mut wanted = DmaPool::local().alloc(64 << 10).await.unwrap();
            fill(&mut wanted, 0, round);
            assert!(lent[..] == wanted[..], "round {round}");
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        disk.controller.close().await.unwrap();
    });
}

pub fn huge_pages_are_seen() {
    use reactor::app::Builder;
    use reactor::sys::dma::{DmaConfig, HugePages};
    let address = &all_to_user_space()[0];
    let buffers = DmaConfig::new().own(8 << 20).reserve(32 << 20).huge_pages(HugePages::Required);
    Builder::new()
        .pin(false)
        .buffers(buffers)
        .run(async || {
            let disk = Disk::attach(address).await;
            // More than the core has of its own, so that the reserve is seen as well.
            write_and_verify(&disk, 48, 128 << 10, 4).await;
            let pages = DmaPool::local().stats().pages;
            assert!(pages.huge > 8 << 20 && pages.plain == 0, "{pages:?}");
            disk.controller.close().await.unwrap();
            Ok::<(), nvme::Error>(())
        })
        .unwrap()
        .unwrap();
}

#[test]
fn several_controllers() {
    // Two functions of one device without access control between them: one group.
    let pair = "-drive file=null-co://,if=none,id=null0,format=raw -drive file=null-co://,if=none,id=null1,format=raw \
        -device nvme,drive=null0,serial=left,addr=10.0,multifunction=on -device nvme,drive=null1,serial=right,addr=10.1";
    let options = machine(SMALL, &["-q", pair, "-n", "64M", "-n", "64M"]);
    in_guest(
        "pcie::several_controllers",
        &options,
        &[a_group_is_taken_as_a_whole, each_controller_has_its_own_blocks],
    );
}

pub fn a_group_is_taken_as_a_whole() {
    let all = controllers();
    let [left, right] = &all[2..] else { panic!("{all:?}") };
    assert_eq!(vfio_group(left), vfio_group(right));
    bind(left, "vfio-pci");
    let refused = PcieDevice::open(left).unwrap_err();
    assert!(matches!(&refused, Error::NotViable { others, .. } if others.len() == 1), "{refused:?}");
    assert!(refused.to_string().ends_with(&format!("for {right} (now nvme)")), "{refused}");
    bind(right, "vfio-pci");
    LocalExecutor::new().unwrap().block_on(async {
        let (first, second) = (Disk::attach(left).await, Disk::attach(right).await);
        for (disk, serial) in [(first, "left"), (second, "right")] {
            assert_eq!(disk.controller.identity().serial(), serial);
            let (read, _) = disk.channel.read(0, DmaPool::local().alloc(4096).await.unwrap()).await;
            read.unwrap();
            disk.controller.close().await.unwrap();
        }
    });
}

pub fn each_controller_has_its_own_blocks() {
    let all = all_to_user_space();
    LocalExecutor::new().unwrap().block_on(async {
        let mut disks = Vec::new();
        for address in &all[..2] {
            disks.push(Disk::attach(address).await);
        }
        let both = disks.iter().map(|disk| write_and_verify(disk, 32, 4096, 10));
        futures::future::join_all(both).await;
        // What is left of one sees memory that comes after the other has gone.
        let last = disks.pop().unwrap();
        disks.pop().unwrap().controller.close().await.unwrap();
        let pool = DmaPool::new();
        let (read, buf) = last.channel.read(0, pool.try_alloc(4096).unwrap()).await;
        read.unwrap();
        let mut wanted = pool.try_alloc(4096).unwrap();
        fill(&mut wanted, 0, 9);
        assert!(buf[..] == wanted[..]);
        last.controller.close().await.unwrap();
    });
}
