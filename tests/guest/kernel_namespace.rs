//! Namespaces that the kernel drives as block devices (`ng:/dev/ng0n1`): commands of one's own, resets, nodes that are others, and
//! removal, by whatever shows it first. That they conform is in `nvme_bdev`.

use super::in_guest;
use super::passthru::in_all_modes;
use futures::future::join_all;
use reactor::app::unblock;
use reactor::bdev::modules::{KernelNamespace, Nvme, NvmeDisk};
use reactor::bdev::{self, Access, Channel, Descriptor, Error, Event, NvmeCommand, NvmeData, Op};
use reactor::nvme::spec::StatusCode;
use reactor::sys::dma::DmaBuf;
use reactor::{JoinHandle, LocalExecutor, spawn_local, yield_now};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;

const BLOCK: usize = 512;

#[test]
fn kernel_namespace() {
    let stories = [
        commands_of_ones_own_are_answered_as_the_controller_does,
        config_makes_it_again,
        other_nodes_are_answered_with_what_to_open,
        a_reset_under_load_fails_no_io,
        a_removal_is_heard_of_without_any_io,
        a_removal_under_load_ends_every_io,
    ];
    let options = ["-n", "64M", "-t", "300", "-k", "nvme.poll_queues=1"];
    in_guest("kernel_namespace::kernel_namespace", &options, &stories);
}

#[test]
fn without_queues_to_poll() {
    let stories = [polling_needs_queues_for_that, a_removal_under_load_ends_every_io];
    in_guest("kernel_namespace::without_queues_to_poll", &["-n", "64M", "-t", "300"], &stories);
}

/// A namespace that two of the kernel's controllers share, which is one device of the kernel's.
#[test]
fn kernels_paths() {
    let machine = "-drive driver=null-co,read-zeroes=on,if=none,id=d,size=64M -device nvme-subsys,id=s \
                   -device nvme,subsys=s,serial=two,addr=10.0,id=a -device nvme,subsys=s,serial=two,addr=11.0,id=b \
                   -device nvme-ns,drive=d,bus=a,nsid=1,shared=on";
    let options = ["-q", machine, "-t", "300"];
    in_guest("kernel_namespace::kernels_paths", &options, &[of_the_kernels_paths_one_may_go]);
}

/// The namespaces that the kernel has.
fn nodes() -> Vec<String> {
    let names = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("ng")).map(|name| format!("/dev/{name}")).collect()
}

/// The only one, which the kernel makes in its own time.
fn node() -> String {
    loop {
        match &nodes()[..] {
            [node] => return node.clone(),
            _ => std::thread::yield_now(),
        }
    }
}

async fn open(spec: &str) -> Descriptor {
    bdev::open(spec, Access::ReadWrite).await.unwrap()
}

/// By interrupts, and polled if the machine was started with queues for that.
fn specs() -> Vec<String> {
    let is_polled = fs::read_to_string("/sys/module/nvme/parameters/poll_queues").unwrap().trim() != "0";
    let polled = is_polled.then(|| format!("ng:{},poll=true", node()));
    [Some(format!("ng:{}", node())), polled].into_iter().flatten().collect()
}

fn filled(channel: &Channel, len: usize, byte: u8) -> DmaBuf {
    let mut buf = channel.try_alloc(len).unwrap();
    buf.fill(byte);
    buf
}

fn commands_of_ones_own_are_answered_as_the_controller_does() {
    for spec in specs() {
        in_all_modes(async || {
            let disk = open(&spec).await;
            assert!([Op::NvmeAdmin, Op::NvmeIo, Op::Reset].iter().all(|op| disk.supports(*op)));
            let channel = disk.channel().unwrap();
            // Identify Controller.
            let identify = NvmeCommand::new(0x06).with_dword(10, 1);
            let page = NvmeData::Read(filled(&channel, 4096, 0));
            let answer = channel.nvme_admin(identify, page).await.unwrap();
            assert_eq!((answer.status, &answer.data.unwrap()[4..9]), (0, &b"disk0"[..]));
            // A write, and a read of what it wrote.
            let at = |opcode| NvmeCommand::new(opcode).with_dword(10, 11);
            let data = NvmeData::Write(filled(&channel, BLOCK, 4).freeze());
            assert_eq!(channel.nvme_io(at(1), data).await.unwrap().status, 0);
            assert_eq!(channel.read(11..12).await.unwrap()[..], [4; BLOCK]);
            // Refusals of the controller's are answers.
            let past = NvmeCommand::new(2).with_dword(10, u32::MAX);
            let refused = channel.nvme_io(past, NvmeData::Read(filled(&channel, BLOCK, 0))).await.unwrap();
            assert_eq!(refused.status & 0x7ff, StatusCode::LBA_OUT_OF_RANGE.0);
            // What it would not have room for does not reach the kernel, and what the kernel refuses fails alone.
            let two = at(2).with_dword(12, 1);
            channel.nvme_io(two, NvmeData::Read(filled(&channel, BLOCK, 0))).await.unwrap_err();
            assert_eq!(channel.read(11..12).await.unwrap()[..], [4; BLOCK]);
        });
    }
}

