//! What the core copies itself: files in memory are read and written within the turn, and of large transfers a share.

use super::{SETUPS, poll_once, ring};
use crate::reactor::driver::Driver;
use crate::uring::{Fd, Ring};
use io_uring::squeue::Flags;
use rustix::fs::{MemfdFlags, OFlags, fcntl_getfl, memfd_create};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

const PAGE: usize = 4096;

/// A worker's answer would come in the turn of one out of many, not of all.
const TIMES: u64 = 64;

/// The answer that has to come in the turn in which it was asked for.
fn in_one_turn<F: Future>(ring: &Ring, future: F) -> F::Output {
    let mut future = pin!(future);
    assert!(poll_once(&mut future).is_pending());
    ring.flush();
    assert_eq!(ring.poll(), 1, "the answer is there when the turn's system call returns");
    match poll_once(&mut future) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("one answer came"),
    }
}

fn reads(ring: &Rc<Ring>, fd: &Fd) {
    for page in 0..TIMES {
        let (read, buf) = in_one_turn(ring, ring.read_at(fd, vec![9; PAGE + 1], page));
        assert_eq!((read.unwrap(), buf[PAGE]), (PAGE + 1, 1));
    }
}

#[test]
fn a_file_in_memory_is_read_and_written_within_the_turn() {
    let dir = Path::new("/dev/shm");
    if !dir.is_dir() {
        return println!("skipped: no tmpfs at {}", dir.display());
    }
    let path = tempfile::NamedTempFile::new_in(dir).unwrap().into_temp_path();
    std::fs::write(&path, [1; 64 * PAGE]).unwrap();
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        reads(&ring, &Fd::from(std::fs::File::open(&path).unwrap()).for_data(false));
        let file = std::fs::File::options().read(true).append(true).open(&path).unwrap();
        let fd = Fd::from(file).for_data(false);
        assert!(fd.is_copied() && fcntl_getfl(&fd).unwrap().contains(OFlags::APPEND));
        reads(&ring, &fd);
        if !fcntl_getfl(&fd).unwrap().contains(OFlags::DIRECT) {
            return println!("skipped: writing, as files in memory have no O_DIRECT before Linux 6.6");
        }
        for byte in 0..TIMES {
            // Of no alignment that disks have.
            let (written, _) = in_one_turn(&ring, ring.write_at(&fd, vec![byte as u8; 3], 1));
            assert_eq!(written.unwrap(), 3);
        }
    }
    let bytes = std::fs::read(&path).unwrap();
    let appended: Vec<u8> = (0..TIMES as u8).flat_map(|byte| [byte; 3]).collect();
    assert_eq!(bytes[64 * PAGE..], [&appended[..]; 3].concat());
}

/// Such a file has no `O_DIRECT`, so that only reading can be hastened.
#[test]
fn a_file_without_a_name_is_read_within_the_turn() {
    let file = std::fs::File::from(memfd_create("reactor", MemfdFlags::CLOEXEC).unwrap());
    rustix::io::write(&file, &[1; 64 * PAGE]).unwrap();
    let fd = Fd::from(file).for_data(true);
    assert!(fd.is_copied(), "there is nothing but the page cache");
    reads(&ring(SETUPS[0], 8, 8), &fd);
}

#[test]
fn flags_that_are_not_ours_stay() {
    let file = std::fs::File::from(memfd_create("reactor", MemfdFlags::CLOEXEC).unwrap());
    let before = fcntl_getfl(&file).unwrap();
    let fd = Fd::from(file).for_data_as_is(false);
    assert_eq!(fcntl_getfl(&fd).unwrap(), before);
    let file = tempfile::tempfile_in(std::env::current_dir().unwrap()).unwrap();
    let before = fcntl_getfl(&file).unwrap();
    let is_in_memory = rustix::fs::fcntl_get_seals(&file).is_ok();
    let fd = Fd::from(file).for_data(false);
    assert!(is_in_memory || fcntl_getfl(&fd).unwrap() == before, "a file on a disk");
}

#[test]
fn what_is_beyond_the_share_of_a_turn_is_a_workers() {
    let ring = ring(SETUPS[0], 8, 8);
    let fd = |is_direct| Fd::from(tempfile::tempfile().unwrap()).for_data(is_direct);
    let is_workers = |fd: &Fd, len| fd.target_of(len, &ring).1.contains(Flags::ASYNC);
    let (cached, other) = (fd(false), Fd::from(tempfile::tempfile().unwrap()));
    for _turn in 0..2 {
        assert!(!is_workers(&cached, 1 << 19) && is_workers(&cached, (1 << 19) + 1));
        assert!(!is_workers(&cached, 1 << 19), "what went to a worker took nothing of it");
        assert!(is_workers(&cached, 1) && is_workers(&cached, usize::MAX));
        assert!(!is_workers(&cached, 0) && !is_workers(&other, 1 << 30));
        ring.poll();
    }
    let direct = fd(true);
    assert!(direct.is_copied() || !is_workers(&direct, 1 << 30));
}
