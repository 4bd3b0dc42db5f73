//! Conformance on real files, and what `open` says of those that will not do.

use std::fs::{OpenOptions, Permissions};
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::task::{Context, Waker};

use super::Uring;
use super::discard::discard;
use crate::LocalExecutor;
use crate::bdev::{Access, Error, Event, Result, conformance, open, register, unregister};
use crate::uring::Ring;

fn file(bytes: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(bytes).unwrap();
    file
}

fn opened(path: &Path, access: Access) -> Result<crate::bdev::Descriptor> {
    LocalExecutor::new().unwrap().block_on(open(&format!("file:{}", path.display()), access))
}

#[test]
fn conforms() {
    let file = file(16 << 20);
    conformance::check_spec(&format!("file:{}", file.path().display()));
}

/// And what cannot be leaves the device as it was.
#[test]
fn a_file_that_has_become_longer_or_shorter_is_as_large_once_it_was_looked_at() {
    let file = file(1 << 20);
    LocalExecutor::new().unwrap().block_on(async {
        let spec = format!("passthru(file:{})", file.path().display());
        let disk = open(&spec, Access::ReadWrite).await.unwrap();
        let base = open(&spec[9..spec.len() - 1], Access::ReadOnly).await.unwrap();
        let uring = base.module_as::<Uring>().unwrap();
        let (mut events, channel) = (disk.events(), disk.channel().unwrap());
        let size = u64::from(disk.geometry().block_size);
        let has = |bytes: u64, of: Result<u64>| {
            assert_eq!((of.unwrap(), disk.geometry().len_bytes()), (bytes / size, bytes));
        };
        has(1 << 20, uring.rescan());
        assert_eq!(events.try_next(), None, "nothing has changed");
        file.as_file().set_len(2 << 20).unwrap();
        has(2 << 20, uring.rescan());
        assert!(matches!(events.try_next(), Some(Event::Resized(now)) if now.len_bytes() == 2 << 20));
        let end = (2 << 20) / size;
        assert!(channel.read(end - 1..end).await.unwrap().iter().all(|byte| *byte == 0));

        for (bytes, said) in [(0, "is empty"), (size + 1, "are not whole blocks")] {
            file.as_file().set_len(bytes).unwrap();
            let e = uring.rescan().unwrap_err();
            assert!(matches!(e, Error::BadGeometry { .. }) && e.to_string().contains(said), "{e}");
            assert_eq!(disk.geometry().len_bytes(), 2 << 20);
        }
        // Nobody has told the device: the kernel answers what is beyond the end with less than was asked for.
        assert!(matches!(channel.read(end - 1..end).await, Err(Error::Io(_))));
        file.as_file().set_len(1 << 19).unwrap();
        has(1 << 19, uring.rescan());
        assert!(matches!(channel.read(end - 1..end).await, Err(Error::OutOfRange { .. })));
        channel.read(0..1).await.unwrap();
    });
    let unregistered = Uring::open(file.path(), Access::ReadOnly).unwrap();
    assert!(matches!(unregistered.rescan(), Err(Error::Removed)));
}

#[test]
fn who_has_too_many_files_open_is_told_what_to_raise() {
    let e = super::not_opened("cannot open x".into(), rustix::io::Errno::MFILE.into());
    assert!(e.to_string().contains("cannot open x") && e.to_string().contains("`ulimit -n`"), "{e}");
}

#[test]
fn conforms_through_the_page_cache() {
    // Of old, tmpfs had no O_DIRECT; where it has by now this is the test above once more.
    let dir = Path::new("/dev/shm");
    if dir.is_dir() {
        let file = tempfile::NamedTempFile::new_in(dir).unwrap();
        file.as_file().set_len(16 << 20).unwrap();
        conformance::check_spec(&format!("file:{}", file.path().display()));
    }
}

/// Whatever the disk under the temporary folder can.
#[test]
fn conforms_polled() {
    let file = file(16 << 20);
    conformance::check_spec(&format!("poll:{}", file.path().display()));
}

