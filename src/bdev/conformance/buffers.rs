//! The ways of handing buffers over: several at once, parts of them, memory of one's own, lent blocks.

use super::{expect, patterned};
use crate::bdev::{Channel, Error, Populate};
use crate::sys::dma::DmaBuf;

pub(super) async fn check(channel: &Channel) {
    lists_are_one_after_the_other(channel).await;
    bad_lists_are_refused(channel).await;
    parts_of_buffers_go_anywhere(channel).await;
    memory_of_ones_own_is_read_and_written(channel).await;
    lent_blocks_change_when_they_are_given_back(channel).await;
}

/// Buffers of so many blocks each.
fn bufs(channel: &Channel, blocks: &[u64]) -> Vec<DmaBuf> {
    let size = u64::from(channel.geometry().block_size);
    blocks.iter().map(|blocks| channel.try_alloc((blocks * size) as usize).expect("a buffer")).collect()
}

async fn lists_are_one_after_the_other(channel: &Channel) {
    let keeps_data = channel.geometry().keeps_data;
    let size = channel.geometry().block_size as usize;
    for (seed, cuts) in [&[8][..], &[1, 2, 5], &[1; 40], &[100, 1, 100], &[33, 34]].into_iter().enumerate() {
        let seed = 100 + seed as u64;
        let mut lba = 3;
        let list = cuts.iter().map(|blocks| {
            lba += blocks;
            patterned(channel, lba - blocks, *blocks, seed).freeze()
        });
        let list = list.collect();
        channel.write_vectored(3, list).await.unwrap_or_else(|e| panic!("write of {cuts:?}: {e}"));
        expect(channel, 3, lba - 3, seed).await;
        // Cut elsewhere.
        let others: Vec<u64> = cuts.iter().rev().copied().collect();
        let read = channel.read_vectored(3..lba, bufs(channel, &others)).await;
        let read = read.unwrap_or_else(|e| panic!("read of {others:?}: {e}"));
        let lens: Vec<u64> = read.iter().map(|buf| (buf.len() / size) as u64).collect();
        assert_eq!(lens, others, "the buffers came back otherwise");
        let wanted = patterned(channel, 3, lba - 3, seed);
        assert!(
            !keeps_data || read.iter().flat_map(|buf| buf.iter()).eq(wanted.iter()),
            "a read of {others:?} differs from what was written"
        );
    }
}

async fn bad_lists_are_refused(channel: &Channel) {
    let size = channel.geometry().block_size as usize;
    let e = channel.write_vectored(0, Vec::new()).await.expect_err("nothing was written");
    assert!(matches!(e, Error::EmptyRange { .. }), "{e}");
    let odd =
        || vec![channel.try_alloc(size).expect("a buffer"), channel.try_alloc(size - 1).expect("a buffer")];
    let list = odd().into_iter().map(DmaBuf::freeze).collect();
    let e = channel.write_vectored(0, list).await.expect_err("a part of a block was written");
    assert!(matches!(e, Error::BadLength { .. }), "{e}");
    for list in [odd(), bufs(channel, &[1]), bufs(channel, &[1, 2]), Vec::new()] {
        let count = list.len();
        let e = channel.read_vectored(0..2, list).await.expect_err("a list of the wrong length was read");
        assert!(matches!(e.error, Error::BadLength { .. }), "{e}");
        assert_eq!(e.bufs.len(), count, "the buffers did not come back");
    }
    let end = channel.geometry().block_count;
    let e = channel.read_vectored(end - 1..end + 1, bufs(channel, &[1, 1])).await.expect_err("past the end");
    assert!(matches!(e.error, Error::OutOfRange { .. }) && e.bufs.len() == 2, "{e}");
}

async fn parts_of_buffers_go_anywhere(channel: &Channel) {
    let size = channel.geometry().block_size as usize;
    for (seed, blocks) in [(110, 1), (111, 5), (112, 200)] {
        for offset in [1, 8, 512] {
            let len = blocks as usize * size;
            let mut data = channel.try_alloc(offset + len).expect("a buffer");
            data[offset..].copy_from_slice(&patterned(channel, 7, blocks, seed));
            let data = data.freeze();
            channel.write(7, data.slice(offset..)).await.expect("a write of a part of a buffer");
            expect(channel, 7, blocks, seed).await;

            let mut front = channel.try_alloc(offset + len).expect("a buffer");
            front.fill(0xee);
            let rest = front.split_to(offset);
            let part = channel.read_into(7..7 + blocks, front).await.expect("a read into a part of a buffer");
            assert!(
                !channel.geometry().keeps_data || part[..] == data[offset..],
                "{blocks} blocks at {offset}"
            );
            assert!(rest.iter().all(|byte| *byte == 0xee), "written beside the part");
            let mut list = vec![part];
            list.extend(bufs(channel, &[2]));
            let list =
                channel.read_vectored(7..9 + blocks, list).await.expect("a read into a list with a part");
            assert!(
                !channel.geometry().keeps_data || list[0][..] == data[offset..],
                "{blocks} at {offset} of a list"
            );
        }
    }
}

async fn memory_of_ones_own_is_read_and_written(channel: &Channel) {
    let size = channel.geometry().block_size as usize;
    for (seed, blocks) in [(120, 1), (121, 7), (122, 250)] {
        let len = blocks as usize * size;
        let mut memory = vec![0; len + 3];
        memory[3..].copy_from_slice(&patterned(channel, 5, blocks, seed));
        channel.write_from(5, &memory[3..]).await.expect("a write from memory");
        expect(channel, 5, blocks, seed).await;
        let mut back = vec![0; len + 1];
        channel.read_to(5..5 + blocks, &mut back[1..]).await.expect("a read to memory");
        assert!(!channel.geometry().keeps_data || back[1..] == memory[3..], "{blocks} blocks to memory");
    }
    let e =
        channel.read_to(0..2, &mut vec![0; size]).await.expect_err("memory of the wrong length was read to");
    assert!(matches!(e, Error::BadLength { .. }), "{e}");
    for len in [0, size - 1] {
        let e = channel.write_from(0, &vec![0; len]).await.expect_err("a part of a block was written");
        assert!(matches!(e, Error::BadLength { .. }), "{e}");
    }
}

async fn lent_blocks_change_when_they_are_given_back(channel: &Channel) {
    channel.write(0, patterned(channel, 0, 16, 130)).await.expect("write");
    let mut lent = channel.lend(4..8, Populate::Nothing).await.expect("lent blocks");
    lent.copy_from_slice(&patterned(channel, 4, 4, 131));
    expect(channel, 4, 4, 130).await;
    assert_eq!(lent.range(), 4..8);
    lent.commit().await.expect("giving back");
    expect(channel, 4, 4, 131).await;
    let lent = channel.lend(0..16, Populate::Read).await.expect("lent blocks");
    let size = channel.geometry().block_size as usize;
    assert!(!channel.geometry().keeps_data || lent[..4 * size] == patterned(channel, 0, 4, 130)[..]);
    drop(lent);
    expect(channel, 8, 8, 130).await;
}
