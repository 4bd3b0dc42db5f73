//! Tables whole, damaged and hostile.

use std::io::Cursor;

use super::*;
use crate::LocalExecutor;
use crate::bdev::{Access, modules::Ram, open_private};

const LEN: usize = 8 << 20;

/// A disk with two partitions, made by the crate.
fn image(block: LogicalBlockSize) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; LEN]);
    let mut table = GptConfig::new()
        .writable(true)
        .logical_block_size(block)
        .create_from_device(&mut disk, None)
        .unwrap();
    table.add_partition("boot", 1 << 20, gpt::partition_types::EFI, 0, None).unwrap();
    table.add_partition("data", 2 << 20, gpt::partition_types::LINUX_FS, 0, None).unwrap();
    table.write().unwrap();
    disk.into_inner()
}

fn read(image: &[u8]) -> Result<Vec<Partition>> {
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open_private("disk", Ram::new(image.len() as u64).unwrap(), Access::ReadWrite).unwrap();
        write(&disk, 0, image).await;
        parts(&disk).await
    })
}

async fn write(disk: &Descriptor, block: u64, bytes: &[u8]) {
    disk.channel().unwrap().write_from(block, bytes).await.unwrap();
}

/// The partitions, each of which lies on the disk.
async fn parts(disk: &Descriptor) -> Result<Vec<Partition>> {
    let found = partitions(disk).await?;
    for partition in &found {
        partition.part(disk).unwrap();
    }
    Ok(found)
}

fn names(found: Vec<Partition>) -> Vec<(u32, String, u64)> {
    found.into_iter().map(|it| (it.number, it.name, it.blocks.end - it.blocks.start)).collect()
}

fn good() -> Vec<(u32, String, u64)> {
    vec![(1, "boot".to_owned(), 2048), (2, "data".to_owned(), 4096)]
}

#[test]
fn partitions_are_found_by_either_table() {
    let mut image = image(LogicalBlockSize::Lb512);
    assert_eq!(names(read(&image).unwrap()), good());
    let end = image.len();
    // Of the last table nothing is needed while the first is whole.
    image[end - 512..].fill(0);
    assert_eq!(names(read(&image).unwrap()), good());
}

#[test]
fn where_the_first_table_is_damaged_the_second_stands_in() {
    let whole = image(LogicalBlockSize::Lb512);
    for (at, what) in
        [(512, "signature"), (512 + 16, "checksum"), (1024 + 60, "an entry"), (512 + 84, "entry size")]
    {
        let mut image = whole.clone();
        image[at] ^= 0xff;
        assert_eq!(names(read(&image).unwrap()), good(), "{what}");
    }
}

#[test]
fn what_is_no_table_says_so() {
    let none = |image: &[u8]| match read(image) {
        Err(Error::NoPartitions { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    none(&vec![0; LEN]);
    none(&vec![0xff; LEN]);
    none(&[0; 512]);
    none(&[0; 3 * 512]);
}

/// Whatever a few bytes of it are, nothing panics, and what is believed lies on the disk.
#[test]
fn hostile_tables_do_no_harm() {
    let mut image = image(LogicalBlockSize::Lb512);
    let last = LEN - 512;
    LocalExecutor::new().unwrap().block_on(async {
        let disk = open_private("disk", Ram::new(LEN as u64).unwrap(), Access::ReadWrite).unwrap();
        write(&disk, 0, &image).await;
        for at in (512..512 + 92).chain(1024..1024 + 256).chain(last..last + 92) {
            let block = at / 512 * 512;
            let whole = image[block..block + 512].to_vec();
            for byte in [0, 1, 0x7f, 0xff] {
                image[at] = byte;
                // The other copy is damaged too, so that it is not what answers.
                image[last] ^= u8::from(at < last);
                // The rest of the disk is as it was.
                for block in [block, last] {
                    write(&disk, block as u64 / 512, &image[block..block + 512]).await;
                }
                let _ = parts(&disk).await;
                image[last] ^= u8::from(at < last);
                image[block..block + 512].copy_from_slice(&whole);
            }
            for block in [block, last] {
                write(&disk, block as u64 / 512, &image[block..block + 512]).await;
            }
        }
    });
}
