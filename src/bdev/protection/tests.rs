//! Protection information against known vectors, a bitwise oracle, and every kind of damage.

use super::*;
use crate::bdev::{Geometry, Metadata};

const TYPES: [ProtectionType; 3] = [ProtectionType::Type1, ProtectionType::Type2, ProtectionType::Type3];

fn protector(metadata: Metadata, protection: Protection) -> Protector {
    let block_size = if metadata.interleaved { 512 + metadata.bytes } else { 512 };
    let shape = Geometry::new(block_size, 1 << 40).with_metadata(Some(metadata.with_protection(protection)));
    shape.validate().unwrap();
    shape.protector().unwrap()
}

/// T10's definition, a bit at a time.
fn bitwise(data: impl IntoIterator<Item = u8>) -> u16 {
    data.into_iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| (crc << 1) ^ if crc >> 15 == 1 { 0x8bb7 } else { 0 })
    })
}

fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let byte = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(byte).take(len).collect()
}

/// The check value of CRC catalogues and of SPDK's `crc16_ut`, and the codewords of T10's proposal of October 2003 (4.5.6).
#[test]
fn guards_are_those_of_known_vectors() {
    let with = |head: &[u8]| {
        let mut data = [0; 32];
        data[..head.len()].copy_from_slice(head);
        data.to_vec()
    };
    let vectors = [
        (b"123456789".to_vec(), 0xd0db),
        (with(&[]), 0x0000),
        (vec![0xff; 32], 0xa293),
        ((0..32).collect(), 0x0224),
        (with(&[0xff; 2]), 0x21b8),
        ((0xe0..=0xff).rev().collect(), 0xa0b7),
    ];
    let protector = protector(Metadata::separate(8), Protection::new(ProtectionType::Type1));
    for (data, guard) in vectors {
        assert_eq!(bitwise(data.iter().copied()), guard, "the oracle, of {data:02x?}");
        assert_eq!(protector.guard(&data, &[0; 8]), guard, "{data:02x?}");
    }
}

/// Of the data, and of the metadata before it: none if it is the first.
#[test]
fn guards_of_any_length_are_those_of_the_bitwise_oracle() {
    for bytes in [8, 16, 64, 128] {
        for is_first in [false, true] {
            let protection = Protection::new(ProtectionType::Type1).with_first(is_first);
            let protector = protector(Metadata::separate(bytes), protection);
            let metadata = noise(bytes as usize, 3);
            let before = if is_first { &[] } else { &metadata[..bytes as usize - 8] };
            for len in (0..70).chain([127, 255, 256, 257, 511, 512, 513, 1000, 4096, 65537]) {
                let data = noise(len, len as u64);
                let all = data.iter().chain(before).copied();
                assert_eq!(protector.guard(&data, &metadata), bitwise(all), "{len}, {bytes} {is_first}");
            }
        }
    }
}

#[test]
fn tuples_lie_big_endian_at_either_end_of_the_metadata() {
    for (is_first, at) in [(true, 0), (false, 8)] {
        let protection =
            Protection::new(ProtectionType::Type1).with_first(is_first).with_application(0x1122, 0);
        let protector = protector(Metadata::interleaved(16), protection);
        let mut block = [0; 528];
        block[..512].fill(0xff);
        protector.generate(0xabcd_0304_0506, &mut block);
        let guard = bitwise([0xff; 512].into_iter().chain(if is_first { vec![] } else { vec![0; 8] }));
        let mut wanted = [0; 16];
        wanted[at..at + 2].copy_from_slice(&guard.to_be_bytes());
        wanted[at + 2..at + 8].copy_from_slice(&[0x11, 0x22, 0x03, 0x04, 0x05, 0x06]);
        assert_eq!(block[512..], wanted, "{is_first}");
    }
}

/// Data and metadata of blocks of 528 bytes.
fn apart(blocks: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (data, metadata) =
        blocks.chunks(528).map(|block| block.split_at(512)).unzip::<_, _, Vec<_>, Vec<_>>();
    (data.concat(), metadata.concat())
}

