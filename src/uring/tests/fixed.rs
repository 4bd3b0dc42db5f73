//! The tables of buffers and files: what is entered of itself, what is not, and that it makes no difference to the data.

use super::{block_on, open_direct, poll_once, ring_with, settle, turn};
use crate::sys::dma::{DmaConfig, DmaPool, DmaReserve, HugePages};
use crate::uring::{Config, Features, IoBuf, Ring};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::rc::Rc;

fn without(feature: Features) -> Rc<Ring> {
    ring_with(Config { features: Features::all().without(feature), ..Config::default() })
}

/// A file of 64 pages, each of its own number.
fn file() -> (tempfile::NamedTempFile, crate::uring::Fd) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), (0..64).flat_map(|page| [page; 4096]).collect::<Vec<u8>>()).unwrap();
    let fd = open_direct(file.path());
    (file, fd)
}

/// Writes and reads pages through `ring` by whole buffers and by parts, and looks at them.
fn round_trips(ring: &Rc<Ring>, pool: &DmaPool) {
    let (file, fd) = file();
    let page = pool.try_alloc(4096).unwrap();
    let (read, mut page) = block_on(ring, ring.read_at(&fd, page, 5 * 4096));
    assert_eq!((read.unwrap(), &page[..]), (4096, &[5; 4096][..]));
    page.fill(77);
    let bytes = page.freeze();
    let (written, bytes) = block_on(ring, ring.write_at(&fd, bytes, 9 * 4096));
    assert_eq!(
        (written.unwrap(), &std::fs::read(file.path()).unwrap()[9 * 4096..10 * 4096]),
        (4096, &bytes[..])
    );
    let two = pool.try_alloc(8192).unwrap();
    let (read, part) = block_on(ring, ring.read_at(&fd, two.slice(4096..), 9 * 4096));
    assert_eq!(read.unwrap(), 4096);
    let two = part.into_inner();
    assert!(two[4096..].iter().all(|byte| *byte == 77));
}

#[test]
fn buffers_of_the_cores_pool_are_registered_by_the_first_operation_on_them() {
    let ring = ring_with(Config::default());
    assert!(ring.features().contains(Features::BUFFER_TABLE), "Linux 5.19 has a table");
    assert_eq!(ring.buffer_table().chunks, 0, "nothing is pinned that no operation uses");
    round_trips(&ring, &DmaPool::local());
    let table = ring.buffer_table();
    assert_eq!((table.chunks, table.refused), (2, 0), "one chunk of pages, one of double pages");
    round_trips(&ring, &DmaPool::local());
    assert_eq!(ring.buffer_table(), table, "and once only");
    assert!(format!("{ring:?}").contains(&format!("bytes: {}", table.bytes)));
}

#[test]
fn without_a_table_of_buffers_operations_go_the_ordinary_way() {
    let ring = without(Features::BUFFER_TABLE);
    assert!(!ring.features().contains(Features::BUFFER_TABLE));
    round_trips(&ring, &DmaPool::local());
    assert_eq!(ring.buffer_table(), Default::default());
}

#[test]
fn buffers_of_another_pool_and_large_ones_go_the_ordinary_way() {
    let ring = ring_with(Config::default());
    round_trips(&ring, &DmaPool::new());
    let (_file, fd) = file();
    let large = DmaPool::local().try_alloc(5 << 20).unwrap();
    let (read, large) = block_on(&ring, ring.read_at(&fd, large, 0));
    assert_eq!((read.unwrap(), large[63 * 4096]), (64 * 4096, 63));
    assert_eq!(ring.buffer_table().chunks, 0);
    // A pool that takes the place of one that was dropped is another pool.
    for _ in 0..8 {
        round_trips(&ring, &DmaPool::new());
    }
}

/// A pool at its limit gives idle chunks back for larger buffers; the table does not hold on to their pages.
#[test]
fn a_chunk_that_the_pool_gives_back_leaves_the_table() {
    let (ring, pool) = (ring_with(Config::default()), DmaPool::local());
    pool.set_limit(1 << 20);
    let (_file, fd) = file();
    let read = |len| {
        let (read, buf) = block_on(&ring, ring.read_at(&fd, pool.try_alloc(len).unwrap(), 3 * 4096));
        assert_eq!((read.unwrap(), buf[0]), (len.min(61 * 4096), 3));
    };
    read(4096);
    let before = ring.buffer_table();
    assert_eq!((before.chunks, before.bytes), (1, 256 << 10));
    read(1 << 20);
    let after = ring.buffer_table();
    assert_eq!((after.chunks, after.bytes, after.refused), (1, 1 << 20, 0));
    read(1 << 20);
    assert_eq!(ring.buffer_table(), after);
}

/// Buffers that came from another core: its pool, not ours.
#[test]
fn buffers_of_another_core_go_the_ordinary_way() {
    let ring = ring_with(Config::default());
    let (_file, fd) = file();
    let foreign = std::thread::spawn(|| DmaPool::local().try_alloc(4096).unwrap()).join().unwrap();
    let (read, foreign) = block_on(&ring, ring.read_at(&fd, foreign, 4096));
    assert_eq!((read.unwrap(), foreign[17]), (4096, 1));
    assert_eq!(ring.buffer_table().chunks, 0);
}

