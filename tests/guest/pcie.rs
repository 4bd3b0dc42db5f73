//! NVMe controllers on the bus, driven from user space: in machines with an IOMMU, where vfio-pci has the controllers.

use super::in_guest;
use reactor::nvme::pcie::{Error, PcieDevice, list};
use reactor::nvme::{self, Channel, Config, Controller, QueuePair};
use reactor::sys::dma::{DmaBuf, DmaPool, Unseen};
use reactor::{LocalExecutor, spawn_local, yield_now};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

/// An IOMMU as small as they come: 39 bits of addresses, where the process has 47.
const SMALL: &str = "-device intel-iommu,intremap=on";
const LARGE: &str = "-device intel-iommu,intremap=on,aw-bits=48";

fn machine<'a>(iommu: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let vfio = ["-m", "vfio-pci", "-m", "vfio_iommu_type1", "-q", iommu, "-k", "intel_iommu=on iommu=pt"];
    [&vfio, more].concat()
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

fn vfio_group(address: &str) -> String {
    let found = list().unwrap().into_iter().find(|function| function.address.to_string() == address);
    format!("/dev/vfio/{}", found.unwrap().group.unwrap())
}

/// The only namespace of the controller.
#[derive(Clone)]
struct Disk {
    controller: Controller<PcieDevice>,
    channel: Channel<QueuePair<PcieDevice>>,
}

impl Disk {
    async fn attach(address: &str) -> Self {
        let controller =
            Controller::attach(PcieDevice::open(address).unwrap(), Config::default()).await.unwrap();
        Self::of(controller).await
    }

    async fn of(controller: Controller<PcieDevice>) -> Self {
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
async fn write_and_verify(disk: &Disk, depth: u64, len: usize, rounds: u64) {
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
            write_and_verify(&disk, 128, 4096, 20).await;
            write_and_verify(&disk, 32, 512, 20).await;
            write_and_verify(&disk, 16, 256 << 10, 4).await;
            disk.controller.close().await.unwrap();
        }
    });
}

/// Memory is mapped and unmapped while a device is at work, by this core and others.
fn pools_come_and_go() {
    let address = all_to_user_space().remove(0);
    LocalExecutor::new().unwrap().block_on(async {
        let disk = Disk::attach(&address).await;
        let others: Vec<_> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    for round in 0..200 {
                        let pool = DmaPool::new();
                        let len = 4096 << (round % 11);
                        let mut bufs: Vec<_> = (0..4).map(|_| pool.try_alloc(len).unwrap()).collect();
                        bufs.iter_mut().for_each(|buf| buf.fill(round));
                    }
                })
            })
            .collect();
        for round in 0..100 {
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

fn huge_pages_are_seen() {
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
fn removal() {
    let options = machine(SMALL, &["-n", "64M", "-n", "64M"]);
    in_guest("pcie::removal", &options, &[every_command_ends_when_the_device_is_removed]);
}

fn every_command_ends_when_the_device_is_removed() {
    let all = all_to_user_space();
    let device = Path::new("/sys/bus/pci/devices").join(&all[0]);
    let removal = LocalExecutor::new().unwrap().block_on(async {
        let (disk, other) = (Disk::attach(&all[0]).await, Disk::attach(&all[1]).await);
        let busy = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..128)
            .map(|task| {
                let (disk, busy) = (disk.clone(), busy.clone());
                spawn_local(async move {
                    let mut buf = DmaPool::local().alloc(4096).await.unwrap();
                    let mut done = 0_u64;
                    loop {
                        let (read, back) = disk.channel.read(task * 8, buf).await;
                        (buf, done) = (back, done + 1);
                        busy.set(busy.get() + u32::from(done == 10));
                        if read.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        while busy.get() < 128 {
            yield_now().await;
        }
        // The kernel waits with it until the device is let go of.
        let remove = device.join("remove");
        let removal = std::thread::spawn(move || fs::write(remove, "1").unwrap());
        while disk.controller.version().bits() != u32::MAX {
            reactor::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        disk.controller.close().await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        let again =
            Controller::attach(PcieDevice::open(&all[0]).unwrap(), Config::default()).await.unwrap_err();
        assert!(matches!(again, nvme::Error::Removed), "{again}");
        assert!(!removal.is_finished() && device.exists());
        write_and_verify(&other, 32, 4096, 2).await;
        drop(disk);
        removal
    });
    removal.join().unwrap();
    assert!(!device.exists());
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

fn a_group_is_taken_as_a_whole() {
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

fn each_controller_has_its_own_blocks() {
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

#[test]
fn bad_input() {
    let options = machine(SMALL, &["-n", "16M"]);
    in_guest("pcie::bad_input", &options, &[each_refusal_says_what_to_do, what_may_be_locked_is_limited]);
}

fn refused(address: &str) -> String {
    let refused = PcieDevice::open(address).unwrap_err();
    println!("{refused}\n");
    refused.to_string()
}

/// The calling thread is a user who has nothing but files that are open to all; it ends with that.
fn as_nobody<T: Send>(run: impl FnOnce() -> T + Send) -> T {
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

fn what_may_be_locked_is_limited() {
    let address = &all_to_user_space()[0];
    for path in [vfio_group(address), "/dev/vfio/vfio".to_owned()] {
        assert!(Command::new("chmod").args(["666", &path]).status().unwrap().success());
    }
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
    in_guest("pcie::no_iommu", &["-m", "vfio-pci", "-n", "16M"], &[without_an_iommu_nothing_is_opened]);
}

fn without_an_iommu_nothing_is_opened() {
    assert!(refused(&controllers()[0]).contains("intel_iommu=on"));
}