fn config_makes_it_again() {
    for spec in specs() {
        LocalExecutor::new().unwrap().block_on(async {
            let device = bdev::create("data", &spec).await.unwrap();
            let config = bdev::config();
            assert!(config.contains(&spec), "{config}");
            device.remove().await;
            let made = bdev::load(&config).await.unwrap();
            assert_eq!(bdev::config(), config);
            open("data").await.channel().unwrap().read(0..8).await.unwrap();
            // By its spec it is the same.
            assert_eq!(open(&spec).await.name(), "data");
            for device in made {
                device.remove().await;
            }
        });
    }
    // In code, under a name of one's own.
    LocalExecutor::new().unwrap().block_on(async {
        let nvme = Nvme::attach("own", KernelNamespace::open(node(), false).await.unwrap()).await.unwrap();
        assert_eq!(nvme.disks(), ["ownn1"]);
        open("ownn1").await.channel().unwrap().read(0..8).await.unwrap();
        for removal in nvme.detach() {
            removal.await;
        }
    });
}

async fn refused(spec: &str) -> String {
    use std::error::Error;
    let error = bdev::open(spec, Access::ReadWrite).await.unwrap_err();
    format!("{error}: {}", error.source().expect("a reason"))
}

fn other_nodes_are_answered_with_what_to_open() {
    LocalExecutor::new().unwrap().block_on(async {
        let block = refused("ng:/dev/nvme0n1").await;
        assert!(block.contains("is a block device") && block.contains(" /dev/ng0n1, or"), "{block}");
        let controller = refused("ng:/dev/nvme0").await;
        assert!(controller.ends_with("is no namespace, but a controller: open /dev/ng0n1"), "{controller}");
        let none = refused("ng:/dev/ng7n1").await;
        assert!(none.ends_with("there is no /dev/ng7n1: the kernel has /dev/ng0n1"), "{none}");
    });
}

fn polling_needs_queues_for_that() {
    LocalExecutor::new().unwrap().block_on(async {
        let error = refused("ng:/dev/ng0n1,poll=true").await;
        assert!(error.contains("nvme.poll_queues=1"), "{error}");
        // Whose name it would have had can be opened otherwise.
        open("ng:/dev/ng0n1,poll=false").await.channel().unwrap().read(0..8).await.unwrap();
    });
}

/// Writes and reads back, 32 at a time, until it is told to stop; counts the rounds of each.
fn load(disk: &Descriptor, stop: &Rc<Cell<bool>>) -> Vec<JoinHandle<u32>> {
    let task = |lba: u64| {
        let (disk, stop) = (disk.clone(), stop.clone());
        spawn_local(async move {
            let channel = disk.channel().unwrap();
            let mut rounds = 0;
            while !stop.get() {
                channel.write(lba, filled(&channel, BLOCK, rounds as u8)).await.unwrap();
                let read = channel.read(lba..lba + 1).await.unwrap();
                assert!(read.iter().all(|byte| *byte == rounds as u8), "{lba}, round {rounds}");
                rounds += 1;
            }
            rounds
        })
    };
    (0..32).map(task).collect()
}

