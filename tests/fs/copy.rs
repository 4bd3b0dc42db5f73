//! Copies: within and between file systems, with holes, onto themselves, into what is no file.

use reactor::fs::{self, File, OpenOptions};
use rustix::io::Errno;
use std::{os::unix::fs::FileExt, path::Path};
use tempfile::TempDir;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Two folders in every combination of a disk's and memory's.
fn pairs() -> Vec<(TempDir, TempDir)> {
    let disk = || tempfile::tempdir().unwrap();
    let mut pairs = vec![(disk(), disk())];
    match (tempfile::tempdir_in("/dev/shm"), tempfile::tempdir_in("/dev/shm")) {
        (Ok(one), Ok(other)) => {
            pairs.push((disk(), tempfile::tempdir_in("/dev/shm").unwrap()));
            pairs.push((tempfile::tempdir_in("/dev/shm").unwrap(), disk()));
            pairs.push((one, other));
        }
        _ => println!("skipped: with a tmpfs, as there is none at /dev/shm"),
    }
    pairs
}

#[reactor::test]
async fn a_copy_goes_from_any_file_system_to_any() {
    // More than one chunk of the copying.
    let bytes = pattern((20 << 20) + 3);
    for (from, to) in pairs() {
        let (from, to) = (from.path().join("from"), to.path().join("to"));
        fs::write(&from, bytes.clone()).await.unwrap();
        assert_eq!(fs::copy(&from, &to).await.unwrap(), bytes.len() as u64);
        assert!(fs::read(&to).await.unwrap() == bytes, "{} to {}", from.display(), to.display());
        // A range, over what is there.
        let source = File::open(&from).await.unwrap();
        let target = OpenOptions::new().write(true).open(&to).await.unwrap();
        assert_eq!(source.copy_range_to(1..1 << 40, &target, 7).await.unwrap(), bytes.len() as u64 - 1);
        assert!(fs::read(&to).await.unwrap()[7..] == bytes[1..]);
    }
}

#[reactor::test]
async fn holes_stay_holes() {
    const LEN: u64 = 64 << 20;
    for (from, to) in pairs() {
        let (from, to) = (from.path().join("from"), to.path().join("to"));
        let file = std::fs::File::create(&from).unwrap();
        // A hole at the beginning, between, and at the end.
        let data = pattern(300_000);
        for at in [1 << 20, 30 << 20] {
            file.write_all_at(&data, at).unwrap();
        }
        file.set_len(LEN).unwrap();
        let known = fs::metadata(&from).await.unwrap();
        if known.allocated() > LEN / 2 {
            println!("skipped: no holes at {}", from.display());
            continue;
        }
        // Nothing of what was there before shows.
        fs::write(&to, pattern(2 << 20)).await.unwrap();
        assert_eq!(fs::copy(&from, &to).await.unwrap(), LEN);
        assert!(fs::read(&to).await.unwrap() == fs::read(&from).await.unwrap());
        let copied = fs::metadata(&to).await.unwrap();
        assert_eq!(copied.len(), LEN);
        assert!(copied.allocated() < 4 << 20, "{} of {LEN} bytes are allocated", copied.allocated());
        // One that is nothing but a hole.
        file.set_len(0).unwrap();
        file.set_len(LEN).unwrap();
        assert_eq!(fs::copy(&from, &to).await.unwrap(), LEN);
        let copied = fs::metadata(&to).await.unwrap();
        assert!(copied.len() == LEN && copied.allocated() < 1 << 20, "{copied:?}");
    }
}

#[reactor::test]
async fn ranges_of_one_file_do_not_overlap() {
    for (dir, _) in pairs() {
        let path = dir.path().join("file");
        let bytes = pattern(40 << 20);
        fs::write(&path, bytes.clone()).await.unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).await.unwrap();
        let other = File::open(&path).await.unwrap();
        // The last of them in no single chunk of the copying.
        for (range, at) in [(0..20, 19), (20..40, 1), (0..40 << 20, 17 << 20)] {
            let refused = other.copy_range_to(range.clone(), &file, at).await.unwrap_err();
            assert_eq!(Errno::from_io_error(&refused), Some(Errno::INVAL), "{range:?} to {at}");
        }
        assert!(fs::read(&path).await.unwrap() == bytes, "nothing has moved");
        // What is beyond the end is not there to overlap.
        let end = bytes.len() as u64;
        assert_eq!(other.copy_range_to(end - 10..end + 100, &file, end).await.unwrap(), 10);
        assert_eq!(file.copy_range_to(0..20, &file, 20).await.unwrap(), 20);
        assert_eq!(fs::read(&path).await.unwrap()[20..40], bytes[..20]);
    }
}

/// Where there are no offsets, the bytes go through the ring, and nobody waits on a thread for the reader.
#[reactor::test]
async fn a_copy_goes_into_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    let bytes = pattern(1 << 20);
    fs::write(&from, bytes.clone()).await.unwrap();
    let (read, write) = rustix::pipe::pipe().unwrap();
    let (reader, writer) = (File::from_std(read).unwrap(), File::from_std(write).unwrap());
    let source = File::open(&from).await.unwrap();
    let copied = reactor::spawn_local(async move { source.copy_range_to(1..1 << 30, &writer, 0).await });
    let mut read = Vec::new();
    loop {
        let (count, part) = reader.read_at(vec![0; 8192], 0).await;
        match count.unwrap() {
            0 => break,
            count => read.extend_from_slice(&part[..count]),
        }
    }
    assert!(read == bytes[1..]);
    assert_eq!(copied.await.unwrap().unwrap(), bytes.len() as u64 - 1);
}

#[reactor::test]
async fn a_copy_that_does_not_fit_keeps_its_code() {
    // Any write to it is refused.
    let full = Path::new("/dev/full");
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::write(&from, "some bytes").await.unwrap();
    let refused = fs::copy(&from, full).await.unwrap_err();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::NOSPC));
}
