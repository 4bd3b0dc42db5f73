//! What every module must do, as one call: run it on a device of your own.
//!
//! [`check`] writes to the device and leaves it scrambled. It panics where the module falls short, and says how. Reading and writing
//! stand here, the ways of handing buffers over in `buffers`, all other operations in `operations`, metadata and protection information
//! in `metadata`: what a device can is checked, what it cannot is refused.

mod buffers;
mod metadata;
mod operations;
mod zones;

use std::future::Future;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use super::{Access, Bdev, Channel, Descriptor, Error, Protector, open, open_private};
use crate::LocalExecutor;
use crate::sys::dma::{DmaBuf, DmaPool};

/// Runs every check on an open device of at least 256 blocks. Call it on a reactor.
///
/// # Panics
/// If the device does not conform, or is too small for the checks.
pub async fn check(descriptor: &Descriptor) {
    let channel = descriptor.channel().expect("a channel on this core");
    let blocks = channel.geometry().block_count;
    assert!(blocks >= 256, "{}: {blocks} blocks are too few, the checks take 256", descriptor.name());
    reads_have_the_length_of_their_range(&channel).await;
    bad_ranges_are_refused(&channel).await;
    if descriptor.access() == Access::ReadWrite && channel.geometry().zones.is_some() {
        bad_buffers_are_refused(&channel).await;
        zones::check(&channel).await;
        channel.flush().await.expect("flush");
    } else if descriptor.access() == Access::ReadWrite {
        bad_buffers_are_refused(&channel).await;
        writes_read_back(&channel).await;
        large_io_is_whole(&channel).await;
        neighbours_are_left_alone(&channel).await;
        many_at_a_time_do_not_mix(&channel).await;
        buffers::check(&channel).await;
        operations::check(&channel).await;
        metadata::check(&channel).await;
        channel.flush().await.expect("flush");
    } else {
        operations::changes_are_refused(&channel).await;
    }
    operations::what_is_missing_is_refused(&channel).await;
    dropped_io_leaves_nothing_behind(&channel).await;
    let stats = channel.stats();
    assert_eq!(stats.in_flight, 0, "an i/o is still counted after all have ended: {stats:?}");
}

/// Opens `spec` on a reactor of its own, and checks it, its claims included.
///
/// # Panics
/// As [`check`], if it cannot be opened, and if buffers are still in use some seconds after the device has gone.
pub fn check_spec(spec: &str) {
    leaves_no_buffer(spec, async {
        let disk = open(spec, Access::ReadWrite).await.unwrap_or_else(|e| panic!("{spec}: {e}"));
        check(&disk).await;
        assert!(
            matches!(open(spec, Access::ReadWrite).await, Err(Error::Busy { .. })),
            "two writers opened {spec}"
        );
        let reader = open(spec, Access::ReadOnly).await.expect("a reader beside the writer");
        check(&reader).await;
        drop(disk);
        drop(open(spec, Access::ReadWrite).await.expect("a writer after the one before has gone"));
    });
}

/// Checks the device that `make` makes, on a reactor of its own: the one line that a module of your own needs.
///
/// ```
/// use reactor::bdev::{Access, conformance, modules::Passthru, open};
///
/// conformance::check_bdev(async || Passthru::new(open("ram:16M", Access::ReadWrite).await.unwrap()));
/// ```
///
/// # Panics
/// As [`check_spec`].
pub fn check_bdev<B: Bdev>(make: impl AsyncFnOnce() -> B) {
    leaves_no_buffer(std::any::type_name::<B>(), async {
        let bdev = make().await;
        let name = bdev.module();
        let disk = open_private(name, bdev, Access::ReadWrite).unwrap_or_else(|e| panic!("{name}: {e}"));
        check(&disk).await;
    });
}

