//! What a trip through the ring costs above a hand-written one with the same flags: NOPs, alternating, in one run. And what hand-written
//! rings cost with and without what the driver chose to have.
//!
//! `cargo bench --bench uring -- [--quick] [--json] [PART OF A ROW'S ID]...`.
#![expect(unsafe_code, reason = "hands entries to the kernel")]

#[allow(dead_code, reason = "each bench uses its part")]
mod harness;
#[path = "uring/kernel.rs"]
mod kernel;

use harness::{Bench, Measure, Target::*};
use io_uring::{EnterFlags, IoUring, opcode};
use reactor::{LocalExecutor, Mode, spawn_local, uring::Ring};
use std::hint::black_box;

fn main() {
    let mut bench = Bench::from_args("uring");
    bench.group("NOP, the hand-written ring");
    bench.row("raw_1", "depth 1", "ns", None, |m| raw(m, 1));
    bench.row("raw_32", "depth 32", "ns", None, |m| raw(m, 32));
    bench.row("raw_128", "depth 128", "ns", None, |m| raw(m, 128));
    bench.group("NOP as a future, above that");
    bench.row("nop_1", "depth 1", "ns", AtMost(20.0), |m| kernel::above(m, || ours(m, 1), || raw(m, 1)));
    bench.row("nop_32", "depth 32", "ns", AtMost(20.0), |m| kernel::above(m, || ours(m, 32), || raw(m, 32)));
    bench.row("nop_128", "depth 128", "ns", AtMost(20.0), |m| {
        kernel::above(m, || ours(m, 128), || raw(m, 128))
    });
    kernel::rows(&mut bench);
    bench.print();
}

fn raw(measure: Measure, depth: u32) -> f64 {
    nops(measure, &mut ring(), depth)
}

/// A ring with the flags of the driver's.
fn ring() -> IoUring {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_no_sqarray()
        .build(256)
        .expect("the kernel has io_uring, Linux 6.6 or later")
}

/// Nanoseconds per NOP, `depth` of them handed over and reaped together.
fn nops(measure: Measure, ring: &mut IoUring, depth: u32) -> f64 {
    let ns = measure.ns_blocking(|count| {
        for _ in 0..count {
            let mut queue = ring.submission();
            for at in 0..depth {
                // SAFETY: a NOP points to no memory.
                unsafe { queue.push(&opcode::Nop::new().build().user_data(at.into())) }
                    .expect("there is room");
            }
            drop(queue);
            // SAFETY: no argument is passed.
            unsafe { ring.submitter().enter::<()>(depth, 0, EnterFlags::GETEVENTS.bits(), Option::None) }
                .expect("the kernel takes NOPs");
            assert_eq!(ring.completion().map(black_box).count(), depth as usize);
        }
    });
    ns / f64::from(depth)
}

/// Nanoseconds per NOP, awaited by `depth` tasks.
fn ours(measure: Measure, depth: u32) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Poll);
    executor.block_on(async move {
        let ns = measure.ns(async |count| {
            let tasks = (0..depth).map(|_| {
                spawn_local(async move {
                    let ring = Ring::current().expect("the kernel has io_uring");
                    for _ in 0..count {
                        ring.nop().await.expect("a NOP does not fail");
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("it returns");
            }
        });
        ns.await / f64::from(depth)
    })
}
