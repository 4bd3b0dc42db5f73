//! The ring as a core's driver: made on first use, turned with the core, drained when the core ends.

use super::quarantine::Quarantine;
use super::{open_direct, pipe};
use crate::reactor::driver::Driver;
use crate::uring::{Fd, Ring};
use crate::{LocalExecutor, Mode, spawn_local};
use std::rc::Rc;

#[test]
fn a_core_has_one_ring_and_turns_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    let quarantine = Quarantine::default();
    for mode in [Mode::Poll, Mode::Interrupt] {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        core.block_on(async {
            let ring = Ring::current().unwrap();
            assert!(Rc::ptr_eq(&ring, &Ring::current().unwrap()));
            let fd = open_direct(&path);
            ring.register(&fd);
            let tasks: Vec<_> = (0..64)
                .map(|page| {
                    let (ring, fd, buf) = (ring.clone(), fd.clone(), quarantine.lend(4096));
                    spawn_local(async move {
                        let (read, page) = ring.read_at(&fd, buf, page * 4096).await;
                        assert_eq!((read.unwrap(), page.bytes()), (4096, &[7; 4096][..]));
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
    quarantine.check();
    assert_eq!(quarantine.lent(), 0);
}

/// Tasks that wait for ever on the ring are dropped with the core, their buffers by the kernel's leave.
#[test]
fn a_core_that_ends_takes_its_operations_with_it() {
    let quarantine = Quarantine::default();
    let core = LocalExecutor::new().unwrap();
    let (read, write) = pipe();
    core.block_on(async {
        let ring = Ring::current().unwrap();
        for _ in 0..8 {
            let (task_ring, read, buf) = (ring.clone(), read.clone(), quarantine.lend(64));
            drop(spawn_local(async move { task_ring.read_at(&read, buf, 0).await.0.unwrap() }));
        }
        while ring.in_flight() < 8 {
            crate::yield_now().await;
        }
    });
    drop(core);
    assert_eq!(quarantine.lent(), 0);
    let _ = rustix::io::write(&write, &[1; 512]);
    quarantine.check();
}

/// In every mode, a completion from another thread reaches a core that has gone to sleep. Each core has a thread of its own: the
/// kernel interrupts a thread's sleep some milliseconds after its ring has been closed.
#[test]
fn a_sleeping_core_is_woken_by_its_ring() {
    for mode in Mode::ALL {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (asks, asked) = std::sync::mpsc::channel();
        let core = std::thread::spawn(move || {
            let core = LocalExecutor::new().unwrap();
            core.set_mode(mode);
            core.block_on(async {
                let (ring, read) = (Ring::current().unwrap(), Fd::from(read));
                asks.send(rustix::thread::gettid()).unwrap();
                assert_eq!(ring.read_at(&read, vec![0; 8], 0).await.0.unwrap(), 5);
            });
        });
        let sleeper = asked.recv().unwrap().as_raw_nonzero();
        let stat = format!("/proc/self/task/{sleeper}/stat");
        while mode != Mode::Poll && !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        rustix::io::write(&write, b"12345").unwrap();
        core.join().unwrap();
    }
}
