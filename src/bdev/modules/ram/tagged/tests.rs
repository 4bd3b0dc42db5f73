//! Blocks and what is beside them: kept together, checked, and given up together.

use super::*;
use crate::LocalExecutor;
use crate::bdev::{
    Channel, Descriptor, Protection, ProtectionTuple, ProtectionType, Tag, conformance, open_private,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

fn open(bytes: u64, data_size: u32, metadata: Metadata) -> Descriptor {
    open_private("ram", TaggedRam::new(bytes, data_size, metadata).unwrap(), Access::ReadWrite).unwrap()
}

#[test]
fn conforms_in_every_form() {
    use ProtectionType::{Type1, Type2, Type3};
    block_on(async {
        for metadata in [Metadata::separate, Metadata::interleaved] {
            conformance::check(&open(1 << 20, 4096, metadata(32))).await;
            for kind in [Type1, Type2, Type3] {
                for (bytes, is_first) in [(8, false), (24, false), (24, true)] {
                    let protection = Protection::new(kind).with_first(is_first).with_application(3, 0xff);
                    conformance::check(&open(256 << 10, 512, metadata(bytes).with_protection(protection)))
                        .await;
                }
            }
        }
    });
}

#[test]
fn metadata_that_cannot_be_is_refused() {
    let protection = Protection::new(ProtectionType::Type1);
    for (metadata, reason) in [
        (Metadata::separate(0), "leave no data"),
        (Metadata::separate(12), "a multiple of 8"),
        (Metadata::interleaved(520), "no more than the 512"),
        (Metadata::separate(0).with_protection(protection), "leave no data"),
        (Metadata::separate(8).with_protection(protection.with_application(0xffff, 0)), "0xffff"),
    ] {
        let e = TaggedRam::new(1 << 20, 512, metadata).unwrap_err();
        assert!(matches!(e, Error::BadGeometry { .. }) && e.to_string().contains(reason), "{e}");
    }
    assert!(matches!(TaggedRam::new(1000, 512, Metadata::separate(8)), Err(Error::BadGeometry { .. })));
}

#[test]
fn its_spec_makes_it_again() {
    for spec in [
        "ram:1M,md=16,form=separate",
        "ram:1M,block=4K,md=8,form=interleaved,pi=3,pi_first=true",
        "ram:1M,md=8,form=separate,pi=1,pi_first=false,app=7",
    ] {
        let disk = block_on(crate::bdev::open(spec, Access::ReadOnly)).unwrap();
        assert_eq!(disk.spec_as_base().as_deref(), Some(spec));
    }
    let part = Protection::new(ProtectionType::Type1).with_checks(true, false);
    assert_eq!(open(1 << 20, 512, Metadata::separate(8).with_protection(part)).spec_as_base(), None);
}

/// As NVMe has it of blocks that are deallocated or unwritten.
#[test]
fn blocks_never_written_or_given_up_are_zeroes_with_every_bit_of_their_tags_set() {
    block_on(async {
        let metadata = Metadata::separate(16).with_protection(Protection::new(ProtectionType::Type1));
        let disk = open(1 << 20, 512, metadata);
        let channel = disk.channel().unwrap();
        let mut data = channel.try_alloc(64 * 512).unwrap();
        data.fill(7);
        channel.write(100, data).await.unwrap();
        channel.unmap(101..163).await.unwrap();
        for range in [0..1, 101..163, 164..2048] {
            let (data, beside) = channel.read_with_metadata(range).await.unwrap();
            assert!(data.iter().all(|byte| *byte == 0));
            assert!(beside.chunks(16).all(|it| it[..8] == [0; 8] && it[8..] == [0xff; 8]));
        }
        for lba in [100, 163] {
            let (data, beside) = channel.read_with_metadata(lba..lba + 1).await.unwrap();
            let tuple = disk.geometry().protector().unwrap().tuple(&beside);
            assert!(data.iter().all(|byte| *byte == 7) && tuple.reference == lba as u32, "{lba}: {tuple:?}");
        }
    });
}

/// Memory that went bad below the checks.
#[test]
fn what_is_read_is_checked_with_and_without_its_metadata() {
    block_on(async {
        for metadata in [Metadata::separate(8), Metadata::interleaved(8)] {
            let ram = TaggedRam::new(
                1 << 20,
                512,
                metadata.with_protection(Protection::new(ProtectionType::Type1)),
            )
            .unwrap();
            let memory = ram.memory.clone();
            let disk = open_private("ram", ram, Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            channel.write_zeroes(0..16).await.unwrap();
            memory.data.write(5 * 512 + 504, &[0, 0, 0, 0, 0, 0, 0, 1]);
            let mut answers = vec![channel.read(0..16).await.map(drop)];
            if !metadata.interleaved {
                answers.push(channel.read_with_metadata(0..16).await.map(drop));
            }
            for answer in answers {
                let wanted = Error::Protection { lba: 5, tag: Tag::Guard, expected: 0x8bb7, found: 0 };
                assert_eq!(answer.unwrap_err().to_string(), wanted.to_string());
            }
            channel.read(6..16).await.unwrap();
        }
    });
}

/// Half of one write and half of another would be a wrong guard.
#[test]
fn cores_that_write_read_and_give_up_the_same_blocks_see_whole_ones() {
    let metadata = Metadata::separate(8).with_protection(Protection::new(ProtectionType::Type1));
    let disk = open(1 << 20, 4096, metadata);
    let on_a_core = |disk: Descriptor, value: u8| {
        block_on(async move {
            let channel: Channel = disk.channel().unwrap();
            for round in 0..300 {
                let mut data = channel.try_alloc(16 * 4096).unwrap();
                data.fill(value);
                channel.write(round % 3, data).await.unwrap();
                if round % 16 == 0 {
                    channel.unmap(5..9).await.unwrap();
                }
                let (seen, tags) = channel.read_with_metadata(0..16).await.unwrap();
                for (block, tag) in seen.chunks(4096).zip(tags.chunks(8)) {
                    assert!(block.iter().all(|byte| *byte == block[0]), "a block of two writes");
                    let is_unwritten = tag == ProtectionTuple::UNWRITTEN.to_bytes();
                    assert_eq!(block[0] == 0, is_unwritten, "tags of another write");
                }
            }
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| on_a_core(disk.clone(), 0x0f));
        scope.spawn(|| on_a_core(disk.clone(), 0xf0));
    });
}
