//! Kernels that lack an operation: the same answers, by another way.

use super::{LATE, core_without};
use crate::{
    fs::{self, File, copying::Copying},
    uring::{Features, Ring},
};
use std::{
    io,
    path::{Path, PathBuf},
};

fn code<T>(result: io::Result<T>) -> i32 {
    result.err().map_or(0, |error| error.raw_os_error().expect("an OS code"))
}

/// A call that needs the operation that this feature is, and what was asked of the kernel for it.
async fn asked(
    of: &mut Vec<(Features, u64)>,
    feature: Features,
    call: impl Future<Output = io::Result<()>>,
) -> i32 {
    let ring = Ring::current().unwrap();
    let before = ring.counters().submitted;
    let answer = code(call.await);
    of.push((feature, ring.counters().submitted - before));
    answer
}

/// Each call once with success and once without; yields the answers, and how many entries each took.
async fn story(dir: PathBuf) -> (Vec<i32>, Vec<(Features, u64)>) {
    let at = |name: &str| dir.join(name);
    let (one, two, missing) = (at("one"), at("two"), at("missing"));
    fs::write(&one, "1").await.unwrap();
    fs::write(&two, "2").await.unwrap();
    let file = File::create(at("file")).await.unwrap();
    let reader = File::open(&one).await.unwrap();
    let mut of = Vec::new();
    let nul = Path::new("a\0b");
    let answers = vec![
        asked(&mut of, Features::RENAME, fs::rename_no_replace(&one, &two)).await,
        asked(&mut of, Features::RENAME, fs::exchange(&one, &two)).await,
        asked(&mut of, Features::RENAME, fs::exchange(&one, &missing)).await,
        asked(&mut of, Features::RENAME, fs::rename(&two, at("moved"))).await,
        asked(&mut of, Features::HARD_LINK, fs::hard_link(&one, at("hard"))).await,
        asked(&mut of, Features::HARD_LINK, fs::hard_link(&missing, at("never"))).await,
        asked(&mut of, Features::SYMLINK, fs::symlink("one", at("soft"))).await,
        asked(&mut of, Features::SYMLINK, fs::symlink("one", at("soft"))).await,
        asked(&mut of, Features::MAKE_DIRECTORY, fs::create_dir(at("dir"))).await,
        asked(&mut of, Features::MAKE_DIRECTORY, fs::create_dir(missing.join("dir"))).await,
        asked(&mut of, Features::UNLINK, fs::remove_file(at("moved"))).await,
        asked(&mut of, Features::UNLINK, fs::remove_file(at("dir"))).await,
        asked(&mut of, Features::UNLINK, fs::remove_dir(&one)).await,
        asked(&mut of, Features::UNLINK, fs::remove_dir(at("dir"))).await,
        asked(&mut of, Features::TRUNCATE, file.set_len(1 << 20)).await,
        asked(&mut of, Features::TRUNCATE, reader.set_len(5)).await,
        // Refused before it reaches the kernel on the one way, by the kernel on the other.
        code(file.set_len(1 << 63).await),
        code(fs::rename(nul, "b").await),
        code(fs::hard_link("a", nul).await),
        code(fs::symlink(nul, "b").await),
        code(fs::create_dir(nul).await),
        code(fs::remove_file(nul).await),
    ];
    assert_eq!(fs::read(&one).await.unwrap(), b"2", "the names have changed places");
    assert_eq!(fs::metadata(&one).await.unwrap().links(), 2);
    assert_eq!(fs::read_link(at("soft")).await.unwrap(), Path::new("one"));
    assert_eq!(file.metadata().await.unwrap().len(), 1 << 20);
    assert!(!fs::try_exists(at("moved")).await.unwrap() && !fs::try_exists(at("dir")).await.unwrap());
    (answers, of)
}

#[test]
fn what_the_kernel_lacks_is_done_by_a_thread_with_the_same_answers() {
    let whole = tempfile::tempdir().unwrap();
    let (expected, _) = core_without(&[]).block_on(story(whole.path().to_owned()));
    assert_eq!(expected.iter().filter(|&&answer| answer == 0).count(), 8, "{expected:?}");
    for hidden in LATE.iter().map(std::slice::from_ref).chain([&LATE[..]]) {
        let dir = tempfile::tempdir().unwrap();
        let (answers, of) = core_without(hidden).block_on(story(dir.path().to_owned()));
        assert_eq!(answers, expected, "without {hidden:?}");
        let by_ring = of
            .iter()
            .filter(|(feature, _)| crate::uring::Probe::get().unwrap().features().contains(*feature));
        for (feature, entries) in by_ring {
            assert_eq!(*entries, u64::from(!hidden.contains(feature)), "{feature} without {hidden:?}");
        }
    }
}

/// Here the kernel refuses to copy by itself; what it refuses goes through a buffer.
#[test]
fn what_the_kernel_does_not_copy_goes_through_a_buffer() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    core_without(&[]).block_on(async {
        // Longer than one buffer, and no whole number of them.
        let bytes: Vec<u8> = (0..700_001).map(|n| (n % 251) as u8).collect();
        fs::write(at("from"), bytes.clone()).await.unwrap();
        let (source, target) = (File::open(at("from")).await.unwrap(), File::create(at("to")).await.unwrap());
        let copying = || Copying::new(&source, &target).unwrap().by_buffer();
        assert_eq!(source.copy_range(copying(), 1..u64::MAX >> 1, &target, 7).await.unwrap(), 700_000);
        assert_eq!(fs::read(at("to")).await.unwrap()[7..], bytes[1..]);
        assert_eq!(source.copy_range(copying(), 0..10, &target, 0).await.unwrap(), 10);
        // `copy_file_range(2)` says that these are empty.
        let version = std::fs::read("/proc/version").unwrap();
        let proc = File::open("/proc/version").await.unwrap();
        assert_eq!(proc.copy_range_to(0..1 << 20, &target, 0).await.unwrap(), version.len() as u64);
        assert_eq!(fs::read(at("to")).await.unwrap()[..version.len()], version);
    });
}
