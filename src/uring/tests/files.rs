//! The operations on files, one promise each.

use super::{SETUPS, block_on, descriptors_under, open_direct, pipe, quarantine::Quarantine, ring, settle};
use crate::uring::{Fd, Setup};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::io;
use std::path::Path;
use std::rc::Rc;

fn is<T>(result: io::Result<T>, errno: Errno) -> bool {
    result.err().and_then(|error| error.raw_os_error()) == Some(errno.raw_os_error())
}

fn create(dir: &Path) -> Fd {
    let mut options = std::fs::File::options();
    options.read(true).write(true).create(true).truncate(true);
    Fd::from(options.open(dir.join("file")).unwrap())
}

#[test]
fn what_was_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    for setup in SETUPS {
        let (ring, fd) = (ring(setup, 8, 8), create(dir.path()));
        block_on(&ring, async {
            let (wrote, _) = ring.write_at(&fd, String::from("hello, ring"), 5).await;
            assert_eq!(wrote.unwrap(), 11);
            let shared: Rc<[u8]> = Rc::from(&b"HELLO"[..]);
            assert_eq!(ring.write_at(&fd, shared, 5).await.0.unwrap(), 5);
            ring.sync_data(&fd).await.unwrap();
            ring.sync_all(&fd).await.unwrap();
            let (read, buf) = ring.read_at(&fd, vec![0xff; 64], 0).await;
            assert_eq!(read.unwrap(), 16, "a short read stays short");
            assert_eq!((&buf[..16], buf[16]), (&b"\0\0\0\0\0HELLO, ring"[..], 0xff));
        });
    }
}

#[test]
fn direct_reads_and_writes_carry_whole_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("direct");
    std::fs::write(&path, vec![7; 64 << 10]).unwrap();
    let quarantine = Quarantine::default();
    for setup in SETUPS {
        let (ring, fd) = (ring(setup, 8, 8), open_direct(&path));
        let (read, page) = block_on(&ring, ring.read_at(&fd, quarantine.lend(4096), 8192));
        assert_eq!((read.unwrap(), page.bytes()), (4096, &[7; 4096][..]));
        let (wrote, _) = block_on(&ring, ring.write_at(&fd, page, 0));
        assert_eq!(wrote.unwrap(), 4096);
    }
    quarantine.check();
}

#[test]
fn errors_keep_their_code_and_return_the_buffer() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("readonly"), "x").unwrap();
    let fd = Fd::from(std::fs::File::open(dir.path().join("readonly")).unwrap());
    let ring = ring(Setup::Deferred, 8, 8);
    block_on(&ring, async {
        let (wrote, buf) = ring.write_at(&fd, vec![1, 2, 3], 0).await;
        assert!(is(wrote, Errno::BADF));
        assert_eq!(buf, [1, 2, 3]);
        for offset in [1 << 63, u64::MAX] {
            let (read, buf) = ring.read_at(&fd, vec![9; 4], offset).await;
            assert!(is(read, Errno::INVAL), "{offset:#x}");
            assert_eq!(buf, [9; 4], "an offset of -1 would have read at the file's position");
        }
        let (read, _) = ring.read_at(&fd, vec![9; 4], i64::MAX as u64 - 4).await;
        assert_eq!(read.unwrap(), 0, "past the end there is nothing");
        let (read, _) = ring.read_at(&fd, Vec::new(), 0).await;
        assert_eq!(read.unwrap(), 0);
        let directory = Fd::from(std::fs::File::open(dir.path()).unwrap());
        assert!(is(ring.read_at(&directory, vec![0; 8], 0).await.0, Errno::ISDIR));
        assert!(is(ring.sync_all(&pipe().0).await, Errno::INVAL));
    });
}

/// More than 2 GiB at once: cut by the kernel's own bound, never wrapped round.
#[test]
fn a_huge_read_is_partial() {
    let dir = tempfile::tempdir().unwrap();
    let fd = create(dir.path());
    let ring = ring(Setup::Deferred, 8, 8);
    // Untouched zero pages cost no memory; the file is shorter than the request.
    let huge = vec![0; (4 << 30) + 8];
    block_on(&ring, async {
        ring.write_at(&fd, String::from("0123456789abcdef"), 0).await.0.unwrap();
        let (read, huge) = ring.read_at(&fd, huge, 0).await;
        assert_eq!(read.unwrap(), 16, "a length cut to 32 bits would have read 8 bytes");
        assert_eq!(&huge[..17], b"0123456789abcdef\0");
    });
}

