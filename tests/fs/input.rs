//! Bad input, and files that are not what one thinks: the OS code is kept, the buffer comes back.

use crate::support::is_pending;
use futures::FutureExt;
use reactor::LocalExecutor;
use reactor::fs::{self, File, OpenOptions};
use reactor::uring::CoreGone;
use rustix::io::Errno;
use std::{io, path::Path};

fn code(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// All combinations, held against std's answers.
#[reactor::test]
async fn options_open_what_stds_open() {
    for bits in 0..64_u32 {
        let dir = tempfile::tempdir().unwrap();
        let is = |bit: u32| bits >> bit & 1 == 1;
        for exists in [false, true] {
            let (ours, stds) = (dir.path().join("ours"), dir.path().join("stds"));
            for path in [&ours, &stds] {
                let _missing = std::fs::remove_file(path);
                if exists {
                    std::fs::write(path, "before").unwrap();
                }
            }
            let mut options = OpenOptions::new();
            options.read(is(0)).write(is(1)).append(is(2)).truncate(is(3)).create(is(4)).create_new(is(5));
            let mut of_std = std::fs::OpenOptions::new();
            of_std.read(is(0)).write(is(1)).append(is(2)).truncate(is(3)).create(is(4)).create_new(is(5));
            let (opened, expected) = (options.open(&ours).await, of_std.open(&stds));
            let kinds =
                (opened.as_ref().err().map(io::Error::kind), expected.as_ref().err().map(io::Error::kind));
            assert_eq!(kinds.0, kinds.1, "{options:?}");
            let (ours, stds) = (std::fs::read(ours).ok(), std::fs::read(stds).ok());
            assert_eq!(ours, stds, "{options:?}");
        }
    }
}

#[reactor::test]
async fn contradictions_are_explained() {
    let error = OpenOptions::new().open("any").await.unwrap_err();
    assert_eq!(error.to_string(), "a file is opened with `read`, `write` or `append`");
    let error = OpenOptions::new().read(true).create(true).open("any").await.unwrap_err();
    assert_eq!(error.to_string(), "`create`, `create_new` and `truncate` go with `write` or `append`");
    let error = OpenOptions::new().append(true).truncate(true).open("any").await.unwrap_err();
    assert_eq!(error.to_string(), "`truncate` goes with `write`, not with `append`");
}

#[reactor::test]
async fn custom_flags_and_mode_reach_the_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(&path)
        .await
        .unwrap();
    assert_eq!(fs::metadata(&path).await.unwrap().mode(), 0o600);
    fs::symlink("file", dir.path().join("link")).await.unwrap();
    let refused = OpenOptions::new().read(true).custom_flags(flags).open(dir.path().join("link")).await;
    assert_eq!(code(&refused.unwrap_err()), Some(Errno::LOOP));
}