/// Runs `checks` on a reactor of its own, whose pool has all of its buffers back in the end.
fn leaves_no_buffer(what: &str, checks: impl Future<Output = ()>) {
    /// How long a device may go on with what was given up.
    const PATIENCE: Duration = Duration::from_secs(3);
    let executor = LocalExecutor::new().expect("a reactor");
    let in_use = || executor.enter_with(|| DmaPool::local().stats().in_use);
    let before = in_use();
    executor.block_on(checks);
    let mut quiet_since = Instant::now();
    while in_use() > before {
        if executor.turn().is_busy() {
            quiet_since = Instant::now();
        }
        let left = in_use().saturating_sub(before);
        assert!(quiet_since.elapsed() < PATIENCE, "{what}: {left} buffers did not come back to the pool");
        thread::yield_now();
    }
}

/// Bytes that tell one block and one `seed` from the others, but for the protection information.
fn pattern(lba: u64, seed: u64, block: &mut [u8]) {
    for (i, word) in block.chunks_mut(8).enumerate() {
        let value = (lba ^ seed << 48 ^ (i as u64) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
    }
}

fn patterned(channel: &Channel, lba: u64, blocks: u64, seed: u64) -> DmaBuf {
    let size = channel.geometry().block_size as usize;
    let mut buf = channel.try_alloc(blocks as usize * size).expect("a buffer");
    for (block, lba) in buf.chunks_mut(size).zip(lba..) {
        pattern(lba, seed, block);
    }
    protected(channel, lba, buf)
}

/// Blocks that the device will take from block `lba` on.
fn protected(channel: &Channel, lba: u64, mut blocks: DmaBuf) -> DmaBuf {
    if let Some(protector) = channel.geometry().protector().filter(Protector::is_interleaved) {
        protector.generate(lba, &mut blocks);
    }
    blocks
}

/// Whether `blocks` are zeroes, but for the protection information.
fn are_zeroes(channel: &Channel, blocks: &[u8]) -> bool {
    let g = channel.geometry();
    let is_protected = g.protector().is_some_and(|protector| protector.is_interleaved());
    let len = if is_protected { g.data_size() } else { g.block_size };
    blocks.chunks(g.block_size as usize).all(|block| block[..len as usize].iter().all(|byte| *byte == 0))
}

fn zeroed(channel: &Channel, blocks: u64) -> DmaBuf {
    let mut buf =
        channel.try_alloc(blocks as usize * channel.geometry().block_size as usize).expect("a buffer");
    buf.fill(0);
    protected(channel, 0, buf)
}

/// Reads `blocks` and compares, where the device keeps what is written.
async fn expect(channel: &Channel, lba: u64, blocks: u64, seed: u64) {
    let got =
        channel.read(lba..lba + blocks).await.unwrap_or_else(|e| panic!("read of {blocks} at {lba}: {e}"));
    if channel.geometry().keeps_data {
        let size = channel.geometry().block_size as usize;
        let wanted = patterned(channel, lba, blocks, seed);
        let wrong = got.chunks(size).zip(wanted.chunks(size)).position(|(got, wanted)| got != wanted);
        assert_eq!(
            wrong, None,
            "{blocks} blocks from {lba} differ from what was written, first in the block counted here"
        );
    }
}

async fn reads_have_the_length_of_their_range(channel: &Channel) {
    let g = channel.geometry();
    let last = g.block_count - 1;
    for range in [0..1, 0..8, 3..4, 7..100, last..last + 1, last - 9..last + 1] {
        let wanted = (range.end - range.start) as usize * g.block_size as usize;
        let buf = channel.read(range.clone()).await.unwrap_or_else(|e| panic!("read of {range:?}: {e}"));
        assert_eq!(buf.len(), wanted, "read of {range:?}");
        let buf = channel
            .read_into(range.clone(), buf)
            .await
            .unwrap_or_else(|e| panic!("read into of {range:?}: {e}"));
        assert_eq!(buf.len(), wanted, "read into of {range:?}");
    }
}

async fn bad_ranges_are_refused(channel: &Channel) {
    let end = channel.geometry().block_count;
    for (start, stop) in [(0, 0), (5, 4), (end, end), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
        let e = channel.read(start..stop).await.expect_err("an empty range was read");
        assert!(matches!(e, Error::EmptyRange { .. }), "{start}..{stop}: {e}");
    }
    for (start, stop) in
        [(0, end + 1), (end, end + 1), (end - 1, u64::MAX), (u64::MAX - 1, u64::MAX), (0, u64::MAX)]
    {
        let e = channel.read(start..stop).await.expect_err("a range past the end was read");
        assert!(matches!(e, Error::OutOfRange { .. }), "{start}..{stop}: {e}");
    }
}

async fn bad_buffers_are_refused(channel: &Channel) {
    let g = channel.geometry();
    let size = g.block_size as usize;
    for len in [0, 1, size - 1, size + 1] {
        let e = channel
            .write(0, channel.try_alloc(len).expect("a buffer"))
            .await
            .expect_err("a bad length was written");
        assert!(matches!(e, Error::BadLength { .. }), "{len} bytes: {e}");
        let e = channel
            .read_into(0..1, channel.try_alloc(len).expect("a buffer"))
            .await
            .expect_err("a bad length was read");
        assert_eq!(e.buf.map(|buf| buf.len()), Some(len), "the buffer did not come back");
    }
    for lba in [g.block_count - 1, g.block_count, u64::MAX - 1, u64::MAX] {
        let e = channel.write(lba, zeroed(channel, 2)).await.expect_err("written past the end");
        assert!(matches!(e, Error::OutOfRange { .. } | Error::EmptyRange { .. }), "{lba}: {e}");
    }
}

async fn writes_read_back(channel: &Channel) {
    let last = channel.geometry().block_count - 1;
    for (seed, (lba, blocks)) in
        [(0, 1), (0, 8), (5, 3), (1, 200), (last, 1), (last - 7, 8)].into_iter().enumerate()
    {
        let seed = seed as u64;
        let data = patterned(channel, lba, blocks, seed).freeze();
        channel.write(lba, data.clone()).await.unwrap_or_else(|e| panic!("write of {blocks} at {lba}: {e}"));
        expect(channel, lba, blocks, seed).await;
        // A clone kept for a second try is the same.
        channel.write(lba, data).await.expect("the same data again");
    }
}

/// Larger than most modules take at once, so that the layer splits it.
async fn large_io_is_whole(channel: &Channel) {
    let blocks = channel.geometry().block_count.min(4096) - 1;
    channel.write(1, patterned(channel, 1, blocks, 40)).await.expect("a large write");
    expect(channel, 1, blocks, 40).await;
}

async fn neighbours_are_left_alone(channel: &Channel) {
    channel.write(0, patterned(channel, 0, 32, 50)).await.expect("write");
    channel.write(9, patterned(channel, 9, 3, 51)).await.expect("write");
    expect(channel, 0, 9, 50).await;
    expect(channel, 9, 3, 51).await;
    expect(channel, 12, 20, 50).await;
}

async fn many_at_a_time_do_not_mix(channel: &Channel) {
    let one = async |i: u64| {
        let lba = i * 4;
        channel.write(lba, patterned(channel, lba, 4, i + 60)).await.expect("write");
        expect(channel, lba, 4, i + 60).await;
    };
    futures::future::join_all((0..64).map(one)).await;
}

/// Drops I/Os before their first poll and after it, then uses the channel as if nothing had been.
async fn dropped_io_leaves_nothing_behind(channel: &Channel) {
    for _ in 0..16 {
        drop(channel.read(0..8));
        let mut read = Box::pin(channel.read(0..8));
        let mut large = Box::pin(channel.read(0..channel.geometry().block_count.min(4096)));
        std::future::poll_fn(|cx| {
            let _ = read.as_mut().poll(cx);
            let _ = large.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        drop((read, large));
        channel.read(0..1).await.expect("a read after dropped ones");
    }
}
