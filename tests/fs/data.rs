//! Bytes in and out: whole, in lists, huge, cut short, copied, spliced.

use reactor::{
    fs::{self, Advice, File, OpenOptions},
    sys::dma::DmaPool,
    uring::{Fd, IoBuf},
};
use std::{
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

async fn read_write(dir: &tempfile::TempDir) -> File {
    let path = dir.path().join("file");
    OpenOptions::new().read(true).write(true).create(true).open(path).await.unwrap()
}

#[reactor::test]
async fn every_kind_of_buffer_is_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    let shared: Rc<[u8]> = Rc::from(&b"shared "[..]);
    file.write_all_at(shared, 0).await.0.unwrap();
    file.write_all_at(String::from("string "), 7).await.0.unwrap();
    file.write_all_at("static ", 14).await.0.unwrap();
    file.write_all_at(b"___slice___".to_vec().slice(3..8), 21).await.0.unwrap();
    let mut page = DmaPool::new().try_alloc(4096).unwrap();
    page.fill(b'!');
    let (written, page) = file.write_at(page, 26).await;
    assert_eq!((written.unwrap(), page.len()), (4096, 4096));
    let (read, text) = file.read_exact_at(vec![0; 28], 0).await;
    read.unwrap();
    assert_eq!(text, b"shared string static slice!!");
    let (read, page) = file.read_at(page, 26 + 4000).await;
    assert_eq!((read.unwrap(), page[95]), (96, b'!'));
}

/// More operations than it takes to enter the file into the ring's table, many at once.
#[reactor::test]
async fn a_busy_file_is_read_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    let bytes = pattern(64 << 10);
    file.write_all_at(bytes.clone(), 0).await.0.unwrap();
    let reads = (0..64).map(|n| file.read_exact_at(vec![0; 1024], n * 1024));
    let pieces = futures::future::join_all(reads).await;
    let read: Vec<u8> = pieces.into_iter().flat_map(|(read, piece)| read.map(|()| piece).unwrap()).collect();
    assert_eq!(read, bytes);
}

/// The kernel takes 1,024 buffers at once, and the last list is not full.
#[reactor::test]
async fn lists_longer_than_the_kernels_are_split() {
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    let bytes = pattern(3 * 3000);
    let mut bufs: Vec<Vec<u8>> = bytes.chunks(3).map(Vec::from).collect();
    bufs.insert(1000, Vec::new());
    let (written, bufs) = file.write_vectored_at(bufs, 0).await;
    assert_eq!(
        (written.unwrap(), bufs.len()),
        (3 * 1024, 3001),
        "one list, and empty buffers take no place in it"
    );
    let (written, bufs) = file.write_all_vectored_at(bufs, 5).await;
    written.unwrap();
    assert_eq!(bufs.len(), 3001);
    assert_eq!(fs::read(dir.path().join("file")).await.unwrap()[5..], bytes);

    let (read, bufs) = file.read_exact_vectored_at(vec![vec![0; 2]; 4500], 5).await;
    read.unwrap();
    assert_eq!(bufs.concat(), bytes);
    let (read, bufs) = file.read_exact_vectored_at(vec![vec![0; 2]; 4501], 5).await;
    let error = read.unwrap_err();
    assert_eq!((error.done, error.source.kind()), (9000, io::ErrorKind::UnexpectedEof));
    assert_eq!(bufs.len(), 4501);
    assert_eq!(file.read_vectored_at(Vec::<Vec<u8>>::new(), 0).await.0.unwrap(), 0);
}

/// 2 GiB is the kernel's bound on one transfer. `/dev/null` takes them without looking, so that untouched memory stays untouched.
#[reactor::test]
async fn more_than_two_gibibytes_go_in_several_steps() {
    let huge = (4 << 30) + 8;
    let null = OpenOptions::new().write(true).open("/dev/null").await.unwrap();
    let (written, buf) = null.write_at(vec![0; huge], 0).await;
    assert_eq!((written.unwrap(), buf.len()), (0x7fff_f000, huge));
    let (written, buf) = null.write_all_at(buf, 0).await;
    written.unwrap();
    let (written, bufs) = null.write_all_vectored_at(vec![buf], 0).await;
    written.unwrap();
    // A short file: a length cut to 32 bits would have read 8 bytes.
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    file.write_all_at("0123456789abcdef", 0).await.0.unwrap();
    let (read, bufs) = file.read_exact_vectored_at(bufs, 0).await;
    assert_eq!((read.unwrap_err().done, &bufs[0][..17]), (16, &b"0123456789abcdef\0"[..]));
}

