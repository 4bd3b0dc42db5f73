//! What stacked devices make of the metadata below them: handed on, left below, or refused.

use crate::LocalExecutor;
use crate::bdev::modules::{Mirror, MirrorControl};
use crate::bdev::{Access, Error, Metadata, Protection, ProtectionType, Tag, open};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

const SEPARATE: &str = "ram:1M,md=8,pi=1";
const WITHIN: &str = "ram:1M,md=8,form=interleaved,pi=1";
const UNNAMED: &str = "ram:1M,md=8,form=interleaved,pi=3";
const PLAIN: &str = "ram:1M,md=8,form=interleaved";

#[test]
fn metadata_is_handed_on_where_it_stays_right() {
    let of = |kind| Some(Protection::new(kind));
    let within = |protection| Some(Metadata { protection, ..Metadata::interleaved(8) });
    let separate = |protection| Some(Metadata { protection, ..Metadata::separate(8) });
    let (first, third) = (of(ProtectionType::Type1), of(ProtectionType::Type3));
    block_on(async {
        for (spec, metadata) in [
            (format!("passthru({SEPARATE})"), separate(first)),
            (format!("delay:0({SEPARATE})"), separate(first)),
            (format!("error({WITHIN})"), within(first)),
            (format!("verify({SEPARATE})"), separate(first)),
            (format!("part:1..100({SEPARATE})"), separate(first)),
            (format!("part:1..100({WITHIN})"), within(first)),
            (format!("mirror({WITHIN},{WITHIN})"), within(first)),
            (format!("mirror({UNNAMED},{UNNAMED})"), within(third)),
            (format!("concat({PLAIN},{PLAIN})"), within(None)),
            (format!("stripe({PLAIN},{PLAIN})"), within(None)),
            (format!("zoned:64K({PLAIN})"), within(None)),
            // Made and checked below.
            (format!("mirror({SEPARATE},{SEPARATE})"), None),
            (format!("concat({SEPARATE},ram:1M)"), None),
            (format!("stripe({SEPARATE},{SEPARATE})"), None),
            (format!("zoned:64K({SEPARATE})"), None),
        ] {
            let disk = open(&spec, Access::ReadOnly).await.unwrap_or_else(|e| panic!("{spec}: {e}"));
            assert_eq!(disk.geometry().metadata, metadata, "{spec}");
        }
    });
}

#[test]
fn metadata_that_would_be_wrong_is_refused_with_what_to_do() {
    block_on(async {
        for (spec, reason) in [
            (format!("concat({WITHIN},{WITHIN})"), "take devices where it is separate"),
            (format!("stripe({UNNAMED},{UNNAMED})"), "take devices where it is separate"),
            (format!("mirror({WITHIN},{PLAIN})"), "the same metadata within"),
            (format!("concat({UNNAMED},{PLAIN})"), "the same metadata within"),
            (format!("concat({UNNAMED},ram:1M)"), "one block size"),
            (format!("zoned:64K({WITHIN})"), "take a device where it is separate"),
        ] {
            match open(&spec, Access::ReadOnly).await {
                Err(e @ Error::BadGeometry { .. }) => assert!(e.to_string().contains(reason), "{spec}: {e}"),
                answer => panic!("{spec}: {answer:?}"),
            }
        }
    });
}

#[test]
fn a_mirror_takes_no_other_metadata_in_place_of_a_member() {
    block_on(async {
        // Each of its own, whatever else has the name.
        let member = async |spec: &str| open(&format!("passthru({spec})"), Access::ReadOnly).await.unwrap();
        let mirror = Mirror::over([member(WITHIN).await, member(WITHIN).await]).unwrap();
        let control: MirrorControl = mirror.control();
        control.fail(1).unwrap();
        let e = control.replace(1, member(PLAIN).await).unwrap_err();
        assert!(matches!(e, Error::BadGeometry { .. }) && e.to_string().contains("other metadata"), "{e}");
        control.replace(1, member(WITHIN).await).unwrap();
    });
}

/// Which knows its blocks by other numbers.
#[test]
fn protection_below_a_stack_finds_what_goes_wrong_on_the_way_to_it() {
    block_on(async {
        for spec in [
            format!("error:write=corrupt,blocks=8..9({WITHIN})"),
            format!("error:write=misdirected,blocks=8..9({WITHIN})"),
            format!("part:92..200(error:write=misdirected,blocks=100..101({SEPARATE}))"),
        ] {
            let disk = open(&spec, Access::ReadWrite).await.unwrap();
            let (channel, protector) = (disk.channel().unwrap(), disk.geometry().protector().unwrap());
            let mut data = channel.try_alloc(disk.geometry().block_size as usize).unwrap();
            let mut beside = channel.try_alloc(8).unwrap();
            let answer = if protector.is_interleaved() {
                protector.generate(8, &mut data);
                channel.write(8, data).await
            } else {
                protector.generate_beside(8, &data, &mut beside);
                channel.write_with_metadata(8, data, beside).await
            };
            match answer {
                Err(Error::Protection { lba, tag: Tag::Guard, .. }) if spec.contains("corrupt") => {
                    assert_eq!(lba, 8)
                }
                Err(Error::Protection { lba: 9, tag: Tag::Reference, expected: 9, found: 8 }) => {}
                answer => panic!("{spec}: {answer:?}"),
            }
            channel.read(0..16).await.unwrap();
        }
    });
}

#[cfg(feature = "crypt")]
#[test]
fn ciphertext_is_protected_below_and_never_within() {
    use crate::bdev::modules::{Crypt, CryptKey};
    use crate::bdev::{conformance, open_private};

    let key = || CryptKey::from_bytes(&std::array::from_fn::<u8, 32, _>(|i| i as u8)).unwrap();
    block_on(async {
        let e = Crypt::over(open(&WITHIN.replace("1M", "6M"), Access::ReadWrite).await.unwrap(), key())
            .unwrap_err();
        assert!(matches!(e, Error::BadGeometry { .. }) && e.to_string().contains("separate"), "{e}");
        let crypt = Crypt::over(open(&SEPARATE.replace("1M", "6M"), Access::ReadWrite).await.unwrap(), key())
            .unwrap();
        conformance::check(&open_private("crypt", crypt, Access::ReadWrite).unwrap()).await;
    });
}

#[cfg(feature = "gpt")]
#[test]
fn no_partitions_are_looked_for_in_blocks_with_metadata_within() {
    block_on(async {
        let disk = open(PLAIN, Access::ReadOnly).await.unwrap();
        let e = crate::bdev::modules::gpt::partitions(&disk).await.unwrap_err();
        assert!(matches!(e, Error::NoPartitions { .. }) && e.to_string().contains("520"), "{e}");
    });
}