/// Memory that the reserve has had meanwhile: registered where it is now, though the table before still knows its pages.
#[test]
fn memory_that_goes_from_core_to_core_is_registered_where_it_is() {
    let config = DmaConfig::new().own(0).reserve(1 << 20).huge_pages(HugePages::Never);
    let reserve = DmaReserve::new(&config, 2).unwrap();
    let join = || DmaPool::local().join(&config, &reserve, std::task::Waker::noop().clone());
    join();
    let ring = ring_with(Config::default());
    let rest = || {
        DmaPool::rest_local();
        assert_eq!(reserve.stats().leased_bytes, 0);
    };
    round_trips(&ring, &DmaPool::local());
    assert_eq!((ring.buffer_table().chunks, ring.buffer_table().refused), (2, 0));
    rest();
    std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            join();
            let ring = ring_with(Config::default());
            round_trips(&ring, &DmaPool::local());
            assert_eq!((ring.buffer_table().chunks, ring.buffer_table().refused), (2, 0));
        });
        // Joined, since the pool goes with the thread's locals.
        there.join().unwrap();
    });
    assert_eq!(
        (reserve.stats().mapped_bytes, reserve.stats().leased_bytes),
        (512 << 10, 0),
        "the same memory"
    );
    // Also when there have been more chunks than a table has entries.
    let (_file, fd) = file();
    for _ in 0..1100 {
        let (read, buf) =
            block_on(&ring, ring.read_at(&fd, DmaPool::local().try_alloc(4096).unwrap(), 7 * 4096));
        assert_eq!((read.unwrap(), buf[0]), (4096, 7));
        assert_eq!((ring.buffer_table().chunks, ring.buffer_table().refused), (1, 0));
        drop(buf);
        rest();
    }
    DmaPool::local().leave();
}

/// Two rings of one thread, one after the other and at the same time: each has a table of its own.
#[test]
fn rings_of_one_core_do_not_share_entries() {
    let first = ring_with(Config::default());
    round_trips(&first, &DmaPool::local());
    let second = ring_with(Config::default());
    round_trips(&second, &DmaPool::local());
    assert_eq!(first.buffer_table().chunks, second.buffer_table().chunks);
    drop(first);
    round_trips(&second, &DmaPool::local());
    drop(second);
    round_trips(&ring_with(Config::default()), &DmaPool::local());
}

/// The limit counts for processes without CAP_IPC_LOCK. Here one thread gives it up.
#[test]
fn a_memlock_limit_leaves_buffers_unregistered_and_says_so() {
    let tried = std::thread::spawn(|| {
        let all = capabilities(None).unwrap();
        let effective = all.effective - CapabilitySet::IPC_LOCK;
        set_capabilities(None, CapabilitySets { effective, ..all }).unwrap();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
        let Some(limit) = limit.filter(|bytes| *bytes < 256 << 20) else { return false };
        let ring = ring_with(Config::default());
        let pool = DmaPool::local();
        let (_file, fd) = file();
        let mut held = Vec::new();
        while ring.buffer_table().refused == 0 {
            assert!((ring.buffer_table().bytes as u64) <= limit, "the kernel keeps the limit");
            let buf = pool.try_alloc(1 << 20).unwrap();
            let (read, buf) = block_on(&ring, ring.read_at(&fd, buf.slice(..64 * 4096), 0));
            let buf = buf.into_inner();
            assert_eq!((read.unwrap(), buf[9 * 4096]), (64 * 4096, 9));
            held.push(buf);
        }
        // What is in the table stays in use beside what is not.
        round_trips(&ring, &pool);
        true
    });
    if !tried.join().unwrap() {
        println!("no memlock limit to run into");
    }
}

/// The kernel writes to the pages of the pool as it is, after the ring's handle was the last one on it as well.
#[test]
fn a_ring_keeps_its_pool_and_an_orphan_its_buffer() {
    let ring = std::thread::spawn(|| {
        let ring = ring_with(Config::default());
        let (read, write) = super::pipe();
        let mut waiting = Box::pin(ring.read_at(&read, DmaPool::local().try_alloc(64).unwrap(), 0));
        assert!(poll_once(&mut waiting).is_pending());
        turn(&ring);
        assert_eq!((ring.buffer_table().chunks, DmaPool::local().stats().in_use), (1, 1));
        drop(waiting);
        settle(&ring);
        assert_eq!(DmaPool::local().stats().in_use, 0, "given back when the kernel had answered");
        let _ = rustix::io::write(&write, b"late");
        // Dropped among the thread's locals, of which the pool is one: whichever goes first.
        thread_local! { static LAST: std::cell::RefCell<Option<Rc<Ring>>> = const { std::cell::RefCell::new(None) }; }
        LAST.with(|last| *last.borrow_mut() = Some(ring));
    });
    ring.join().unwrap();
}

#[test]
fn a_file_in_use_is_registered_of_itself() {
    for missing in [Features::default(), Features::FILE_TABLE] {
        let ring = without(missing);
        let (_file, fd) = file();
        for page in 0..16 {
            let (read, buf) =
                block_on(&ring, ring.read_at(&fd, DmaPool::local().try_alloc(4096).unwrap(), page * 4096));
            assert_eq!((read.unwrap(), u64::from(buf[0])), (4096, page));
        }
        assert_eq!(fd.is_registered(&ring), missing == Features::default());
        assert!(block_on(&ring, ring.close(fd)).is_ok());
    }
}

/// More files than the table has room for: all work, and room that comes free is used.
#[test]
fn a_full_table_of_files_is_no_error() {
    let ring = ring_with(Config::default());
    let (kept, _fd) = file();
    let open = || crate::uring::Fd::from(std::fs::File::open(kept.path()).unwrap());
    let mut files: Vec<_> = (0..260).map(|_| open()).collect();
    let registered = files.iter().filter(|fd| ring.register(fd)).count();
    assert!(registered < files.len());
    for fd in &files {
        let (read, buf) = block_on(&ring, ring.read_at(fd, vec![0; 16], 3 * 4096));
        assert_eq!((read.unwrap(), buf[0]), (16, 3));
    }
    let late = files.pop().unwrap();
    assert!(!ring.register(&late));
    files.clear();
    assert!(ring.register(&late));
}