/// tmpfs has nothing to ask: the first I/O is refused on the polling ring, done on the other, and all further ones go there.
#[test]
fn what_cannot_be_polled_goes_the_ordinary_way() {
    let dir = Path::new("/dev/shm");
    if !dir.is_dir() {
        return println!("no tmpfs");
    }
    let file = tempfile::NamedTempFile::new_in(dir).unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let device = Uring::open(file.path(), Access::ReadWrite).unwrap().polled();
    if !device.is_direct() {
        return println!("this tmpfs has no O_DIRECT");
    }
    LocalExecutor::new().unwrap().block_on(async {
        register("polled0", device).unwrap();
        let disk = open("polled0", Access::ReadWrite).await.unwrap();
        let (ordinary, polling) = (Ring::current().unwrap(), Ring::current_polling().unwrap());
        for write in [true, false] {
            // Each channel finds out for itself.
            let channel = disk.channel().unwrap();
            let block_size = channel.geometry().block_size as usize;
            let before = (ordinary.counters().completed, polling.counters().completed);
            for block in 0..4 {
                let mut data = channel.try_alloc(block_size).unwrap();
                data.fill(block as u8 + 1);
                if write {
                    channel.write(block, data).await.unwrap();
                } else {
                    let data = channel.read_into(block..block + 1, data).await.unwrap();
                    assert!(data.iter().all(|byte| *byte == block as u8 + 1));
                }
            }
            let after = (ordinary.counters().completed, polling.counters().completed);
            assert_eq!((after.0 - before.0, after.1 - before.1), (4, 1), "write: {write}");
        }
    });
    unregister("polled0").unwrap();
}

/// A file and the same one polled are one device: nobody writes past the claim of another.
#[test]
fn a_polled_file_has_the_name_of_the_file() {
    let file = file(1 << 20);
    LocalExecutor::new().unwrap().block_on(async {
        let _writer = open(&format!("file:{}", file.path().display()), Access::ReadWrite).await.unwrap();
        let again = open(&format!("poll:{}", file.path().display()), Access::ReadWrite).await;
        assert!(matches!(again, Err(Error::Busy { .. })));
    });
}

/// A block device over a file.
struct Loop(String);