#[reactor::test]
async fn a_file_cut_short_below_ends_the_read_and_returns_the_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    file.write_all_at(pattern(1 << 20), 0).await.0.unwrap();
    let (read, buf) = file.read_exact_at(vec![0; 1 << 20], 0).await;
    read.unwrap();
    std::fs::File::options().write(true).open(dir.path().join("file")).unwrap().set_len(300_000).unwrap();
    let (read, buf) = file.read_exact_at(buf, 0).await;
    let error = read.unwrap_err();
    assert_eq!(
        (error.done, error.source.kind(), buf.len()),
        (300_000, io::ErrorKind::UnexpectedEof, 1 << 20)
    );
    assert_eq!(error.to_string(), "stopped after 300000 bytes: unexpected end of file");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::UnexpectedEof);
}

/// As above, while the read is under way.
#[reactor::test]
async fn a_file_cut_and_filled_while_it_is_read_is_whole_or_ended() {
    const LEN: usize = 4 << 20;
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    file.write_all_at(vec![7; LEN], 0).await.0.unwrap();
    let other = file.try_clone_to_std().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let cuts = std::thread::spawn({
        let is_over = is_over.clone();
        move || {
            while !is_over.load(Ordering::Relaxed) {
                other.set_len(100).unwrap();
                other.set_len(LEN as u64).unwrap();
            }
        }
    });
    for _ in 0..50 {
        let (read, buf) = file.read_exact_at(vec![9; LEN], 0).await;
        assert_eq!((buf.len(), &buf[..100]), (LEN, &[7; 100][..]), "what nobody cut is there");
        if let Err(error) = read {
            assert!((100..LEN).contains(&error.done), "{error}");
            assert_eq!(error.source.kind(), io::ErrorKind::UnexpectedEof);
            assert!(buf[error.done..].iter().all(|&byte| byte == 9), "and nothing behind the end");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    cuts.join().unwrap();
}

#[reactor::test]
async fn appended_writes_go_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for line in ["one ", "two ", "three"] {
        let log = OpenOptions::new().append(true).create(true).open(&path).await.unwrap();
        log.write_all_at(line, 0).await.0.unwrap();
    }
    assert_eq!(fs::read_to_string(&path).await.unwrap(), "one two three");
}

#[reactor::test]
async fn space_is_reserved_punched_zeroed_and_moved() {
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    let block = u64::from(file.metadata().await.unwrap().io_size()).max(4096);
    let whole = |byte: u8| vec![byte; block as usize];
    for byte in 1..=4 {
        file.write_all_at(whole(byte), block * u64::from(byte - 1)).await.0.unwrap();
    }
    let supported = file.punch_hole(0..block).await;
    if supported.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported) {
        return println!("skipped: no fallocate modes on {}", dir.path().display());
    }
    supported.unwrap();
    file.zero_range(block..2 * block).await.unwrap();
    let bytes = fs::read(dir.path().join("file")).await.unwrap();
    assert_eq!(bytes, [whole(0), whole(0), whole(3), whole(4)].concat());
    // Not every file system can do these two.
    if file.collapse_range(0..2 * block).await.is_ok() {
        file.insert_range(block..2 * block).await.unwrap();
        let bytes = fs::read(dir.path().join("file")).await.unwrap();
        assert_eq!(bytes, [whole(3), whole(0), whole(4)].concat());
    }
    file.set_len(0).await.unwrap();
    file.reserve(0..1 << 20).await.unwrap();
    let known = file.metadata().await.unwrap();
    assert_eq!(known.len(), 0);
    assert!(known.allocated() >= 1 << 20, "{}", known.allocated());
    file.allocate(0..1 << 20).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 1 << 20);
    file.advise(0..1 << 20, Advice::DontNeed).await.unwrap();
    file.advise(0..1 << 40, Advice::Random).await.unwrap();
    file.sync_all().await.unwrap();
    file.sync_data().await.unwrap();
}

