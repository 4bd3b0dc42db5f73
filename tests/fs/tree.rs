//! Names and directories. That they come out the same without the operations of newer kernels is in `src/fs/tests`.

use futures::TryStreamExt;
use reactor::fs;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

#[reactor::test]
async fn a_directory_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    // More than one trip to a thread, and a whole number of them.
    let names: BTreeSet<String> = (0..512).map(|n| format!("entry {n}")).collect();
    for name in &names {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let mut read = BTreeSet::new();
    let mut entries = fs::read_dir(dir.path()).await.unwrap();
    while let Some(entry) = entries.next_entry().await.unwrap() {
        assert!(entry.file_type().await.unwrap().is_file());
        assert_eq!(entry.path(), dir.path().join(entry.file_name()));
        read.insert(entry.file_name().into_string().unwrap());
    }
    assert_eq!(read, names);
    assert!(entries.next_entry().await.unwrap().is_none(), "and stays there");
    let all: Vec<_> = fs::read_dir(dir.path()).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.len(), 512);
    let known = all[0].metadata().await.unwrap();
    assert_eq!((known.inode(), known.len()), (all[0].inode(), 0));
}

#[reactor::test]
async fn directories_are_made_as_deep_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/../b/c");
    fs::create_dir_all(&deep).await.unwrap();
    fs::create_dir_all(&deep).await.unwrap();
    fs::create_dir_all("").await.unwrap();
    assert!(fs::metadata(dir.path().join("a/b/c")).await.unwrap().is_dir());
    fs::write(dir.path().join("a/file"), "x").await.unwrap();
    assert!(fs::create_dir_all(dir.path().join("a/file")).await.is_err());
    assert!(fs::create_dir_all(dir.path().join("a/file/below")).await.is_err());
    assert!(fs::remove_dir(dir.path().join("a")).await.is_err(), "it is not empty");
    fs::remove_dir_all(dir.path().join("a")).await.unwrap();
    assert!(!fs::try_exists(dir.path().join("a")).await.unwrap());
}

#[reactor::test]
async fn metadata_is_what_std_says() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "hello").unwrap();
    fs::symlink("file", dir.path().join("link")).await.unwrap();
    fs::hard_link(&path, dir.path().join("other")).await.unwrap();
    for path in [&path, &dir.path().join("link"), &dir.path().to_owned(), &"/dev/null".into()] {
        let (ours, stds) = (fs::metadata(path).await.unwrap(), std::fs::metadata(path).unwrap());
        assert_eq!(
            (ours.len(), ours.mode(), ours.links()),
            (stds.len(), stds.mode() & 0o7777, stds.nlink() as u32)
        );
        assert_eq!(
            (ours.inode(), ours.device(), ours.special_device()),
            (stds.ino(), stds.dev(), stds.rdev())
        );
        assert_eq!((ours.uid(), ours.gid(), ours.allocated()), (stds.uid(), stds.gid(), stds.blocks() * 512));
        assert_eq!((ours.is_dir(), ours.is_file()), (stds.is_dir(), stds.is_file()));
        assert_eq!((ours.modified(), ours.created()), (stds.modified().unwrap(), stds.created().ok()));
        assert_eq!(ours.accessed(), stds.accessed().unwrap());
    }
    assert!(fs::symlink_metadata(dir.path().join("link")).await.unwrap().is_symlink());
    assert!(fs::metadata("/dev/null").await.unwrap().file_type().is_char_device());
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(before_1970).unwrap();
    assert_eq!(fs::metadata(&path).await.unwrap().modified(), before_1970);
    let absolute = fs::canonicalize(dir.path().join("link")).await.unwrap();
    assert_eq!(absolute, path.canonicalize().unwrap());
}
