//! What can be asked of a device besides reading and writing: done where it is supported, refused by name where it is not.

use super::{are_zeroes, expect, patterned, zeroed};
use crate::bdev::{Channel, Error, NvmeCommand, NvmeData, Op, Protector, Result, ZoneAction};

/// What a descriptor that may write can do.
pub(super) async fn check(channel: &Channel) {
    let can = |op| channel.descriptor().supports(op);
    cleared_blocks_read_as_zeroes(channel).await;
    if channel.geometry().keeps_data && can(Op::Compare) {
        comparisons_name_the_block(channel).await;
    }
    if channel.geometry().keeps_data && can(Op::CompareAndWrite) {
        only_what_was_expected_is_replaced(channel).await;
    }
    if can(Op::Copy) {
        copies_are_of_what_was_there_before(channel).await;
    }
    if channel.geometry().keeps_data && can(Op::SeekData) && can(Op::SeekHole) {
        data_and_holes_are_found(channel).await;
    }
}

/// One small I/O of the kind, wherever it does not matter what comes of it.
async fn one(channel: &Channel, op: Op) -> Result<()> {
    let page = || zeroed(channel, 1);
    let command = NvmeCommand::new(0);
    match op {
        Op::Read => channel.read(0..1).await.map(drop),
        Op::Write => channel.write(0, page()).await,
        Op::Flush => channel.flush().await,
        Op::WriteZeroes => channel.write_zeroes(0..1).await,
        Op::Unmap => channel.unmap(0..1).await,
        Op::Compare => channel.compare(0, page()).await,
        Op::CompareAndWrite => channel.compare_and_write(0, page(), page()).await,
        Op::Copy => channel.copy(0..1, 1).await,
        // The layer's own to ask for.
        Op::Reset => Ok(()),
        Op::SeekData => channel.seek_data(0).await.map(drop),
        Op::SeekHole => channel.seek_hole(0).await.map(drop),
        Op::ZoneReport => channel.zones(0..1).await.map(drop),
        Op::ZoneAppend => channel.zone_append(0, page()).await.map(drop),
        Op::ZoneManage => channel.zone_manage(0, ZoneAction::Reset).await,
        Op::NvmeAdmin => channel.nvme_admin(command, NvmeData::None).await.map(drop),
        Op::NvmeIo => channel.nvme_io(command, NvmeData::None).await.map(drop),
    }
}

pub(super) async fn changes_are_refused(channel: &Channel) {
    for op in Op::ALL.into_iter().filter(|op| op.is_change()) {
        let answer = one(channel, op).await;
        assert!(matches!(answer, Err(Error::ReadOnly { .. })), "{op} got past read-only access: {answer:?}");
    }
}

pub(super) async fn what_is_missing_is_refused(channel: &Channel) {
    let descriptor = channel.descriptor();
    let is_writable = descriptor.access() == crate::bdev::Access::ReadWrite;
    for op in Op::ALL.into_iter().filter(|op| !descriptor.supports(*op) && (is_writable || !op.is_change())) {
        match one(channel, op).await {
            Err(Error::Unsupported { op: refused, module }) => {
                assert_eq!((refused, module), (op, descriptor.module()), "the error names something else");
            }
            Ok(()) if op == Op::Reset => {}
            answer => panic!("{op} is not supported, and was answered {answer:?}"),
        }
    }
}

async fn cleared_blocks_read_as_zeroes(channel: &Channel) {
    let expect_zeroes = async |from: u64, to: u64| {
        let got = channel.read(from..to).await.expect("read");
        assert!(!channel.geometry().keeps_data || are_zeroes(channel, &got), "cleared blocks are not zeroes");
    };
    let blocks = channel.geometry().block_count.min(4096);
    channel.write(0, patterned(channel, 0, blocks, 70)).await.expect("write");
    for range in [8..24, 0..1, 77..78, 100..blocks - 1] {
        channel.write_zeroes(range.clone()).await.expect("write zeroes");
        expect_zeroes(range.start, range.end).await;
    }
    expect(channel, 1, 7, 70).await;
    expect(channel, 24, 53, 70).await;
    expect(channel, blocks - 1, 1, 70).await;
    channel.write(0, patterned(channel, 0, 32, 71)).await.expect("write");
    match channel.unmap(8..24).await {
        Ok(()) => {
            // What unmapped blocks hold is the module's choice, what lies beside them is not.
            channel.read(8..24).await.expect("read of unmapped blocks");
            expect(channel, 0, 8, 71).await;
            expect(channel, 24, 8, 71).await;
        }
        Err(Error::Unsupported { .. }) => {}
        Err(e) => panic!("unmap: {e}"),
    }
}

