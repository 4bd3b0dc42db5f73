//! Chains: run in order or not at all, never torn apart, their buffers safe.

use super::quarantine::Quarantine;
use super::{SETUPS, block_on, open_direct, pipe, poll_once, ring, settle, turn};
use crate::reactor::driver::Driver;
use crate::uring::{Fd, Link, Setup};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

const CANCELED: Option<i32> = Some(Errno::CANCELED.raw_os_error());
const INVAL: Option<i32> = Some(Errno::INVAL.raw_os_error());

/// A descriptor from which every read fails.
fn unreadable() -> (Fd, OwnedFd) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    (Fd::from(write), read)
}

#[test]
fn what_is_linked_runs_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![0; 4096]).unwrap();
    for setup in SETUPS {
        let (ring, quarantine, fd) = (ring(setup, 8, 8), Quarantine::default(), open_direct(&path));
        for round in 1..20_u8 {
            let mut page = quarantine.lend(4096);
            page.fill(round);
            let chain = ring.write_at(&fd, page, 0).link(ring.sync_data(&fd));
            let chain = chain.link(ring.read_at(&fd, quarantine.lend(4096), 0));
            let (((write, _), sync), (read, page)) = block_on(&ring, chain);
            assert_eq!((write.unwrap(), read.unwrap()), (4096, 4096));
            sync.unwrap();
            assert_eq!(page.bytes(), [round; 4096], "{setup:?}: read what was written before");
        }
        let counters = ring.counters();
        assert_eq!((counters.submitted, counters.completed, counters.waits), (57, 57, 0));
        quarantine.check();
    }
}

#[test]
fn what_follows_a_failure_or_a_short_read_does_not_run_and_gives_its_buffer_back() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "short").unwrap();
    for setup in SETUPS {
        let (ring, (unreadable, _read)) = (ring(setup, 8, 8), unreadable());
        let fd = Fd::from(std::fs::File::options().read(true).write(true).open(file.path()).unwrap());
        let write = |bytes: &str| ring.write_at(&fd, bytes.to_owned(), 0);
        let ((first, _), (second, buf)) =
            block_on(&ring, ring.read_at(&unreadable, vec![0; 8], 0).link(write("never")));
        assert_eq!((errno(first), errno(second)), (Some(Errno::BADF.raw_os_error()), CANCELED));
        assert_eq!(buf, "never");
        let (((first, _), (second, _)), third) =
            block_on(&ring, ring.read_at(&fd, vec![0; 8], 0).link(write("never")).link(ring.sync_all(&fd)));
        assert_eq!((first.unwrap(), errno(second), errno(third)), (5, CANCELED, CANCELED));
        assert_eq!(std::fs::read(file.path()).unwrap(), b"short");
    }
}

/// With the submission queue almost full, and with the kernel's share used up: a part that came into a later submission would run
/// although its head has failed.
#[test]
fn a_chain_is_never_torn_apart() {
    let (unreadable, _read) = unreadable();
    for (setup, in_flight_max) in SETUPS.into_iter().flat_map(|setup| [(setup, 2), (setup, 64)]) {
        for fillers in 0..9 {
            let ring = ring(setup, 4, in_flight_max);
            let mut nops: Vec<_> = (0..fillers).map(|_| Box::pin(ring.nop())).collect();
            assert!(nops.iter_mut().all(|nop| poll_once(nop).is_pending()));
            let chain = || ring.read_at(&unreadable, vec![0; 8], 0).link(ring.nop()).link(ring.nop());
            let mut chains: Vec<_> = (0..5).map(|_| Box::pin(chain())).collect();
            assert!(chains.iter_mut().all(|chain| poll_once(chain).is_pending()));
            let mut last = Box::pin(ring.nop());
            assert!(poll_once(&mut last).is_pending());
            for chain in chains {
                let (((read, _), second), third) = block_on(&ring, chain);
                assert!(read.is_err());
                assert_eq!((errno(second), errno(third)), (CANCELED, CANCELED), "{setup:?}, {fillers}");
            }
            block_on(&ring, last).unwrap();
            nops.into_iter().for_each(|nop| block_on(&ring, nop).unwrap());
        }
    }
}

#[test]
fn a_chain_that_cannot_be_asked_for_runs_nothing() {
    let ring = ring(Setup::Deferred, 4, 8);
    let (_read, write) = pipe();
    let write = Fd::from(write);
    // A path with a NUL byte.
    let statx = ring.statx_path(Path::new("a\0b"), AtFlags::empty(), StatxFlags::SIZE);
    let ((first, buf), second) = block_on(&ring, ring.write_at(&write, vec![1], 0).link(statx));
    assert_eq!((errno(first), buf, errno(second.map(drop))), (CANCELED, vec![1], INVAL));
    // More than a submission has room for.
    let long = ring.write_at(&write, vec![1], 0).link(ring.nop()).link(ring.nop()).link(ring.nop());
    let (((((first, _), _), _), _), fifth) = block_on(&ring, long.link(ring.nop()));
    assert_eq!((errno(first), errno(fifth)), (INVAL, INVAL));
    assert_eq!(ring.counters().submitted, 0);
}

#[test]
fn a_dropped_chain_is_cancelled_whole_and_keeps_its_buffers_meanwhile() {
    for setup in SETUPS {
        // With a share of one, the chain waits in the backlog behind another.
        for in_flight_max in [1, 8] {
            let (ring, quarantine) = (ring(setup, 8, in_flight_max), Quarantine::default());
            let ((read, write), (target, targets_write)) = (pipe(), pipe());
            let targets_write = Fd::from(targets_write);
            let mut stuck = Box::pin(ring.read_at(&read, vec![0; 8], 0));
            assert!(poll_once(&mut stuck).is_pending());
            let chain = ring.read_at(&read, quarantine.lend(8), 0);
            let mut chain = Box::pin(chain.link(ring.write_at(&targets_write, quarantine.lend(8), 0)));
            assert!(poll_once(&mut chain).is_pending());
            turn(&ring);
            assert_eq!(quarantine.lent(), 2);
            drop(chain);
            assert_eq!(quarantine.lent(), if in_flight_max == 1 { 0 } else { 2 }, "{setup:?}");
            drop(stuck);
            settle(&ring);
            assert_eq!(quarantine.lent(), 0);
            rustix::io::write(&write, &[1; 64]).unwrap();
            quarantine.check();
            // Nothing was written by the part that must not run.
            drop(targets_write);
            assert_eq!(rustix::io::read(&target, &mut [0; 8]).unwrap(), 0);
            assert_eq!(ring.in_flight(), 0);
        }
    }
}

#[test]
#[should_panic(expected = "a chain's operations are of one ring")]
fn operations_of_two_rings_are_not_linked() {
    let (one, other) = (ring(Setup::Deferred, 4, 4), ring(Setup::Deferred, 4, 4));
    let _ = poll_once(&mut Box::pin(one.nop().link(other.nop())));
}