#[reactor::test]
async fn errors_keep_their_code_and_return_the_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "0123").await.unwrap();
    let read_only = File::open(&path).await.unwrap();
    let (written, buf) = read_only.write_at(vec![1, 2, 3], 0).await;
    assert_eq!((code(&written.unwrap_err()), &buf[..]), (Some(Errno::BADF), &[1, 2, 3][..]));
    let (written, buf) = read_only.write_all_at(vec![1, 2, 3], 0).await;
    let error = written.unwrap_err();
    assert_eq!((error.done, code(&error.source), buf.len()), (0, Some(Errno::BADF), 3));
    let (written, bufs) = read_only.write_all_vectored_at(vec![vec![1], vec![2]], 0).await;
    assert_eq!((code(&written.unwrap_err().source), bufs.len()), (Some(Errno::BADF), 2));
    for offset in [1 << 63, u64::MAX] {
        let (read, buf) = read_only.read_at(vec![9; 4], offset).await;
        assert_eq!((code(&read.unwrap_err()), buf), (Some(Errno::INVAL), vec![9; 4]), "{offset:#x}");
        let (read, buf) = read_only.read_exact_at(vec![9; 4], offset).await;
        assert_eq!((code(&read.unwrap_err().source), buf), (Some(Errno::INVAL), vec![9; 4]), "{offset:#x}");
        let (read, bufs) = read_only.read_vectored_at(vec![vec![9; 4]], offset).await;
        assert_eq!((code(&read.unwrap_err()), bufs), (Some(Errno::INVAL), vec![vec![9; 4]]), "{offset:#x}");
    }
    let (read, _) = read_only.read_at(vec![9; 4], i64::MAX as u64 - 4).await;
    assert_eq!(read.unwrap(), 0, "past the end there is nothing");
    let write = OpenOptions::new().write(true).open(&path).await.unwrap();
    let (written, buf) = write.write_all_at(vec![9; 8], i64::MAX as u64 - 4).await;
    let error = written.unwrap_err();
    assert_eq!(
        (code(&error.source), buf.len()),
        (Some(Errno::INVAL), 8),
        "it would end beyond the largest offset"
    );
    assert_eq!(code(&write.read_at(vec![0], 0).await.0.unwrap_err()), Some(Errno::BADF));
    let backwards = std::ops::Range { start: 2, end: 1 };
    assert_eq!(code(&write.punch_hole(backwards.clone()).await.unwrap_err()), Some(Errno::INVAL));
    assert_eq!(code(&write.allocate(1..1).await.unwrap_err()), Some(Errno::INVAL));
    assert_eq!(code(&read_only.copy_range_to(backwards, &write, 0).await.unwrap_err()), Some(Errno::INVAL));
    assert_eq!(code(&read_only.copy_range_to(0..4, &write, 1 << 63).await.unwrap_err()), Some(Errno::INVAL));
}

#[reactor::test]
async fn nothing_is_read_and_written_as_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, Vec::new()).await.unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&path).await.unwrap();
    file.read_exact_at(Vec::new(), 0).await.0.unwrap();
    file.write_all_at(Vec::new(), 5).await.0.unwrap();
    file.read_exact_vectored_at(vec![Vec::new(), Vec::new()], 0).await.0.unwrap();
    assert_eq!(fs::read(&path).await.unwrap(), b"");
    assert_eq!(
        file.read_exact_at(vec![0; 1], 0).await.0.unwrap_err().source.kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[reactor::test]
async fn directories_are_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let opened = File::open(dir.path()).await.unwrap();
    let (read, buf) = opened.read_at(vec![0; 8], 0).await;
    assert_eq!((code(&read.unwrap_err()), buf.len()), (Some(Errno::ISDIR), 8));
    assert_eq!(code(&fs::read(dir.path()).await.unwrap_err()), Some(Errno::ISDIR));
    assert_eq!(code(&fs::write(dir.path(), "x").await.unwrap_err()), Some(Errno::ISDIR));
    assert_eq!(code(&fs::remove_file(dir.path()).await.unwrap_err()), Some(Errno::ISDIR));
}

/// The kernel waits for data where a system call would say `EAGAIN`, and nobody spins.
#[reactor::test]
async fn a_pipe_that_would_say_eagain_is_waited_for() {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    let pipe = File::from_std(read).unwrap();
    let mut reading = reactor::spawn_local(pipe.read_at(vec![7; 8], 0));
    reactor::yield_now().await;
    assert!(is_pending(&mut reading).await);
    rustix::io::write(&write, b"data").unwrap();
    let (count, buf) = reading.await.unwrap();
    assert_eq!((count.unwrap(), &buf[..]), (4, &b"data\x07\x07\x07\x07"[..]));
}