/// Whether anything is still dirty only the kernel knows: here is what it is asked, and what it refuses.
#[reactor::test]
async fn ranges_are_written_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = read_write(&dir).await;
    file.write_all_at(pattern(1 << 20), 0).await.0.unwrap();
    let ring = reactor::uring::Ring::current().unwrap();
    let before = ring.counters().submitted;
    file.write_back(0..1 << 19).await.unwrap();
    file.sync_range(0..1 << 20).await.unwrap();
    file.sync_range(1 << 19..1 << 40).await.unwrap();
    assert_eq!(ring.counters().submitted - before, 3, "beyond 4 GiB, too");
    // For the kernel no bytes would be all bytes.
    file.sync_range(5..5).await.unwrap();
    file.write_back(5..5).await.unwrap();
    assert_eq!(ring.counters().submitted - before, 3);
    let code = |result: io::Result<()>| result.unwrap_err().raw_os_error();
    assert_eq!(code(file.sync_range(std::ops::Range { start: 2, end: 1 }).await), Some(22), "EINVAL");
    assert_eq!(code(file.write_back(1 << 63..u64::MAX).await), Some(22), "EINVAL");
    let (read, _write) = rustix::pipe::pipe().unwrap();
    assert_eq!(code(File::from_std(read).unwrap().sync_range(0..1).await), Some(29), "ESPIPE");
}

#[reactor::test]
async fn a_copy_has_the_bytes_and_the_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    // More than one chunk of the copying.
    let bytes = pattern((40 << 20) + 3);
    fs::write(&from, bytes.clone()).await.unwrap();
    fs::set_permissions(&from, 0o741).await.unwrap();
    fs::write(&to, vec![9; (50 << 20) + 1]).await.unwrap();
    assert_eq!(fs::copy(&from, &to).await.unwrap(), bytes.len() as u64);
    assert!(fs::read(&to).await.unwrap() == bytes);
    assert_eq!(fs::metadata(&to).await.unwrap().mode(), 0o741);
    let refused = fs::copy(&from, &from).await.unwrap_err();
    assert_eq!(refused.to_string(), "a file is not copied onto itself");
    assert_eq!(fs::metadata(&from).await.unwrap().len(), bytes.len() as u64, "and is as it was");
    assert_eq!(fs::copy(dir.path(), &to).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    // Between file systems, and with what says that its length is 0.
    assert!(fs::copy("/proc/version", &to).await.unwrap() > 0);
    assert_eq!(fs::read(&to).await.unwrap(), std::fs::read("/proc/version").unwrap());
}

#[reactor::test]
async fn files_are_spliced_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (read_write(&dir).await, File::create(dir.path().join("to")).await.unwrap());
    file.write_all_at("head and tail", 0).await.0.unwrap();
    let (output, input) =
        rustix::pipe::pipe().map(|(read, write)| (Fd::from(read), Fd::from(write))).unwrap();
    let ring = reactor::uring::Ring::current().unwrap();
    assert_eq!(ring.splice((file.fd(), Some(9)), (&input, None), 100).await.unwrap(), 4);
    assert_eq!(ring.splice((&output, None), (target.fd(), Some(2)), 4).await.unwrap(), 4);
    assert_eq!(fs::read(dir.path().join("to")).await.unwrap(), b"\0\0tail");
    assert_eq!(ring.splice((file.fd(), Some(13)), (&input, None), 100).await.unwrap(), 0, "the end");
    let code = |error: io::Error| error.raw_os_error();
    let refused = ring.splice((file.fd(), Some(0)), (target.fd(), Some(0)), 4).await.unwrap_err();
    assert_eq!(code(refused), Some(22), "EINVAL: neither is a pipe");
    let beyond = ring.splice((file.fd(), Some(1 << 63)), (&input, None), 4).await.unwrap_err();
    assert_eq!(code(beyond), Some(22), "an offset of -1 would be the file's own position");
    // Registered in the ring's table, on either side.
    assert!(ring.register(file.fd()) && ring.register(target.fd()) && ring.register(&input));
    assert_eq!(ring.splice((file.fd(), Some(0)), (&input, None), 4).await.unwrap(), 4);
    assert_eq!(ring.splice((&output, None), (target.fd(), Some(0)), 4).await.unwrap(), 4);
    assert_eq!(fs::read(dir.path().join("to")).await.unwrap(), b"headil");
}
