//! The work of a RAM device without the device: copies of blocks from random places of as much memory.

use super::harness::Measure;
use super::{IO_BYTES, Places, on_core};
use reactor::sys::dma::DmaPool;
use std::hint::black_box;

/// Million copies per second of 4 KiB each, out of `bytes` of memory, into `depth` buffers in turn, at the places that as many tasks
/// would read.
pub fn reads(measure: Measure, bytes: usize, depth: usize) -> f64 {
    on_core(async move {
        let pool = DmaPool::with_limit(2 * bytes);
        // As the device's: where the kernel has huge pages, of those.
        let mut memory = pool.alloc(bytes).await.expect("the pool has the memory");
        memory.fill(1);
        let place = |seed: u64| Places {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            count: (bytes / IO_BYTES) as u64,
            blocks: IO_BYTES as u64,
        };
        let buffer = |seed| (place(seed), pool.try_alloc(IO_BYTES).expect("the pool has a buffer"));
        let mut tasks: Vec<_> = (0..depth as u64).map(buffer).collect();
        let ns = measure.ns(async |count| {
            for _ in 0..count {
                for (places, buf) in &mut tasks {
                    let from = places.next();
                    buf.copy_from_slice(&memory[from.start as usize..from.end as usize]);
                    black_box(&mut buf[..]);
                }
            }
        });
        1e3 * depth as f64 / ns.await
    })
}
