//! Devices that are full or broken: file systems of our own, in a process with its own view of what is mounted where.
//!
//! Skipped, with the reason, where the system lets nobody mount.

use reactor::{
    LocalExecutor,
    fs::{self, File, OpenOptions},
};
use rustix::io::Errno;
use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

const INSIDE: &str = "REACTOR_TEST_MOUNTS";

/// Runs the test of this name in a process that may mount; there, `test` gets an empty directory.
fn with_mounts(name: &str, test: impl AsyncFnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(INSIDE) {
        LocalExecutor::new().unwrap().block_on(test(Path::new(&dir)));
        return println!("held: {name}");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "--propagation", "private"]);
    if rustix::process::geteuid().is_root() {
        // A loop device takes a real root.
        unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private"]);
    }
    let test = std::env::current_exe().unwrap();
    let ran = unshare.arg(test).args(["--exact", name, "--nocapture"]).env(INSIDE, dir.path()).output();
    let Ok(output) = ran else { return println!("skipped: there is no `unshare`") };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if said.contains(SKIPPED) || said.contains("unshare: ") {
        return println!("{said}");
    }
    assert!(output.status.success() && said.contains("held: "), "{said}");
}

const SKIPPED: &str = "skipped: ";

/// Runs a program of the system's; false, and said why, where it may not do that.
fn can(program: &str, args: &[&str]) -> bool {
    match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("{SKIPPED}{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("{SKIPPED}{program}: {error}");
            false
        }
    }
}

fn mounted(dir: &Path, args: &[&str]) -> Option<PathBuf> {
    let at = dir.join("mounted");
    std::fs::create_dir(&at).unwrap();
    can("mount", &[args, &[at.to_str().unwrap()]].concat()).then_some(at)
}

/// An ext4 of 16 MiB in a file that is mounted; both paths.
fn ext4(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let image = dir.join("image");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let name = image.to_str().unwrap();
    if !can("mkfs.ext4", &["-q", "-F", "-O", "^has_journal", name]) {
        return None;
    }
    Some((mounted(dir, &["-o", "loop", name])?, image))
}

fn is_full(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NOSPC)
}

/// Writing more than there is room for, each way.
async fn fill(at: &Path, room: usize) {
    let file = OpenOptions::new().read(true).write(true).create(true).open(at.join("file")).await.unwrap();
    let (written, buf) = file.write_all_at(vec![7; 2 * room], 0).await;
    let error = written.unwrap_err();
    assert!(is_full(&error.source) && buf == vec![7; 2 * room], "{error}");
    assert!(error.done > 0 && error.done <= room, "{error}");
    let (read, _) = file.read_exact_at(vec![0; error.done], 0).await;
    read.unwrap();
    let (written, bufs) = file.write_all_vectored_at(vec![vec![7; room]; 2], 0).await;
    let error = written.unwrap_err();
    assert!(is_full(&error.source) && bufs == vec![vec![7; room]; 2] && error.done <= room, "{error}");
    assert!(is_full(&file.allocate(0..2 * room as u64).await.unwrap_err()));
    assert!(is_full(&fs::write(at.join("other"), vec![7; 1 << 20]).await.unwrap_err()));
    assert!(is_full(&fs::copy(at.join("file"), at.join("copy")).await.unwrap_err()));
    fs::remove_file(at.join("other")).await.unwrap();
    fs::remove_file(at.join("copy")).await.unwrap();
    file.set_len(0).await.unwrap();
    file.write_all_at(vec![7; 4096], 0).await.0.unwrap();
    file.sync_all().await.unwrap();
}

#[test]
fn a_full_tmpfs_is_enospc_and_the_buffer_comes_back() {
    with_mounts("mounts::a_full_tmpfs_is_enospc_and_the_buffer_comes_back", async |dir| {
        let Some(at) = mounted(dir, &["-t", "tmpfs", "-o", "size=4m", "none"]) else { return };
        fill(&at, 4 << 20).await;
    });
}

#[test]
fn a_full_ext4_is_enospc_and_the_buffer_comes_back() {
    with_mounts("mounts::a_full_ext4_is_enospc_and_the_buffer_comes_back", async |dir| {
        let Some((at, _)) = ext4(dir) else { return };
        fill(&at, 16 << 20).await;
    });
}

/// XFS shares blocks between files; the space that a copy takes tells.
#[test]
fn a_copy_shares_blocks_where_the_file_system_can() {
    with_mounts("mounts::a_copy_shares_blocks_where_the_file_system_can", async |dir| {
        let image = dir.join("image");
        std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let name = image.to_str().unwrap();
        if !can("mkfs.xfs", &["-q", "-m", "reflink=1", name]) {
            return;
        }
        let Some(at) = mounted(dir, &["-o", "loop", name]) else { return };
        let bytes: Vec<u8> = (0..32 << 20).map(|n: u32| (n % 251) as u8).collect();
        fs::write(at.join("file"), bytes.clone()).await.unwrap();
        let free = || {
            rustix::fs::syncfs(std::fs::File::open(&at).unwrap()).unwrap();
            let known = rustix::fs::statvfs(&at).unwrap();
            known.f_bfree * known.f_frsize
        };
        let before = free();
        assert_eq!(fs::copy(at.join("file"), at.join("copy")).await.unwrap(), bytes.len() as u64);
        assert!(before - free() < 4 << 20, "{} bytes were taken", before - free());
        assert!(fs::read(at.join("copy")).await.unwrap() == bytes);
    });
}

#[test]
fn a_read_only_mount_is_erofs() {
    with_mounts("mounts::a_read_only_mount_is_erofs", async |dir| {
        let Some(at) = mounted(dir, &["-t", "tmpfs", "-o", "ro", "none"]) else { return };
        let code = |error: io::Error| Errno::from_io_error(&error);
        assert_eq!(code(File::create(at.join("file")).await.unwrap_err()), Some(Errno::ROFS));
        assert_eq!(code(fs::create_dir(at.join("dir")).await.unwrap_err()), Some(Errno::ROFS));
        assert_eq!(code(fs::rename(at.join("a"), at.join("b")).await.unwrap_err()), Some(Errno::ROFS));
    });
}

/// The device under the file system has lost its end.
#[test]
fn a_broken_device_is_eio_and_the_buffer_comes_back() {
    with_mounts("mounts::a_broken_device_is_eio_and_the_buffer_comes_back", async |dir| {
        let Some((at, image)) = ext4(dir) else { return };
        fs::write(at.join("file"), vec![7; 8 << 20]).await.unwrap();
        let file = File::open(at.join("file")).await.unwrap();
        file.sync_all().await.unwrap();
        // Out of the page cache, so that the device is asked.
        file.advise(0..8 << 20, fs::Advice::DontNeed).await.unwrap();
        std::fs::File::options().write(true).open(&image).unwrap().set_len(64 << 10).unwrap();
        let (read, buf) = file.read_at(vec![9; 4096], 4 << 20).await;
        let code = |error: &io::Error| Errno::from_io_error(error);
        assert_eq!((code(&read.unwrap_err()), buf.len()), (Some(Errno::IO), 4096));
        let (read, buf) = file.read_exact_at(vec![9; 4096], 5 << 20).await;
        let error = read.unwrap_err();
        assert_eq!((error.done, code(&error.source), buf.len()), (0, Some(Errno::IO), 4096));
        let (read, bufs) = file.read_vectored_at(vec![vec![9; 8]; 2], 6 << 20).await;
        assert_eq!((code(&read.unwrap_err()), bufs.len()), (Some(Errno::IO), 2));
    });
}