/// Every bit of a block, in every form: what is covered is found, and said to be what it is.
#[test]
fn each_flipped_bit_is_found_where_it_is_covered() {
    for kind in TYPES {
        for (is_first, interleaved) in [(false, false), (false, true), (true, false), (true, true)] {
            let metadata = if interleaved { Metadata::interleaved(16) } else { Metadata::separate(16) };
            let protection = Protection::new(kind).with_first(is_first).with_application(0x00aa, 0x00ff);
            let protector = protector(metadata, protection);
            let mut blocks = noise(3 * 528, 9);
            if interleaved {
                protector.generate(70, &mut blocks);
            } else {
                let (data, mut beside) = apart(&blocks);
                protector.generate_beside(70, &data, &mut beside);
                blocks = data.chunks(512).zip(beside.chunks(16)).flat_map(|(d, m)| [d, m].concat()).collect();
            }
            let tuple = if is_first { 512..520 } else { 520..528 };
            for bit in 0..528 * 8 {
                let (byte, mask) = (bit / 8, 1 << (bit % 8));
                blocks[528 + byte] ^= mask;
                let found = if interleaved {
                    protector.check(70, &blocks)
                } else {
                    let (data, beside) = apart(&blocks);
                    protector.check_beside(70, &data, &beside)
                };
                blocks[528 + byte] ^= mask;
                let wanted = match byte.checked_sub(tuple.start) {
                    None => Some(Tag::Guard),
                    Some(0 | 1) => Some(Tag::Guard),
                    Some(2) => None,
                    Some(3) => Some(Tag::Application),
                    Some(4..8) => Some(Tag::Reference).filter(|_| kind != ProtectionType::Type3),
                    // Behind the first eight bytes.
                    Some(_) => None,
                };
                match (found, wanted) {
                    (Ok(()), None) => {}
                    (Err(Error::Protection { lba: 71, tag, expected, found }), Some(wanted)) => {
                        assert!(tag == wanted && expected != found, "{protection:?} bit {bit}: {tag}");
                    }
                    (found, wanted) => panic!("{protection:?} bit {bit}: {found:?}, not {wanted:?}"),
                }
            }
        }
    }
}

#[test]
fn only_the_checks_that_are_asked_for_are_made() {
    for guard in [false, true] {
        for reference in [false, true] {
            let protection = Protection::new(ProtectionType::Type1).with_checks(guard, reference);
            let protector = protector(Metadata::interleaved(8), protection);
            let mut block = [7; 520];
            protector.generate(5, &mut block);
            let answer = protector.check(6, &block);
            assert_eq!(matches!(answer, Err(Error::Protection { tag: Tag::Reference, .. })), reference);
            block[0] ^= 1;
            let answer = protector.check(5, &block);
            assert_eq!(matches!(answer, Err(Error::Protection { tag: Tag::Guard, .. })), guard);
        }
    }
}

/// NVM Command Set 1.0, 5.2: an application tag of 0xffff, and for type 3 a reference tag of 0xffffffff as well.
#[test]
fn escaped_blocks_are_not_checked() {
    for kind in TYPES {
        let protector = protector(Metadata::interleaved(8), Protection::new(kind));
        let mut block = [9; 520];
        protector.put_tuple(&mut block[512..], ProtectionTuple::UNWRITTEN);
        protector.check(3, &block).unwrap();
        let tuple = ProtectionTuple { reference: 3, ..ProtectionTuple::UNWRITTEN };
        protector.put_tuple(&mut block[512..], tuple);
        assert_eq!(protector.check(3, &block).is_ok(), kind != ProtectionType::Type3, "{kind:?}");
        protector.put_tuple(&mut block[512..], ProtectionTuple { application: 0xfffe, ..tuple });
        assert!(protector.check(3, &block).is_err(), "{kind:?}");
    }
}

/// Wrong tags stay wrong, escaped ones as they are, and the way back leads where it came from; numbers beyond 32 bits wrap.
#[test]
fn reference_tags_move_with_their_blocks() {
    for (from, to) in [(0, 100), (100, 0), (u64::from(u32::MAX) - 1, 7), (5, 1 << 32)] {
        for metadata in [Metadata::interleaved(8), Metadata::separate(8)] {
            let protector = protector(metadata, Protection::new(ProtectionType::Type2));
            let (mut blocks, data, mut beside) = (noise(4 * 520, 1), noise(4 * 512, 2), vec![0; 4 * 8]);
            let bytes = if metadata.interleaved {
                protector.generate(from, &mut blocks);
                &mut blocks
            } else {
                protector.generate_beside(from, &data, &mut beside);
                &mut beside
            };
            let stride = bytes.len() / 4;
            let tuple_at = stride - 8;
            protector.put_tuple(&mut bytes[tuple_at..stride], ProtectionTuple::UNWRITTEN);
            let before = bytes.clone();
            protector.remap(from, to, bytes);
            assert_eq!(before[..stride], bytes[..stride], "what escapes stays");
            let check = |bytes: &[u8]| match metadata.interleaved {
                true => protector.check(to, bytes),
                false => protector.check_beside(to, &data, bytes),
            };
            check(bytes).unwrap();
            // The third block's tag is one too large, wherever it is.
            bytes[3 * stride - 1] = bytes[3 * stride - 1].wrapping_add(1);
            match check(bytes) {
                Err(Error::Protection { lba, tag: Tag::Reference, .. }) => assert_eq!(lba, to + 2),
                answer => panic!("{answer:?}"),
            }
            bytes[3 * stride - 1] = bytes[3 * stride - 1].wrapping_sub(1);
            protector.remap(to, from, bytes);
            assert_eq!(&before, bytes);
        }
    }
}

#[test]
fn errors_say_which_tag_of_which_block() {
    let e = Error::Protection { lba: 9, tag: Tag::Reference, expected: 9, found: 0x1f };
    assert_eq!(e.to_string(), "block 9: its reference tag should be 0x9 and is 0x1f");
}