impl Loop {
    fn new(file: &Path) -> Option<Self> {
        let made = Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(file).output();
        let Some(made) = made.ok().filter(|made| made.status.success()) else {
            println!("no loop device here: not root, or no losetup");
            return None;
        };
        Some(Self(String::from_utf8(made.stdout).unwrap().trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn conforms_on_a_loop_device() {
    let file = file(16 << 20);
    let Some(device) = Loop::new(file.path()) else { return };
    for kind in ["file", "poll"] {
        conformance::check_spec(&format!("{kind}:{}", device.0));
    }
}

#[test]
fn a_block_device_gives_up_what_is_unmapped_and_zeroes_what_shall_be_zeroes() {
    let file = file(16 << 20);
    let Some(device) = Loop::new(file.path()) else { return };
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open(&format!("file:{}", device.0), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let blocks = (4 << 20) / u64::from(channel.geometry().block_size);
        let occupied = || file.as_file().metadata().unwrap().blocks() * 512;
        for round in 0..3 {
            let mut data = channel.try_alloc(4 << 20).unwrap();
            data.fill(round + 1);
            channel.write(0, data).await.unwrap();
            channel.flush().await.unwrap();
            assert!(occupied() >= 4 << 20);
            match round {
                0 => channel.unmap(0..blocks).await.unwrap(),
                1 => channel.write_zeroes(0..blocks).await.unwrap(),
                _ => {
                    let disk = OpenOptions::new().write(true).open(&device.0).unwrap();
                    discard(disk.as_fd(), 0, 4 << 20).unwrap();
                }
            }
            assert!(round == 1 || occupied() < 1 << 20, "{} bytes are occupied", occupied());
            if round < 2 {
                assert!(channel.read(0..blocks).await.unwrap().iter().all(|byte| *byte == 0));
            }
        }
    });
}

#[test]
fn data_and_holes_of_a_sparse_file_are_found() {
    let file = file(4 << 20);
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open(&format!("file:{}", file.path().display()), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        let at = (1 << 20) / u64::from(channel.geometry().block_size);
        assert_eq!(channel.seek_hole(3).await.unwrap(), Some(3));
        assert_eq!(channel.seek_data(0).await.unwrap(), None);
        let mut data = channel.try_alloc(64 << 10).unwrap();
        data.fill(1);
        let end = at + data.len() as u64 / u64::from(channel.geometry().block_size);
        channel.write(at, data).await.unwrap();
        channel.flush().await.unwrap();
        assert_eq!(channel.seek_data(0).await.unwrap(), Some(at));
        assert_eq!(channel.seek_hole(at).await.unwrap(), Some(end));
        assert_eq!(channel.seek_data(end).await.unwrap(), None);
    });
}

#[test]
fn a_missing_file_and_a_directory_are_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let e = opened(&dir.path().join("none"), Access::ReadOnly).unwrap_err();
    assert!(e.to_string().contains("create it first"), "{e}");
    // What is there, and out of reach, is not to be created.
    let file = file(4096);
    let e = opened(&file.path().join("below"), Access::ReadOnly).unwrap_err();
    assert!(e.to_string().starts_with("cannot reach "), "{e}");
    let e = opened(dir.path(), Access::ReadOnly).unwrap_err();
    assert!(e.to_string().contains("is a directory"), "{e}");
    let e = opened(Path::new("/dev/null"), Access::ReadOnly).unwrap_err();
    assert!(e.to_string().contains("neither a file nor a block device"), "{e}");
    let code =
        std::error::Error::source(&e).and_then(|e| e.downcast_ref()).and_then(std::io::Error::raw_os_error);
    assert_eq!(code, Some(rustix::io::Errno::NOTBLK.raw_os_error()));
}

/// Loop devices that nobody has attached a file to, for one, where there are any.
#[test]
fn a_device_without_a_medium_is_not_told_to_be_truncated() {
    let sizes = std::fs::read_dir("/sys/block").into_iter().flatten().filter_map(std::io::Result::ok);
    let empty = sizes.filter(|dir| std::fs::read(dir.path().join("size")).is_ok_and(|size| size == b"0\n"));
    for dir in empty.take(16) {
        // Another test may give it a file meanwhile.
        if let Err(e) = opened(&Path::new("/dev").join(dir.file_name()), Access::ReadOnly) {
            assert!(!e.to_string().contains("truncate"), "{e}");
        }
    }
}

#[test]
fn a_size_that_is_not_whole_blocks_is_refused() {
    for bytes in [0, 1, 511, 4096 + 100] {
        let file = file(bytes);
        let e = opened(file.path(), Access::ReadOnly).unwrap_err();
        assert!(matches!(e, Error::BadGeometry { .. }), "{bytes}: {e}");
        // Nothing is lost by what is advised.
        let advice = if bytes == 0 { "is empty; give it a size" } else { "truncate -s %" };
        assert!(e.to_string().contains(advice), "{e}");
    }
}

#[test]
fn a_file_that_may_only_be_read_opens_read_only() {
    let file = file(1 << 20);
    file.as_file().set_permissions(Permissions::from_mode(0o444)).unwrap();
    // Root may write all the same.
    if OpenOptions::new().write(true).open(file.path()).is_err() {
        assert!(matches!(opened(file.path(), Access::ReadWrite), Err(Error::ReadOnly { .. })));
    }
    opened(file.path(), Access::ReadOnly).unwrap();
}

#[test]
fn a_reader_first_and_a_writer_later_share_the_device() {
    let file = file(1 << 20);
    let spec = format!("file:{}", file.path().display());
    LocalExecutor::new().unwrap().block_on(async {
        let reader = open(&spec, Access::ReadOnly).await.unwrap();
        let writer = open(&spec, Access::ReadWrite).await.unwrap();
        let channel = writer.channel().unwrap();
        let mut data = channel.try_alloc(4096).unwrap();
        data.fill(5);
        channel.write(0, data).await.unwrap();
        let blocks = 4096 / u64::from(channel.geometry().block_size);
        assert!(reader.channel().unwrap().read(0..blocks).await.unwrap().iter().all(|b| *b == 5));
    });
}

#[test]
fn a_file_cut_short_below_fails_the_read_and_returns_the_buffer() {
    let file = file(1 << 20);
    let spec = format!("file:{}", file.path().display());
    LocalExecutor::new().unwrap().block_on(async {
        let channel = open(&spec, Access::ReadOnly).await.unwrap().channel().unwrap();
        file.as_file().set_len(256 << 10).unwrap();
        let blocks = channel.geometry().block_count;
        let e = channel.read_into(0..blocks, channel.try_alloc(1 << 20).unwrap()).await.unwrap_err();
        assert!(matches!(&*e.error, Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof), "{e}");
        assert_eq!(e.buf.map(|buf| buf.len()), Some(1 << 20));
    });
}

/// A write whose future is dropped may reach the file until its ring says otherwise: who holds the device waits for that.
#[test]
fn a_hold_waits_for_what_the_ring_still_does() {
    let file = file(1 << 20);
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open(&format!("file:{}", file.path().display()), Access::ReadWrite).await.unwrap();
        let channel = disk.channel().unwrap();
        for _ in 0..8 {
            let mut writes: Vec<_> = (0..16)
                .map(|at| {
                    let data = channel.try_alloc(4096).unwrap();
                    Box::pin(channel.write(at * 4096 / u64::from(channel.geometry().block_size), data))
                })
                .collect();
            for write in &mut writes {
                assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            drop(writes);
            assert!(channel.is_lingering() && channel.in_flight().is_empty());
            let held = disk.quiesce().await.unwrap();
            assert!(!channel.is_lingering());
            drop(held);
        }
    });
}
