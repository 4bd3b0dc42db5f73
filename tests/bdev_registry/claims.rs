//! Claims: what goes together, who is told, and when they end.

use super::run;
use reactor::bdev::{
    Access, Claim, Descriptor, Error, Result, info, modules::Null, modules::Ram, open, register, unregister,
};

/// All ways to open a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Reads,
    Writes,
    Claims(Claim),
}

const WAYS: [Way; 6] = [
    Way::Reads,
    Way::Writes,
    Way::Claims(Claim::WriteOne),
    Way::Claims(Claim::WriteNone),
    Way::Claims(Claim::WriteShared(1)),
    Way::Claims(Claim::WriteShared(2)),
];

async fn open_by(way: Way, by: &'static str) -> Result<Descriptor> {
    match way {
        Way::Reads => open("claimed", Access::ReadOnly).await,
        Way::Writes => open("claimed", Access::ReadWrite).await,
        Way::Claims(claim) => open("claimed", Access::ReadOnly).await?.claim(claim, by),
    }
}

/// Whether the second may come while the first is there, written down apart from the code: rows are the first.
const TOGETHER: [[u8; 6]; 6] = [
    // reads writes one none shared1 shared2
    [1, 1, 1, 1, 1, 1],
    [1, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0],
    [1, 0, 0, 1, 0, 0],
    [1, 0, 0, 0, 1, 0],
    [1, 0, 0, 0, 0, 1],
];

#[test]
fn what_goes_together_goes_together_and_no_more() {
    run(async {
        register("claimed", Null::new(1 << 20).unwrap()).unwrap();
        for (first, row) in WAYS.iter().zip(TOGETHER) {
            for (second, fits) in WAYS.iter().zip(row) {
                let one = open_by(*first, "one").await.unwrap();
                let other = open_by(*second, "other").await;
                let case = format!("{first:?}, {second:?}: {other:?}");
                assert_eq!(other.is_ok(), fits == 1, "{case}");
                match &other {
                    Err(Error::Busy { name, by }) => {
                        assert_eq!(name, "claimed");
                        // Who claims is named; who just writes has no name.
                        let is_named =
                            by.as_ref().is_some_and(|by| by.contains("one") && !by.contains("other"));
                        assert_eq!(is_named, matches!(first, Way::Claims(_)), "{case}");
                    }
                    other => assert!(other.is_ok(), "{case}"),
                }
                let holders = [Some(first), other.is_ok().then_some(second)];
                let claims = holders.iter().flatten().filter(|way| matches!(way, Way::Claims(_))).count();
                let claimed = info("claimed").unwrap().claim;
                assert_eq!(claimed.map_or(0, |claimed| claimed.by.len()), claims, "{case}");
                drop((one, other));
                let info = info("claimed").unwrap();
                assert_eq!((info.open, info.writers, info.claim), (0, 0, None), "{case}");
            }
        }
    });
}

#[test]
fn a_claim_gives_the_access_that_it_says() {
    run(async {
        register("claimed", Ram::new(1 << 20).unwrap()).unwrap();
        for way in WAYS {
            let Way::Claims(claim) = way else { continue };
            let disk = open_by(way, "one").await.unwrap();
            assert_eq!(disk.access(), claim.access());
            let channel = disk.channel().unwrap();
            let page = channel.alloc(512).await.unwrap();
            assert_eq!(
                channel.write(0, page).await.is_ok(),
                claim.access() == Access::ReadWrite,
                "{claim:?}"
            );
        }
    });
}

#[test]
fn a_claim_ends_with_the_last_clone_and_channel() {
    run(async {
        register("claimed", Ram::new(1 << 20).unwrap()).unwrap();
        let reader = open("claimed", Access::ReadOnly).await.unwrap();
        let claimed = reader.claim(Claim::WriteNone, "volumes").unwrap();
        let clone = claimed.clone();
        let channel = clone.channel().unwrap();
        let busy = async || open("claimed", Access::ReadWrite).await.unwrap_err().to_string();
        drop((claimed, reader));
        assert_eq!(
            busy().await,
            "\"claimed\" is in use by volumes, for nobody to write: end that first, or open it read-only"
        );
        drop(clone);
        busy().await;
        drop(channel);
        open("claimed", Access::ReadWrite).await.unwrap();
    });
}

/// Sharing is over when the last has gone, not the first.
#[test]
fn those_who_share_keep_others_out_until_the_last_has_gone() {
    run(async {
        register("claimed", Ram::new(1 << 20).unwrap()).unwrap();
        let shared = Way::Claims(Claim::WriteShared(7));
        let one = open_by(shared, "one").await.unwrap();
        let two = open_by(shared, "two").await.unwrap();
        let refused = open("claimed", Access::ReadWrite).await.unwrap_err().to_string();
        assert!(refused.contains("one and two, to write with those who have its key"), "{refused}");
        assert!(!refused.contains('7'), "the key is nobody's business");
        drop(one);
        assert!(open("claimed", Access::ReadWrite).await.is_err());
        let three = open_by(shared, "three").await.unwrap();
        drop((two, three));
        open("claimed", Access::ReadWrite).await.unwrap();
    });
}

#[test]
fn what_is_read_only_or_gone_is_not_claimed_to_be_written() {
    run(async {
        register("base", Ram::new(1 << 20).unwrap()).unwrap();
        let above = open("passthru(base)", Access::ReadOnly).await.unwrap();
        assert!(matches!(above.claim(Claim::WriteOne, "one"), Err(Error::ReadOnly { .. })));
        above.claim(Claim::WriteNone, "one").unwrap();
        // A claim that was refused is none.
        assert_eq!(above.info().claim, None);
        drop(unregister("base").unwrap());
        assert!(matches!(above.claim(Claim::WriteNone, "one"), Err(Error::Removed)));
    });
}