async fn comparisons_name_the_block(channel: &Channel) {
    channel.write(2, patterned(channel, 2, 250, 80)).await.expect("write");
    for blocks in [1, 3, 250] {
        channel.compare(2, patterned(channel, 2, blocks, 80)).await.expect("what was written");
    }
    let size = channel.geometry().block_size as usize;
    for at in [0, 1, 9, 249] {
        let mut other = patterned(channel, 2, 250, 80);
        other[at * size + size - 1] ^= 1;
        let e = channel.compare(2, other).await.expect_err("one byte differs");
        assert!(matches!(e, Error::Miscompare { lba } if lba == 2 + at as u64), "block {at}: {e}");
    }
    let e =
        channel.compare(2, channel.try_alloc(size - 1).expect("a buffer")).await.expect_err("half a block");
    assert!(matches!(e, Error::BadLength { .. }), "{e}");
}

async fn only_what_was_expected_is_replaced(channel: &Channel) {
    let most = match channel.geometry().atomic_compare_blocks {
        0 => 32,
        most => u64::from(most).min(32),
    };
    for blocks in [1, most] {
        channel.write(0, patterned(channel, 0, 64, 85)).await.expect("write");
        let (old, new) = (|| patterned(channel, 4, blocks, 85), || patterned(channel, 4, blocks, 86));
        let e = channel.compare_and_write(4, new(), new()).await.expect_err("nothing of the kind is there");
        assert!(matches!(e, Error::Miscompare { .. }), "{e}");
        expect(channel, 0, 64, 85).await;
        channel.compare_and_write(4, old(), new()).await.expect("what was written");
        expect(channel, 4, blocks, 86).await;
        expect(channel, 0, 4, 85).await;
        expect(channel, 4 + blocks, 60 - blocks, 85).await;
    }
    let (one, two) = (patterned(channel, 0, 1, 0), patterned(channel, 0, 2, 0));
    let e = channel.compare_and_write(0, one, two).await.expect_err("they differ in length");
    assert!(matches!(e, Error::BadLength { .. }), "{e}");
}

async fn copies_are_of_what_was_there_before(channel: &Channel) {
    let blocks = channel.geometry().block_count.min(2048);
    let half = blocks / 2;
    // Apart, overlapping from above and from below, onto themselves.
    for (from, to, count) in
        [(0, half, half), (3, 200, 1), (7, 0, blocks - 9), (0, 7, blocks - 9), (5, 5, 9), (9, 8, 40)]
    {
        let data = patterned(channel, 0, blocks, 90);
        let mut wanted = data.to_vec();
        let size = channel.geometry().block_size as usize;
        channel.write(0, data).await.expect("write");
        channel
            .copy(from..from + count, to)
            .await
            .unwrap_or_else(|e| panic!("{count} from {from} to {to}: {e}"));
        let bytes = from as usize * size..(from + count) as usize * size;
        wanted.copy_within(bytes, to as usize * size);
        if let Some(protector) = channel.geometry().protector().filter(Protector::is_interleaved) {
            protector.remap(from, to, &mut wanted[to as usize * size..(to + count) as usize * size]);
        }
        let got = channel.read(0..blocks).await.expect("read");
        assert!(
            !channel.geometry().keeps_data || got[..] == wanted[..],
            "{count} blocks from {from} to {to}"
        );
    }
    let end = channel.geometry().block_count;
    for (from, to) in [(end - 1..end + 1, 0), (0..2, end - 1), (0..2, u64::MAX), (u64::MAX - 1..u64::MAX, 0)]
    {
        let e = channel.copy(from, to).await.expect_err("a copy past the end");
        assert!(matches!(e, Error::OutOfRange { .. } | Error::EmptyRange { .. }), "{e}");
    }
}

async fn data_and_holes_are_found(channel: &Channel) {
    let end = channel.geometry().block_count;
    channel.write(0, patterned(channel, 0, 64, 95)).await.expect("write");
    channel.write_zeroes(64..end.min(1 << 16)).await.expect("write zeroes");
    for lba in [0, 1, 63] {
        assert_eq!(channel.seek_data(lba).await.expect("seek"), Some(lba), "data is not found where it is");
    }
    for lba in [0, 31, 64, end - 1] {
        if let Some(hole) = channel.seek_hole(lba).await.expect("seek") {
            assert!((lba.max(64)..end).contains(&hole), "a hole at {hole}, from {lba} on");
            let got = channel.read(hole..hole + 1).await.expect("read");
            assert!(are_zeroes(channel, &got), "the hole at {hole} has data");
        }
        if let Some(data) = channel.seek_data(lba).await.expect("seek") {
            assert!((lba..end).contains(&data), "data at {data}, from {lba} on");
        }
    }
    for lba in [end, u64::MAX] {
        let e = channel.seek_data(lba).await.expect_err("a search from past the end");
        assert!(matches!(e, Error::EmptyRange { .. } | Error::OutOfRange { .. }), "{e}");
    }
}