fn a_reset_under_load_fails_no_io() {
    for spec in specs() {
        LocalExecutor::new().unwrap().block_on(async {
            let disk = open(&spec).await;
            let stop = Rc::new(Cell::new(false));
            let tasks = load(&disk, &stop);
            for _ in 0..3 {
                yield_now().await;
                let reset = || fs::write("/sys/class/nvme/nvme0/reset_controller", "1").unwrap();
                unblock(reset).await.unwrap();
            }
            stop.set(true);
            for task in tasks {
                assert!(task.await.unwrap() > 0);
            }
            // The layer's own goes to the controller too.
            disk.reset().await.unwrap();
            disk.channel().unwrap().read(0..8).await.unwrap();
            let module = disk.module_as::<NvmeDisk<KernelNamespace>>().unwrap();
            assert!(module.paths()[0].is_used, "{module:?}");
        });
    }
}

/// Takes a controller out.
async fn remove(place: &'static str) {
    unblock(move || fs::write(format!("/sys/class/nvme/{place}/device/remove"), "1").unwrap()).await.unwrap();
}

/// Has the kernel find it again.
async fn bring_back() {
    unblock(|| fs::write("/sys/bus/pci/rescan", "1").unwrap()).await.unwrap();
    unblock(node).await.unwrap();
}

fn a_removal_is_heard_of_without_any_io() {
    in_all_modes(async || {
        for spec in specs() {
            let disk = open(&spec).await;
            let channel = disk.channel().unwrap();
            channel.read(0..8).await.unwrap();
            let mut events = disk.events();
            remove("nvme0").await;
            assert_eq!(events.next().await, Some(Event::Removed));
            assert!(matches!(channel.read(0..8).await, Err(Error::Removed)));
            assert!(nodes().is_empty());
            drop((disk, channel, events));
            // The kernel keeps the number for as long as somebody has the device.
            while !bdev::names().is_empty() {
                yield_now().await;
            }
            bring_back().await;
        }
    });
}

fn a_removal_under_load_ends_every_io() {
    for spec in specs() {
        LocalExecutor::new().unwrap().block_on(async {
            let disk = open(&spec).await;
            let mut events = disk.events();
            let done = Rc::new(Cell::new(0));
            let tasks = (0..128).map(|lba| {
                let (disk, done) = (disk.clone(), done.clone());
                spawn_local(async move {
                    let channel = disk.channel().unwrap();
                    loop {
                        let buf = filled(&channel, BLOCK, 1);
                        let ended = match lba % 2 {
                            0 => channel.write(lba, buf).await,
                            _ => channel.read(lba..lba + 1).await.map(drop),
                        };
                        match ended {
                            Ok(()) => done.set(done.get() + 1),
                            Err(error) => return error,
                        }
                    }
                })
            });
            let tasks: Vec<_> = tasks.collect();
            while done.get() < 1000 {
                yield_now().await;
            }
            remove("nvme0").await;
            for error in join_all(tasks).await {
                assert!(matches!(error, Ok(Error::Removed)), "{error:?}");
            }
            assert_eq!(events.next().await, Some(Event::Removed));
            drop((disk, events));
            while !bdev::names().is_empty() {
                yield_now().await;
            }
            bring_back().await;
        });
    }
}

fn of_the_kernels_paths_one_may_go() {
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open(&format!("ng:{}", node())).await;
        let channel = disk.channel().unwrap();
        let identify = NvmeCommand::new(0x06).with_dword(10, 1);
        channel.nvme_admin(identify, NvmeData::Read(filled(&channel, 4096, 0))).await.unwrap();
        let stop = Rc::new(Cell::new(false));
        let done = Rc::new(Cell::new(0));
        let tasks = (0..32).map(|lba| {
            let (disk, done, stop) = (disk.clone(), done.clone(), stop.clone());
            spawn_local(async move {
                let channel = disk.channel().unwrap();
                while !stop.get() {
                    channel.read(lba..lba + 1).await.unwrap();
                    done.set(done.get() + 1);
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let a_thousand_more = async || {
            let before = done.get();
            while done.get() < before + 1000 {
                yield_now().await;
            }
        };
        a_thousand_more().await;
        remove("nvme0").await;
        a_thousand_more().await;
        stop.set(true);
        for task in tasks {
            task.await.unwrap();
        }
        let mut events = disk.events();
        remove("nvme1").await;
        assert_eq!(events.next().await, Some(Event::Removed));
        assert!(matches!(channel.read(0..8).await, Err(Error::Removed)));
    });
}
