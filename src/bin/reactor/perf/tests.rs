//! Jobs on devices that lie and fail. The device ends the job after a number of I/Os, so that what happens does not
//! depend on how fast the machine is.

use super::job::{self, Place, Work};
use super::tally::Outcome;
use crate::args::Rw;
use crate::failure::Failure;
use reactor::LocalExecutor;
use reactor::bdev::{self, Access, Bdev, Done, Error, Geometry, Io, Op, Submit};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BLOCK: usize = 512;
const BLOCKS: u64 = 64;

/// What is wrong with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    /// Flips a bit of this block when it is read.
    Flips(u64),
    /// Loses all writes of this block but the first.
    Loses(u64),
    /// Puts what is written to this block into the one before it, too.
    Smears(u64),
    /// Cannot read or write this block.
    Breaks(u64),
}

#[derive(Clone)]
struct Liar {
    lie: Lie,
    /// Answers only when polled again.
    is_slow: bool,
    memory: Arc<Mutex<Vec<u8>>>,
    /// I/Os until it sets `stop`.
    left: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

struct LiarChannel {
    device: Liar,
    lost: Cell<usize>,
}

impl Bdev for Liar {
    type Channel = LiarChannel;

    fn module(&self) -> &'static str {
        "liar"
    }

    fn geometry(&self) -> Geometry {
        Geometry::new(BLOCK as u32, BLOCKS)
    }

    fn channel(&self, _access: Access) -> bdev::Result<LiarChannel> {
        Ok(LiarChannel { device: self.clone(), lost: Cell::new(0) })
    }
}

impl Submit for LiarChannel {
    async fn submit(&self, mut io: Io) -> Done {
        let Liar { lie, is_slow, memory, left, stop } = &self.device;
        if *is_slow {
            reactor::yield_now().await;
        }
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            stop.store(true, Ordering::Relaxed);
        }
        let lba = io.lba();
        let bytes = |block: u64| block as usize * BLOCK..(block as usize + 1) * BLOCK;
        let mut memory = memory.lock().expect("no test panics with it");
        match (io.op(), lie) {
            (_, Lie::Breaks(block)) if *block == lba => return io.done(Err(Error::Media)),
            (Op::Write, Lie::Loses(block)) if *block == lba && self.lost.replace(1) > 0 => {}
            (Op::Write, lie) => {
                memory[bytes(lba)].copy_from_slice(&io.data());
                if *lie == Lie::Smears(lba) {
                    memory[bytes(lba - 1)].copy_from_slice(&io.data());
                }
            }
            (_, lie) => {
                let mut buf = io.read_buf();
                buf.copy_from_slice(&memory[bytes(lba)]);
                buf[100] ^= if *lie == Lie::Flips(lba) { 4 } else { 0 };
            }
        }
        io.done(Ok(()))
    }
}

fn run(lie: Lie, is_slow: bool, rw: Rw, queue_depth: u32, ios: u64) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let memory = Arc::new(Mutex::new(vec![0; BLOCK * BLOCKS as usize]));
    let left = Arc::new(AtomicU64::new(ios));
    let liar = Liar { lie, is_slow, memory, left, stop: stop.clone() };
    let device = bdev::open_private("liar", liar, Access::ReadWrite).expect("a good geometry");
    // Much longer than a test may take.
    let work = Work { rw, reads: 50, io_bytes: BLOCK, queue_depth, time: Duration::from_secs(600), seed: 5 };
    let place = Place { bdev: "liar".into(), index: 0, count: 1 };
    let executor = LocalExecutor::new().expect("an executor");
    let job =
        async { job::run(device.channel().expect("a channel"), work, place, Arc::default(), stop).await };
    executor.block_on(job).expect("the job ran")
}

/// Three passes over the device.
fn verify(lie: Lie, is_slow: bool, queue_depth: u32) -> Outcome {
    run(lie, is_slow, Rw::Verify, queue_depth, 6 * BLOCKS)
}

#[test]
fn an_honest_device_verifies_at_any_depth() {
    for is_slow in [false, true] {
        for queue_depth in [1, 3, 200] {
            let outcome = verify(Lie::None, is_slow, queue_depth);
            assert_eq!((outcome.row.errors, outcome.messages.len()), (0, 0), "{:?}", outcome.messages);
            assert!(outcome.row.iops > 0.0);
        }
    }
}

#[test]
fn a_corrupted_block_is_named() {
    for is_slow in [false, true] {
        let outcome = verify(Lie::Flips(17), is_slow, 4);
        assert!(outcome.row.errors > 0);
        let message = &outcome.messages[0];
        assert!(
            message.starts_with("liar: block 17 is not what pass 0 wrote: from byte 100 on"),
            "{message}"
        );
    }
}

/// One at a time, so that block 7 is written before the write of block 8 spoils it.
#[test]
fn a_misdirected_write_is_told_by_what_it_left() {
    let outcome = verify(Lie::Smears(8), false, 1);
    let message = &outcome.messages[0];
    assert!(
        message.starts_with("liar: block 7 is not what pass 0 wrote: it holds block 8 of pass 0"),
        "{message}"
    );
}

/// A device that stops writing is found out in the second pass, whose pattern differs from the first.
#[test]
fn a_lost_write_is_told_from_garbage() {
    for is_slow in [false, true] {
        let message = &verify(Lie::Loses(3), is_slow, 8).messages[0];
        assert_eq!(
            message,
            "liar: block 3 is not what pass 1 wrote: it still holds pass 0, so a write was lost"
        );
    }
}

#[test]
fn a_failed_io_ends_the_job_with_the_blocks_and_the_reason() {
    for rw in [Rw::Read, Rw::Write, Rw::RandRead, Rw::RandWrite, Rw::RandMixed, Rw::Verify] {
        for is_slow in [false, true] {
            let outcome = run(Lie::Breaks(33), is_slow, rw, 4, u64::MAX);
            let message = &outcome.messages[0];
            assert!(outcome.row.errors >= 1);
            assert!(message.contains("of blocks 33..34: the medium failed"), "{rw:?}: {message}");
        }
    }
}

#[test]
fn buffers_that_do_not_fit_the_pool_are_refused_before_the_run() {
    let work = Work {
        rw: Rw::Read,
        reads: 100,
        io_bytes: 64 << 20,
        queue_depth: 1_000,
        time: Duration::from_nanos(1),
        seed: 0,
    };
    let place = Place { bdev: "null".into(), index: 0, count: 1 };
    let executor = LocalExecutor::new().expect("an executor");
    let refusal = executor.block_on(async {
        let device = bdev::open("null", Access::ReadOnly).await.expect("null");
        let channel = device.channel().expect("a channel");
        job::run(channel, work, place, Arc::default(), Arc::default()).await.map(|_| ())
    });
    let Err(Failure::Run(message)) = refusal else { panic!("{refusal:?}") };
    assert!(message.contains("pool"), "{message}");
}

#[test]
fn every_kind_of_work_counts_its_ios() {
    for rw in [Rw::Read, Rw::Write, Rw::RandRead, Rw::RandWrite, Rw::RandMixed, Rw::Verify] {
        for is_slow in [false, true] {
            let outcome = run(Lie::None, is_slow, rw, 2, 1_000);
            let row = outcome.row;
            assert!(row.iops > 0.0 && row.errors == 0, "{rw:?}: {row:?}");
            let lat = row.lat_us;
            assert!(lat.p50 <= lat.p99 && lat.p99 <= lat.p999 && lat.p999 <= lat.max, "{rw:?}: {lat:?}");
        }
    }
}
