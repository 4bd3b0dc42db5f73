//! Two controllers of one subsystem, both driven from user space: one device, whose I/O goes on when one of them is removed.

use super::in_guest;
use super::pcie::{SMALL, all_to_user_space, machine};
use futures::future::join_all;
use reactor::bdev::modules::NvmeDisk;
use reactor::bdev::{self, Access, Channel};
use reactor::nvme::Controller;
use reactor::nvme::pcie::PcieDevice;
use reactor::{LocalExecutor, spawn_local, yield_now};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

#[test]
fn paths() {
    // What is written goes to a file beside it, which QEMU takes away.
    let shared = "-device nvme-subsys,id=subsystem,nqn=shared -device nvme,id=left,subsys=subsystem,serial=both \
        -device nvme,id=right,subsys=subsystem,serial=both \
        -drive file=null-co://,if=none,id=disk,format=raw,snapshot=on \
        -device nvme-ns,drive=disk,bus=left,nsid=1,shared=on";
    let options = machine(SMALL, &["-q", shared]);
    in_guest("pcie_paths::paths", &options, &[io_goes_on_when_a_path_is_removed]);
}

const DEPTH: u64 = 128;

/// Writes blocks of its own, and reads them back, until it is told to stop; counts in `done`.
async fn load(channel: Channel, task: u64, done: Rc<Cell<u64>>, is_over: Rc<Cell<bool>>) {
    let blocks = 4096 / u64::from(channel.geometry().block_size);
    let mut round = 0;
    while !is_over.get() {
        round += 1;
        let mut page = channel.alloc(4096).await.unwrap();
        page.fill((task ^ round) as u8);
        channel.write(task * blocks, page).await.unwrap();
        let page = channel.read(task * blocks..(task + 1) * blocks).await.unwrap();
        assert!(page.iter().all(|byte| *byte == (task ^ round) as u8), "task {task}, round {round}");
        done.set(done.get() + 1);
    }
}

fn io_goes_on_when_a_path_is_removed() {
    for policy in ["active_passive", "round_robin"] {
        let all = all_to_user_space();
        let [left, right] = &all[..] else { panic!("{all:?}") };
        let folder = Path::new("/sys/bus/pci/devices").join(left);
        let core = LocalExecutor::new().unwrap();
        let removal = core.block_on(async {
            let spec = format!("nvme:{left},path={right},policy={policy}");
            let disk = bdev::open(&spec, Access::ReadWrite).await.unwrap();
            let paths =
                || disk.module_as::<NvmeDisk<Controller<PcieDevice>>>().expect("what the spec says").paths();
            assert_eq!(paths().iter().map(|path| &*path.controller).collect::<Vec<_>>(), [left, right]);
            assert_eq!(
                paths().iter().filter(|path| path.is_used).count(),
                1 + usize::from(policy == "round_robin")
            );
            let channel = disk.channel().unwrap();
            let (done, is_over) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
            let tasks: Vec<_> = (0..DEPTH)
                .map(|task| spawn_local(load(channel.clone(), task, done.clone(), is_over.clone())))
                .collect();
            let more = async || {
                let until = done.get() + 20 * DEPTH;
                while done.get() < until {
                    yield_now().await;
                }
            };
            more().await;
            let remove = folder.join("remove");
            let removal = std::thread::spawn(move || fs::write(remove, "1").unwrap());
            while paths().iter().any(|path| path.is_used && path.controller == *left) {
                yield_now().await;
            }
            more().await;
            assert!(paths().iter().any(|path| path.is_used && path.controller == *right));
            is_over.set(true);
            for task in join_all(tasks).await {
                task.unwrap();
            }
            removal
        });
        drop(core);
        removal.join().unwrap();
        assert!(!folder.exists());
        // It was never taken out.
        fs::write("/sys/bus/pci/rescan", "1").unwrap();
        assert!(folder.exists());
    }
}