#[test]
fn files_are_opened_asked_about_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(Setup::Deferred, 8, 8);
    let path = dir.path().join("made");
    block_on(&ring, async {
        let fd = ring.open(&path, OFlags::CREATE | OFlags::RDWR, Mode::RUSR | Mode::WUSR).await.unwrap();
        ring.allocate(&fd, FallocateFlags::empty(), 0..8192).await.unwrap();
        assert!(is(ring.allocate(&fd, FallocateFlags::empty(), 1..1).await, Errno::INVAL));
        let backwards = std::ops::Range { start: 2, end: 1 };
        assert!(is(ring.allocate(&fd, FallocateFlags::empty(), backwards).await, Errno::INVAL));
        assert_eq!(ring.statx(&fd, StatxFlags::SIZE).await.unwrap().stx_size, 8192);
        let by_path = ring.statx_path(&path, AtFlags::empty(), StatxFlags::SIZE).await.unwrap();
        assert_eq!(by_path.stx_size, 8192);
        let shared = fd.clone();
        ring.close(fd).await.unwrap();
        assert_eq!(descriptors_under(dir.path()), 1, "a shared descriptor stays open");
        ring.close(shared).await.unwrap();
        assert_eq!(descriptors_under(dir.path()), 0);

        let missing = dir.path().join("missing");
        assert!(is(ring.open(&missing, OFlags::RDONLY, Mode::empty()).await, Errno::NOENT));
        assert!(is(ring.statx_path(&missing, AtFlags::empty(), StatxFlags::SIZE).await, Errno::NOENT));
        let nul = Path::new("a\0b");
        assert!(is(ring.open(nul, OFlags::RDONLY, Mode::empty()).await, Errno::INVAL));
        assert!(is(ring.statx_path(nul, AtFlags::empty(), StatxFlags::SIZE).await, Errno::INVAL));
    });
}

#[test]
fn the_operation_keeps_its_file_open() {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(Setup::Deferred, 8, 8);
    let fd = create(dir.path());
    let mut write = Box::pin(ring.write_at(&fd, vec![1; 8], 0));
    assert!(super::poll_once(&mut write).is_pending());
    drop(fd);
    assert_eq!(
        descriptors_under(dir.path()),
        1,
        "nobody else may get its number before the kernel has the entry"
    );
    assert_eq!(block_on(&ring, write).0.unwrap(), 8);
    settle(&ring);
    assert_eq!(descriptors_under(dir.path()), 0);
}

#[test]
fn registered_files_work_as_others_do() {
    let dir = tempfile::tempdir().unwrap();
    for setup in SETUPS {
        let (ring, other) = (ring(setup, 8, 8), ring(setup, 8, 8));
        let (fd, clone) = (create(dir.path()), create(dir.path()));
        assert!(ring.register(&fd) && ring.register(&fd), "twice is once");
        assert!(!other.register(&fd), "one ring's table at most");
        for by in [&ring, &other] {
            block_on(by, async {
                assert_eq!(by.write_at(&fd, vec![5; 100], 0).await.0.unwrap(), 100);
                by.allocate(&fd, FallocateFlags::empty(), 0..8192).await.unwrap();
                by.sync_data(&fd).await.unwrap();
                let (read, buf) = by.read_at(&clone, vec![0; 100], 0).await;
                assert_eq!((read.unwrap(), buf), (100, vec![5; 100]));
            });
        }
        block_on(&ring, ring.close(fd)).unwrap();
        assert_eq!(descriptors_under(dir.path()), 1);
    }
}

/// Far more files than the table has entries, in turn and at once.
#[test]
fn entries_of_closed_files_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let ring = ring(Setup::Deferred, 8, 8);
    for _ in 0..300 {
        assert!(ring.register(&create(dir.path())));
    }
    let fd = create(dir.path());
    let all: Vec<_> = (0..300).map(|_| Fd::from(rustix::io::dup(&fd).unwrap())).collect();
    let registered = all.iter().filter(|fd| ring.register(fd)).count();
    assert_eq!(registered, 256);
    block_on(&ring, async {
        for fd in [&all[0], &all[299]] {
            assert_eq!(ring.write_at(fd, vec![5; 10], 0).await.0.unwrap(), 10);
        }
    });
}
