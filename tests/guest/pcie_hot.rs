//! Controllers that the machine takes out and puts in while commands are on their way, as hands do with drives.

use super::in_guest;
use super::pcie::{Disk, SMALL, bind, controllers, machine, write_and_verify};
use reactor::bdev::{self, Access, Event};
use reactor::nvme::{self, pcie};
use reactor::sys::dma::DmaPool;
use reactor::{JoinHandle, LocalExecutor, spawn_local, yield_now};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const DEPTH: u64 = 128;

#[test]
fn hot_plug() {
    let slot = "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off -device pcie-root-port,id=bay,chassis=1,slot=1 \
        -drive file=null-co://,if=none,id=first,format=raw -drive file=null-co://,if=none,id=second,format=raw,snapshot=on \
        -drive file=null-co://,if=none,id=third,format=raw,snapshot=on -device nvme,id=one,drive=first,serial=first,bus=bay";
    let options = machine(SMALL, &["-q", slot, "-c"]);
    let stories = [
        all_io_ends_when_the_device_is_taken_out,
        what_is_put_in_is_a_controller_like_any,
        all_commands_end_as_well,
        what_is_put_in_next_as_well,
    ];
    in_guest("pcie_hot::hot_plug", &options, &stories);
}

/// Has QEMU execute a command, with these arguments: the inside of an object in JSON.
fn tell_the_machine(command: &str, arguments: &str) {
    let mut port = File::options().read(true).write(true).open("/dev/vport0p3").unwrap();
    // The first is for the first time, and refused afterwards.
    writeln!(port, r#"{{"execute": "qmp_capabilities"}}"#).unwrap();
    writeln!(port, r#"{{"execute": "{command}", "arguments": {{{arguments}}}, "id": "told"}}"#).unwrap();
    let answer =
        BufReader::new(port).lines().map(Result::unwrap).find(|line| line.contains(r#""id": "told""#));
    let answer = answer.expect("an answer");
    println!("{command} {arguments}: {answer}");
    assert!(answer.contains(r#""return""#), "{command} {arguments}: {answer}");
}

/// The only controller, for user space.
fn the_controller() -> String {
    let all = controllers();
    let [address] = &all[..] else { panic!("{all:?}") };
    bind(address, "vfio-pci");
    // One that was put in just now is seen before drivers may have it: then the kernel binds it, by the same wish, when it is ready.
    let driver = Path::new("/sys/bus/pci/devices").join(address).join("driver");
    while !driver.exists() {
        std::thread::yield_now();
    }
    address.clone()
}

/// Starts as many readers as are to be on their way at a time, and waits until each has read something. They read until they cannot.
async fn readers<R, E>(read: impl Fn(u64) -> R) -> Vec<JoinHandle<E>>
where
    R: AsyncFnMut() -> Result<(), E> + 'static,
    E: 'static,
{
    let busy = Rc::new(Cell::new(0));
    let reader = |task| {
        let (mut read, busy) = (read(task), busy.clone());
        spawn_local(async move {
            let mut done = 0_u64;
            loop {
                match read().await {
                    Ok(()) => done += 1,
                    Err(error) => return error,
                }
                busy.set(busy.get() + u64::from(done == 10));
            }
        })
    };
    let readers: Vec<_> = (0..DEPTH).map(reader).collect();
    while busy.get() < DEPTH {
        yield_now().await;
    }
    readers
}

fn all_io_ends_when_the_device_is_taken_out() {
    let address = the_controller();
    let core = LocalExecutor::new().unwrap();
    core.block_on(async {
        let disk = bdev::open(&format!("nvme:{address}"), Access::ReadWrite).await.unwrap();
        let (channel, mut events) = (disk.channel().unwrap(), disk.events());
        let tasks = readers(|task| {
            let channel = channel.clone();
            async move || channel.read(task * 8..(task + 1) * 8).await.map(drop)
        });
        let tasks = tasks.await;
        tell_the_machine("device_del", r#""id": "one""#);
        for task in tasks {
            let error = task.await.unwrap();
            assert!(matches!(error, bdev::Error::Removed), "{error:?}");
        }
        while events.next().await.expect("the end is told") != Event::Removed {}
        let error = channel.write(0, channel.alloc(4096).await.unwrap()).await.unwrap_err();
        assert!(matches!(error, bdev::Error::Removed), "{error:?}");
    });
    drop(core);
    until_gone(&address);
}

/// Waits until the kernel has let go of the device, and is done with its slot.
fn until_gone(address: &str) {
    let (folder, slot) = (Path::new("/sys/bus/pci/devices").join(address), Slot::find());
    while folder.exists() || slot.control() & Slot::OFF != Slot::OFF {
        std::thread::yield_now();
    }
}

/// The bay as the port above it has it.
struct Slot {
    config: File,
    /// Where Slot Control (PCI Express Base 5.0 §7.5.3.10) is in there.
    at: u64,
}

impl Slot {
    /// Power Controller Control, and Power Indicator Control: both off.
    const OFF: u16 = 1 << 10 | 3 << 8;

    fn find() -> Self {
        let mut devices = fs::read_dir("/sys/bus/pci/devices").unwrap().map(|device| device.unwrap().path());
        // What goes away meanwhile is no port.
        let is_port = |device: &PathBuf| {
            fs::read_to_string(device.join("class")).is_ok_and(|class| class.trim() == "0x060400")
        };
        let config = devices.find(is_port).expect("a port").join("config");
        let mut slot = Self { config: File::open(config).unwrap(), at: 0 };
        // The list of capabilities, to the one of PCI Express (10h).
        let mut at = u64::from(slot.read(0x34) & 0xff);
        while slot.read(at) & 0xff != 0x10 {
            at = u64::from(slot.read(at) >> 8);
            assert!(at != 0, "the port is one of PCI Express");
        }
        slot.at = at + 0x18;
        slot
    }

    fn read(&self, at: u64) -> u16 {
        let mut word = [0; 2];
        self.config.read_exact_at(&mut word, at).unwrap();
        u16::from_le_bytes(word)
    }

    fn control(&self) -> u16 {
        self.read(self.at)
    }
}

/// Puts a controller into the slot, and waits until the kernel has found it.
fn put_in(name: &str) -> String {
    let device =
        format!(r#""driver": "nvme", "id": "{name}", "drive": "{name}", "serial": "{name}", "bus": "bay""#);
    tell_the_machine("device_add", &device);
    while controllers().is_empty() {
        // Of its own the kernel waits for some seconds, for somebody to press the button again.
        let _ = fs::write("/sys/bus/pci/slots/1/power", "1");
    }
    the_controller()
}

fn works(address: &str, serial: &str) {
    LocalExecutor::new().unwrap().block_on(async {
        let disk = Disk::attach(address).await;
        assert_eq!(disk.controller.identity().serial(), serial);
        write_and_verify(&disk, 32, 4096, 4).await;
        disk.controller.close().await.unwrap();
    });
}

fn what_is_put_in_is_a_controller_like_any() {
    works(&put_in("second"), "second");
}

fn what_is_put_in_next_as_well() {
    works(&put_in("third"), "third");
}

fn all_commands_end_as_well() {
    let address = the_controller();
    let core = LocalExecutor::new().unwrap();
    core.block_on(async {
        let disk = Disk::attach(&address).await;
        let mut events = disk.controller.events();
        let tasks = readers(|task| {
            let (channel, mut buf) = (disk.channel.clone(), DmaPool::local().try_alloc(4096).ok());
            async move || {
                let (read, back) = channel.read(task * 8, buf.take().expect("it comes back")).await;
                buf = Some(back);
                read
            }
        });
        let tasks = tasks.await;
        tell_the_machine("device_del", r#""id": "second""#);
        for task in tasks {
            let error = task.await.unwrap();
            assert!(matches!(error, nvme::Error::Removed), "{error:?}");
        }
        while events.next().await.expect("the end is told") != nvme::Event::Removed {}
        let again = pcie::PcieDevice::open(&address).unwrap();
        let again = nvme::Controller::attach(again, nvme::Config::default()).await.unwrap_err();
        assert!(matches!(again, nvme::Error::Removed), "{again:?}");
    });
    drop(core);
    until_gone(&address);
}
