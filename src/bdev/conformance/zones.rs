//! What a device with zones promises.

use super::{expect, patterned, zeroed};
use crate::bdev::{Channel, Error, Op, ZoneAction, ZoneState};

/// What a descriptor that may write finds on a device with zones, where blocks cannot be written in any order.
pub(super) async fn check(channel: &Channel) {
    let g = channel.geometry();
    let shape = g.zones.expect("a device that reports zones says how large they are");
    let zones = channel.zones(0..g.block_count).await.expect("a report");
    assert_eq!(zones.len() as u64, g.block_count.div_ceil(shape.blocks));
    for (zone, start) in zones.iter().zip((0..).step_by(shape.blocks as usize)) {
        assert_eq!(zone.start, start, "{zone:?}");
        assert!(zone.capacity <= shape.blocks && zone.write_pointer >= zone.start, "{zone:?}");
    }
    let some = channel.zones(shape.blocks - 1..shape.blocks + 1).await.expect("a report");
    assert_eq!(some[..], zones[..2.min(zones.len())]);
    let e = channel.zone_manage(1, ZoneAction::Open).await.expect_err("no zone begins there");
    assert!(matches!(e, Error::NoZone { lba: 1, .. }), "{e}");
    if channel.descriptor().supports(Op::ZoneManage) && zones[0].state != ZoneState::Conventional {
        channel.zone_manage(0, ZoneAction::Reset).await.expect("a reset");
        assert_eq!(channel.zones(0..1).await.expect("a report")[0].state, ZoneState::Empty);
        if channel.descriptor().supports(Op::ZoneAppend) {
            for (place, seed) in [(0, 97), (2, 98)] {
                let at = channel.zone_append(0, patterned(channel, place, 2, seed)).await.expect("an append");
                assert_eq!(at, place);
                expect(channel, place, 2, seed).await;
            }
        }
        writes_go_to_the_write_pointer(channel).await;
    }
}

async fn writes_go_to_the_write_pointer(channel: &Channel) {
    channel.zone_manage(0, ZoneAction::Reset).await.expect("a reset");
    for (lba, blocks, seed) in [(0, 1, 1), (1, 3, 2), (4, 8, 3)] {
        channel
            .write(lba, patterned(channel, lba, blocks, seed))
            .await
            .expect("a write at the write pointer");
        expect(channel, lba, blocks, seed).await;
    }
    for lba in [0, 11, 13] {
        channel
            .write(lba, zeroed(channel, 1))
            .await
            .expect_err("written elsewhere than at the write pointer");
    }
    expect(channel, 4, 8, 3).await;
    channel.zone_manage(0, ZoneAction::Finish).await.expect("an end");
    assert_eq!(channel.zones(0..1).await.expect("a report")[0].state, ZoneState::Full);
    channel.write(12, zeroed(channel, 1)).await.expect_err("a full zone was written");
    channel.zone_manage(0, ZoneAction::Reset).await.expect("a reset");
}
