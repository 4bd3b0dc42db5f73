//! The partitions of disks: found, claimed, named, gone with their disk, and what a spec opens of them.

use super::run;
use ::gpt::{GptConfig, disk::LogicalBlockSize, partition_types};
use reactor::bdev::{
    self, Access, Claim, Error, Names, info, list,
    modules::{Null, gpt::Gpt},
    open, register, unregister,
};
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use tempfile::NamedTempFile;

const LEN: usize = 8 << 20;
/// Where the first partition begins: behind the header, and the 128 entries of 128 bytes.
const FIRST_BYTE: u64 = 34 * 512;

/// A disk in a file, with partitions of one megabyte by these names.
pub fn disk(labels: &[&str]) -> NamedTempFile {
    let mut image = Cursor::new(vec![0; LEN]);
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(&mut image, None).unwrap();
    for label in labels {
        table.add_partition(label, 1 << 20, partition_types::LINUX_FS, 0, None).unwrap();
    }
    table.write().unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image.into_inner()).unwrap();
    file
}

pub fn spec(file: &NamedTempFile) -> String {
    format!("file:\"{}\"", file.path().display())
}

/// What went wrong with the examination of `name`.
fn failure(name: &str) -> Option<String> {
    info(name).unwrap().examined.into_iter().find(|it| it.module == "gpt").expect("it was examined").failure
}

async fn write(name: &str, byte: u8) {
    let channel = open(name, Access::ReadWrite).await.unwrap().channel().unwrap();
    let mut page = channel.alloc(512).await.unwrap();
    page.fill(byte);
    channel.write(0, page).await.unwrap();
    channel.flush().await.unwrap();
}

#[test]
fn partitions_are_found_named_and_claimed_and_go_with_their_disk() {
    let file = disk(&["boot", ""]);
    run(async {
        bdev::add_module(Gpt::new()).await.unwrap();
        bdev::create("disk0", &spec(&file)).await.unwrap();
        bdev::examined().await;
        assert_eq!(bdev::names(), ["disk0", "disk0p1", "disk0p2"]);
        assert_eq!(failure("disk0"), None);
        let [_, one, two] = &list()[..] else { panic!() };
        assert_eq!(
            (one.module, &one.aliases[..], &one.bases[..]),
            ("gpt", &["boot".to_owned()][..], &["disk0".to_owned()][..])
        );
        assert!(one.uuid.is_some() && two.uuid.is_some() && one.uuid != two.uuid && two.aliases.is_empty());
        assert_eq!(one.geometry.len_bytes(), 1 << 20);

        let claim = info("disk0").unwrap().claim.unwrap();
        assert_eq!((claim.claim, &*claim.by[0]), (Claim::WriteOne, "gpt"));
        let refused = open("disk0", Access::ReadWrite).await.unwrap_err().to_string();
        assert!(refused.contains("in use by gpt, to write alone"), "{refused}");
        open("disk0", Access::ReadOnly).await.unwrap();

        // Each is written by itself, at its own place on the disk.
        let id = one.uuid.unwrap().to_string();
        write("boot", 1).await;
        write("disk0p2", 2).await;
        assert_eq!(open(&id, Access::ReadOnly).await.unwrap().name(), "disk0p1");
        for (number, label) in [(1_u8, "gpt:1"), (2, "gpt:2")] {
            let page = open(&format!("disk0p{number}"), Access::ReadOnly).await.unwrap();
            assert_eq!(page.channel().unwrap().read(0..1).await.unwrap()[0], number, "{label}");
        }
        // Found again, not written down.
        let text = bdev::config();
        assert!(
            text.contains("# disk0p1: no spec")
                && text.lines().filter(|it| !it.starts_with('#')).count() == 1,
            "{text}"
        );

        unregister("disk0").unwrap().await;
        assert_eq!(bdev::names(), [""; 0]);
        bdev::load(&text).await.unwrap();
        bdev::examined().await;
        assert_eq!(bdev::names(), ["disk0", "disk0p1", "disk0p2"]);
        // Without the module there are none, and the disk is free.
        bdev::remove_module("gpt").await.unwrap();
        assert_eq!(bdev::names(), ["disk0"]);
        open("disk0", Access::ReadWrite).await.unwrap();
    });
    let mut byte = [0];
    file.as_file().read_exact_at(&mut byte, FIRST_BYTE).unwrap();
    assert_eq!(byte, [1]);
}

#[test]
fn a_partitions_name_that_is_taken_leaves_all_of_them_away_and_the_disk_free() {
    let file = disk(&["a", "b"]);
    run(async {
        register("disk0p2", Null::new(1 << 20).unwrap()).unwrap();
        bdev::add_module(Gpt::new()).await.unwrap();
        bdev::create("disk0", &spec(&file)).await.unwrap();
        bdev::examined().await;
        assert_eq!(bdev::names(), ["disk0", "disk0p2"]);
        let said = failure("disk0").unwrap();
        assert!(said.contains("\"disk0p2\" cannot be registered: the name is taken"), "{said}");
        drop(open("disk0", Access::ReadWrite).await.unwrap());
        // Once it is free, they are there for the asking.
        drop(unregister("disk0p2").unwrap());
        bdev::examine("disk0").await.unwrap();
        assert_eq!(bdev::names(), ["disk0", "disk0p1", "disk0p2"]);
        bdev::examine("disk0").await.unwrap();
        assert_eq!(bdev::names().len(), 3, "who has it is not asked again");
    });
}