/// With `create` the ring waits for the other end; without, the answer is that of `O_NONBLOCK`.
#[reactor::test]
async fn a_named_pipe_is_opened_at_once_or_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
    let refused = OpenOptions::new().write(true).open(&path).await.unwrap_err();
    assert_eq!(code(&refused), Some(Errno::NXIO));
    let waiting = async |path: &Path| OpenOptions::new().write(true).create(true).open(path).await;
    // Given up: the worker that waits is called off, or the core would not end.
    let mut given_up = Box::pin(waiting(&path));
    assert!(is_pending(&mut given_up).await);
    reactor::yield_now().await;
    assert!(is_pending(&mut given_up).await);
    drop(given_up);
    let mut writer = Box::pin(waiting(&path));
    assert!(is_pending(&mut writer).await);
    let reader = File::open(&path).await.unwrap();
    let writer = writer.await.unwrap();
    writer.write_all_at("through", 0).await.0.unwrap();
    let (read, buf) = reader.read_exact_at(vec![0; 7], 0).await;
    read.unwrap();
    assert_eq!(buf, b"through");
}

#[reactor::test]
async fn paths_that_lead_nowhere_keep_the_kernels_word() {
    let (missing, nul) = (Path::new("/missing/file"), Path::new("a\0b"));
    for (path, expected) in [(missing, Errno::NOENT), (nul, Errno::INVAL)] {
        assert_eq!(code(&File::open(path).await.unwrap_err()), Some(expected));
        assert_eq!(code(&fs::metadata(path).await.unwrap_err()), Some(expected));
        assert_eq!(code(&fs::read(path).await.unwrap_err()), Some(expected));
        assert_eq!(code(&fs::rename(path, "/missing/other").await.unwrap_err()), Some(expected));
        assert_eq!(code(&fs::create_dir(path).await.unwrap_err()), Some(expected));
    }
    assert!(!fs::try_exists(missing).await.unwrap());
    assert_eq!(fs::read_dir(missing).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[reactor::test]
async fn what_is_no_text_is_refused_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, vec![0xff, 0xfe]).await.unwrap();
    assert_eq!(fs::read_to_string(&path).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// The file says that it is larger than any memory.
#[reactor::test]
async fn a_file_larger_than_memory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = File::create(&path).await.unwrap();
    if file.set_len(15 << 40).await.is_err() {
        return println!("skipped: no such files on {}", path.display());
    }
    // Where the kernel promises more memory than there is, nothing is known before it is touched.
    if Vec::<u8>::new().try_reserve_exact(15 << 40).is_ok() {
        return println!("skipped: this system promises any memory");
    }
    assert_eq!(fs::read(&path).await.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
}

#[test]
#[should_panic(expected = "reactor::fs")]
fn outside_of_a_reactor_files_say_what_they_need() {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = std::pin::pin!(File::open("any")).poll(&mut cx);
}

/// A file stays on its core (`!Send`), and says so when that has ended, wherever it is used.
#[test]
fn a_file_of_a_core_that_has_ended_says_so_and_returns_the_buffer() {
    static_assertions::assert_not_impl_any!(File: Send, Sync);
    let file = LocalExecutor::new().unwrap().block_on(File::open("/proc/version")).unwrap();
    let is_gone = |error: io::Error| error.get_ref().is_some_and(|inner| inner.is::<CoreGone>());
    let story = async || {
        let (read, buf) = file.read_exact_at(vec![0; 5], 0).await;
        let incomplete = read.unwrap_err();
        assert_eq!((incomplete.done, buf.len()), (0, 5));
        assert!(is_gone(incomplete.into()));
        let (read, bufs) = file.read_vectored_at(vec![vec![0; 5]; 2], 0).await;
        assert_eq!(bufs.len(), 2);
        assert!(is_gone(read.unwrap_err()));
        assert!(is_gone(file.sync_all().await.unwrap_err()));
        assert!(is_gone(file.metadata().await.unwrap_err()));
    };
    LocalExecutor::new().unwrap().block_on(story());
    assert!(story().now_or_never().is_some(), "on no reactor");
    // The descriptor goes on elsewhere.
    let elsewhere = LocalExecutor::new().unwrap();
    elsewhere.block_on(async {
        let file = File::from_std(file.try_clone_to_std().unwrap()).unwrap();
        assert_eq!(file.read_exact_at(vec![0; 5], 0).await.1, b"Linux");
    });
}