/// Names are often the same, identities must not be: of a disk and its copy only one has partitions.
#[test]
fn a_label_that_is_taken_is_no_alias_and_a_copied_disk_is_told() {
    let (file, other) = (disk(&["data", "data"]), disk(&["data"]));
    let copy = NamedTempFile::new().unwrap();
    std::fs::copy(file.path(), copy.path()).unwrap();
    run(async {
        bdev::add_module(Gpt::new()).await.unwrap();
        for (name, file) in [("disk0", &file), ("other", &other), ("copy", &copy)] {
            bdev::create(name, &spec(file)).await.unwrap();
            bdev::examined().await;
        }
        assert_eq!(bdev::names(), ["copy", "disk0", "disk0p1", "disk0p2", "other", "otherp1"]);
        assert_eq!(open("data", Access::ReadOnly).await.unwrap().name(), "disk0p1");
        let id = info("disk0p1").unwrap().uuid.unwrap().to_string();
        let said = failure("copy").unwrap();
        assert!(said.contains(&id) && said.contains("\"disk0p1\" is known by that"), "{said}");
    });
}

#[test]
fn a_disk_that_is_written_is_left_alone_until_it_is_examined_again() {
    let file = disk(&["a"]);
    run(async {
        bdev::add_module(Gpt::new()).await.unwrap();
        bdev::create("disk0", &spec(&file)).await.unwrap();
        let writer = open("disk0", Access::ReadWrite).await.unwrap();
        bdev::examined().await;
        let said = failure("disk0").unwrap();
        assert!(said.contains("is open for writing elsewhere"), "{said}");
        let asked = bdev::examine("disk0").await.unwrap_err().to_string();
        assert!(asked.starts_with("the module gpt cannot examine \"disk0\": "), "{asked}");
        drop(writer);
        bdev::examine("disk0").await.unwrap();
        assert_eq!(bdev::names(), ["disk0", "disk0p1"]);
    });
}

#[test]
fn what_is_damaged_is_told_and_what_is_none_is_not() {
    let file = disk(&["a"]);
    for at in [512 + 16, LEN as u64 - 512 + 16] {
        file.as_file().write_all_at(&[0xa5; 4], at).unwrap();
    }
    run(async {
        bdev::add_module(Gpt::new()).await.unwrap();
        bdev::create("disk0", &spec(&file)).await.unwrap();
        bdev::create("empty", "ram:8M").await.unwrap();
        bdev::create("tiny", "ram:512").await.unwrap();
        bdev::examined().await;
        let said = failure("disk0").unwrap();
        assert!(said.contains("no partition table that can be believed"), "{said}");
        assert_eq!((failure("empty"), failure("tiny")), (None, None));
        assert!(list().iter().all(|disk| disk.claim.is_none()));
    });
}

/// What a guest has in its partition is the guest's.
#[test]
fn a_table_within_a_partition_is_not_looked_at() {
    let file = disk(&["guest"]);
    let inner = std::fs::read(disk(&["inner"]).path()).unwrap();
    // The first of its two tables is enough.
    file.as_file().write_all_at(&inner[..64 << 10], FIRST_BYTE).unwrap();
    run(async {
        bdev::add_module(Gpt::new()).await.unwrap();
        bdev::create("disk0", &spec(&file)).await.unwrap();
        bdev::examined().await;
        assert_eq!(bdev::names(), ["disk0", "disk0p1"]);
        assert_eq!(failure("disk0p1"), None);
    });
}

/// A file that may only be read has partitions that may only be read.
#[test]
fn partitions_of_what_cannot_be_written_cannot_be_written() {
    let file = disk(&["a"]);
    run(async {
        let base = open(&spec(&file), Access::ReadOnly).await.unwrap();
        bdev::add_module(Gpt::new()).await.unwrap();
        register("disk0", bdev::modules::Passthru::new(base)).unwrap();
        bdev::examined().await;
        assert_eq!(info("disk0").unwrap().claim.unwrap().claim, Claim::WriteNone);
        assert!(matches!(open("disk0p1", Access::ReadWrite).await, Err(Error::ReadOnly { .. })));
        open("disk0p1", Access::ReadOnly).await.unwrap().channel().unwrap().read(0..8).await.unwrap();
    });
}

#[test]
fn one_partition_is_opened_by_its_number_its_label_or_its_guid() {
    let file = disk(&["boot", "data", "data"]);
    let below = spec(&file);
    run(async {
        let first = open(&format!("gpt:1({below})"), Access::ReadWrite).await.unwrap();
        assert_eq!((first.module(), first.geometry().len_bytes()), ("gpt", 1 << 20));
        let said = first.info().spec.unwrap();
        let id = said.strip_prefix("gpt:").and_then(|it| it.split('(').next()).unwrap().to_owned();
        drop(first);
        for which in ["label=boot", &id, &id.to_uppercase()] {
            let again = open(&format!("gpt:{which}({below})"), Access::ReadWrite).await.unwrap();
            assert_eq!(again.info().spec.unwrap(), said, "{which}");
        }
        bdev::create(Names::new("boot"), &said).await.unwrap();
        assert_eq!(bdev::config(), format!("boot = {said}\n"));
        drop(unregister("boot").unwrap());
        for (which, says) in [
            ("9", "no one partition 9: there are 1 (\"boot\", "),
            ("label=none", "no one partition \"none\": there are 1"),
            ("label=data", "2 and 3 are both called that: give the number"),
            ("00000000-0000-0000-0000-000000000001", "there are 1"),
            ("boot", "for a name write label=NAME"),
        ] {
            let e = open(&format!("gpt:{which}({below})"), Access::ReadOnly).await.unwrap_err().to_string();
            assert!(e.contains(says), "{which}: {e}");
        }
        assert!(matches!(open("gpt:1(ram:1M)", Access::ReadOnly).await, Err(Error::NoPartitions { .. })));
        let e = open("gpt(ram:1M)", Access::ReadOnly).await.unwrap_err().to_string();
        assert!(e.contains("say which partition"), "{e}");
    });
}
